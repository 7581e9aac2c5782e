//! The rows of the case table, by section of the RFC.

use std::slice::from_ref;

use tungstenite::protocol::frame::coding::OpCode;
use ws::Role::{Client, Server};
use ws::{Role, Rules, Violation};

use crate::frames::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, bytes};

pub(crate) fn cases() -> Vec<Case> {
    [
        masking(),
        framing(),
        fragmentation(),
        control(),
        close(),
        utf8_text(),
        utf8_broken(),
        size(),
        compression(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A stream: frames that are fine, then perhaps one that breaks a rule.
pub(crate) struct Case {
    pub(crate) section: &'static str,
    pub(crate) what: &'static str,
    pub(crate) rules: Rules,
    pub(crate) good: Vec<u8>,
    pub(crate) messages: u64,
    pub(crate) controls: usize,
    pub(crate) bad: Option<Bad>,
}

pub(crate) struct Bad {
    pub(crate) violation: Violation,
    pub(crate) bytes: Vec<u8>,
    /// So many of its bytes prove it.
    pub(crate) proof: usize,
    /// So many of its bytes may have settled before, when they came by themselves.
    pub(crate) settled: usize,
}

fn masking() -> Vec<Case> {
    let unmasked = server(BINARY, "hello").bytes();
    let masked = client(BINARY, "hello").bytes();
    vec![
        fine(
            "5.1",
            "masked frames from a client",
            from(Client),
            &[client(TEXT, "a"), client(PING, "b")],
            (1, 1),
        ),
        fine(
            "5.1",
            "unmasked frames from a server",
            from(Server),
            &[server(TEXT, "a"), server(PING, "b")],
            (1, 1),
        ),
        fine("5.3", "a key of zeros is a key", from(Client), &[client(TEXT, "a").mask(Some([0; 4]))], (1, 0)),
        broken(
            "5.1",
            "an unmasked frame from a client",
            from(Client),
            &[client(TEXT, "ok")],
            bad(Violation::MaskMissing, unmasked.clone(), 2),
        ),
        broken("5.1", "an unmasked first frame", from(Client), &[], bad(Violation::MaskMissing, unmasked, 2)),
        broken(
            "5.1",
            "an unmasked ping from a client, inside a message",
            from(Client),
            &[client(TEXT, "ok").unfinished()],
            bad(Violation::MaskMissing, server(PING, "").bytes(), 2),
        ),
        broken(
            "5.1",
            "a masked frame from a server",
            from(Server),
            &[server(TEXT, "ok")],
            bad(Violation::MaskForbidden, masked, 2),
        ),
        broken(
            "5.1",
            "a masked Close from a server",
            from(Server),
            &[],
            bad(Violation::MaskForbidden, client(CLOSE, "").bytes(), 2),
        ),
    ]
}

fn framing() -> Vec<Case> {
    let payload = vec![b'x'; 0x1_0000];
    let sizes = [0, 1, 125, 126, 127, 300].map(|len| client(BINARY, &payload[..len]));
    let mut cases = vec![
        fine("5.2", "lengths of one and of three bytes", from(Client), &sizes, (6, 0)),
        broken(
            "5.2",
            "16-bit length of 125",
            from(Server),
            &[server(BINARY, "ok")],
            bad(Violation::LengthNotMinimal, [0x82, 126, 0, 125], 4),
        ),
        broken(
            "5.2",
            "64-bit length of 65535",
            from(Server),
            &[],
            bad(Violation::LengthNotMinimal, [0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], 10),
        ),
        broken(
            "5.2",
            "64-bit length of 0, before the key is there",
            from(Client),
            &[],
            bad(Violation::LengthNotMinimal, [0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], 10),
        ),
        broken(
            "5.2",
            "length of 2^63",
            from(Server),
            &[],
            bad(Violation::LengthTooLarge, [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], 10),
        ),
    ];
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let good = [client(TEXT, "ok")];
        let frame = bad(Violation::ReservedOpcode, [0x80 | opcode, 0x80, 1, 2, 3, 4], 2);
        cases.push(broken("5.2", "reserved opcode", from(Client), &good, frame));
    }
    for rsv in 1..=7 {
        let frame = |opcode| bad(Violation::ReservedBits, client(opcode, "no").rsv(rsv).bytes(), 2);
        cases.push(broken("5.2", "reserved bit on text", from(Client), &[client(TEXT, "ok")], frame(TEXT)));
        cases.push(broken("5.2", "reserved bit on a ping", from(Client), &[], frame(PING)));
    }
    cases
}

fn fragmentation() -> Vec<Case> {
    let fragments =
        [client(TEXT, "a").unfinished(), client(CONTINUATION, "b").unfinished(), client(CONTINUATION, "c")];
    let [first, second, last] = fragments.clone();
    let interleaved = [
        first.clone(),
        client(PING, "1"),
        second,
        client(PONG, ""),
        client(PING, "2"),
        last,
        client(CLOSE, ""),
    ];
    vec![
        fine("5.4", "three fragments", from(Client), &fragments, (1, 0)),
        fine("5.4", "control frames between fragments", from(Client), &interleaved, (1, 4)),
        fine(
            "5.4",
            "empty fragments",
            from(Client),
            &[
                client(BINARY, "").unfinished(),
                client(CONTINUATION, "").unfinished(),
                client(CONTINUATION, ""),
            ],
            (1, 0),
        ),
        fine("5.4", "a message that is not finished", from(Client), &fragments[..2], (0, 0)),
        broken(
            "5.4",
            "a continuation before any message",
            from(Client),
            &[],
            bad(Violation::ContinuationUnexpected, client(CONTINUATION, "no").bytes(), 2),
        ),
        broken(
            "5.4",
            "a continuation after a whole message",
            from(Client),
            &fragments,
            bad(Violation::ContinuationUnexpected, client(CONTINUATION, "no").unfinished().bytes(), 2),
        ),
        broken(
            "5.4",
            "a text frame inside a message",
            from(Client),
            &[client(BINARY, "a").unfinished()],
            bad(Violation::MessageInterrupted, client(TEXT, "no").bytes(), 2),
        ),
        broken(
            "5.4",
            "a binary frame inside a message, after a ping and an empty fragment",
            from(Client),
            &[client(TEXT, "").unfinished(), client(PING, ""), client(CONTINUATION, "").unfinished()],
            bad(Violation::MessageInterrupted, client(BINARY, "no").unfinished().bytes(), 2),
        ),
    ]
}

fn control() -> Vec<Case> {
    let longest = [7; 125];
    let mut cases = vec![
        fine(
            "5.5",
            "control frames of 0 and 125 bytes",
            from(Server),
            &[server(PING, ""), server(PONG, longest)],
            (0, 2),
        ),
        fine(
            "5.5",
            "masked control frame of 125 bytes",
            from(Client),
            &[client(PING, longest), client(TEXT, "a")],
            (1, 1),
        ),
    ];
    for opcode in [CLOSE, PING, PONG] {
        let fragment = client(opcode, "").unfinished().bytes();
        let long = client(opcode, [0; 126]);
        let good = [client(TEXT, "ok")];
        cases.push(broken(
            "5.5",
            "fragmented",
            from(Client),
            &good,
            bad(Violation::ControlFragmented, fragment, 2),
        ));
        cases.push(broken(
            "5.5",
            "126 bytes",
            from(Client),
            &good,
            bad(Violation::ControlTooLong, long.bytes(), 2),
        ));
        cases.push(broken(
            "5.5",
            "2^40 bytes",
            from(Client),
            &[],
            bad(Violation::ControlTooLong, long.header(1 << 40), 2),
        ));
    }
    cases
}

fn close() -> Vec<Case> {
    let close = |code: u16, reason: &[u8]| client(CLOSE, [&code.to_be_bytes()[..], reason].concat());
    let mut cases = vec![
        fine("5.5.1", "no payload", from(Client), &[client(CLOSE, "")], (0, 1)),
        fine("5.5.1", "the longest reason", from(Client), &[close(1000, &[b'x'; 123])], (0, 1)),
        fine(
            "5.5.1",
            "frames behind a Close are judged like others",
            from(Client),
            &[close(1000, b""), client(TEXT, "")],
            (1, 1),
        ),
        broken(
            "5.5.1",
            "one byte",
            from(Client),
            &[],
            bad(Violation::ClosePayloadTooShort, client(CLOSE, "x").bytes(), 7),
        ),
    ];
    for reason in [&b"\xFF"[..], b"cut \xE2\x82", b"\xED\xA0\x80"] {
        let bytes = close(1000, reason).bytes();
        let len = bytes.len();
        let bad = bad(Violation::CloseReasonNotUtf8, bytes, len);
        cases.push(broken("5.5.1", "reason is not UTF-8", from(Client), &[client(TEXT, "ok")], bad));
    }
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        cases.push(fine(
            "7.4",
            "code that may go on the wire",
            from(Client),
            &[close(code, "\u{20AC}".as_bytes())],
            (0, 1),
        ));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        let bad = bad(Violation::CloseCodeInvalid { code }, close(code, b"").bytes(), 8);
        cases.push(broken(
            "7.4",
            "code that may not go on the wire",
            from(Client),
            &[client(TEXT, "ok")],
            bad,
        ));
    }
    cases
}

fn utf8_text() -> Vec<Case> {
    let text = "h\u{E9}\u{20AC}\u{1F600}";
    let split: Vec<Frame> = text.bytes().map(|byte| client(CONTINUATION, [byte]).unfinished()).collect();
    let mut message = vec![client(TEXT, "").unfinished()];
    message.extend(split);
    message.push(client(PING, [0xFF]));
    message.push(client(CONTINUATION, ""));
    vec![
        fine("8.1", "text of every length of character", utf8(Client), &[client(TEXT, text)], (1, 0)),
        fine("8.1", "a long text", utf8(Client), &[client(TEXT, "a\u{20AC}\u{E9}".repeat(200))], (1, 0)),
        fine("8.1", "characters cut by fragments", utf8(Client), &message, (1, 1)),
        fine("8.1", "binary is not judged", utf8(Client), &[client(BINARY, [0xFF])], (1, 0)),
        fine(
            "8.1",
            "a binary message after a text",
            utf8(Server),
            &[server(TEXT, "a"), server(BINARY, [0xFF])],
            (2, 0),
        ),
        fine(
            "8.1",
            "binary fragments are not judged",
            utf8(Server),
            &[server(BINARY, [0xFF]).unfinished(), server(CONTINUATION, [0xFE])],
            (1, 0),
        ),
        fine("8.1", "text is not judged without the rule", from(Client), &[client(TEXT, [0xFF])], (1, 0)),
    ]
}

fn utf8_broken() -> Vec<Case> {
    let broken = |what, sender, good: &[Frame], bad| broken("8.1", what, utf8(sender), good, bad);
    let euro = client(TEXT, [0xE2, 0x82]);
    let far_on = ["\u{20AC}".repeat(200).as_bytes(), b"a\x80b"].concat();
    let long = [b"ok".repeat(300), b"\xC0".to_vec()].concat();
    vec![
        broken("impossible", Client, &[client(TEXT, "ok")], bad_text(client(TEXT, b"abc\xFFdef"), 3)),
        broken("impossible, from a server", Server, &[], bad_text(server(TEXT, b"abc\xFFdef"), 3)),
        broken("impossible, far on", Client, &[], bad_text(client(TEXT, &far_on), 601)),
        broken("a surrogate, at its second byte", Server, &[], bad_text(server(TEXT, b"a\xED\xA0\x80"), 2)),
        broken("above U+10FFFF", Server, &[], bad_text(server(TEXT, b"\xF4\x90\x80\x80"), 1)),
        broken("ends inside a character", Client, &[client(TEXT, "ok")], bad_text(euro.clone(), 1)),
        broken(
            "ends inside a character, in its second frame",
            Client,
            &[euro.clone().unfinished(), client(PING, "")],
            bad(Violation::TextNotUtf8, client(CONTINUATION, "").bytes(), 6),
        ),
        broken(
            "a character that its second frame does not finish",
            Client,
            &[euro.unfinished()],
            bad_text(client(CONTINUATION, "a"), 0),
        ),
        broken(
            "fails fast in a message without end",
            Server,
            &[server(TEXT, "ok").unfinished()],
            bad_text(server(CONTINUATION, long).unfinished(), 600),
        ),
    ]
}

fn size() -> Vec<Case> {
    let too_big = |limit, size| Violation::MessageTooBig { limit, size };
    let whole = client(BINARY, [0; 11]);
    vec![
        fine("10.4", "at the limit", limit(10), &[client(BINARY, [0; 10]), client(TEXT, [0; 10])], (2, 0)),
        fine(
            "10.4",
            "control frames do not count",
            limit(1),
            &[client(PING, "hello"), client(BINARY, "a")],
            (1, 1),
        ),
        broken(
            "10.4",
            "over the limit",
            limit(10),
            &[client(BINARY, "ok")],
            bad(too_big(10, 11), whole.bytes(), 6),
        ),
        broken(
            "10.4",
            "2^63 - 1 declared",
            limit(10),
            &[],
            bad(too_big(10, u64::MAX / 2), whole.header(u64::MAX / 2), 14),
        ),
        broken(
            "10.4",
            "limit of zero",
            limit(0),
            &[client(TEXT, "")],
            bad(too_big(0, 1), client(TEXT, "a").bytes(), 6),
        ),
        broken(
            "10.4",
            "over the limit with the second fragment",
            limit(10),
            &[client(BINARY, [0; 6]).unfinished(), client(PING, "hello")],
            bad(too_big(10, 11), client(CONTINUATION, [0; 5]).unfinished().bytes(), 6),
        ),
    ]
}

fn compression() -> Vec<Case> {
    let compressed = client(TEXT, [0xFF, 0xFE]).rsv(4);
    let fragments = [compressed.clone().unfinished(), client(PING, ""), client(CONTINUATION, [0xFF])];
    let broken = |what, good: &[Frame], frame: Frame| {
        broken("5.2", what, deflate(), good, bad(Violation::ReservedBits, frame.bytes(), 2))
    };
    vec![
        fine(
            "RFC 7692 6",
            "compressed messages, whose bytes are no text",
            deflate(),
            from_ref(&compressed),
            (1, 0),
        ),
        fine("RFC 7692 6", "a compressed message in fragments", deflate(), &fragments, (1, 1)),
        fine(
            "RFC 7692 6",
            "an uncompressed message",
            deflate(),
            &[client(TEXT, "a"), compressed.clone()],
            (2, 0),
        ),
        broken("RSV1 on a continuation", &fragments[..1], client(CONTINUATION, "no").rsv(4)),
        broken("RSV1 on a control frame", from_ref(&compressed), client(PING, "no").rsv(4)),
        broken("RSV1 and RSV2", from_ref(&compressed), client(TEXT, "no").rsv(6)),
        broken("RSV3", &[compressed], client(TEXT, "no").rsv(1)),
    ]
}

const PLAIN: Rules = Rules { sender: Client, deflate: false, max_message: u64::MAX, validate_utf8: false };

const fn from(sender: Role) -> Rules {
    Rules { sender, ..PLAIN }
}

const fn deflate() -> Rules {
    Rules { deflate: true, validate_utf8: true, ..PLAIN }
}

const fn utf8(sender: Role) -> Rules {
    Rules { sender, validate_utf8: true, ..PLAIN }
}

const fn limit(max_message: u64) -> Rules {
    Rules { max_message, ..PLAIN }
}

/// A case without a fault: `frames` hold so many `(messages, controls)`.
fn fine(
    section: &'static str,
    what: &'static str,
    rules: Rules,
    frames: &[Frame],
    (messages, controls): (u64, usize),
) -> Case {
    Case { section, what, rules, good: bytes(frames), messages, controls, bad: None }
}

/// A case whose last frame breaks a rule; `proof` of its bytes prove it and none may settle.
fn broken(section: &'static str, what: &'static str, rules: Rules, good: &[Frame], bad: Bad) -> Case {
    let messages = good.iter().filter(|frame| frame.fin && !is_control(frame)).count() as u64;
    let controls = good.iter().filter(|frame| is_control(frame)).count();
    Case { section, what, rules, good: bytes(good), messages, controls, bad: Some(bad) }
}

fn bad(violation: Violation, bytes: impl Into<Vec<u8>>, proof: usize) -> Bad {
    Bad { violation, bytes: bytes.into(), proof, settled: 0 }
}

/// Text that goes wrong at a byte of a frame's payload.
fn bad_text(frame: Frame, at: usize) -> Bad {
    let bytes = frame.bytes();
    let settled = bytes.len() - frame.payload.len() + at;
    Bad { violation: Violation::TextNotUtf8, bytes, proof: settled + 1, settled }
}

fn client(opcode: OpCode, payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(Client, opcode, payload)
}

fn server(opcode: OpCode, payload: impl AsRef<[u8]>) -> Frame {
    Frame::new(Server, opcode, payload)
}

fn is_control(frame: &Frame) -> bool {
    matches!(frame.opcode, OpCode::Control(_))
}
