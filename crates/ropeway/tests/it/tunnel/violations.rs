//! Every rule that a side can break: the other side gets a proper Close, and the offender hears which rule it was, behind
//! all that the other side still says.

use ropeway::tunnel::Side::{self, Client, Server};
use testkit::{frame, op};
use ws::Violation;

use super::scripted::Step::{Ended, Fin, Gets, GetsClose, Quiet, Reset, Sends, Stop};
use super::scripted::{NEVER, Row, SOON, Step, play_all};
use super::{close, mask, part, whole};

const OTHER: &str = "the other side broke a rule";
const RESERVED: &str = "opcode is reserved";

/// The bytes with which `by` breaks the rule: those that pass, and those that do not. `None` where it cannot.
fn breach(rule: Violation, by: Side) -> Option<(Vec<u8>, Vec<u8>)> {
    let alone = |bytes| Some((Vec::new(), bytes));
    let wrong_mask = match by {
        Client => None,
        Server => Some([1, 2, 3, 4]),
    };
    let masked = if by == Client { 0x80 } else { 0 };
    match rule {
        Violation::ClosePayloadTooShort => alone(whole(by, op::CLOSE, &[3])),
        Violation::CloseCodeInvalid { code } => alone(close(by, code, "bye")),
        Violation::CloseReasonNotUtf8 => alone(whole(by, op::CLOSE, b"\x03\xe8\xff")),
        Violation::ContinuationUnexpected => alone(whole(by, op::CONTINUATION, b"more")),
        Violation::ControlFragmented => alone(part(by, op::PING, b"half")),
        Violation::ControlTooLong => alone(whole(by, op::PING, &[0; 126])),
        Violation::LengthNotMinimal => alone(vec![0x82, masked | 126, 0, 125]),
        Violation::LengthTooLarge => alone(vec![0x82, masked | 127, 0x80, 0, 0, 0, 0, 0, 0, 1]),
        Violation::MaskForbidden if by == Client => None,
        Violation::MaskMissing if by == Server => None,
        Violation::MaskForbidden | Violation::MaskMissing => alone(frame(0x81, wrong_mask, b"hello")),
        Violation::MessageInterrupted => Some((part(by, op::TEXT, b"be"), whole(by, op::TEXT, b"gin"))),
        // The limit holds for the fragments together, and counts what a header declares before it comes.
        Violation::MessageTooBig { limit, size } => {
            let first = limit - 10;
            let rest = frame(0x80, mask(by), &vec![0; (size - first) as usize]);
            Some((part(by, op::BINARY, &vec![0; first as usize]), rest[..10].to_vec()))
        }
        Violation::ReservedBits => alone(frame(0xc1, mask(by), b"hello")),
        Violation::ReservedOpcode => alone(whole(by, 3, b"hello")),
        Violation::TextNotUtf8 => {
            Some((part(by, op::TEXT, b"fine, and"), whole(by, op::CONTINUATION, b"bad: \xff")))
        }
    }
}

fn every_rule() -> Vec<Violation> {
    let mut rules = vec![
        Violation::ClosePayloadTooShort,
        Violation::CloseReasonNotUtf8,
        Violation::ContinuationUnexpected,
        Violation::ControlFragmented,
        Violation::ControlTooLong,
        Violation::LengthNotMinimal,
        Violation::LengthTooLarge,
        Violation::MaskForbidden,
        Violation::MaskMissing,
        Violation::MessageInterrupted,
        Violation::MessageTooBig { limit: 32_769, size: 32_770 },
        Violation::ReservedBits,
        Violation::ReservedOpcode,
        Violation::TextNotUtf8,
    ];
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535];
    rules.extend(codes.map(|code| Violation::CloseCodeInvalid { code }));
    rules
}

#[test]
fn close_the_offender_with_the_rule_and_the_other_side_properly() {
    let mut rows = Vec::new();
    for (rule, by) in every_rule().into_iter().flat_map(|rule| [(rule, Client), (rule, Server)]) {
        let Some((passes, breaks)) = breach(rule, by) else { continue };
        let name = format!("{by:?}: {rule:?}");
        let payload = match rule {
            Violation::MessageInterrupted => 2,
            Violation::MessageTooBig { limit, .. } => limit - 10,
            Violation::TextNotUtf8 => 9,
            _ => 0,
        };
        let (code, reason, cause) = expected(rule);
        let (other, pool) = (by.other(), format!("{NEVER}\nvalidateUtf8: true"));
        let answer = whole(other, op::TEXT, b"answer");
        let steps = vec![
            // What stands behind the breach is not passed on either.
            Sends(by, [passes.clone(), breaks, whole(by, op::TEXT, b"behind")].concat()),
            Gets(other, passes),
            GetsClose(other, 1001, OTHER.into()),
            Sends(other, answer.clone()),
            Gets(by, answer),
            Quiet(by),
            Sends(other, close(other, 1001, "")),
            GetsClose(by, code, reason),
            Ended(Client),
            Sends(by, close(by, code, "")),
            Fin(Client),
            Fin(Server),
            Ended(Server),
        ];
        // An answer to the gateway's Close is not looked for behind a breach: nothing there is believed.
        let record = match by {
            Client => format!("client {cause}; got - 1001; sent {code} 1001; 0/{payload} 1/6"),
            Server => format!("server {cause}; got 1001 -; sent 1001 {code}; 1/6 0/{payload}"),
        };
        rows.push(Row::new(name, &pool, steps, &record));
    }
    assert_eq!(rows.len(), 2 * every_rule().len() - 2, "each side breaks every rule but the other's masking");
    play_all(rows);
}

/// Written down here once more, independently of `ws`.
fn expected(rule: Violation) -> (u16, String, String) {
    let (code, reason, label) = match rule {
        Violation::ClosePayloadTooShort => {
            (1002, "close payload of one byte has no room for a code", "close_payload_too_short")
        }
        Violation::CloseCodeInvalid { code } => {
            return (
                1002,
                format!("close code {code} may not go on the wire"),
                "violation:close_code_invalid".into(),
            );
        }
        Violation::CloseReasonNotUtf8 => (1007, "close reason is not utf-8", "close_reason_not_utf8"),
        Violation::ContinuationUnexpected => {
            (1002, "continuation frame outside a message", "continuation_unexpected")
        }
        Violation::ControlFragmented => (1002, "control frame is fragmented", "control_fragmented"),
        Violation::ControlTooLong => {
            (1002, "control frame has more than 125 bytes of payload", "control_too_long")
        }
        Violation::LengthNotMinimal => (1002, "length is not in its shortest form", "length_not_minimal"),
        Violation::LengthTooLarge => (1002, "length has its highest bit set", "length_too_large"),
        Violation::MaskForbidden => (1002, "frame from a server is masked", "mask_forbidden"),
        Violation::MaskMissing => (1002, "frame from a client is not masked", "mask_missing"),
        Violation::MessageInterrupted => {
            (1002, "new message begins inside a fragmented one", "message_interrupted")
        }
        Violation::MessageTooBig { limit, size } => {
            return (
                1009,
                format!("message of at least {size} bytes is over the limit of {limit}"),
                "too_big".into(),
            );
        }
        Violation::ReservedBits => {
            (1002, "reserved bit is set without an extension that uses it", "reserved_bits")
        }
        Violation::ReservedOpcode => (1002, "opcode is reserved", "reserved_opcode"),
        Violation::TextNotUtf8 => (1007, "text message is not utf-8", "text_not_utf8"),
    };
    (code, reason.into(), format!("violation:{label}"))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: row after row, step after step")]
fn inside_frames() {
    let utf8 = format!("{NEVER}\nvalidateUtf8: true");
    let text = |by| whole(by, op::TEXT, &[[b'a'; 300].as_slice(), b"\xff", &[b'b'; 100]].concat());
    let head = |by| if by == Client { 8 } else { 4 };
    // A text that goes wrong in a frame of which some has passed: no Close can follow inside it.
    let half_passed = |by: Side| {
        let (frame, head, other) = (text(by), head(by), by.other());
        let (first, last) = (frame[..head + 200].to_vec(), frame[head + 200..].to_vec());
        let record = match by {
            Client => "client violation:text_not_utf8; got - -; sent 1007 -; 0/300 1/6",
            Server => "server violation:text_not_utf8; got - -; sent - 1007; 1/6 0/300",
        };
        Row::new(
            format!("{by:?} sends a bad text inside a frame that has passed in part"),
            &utf8,
            vec![
                Sends(by, first.clone()),
                Gets(other, first),
                Sends(by, last),
                Gets(other, frame[head + 200..head + 300].to_vec()),
                Ended(other),
                Sends(other, whole(other, op::TEXT, b"answer")),
                Gets(by, whole(other, op::TEXT, b"answer")),
                Fin(other),
                GetsClose(by, 1007, "text message is not utf-8".into()),
                Fin(by),
                Ended(by),
            ],
            record,
        )
    };
    let whole_frame = |by: Side| {
        let record = match by {
            Client => "client violation:text_not_utf8; got - -; sent 1007 1001; 0/0 0/0",
            Server => "server violation:text_not_utf8; got - -; sent 1001 1007; 0/0 0/0",
        };
        Row::new(
            format!("{by:?} sends a bad text in one go"),
            &utf8,
            vec![
                Sends(by, text(by)),
                GetsClose(by.other(), 1001, OTHER.into()),
                Fin(by.other()),
                GetsClose(by, 1007, "text message is not utf-8".into()),
                Fin(by),
                Ended(Client),
                Ended(Server),
            ],
            record,
        )
    };
    let begun = |side| whole(side, op::BINARY, &[7; 500])[..208].to_vec();
    let rest = |side| whole(side, op::BINARY, &[7; 500])[208..].to_vec();
    let other_inside = |by: Side| {
        let other = by.other();
        let record = match by {
            Client => "client violation:reserved_opcode; got - -; sent 1002 1001; 0/0 1/500",
            Server => "server violation:reserved_opcode; got - -; sent 1001 1002; 1/500 0/0",
        };
        Row::new(
            format!("{by:?} breaks a rule while a frame is on its way to it"),
            NEVER,
            vec![
                Sends(other, begun(other)),
                Gets(by, begun(other)),
                Sends(by, whole(by, 3, b"")),
                GetsClose(other, 1001, OTHER.into()),
                Sends(other, rest(other)),
                Gets(by, rest(other)),
                Quiet(by),
                Fin(other),
                GetsClose(by, 1002, RESERVED.into()),
                Fin(by),
                Ended(Client),
                Ended(Server),
            ],
            record,
        )
    };
    // The rest of that frame never comes: no Close can follow, and the offender is cut.
    let unfinished = |by: Side, how: &str, pool: &str, end: &[Step]| {
        let other = by.other();
        let record = match by {
            Client => "client violation:reserved_opcode; got - -; sent - 1001; 0/0 0/204",
            Server => "server violation:reserved_opcode; got - -; sent 1001 -; 0/200 0/0",
        };
        let begin = [
            Sends(other, begun(other)),
            Gets(by, begun(other)),
            Sends(by, whole(by, 3, b"")),
            GetsClose(other, 1001, OTHER.into()),
        ];
        let name = format!("{by:?} breaks a rule while a frame is on its way to it {how}");
        Row::new(name, pool, [&begin, end].concat(), record)
    };
    let never_finished =
        |by: Side| unfinished(by, "that nobody finishes", SOON, &[Ended(by), Ended(by.other())]);
    let cut_inside = |by: Side| {
        let end = [Fin(by.other()), Ended(by), Fin(by), Ended(by.other())];
        unfinished(by, "whose sender ends inside it", NEVER, &end)
    };
    let all: [&dyn Fn(Side) -> Row; 5] =
        [&half_passed, &whole_frame, &other_inside, &never_finished, &cut_inside];
    play_all(all.into_iter().flat_map(|row| [row(Client), row(Server)]).collect());
}

/// However the other side ends, what it said before reaches the offender, and then ours.
#[test]
fn the_offender_hears_it_behind_the_answers() {
    let told = |by| GetsClose(by, 1002, RESERVED.into());
    // Each begins with a good message and a bad one in one go; the other side answers the good one.
    let row = |by: Side, (name, got, sent): (&str, &str, &str), end: &[&[Step]]| {
        let other = by.other();
        let good = whole(by, op::TEXT, b"good");
        let begin = [
            Sends(by, [good.clone(), whole(by, 3, b"bad"), whole(by, op::TEXT, b"behind")].concat()),
            Gets(other, good),
            GetsClose(other, 1001, OTHER.into()),
            Sends(other, answers(other)),
            Gets(by, answers(other)),
            Quiet(by),
        ];
        let sides = |of_offender: &str, of_other: &str| match by {
            Client => format!("{of_offender} {of_other}"),
            Server => format!("{of_other} {of_offender}"),
        };
        let (label, moved) = (by.label(), sides("1/4", "2/306"));
        let (got, sent) = (sides("-", got), sides(sent, "1001"));
        let record = format!("{label} violation:reserved_opcode; got {got}; sent {sent}; {moved}");
        let pool = if name == "says no more" { "closeTimeout: 2s" } else { NEVER };
        let steps = [&begin[..], &end.concat()].concat();
        Row::new(format!("{by:?} breaks a rule, the other side {name}"), pool, steps, &record)
    };
    let rows = [Client, Server].into_iter().flat_map(|by| {
        let other = by.other();
        let behind = whole(other, op::TEXT, b"behind");
        let (told, closes) = ([told(by)], [Sends(other, close(other, 1001, ""))]);
        let own_code = [Sends(other, [close(other, 4000, "bye"), behind.clone()].concat())];
        let empty = whole(other, op::CLOSE, b"");
        let in_pieces = [Sends(other, empty[..1].to_vec()), Sends(other, empty[1..].to_vec())];
        let bad = [Sends(other, [whole(other, 4, b"bad"), behind].concat())];
        let over = [Fin(Client), Fin(Server), Ended(Client), Ended(Server)];
        let (by_fin, other_fin, ended) = ([Fin(by)], [Fin(other)], &over[2..]);
        [
            row(by, ("closes with a code of its own", "4000", "1002"), &[&own_code, &told, &over]),
            row(by, ("closes without a code, in pieces", "empty", "1002"), &[&in_pieces, &told, &over]),
            row(by, ("ends its stream", "-", "1002"), &[&other_fin, &told, &by_fin, ended]),
            row(by, ("resets", "-", "1002"), &[&[Reset(other)], &told, &by_fin, &[Ended(by)]]),
            row(by, ("breaks a rule too", "-", "1002"), &[&bad, &told, &over]),
            row(by, ("says no more", "-", "1002"), &[&told, ended]),
            row(
                by,
                ("answers an offender that ended its stream", "1001", "1002"),
                &[&by_fin, &closes, &told, &other_fin, ended],
            ),
            row(
                by,
                ("answers an offender that is gone", "1001", "-"),
                &[&[Reset(by)], &closes, &other_fin, &[Ended(other)]],
            ),
            row(by, ("answers while the gateway stops", "1001", "1002"), &[&[Stop], &closes, &told, &over]),
        ]
    });
    play_all(rows.collect());
}

/// Two messages and a ping.
fn answers(by: Side) -> Vec<u8> {
    let frames = [
        part(by, op::TEXT, b"one"),
        whole(by, op::PING, b"?"),
        whole(by, op::CONTINUATION, b"two"),
        whole(by, op::BINARY, &[7; 300]),
    ];
    frames.concat()
}

/// With permessage-deflate RSV1 has a meaning, on the first frame of a data message only (RFC 7692 6).
#[test]
fn of_reserved_bits_with_deflate() {
    const DEFLATE: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let reason = "reserved bit is set without an extension that uses it";
    let row = |by: Side, name: &str, passes: Vec<u8>, breaks: Vec<u8>, payload: usize| {
        let record = match by {
            Client => format!("client violation:reserved_bits; got - -; sent 1002 1001; 0/{payload} 0/0"),
            Server => format!("server violation:reserved_bits; got - -; sent 1001 1002; 0/0 0/{payload}"),
        };
        let steps: Vec<Step> = vec![
            Sends(by, [passes.clone(), breaks].concat()),
            Gets(by.other(), passes),
            GetsClose(by.other(), 1001, OTHER.into()),
            Fin(by.other()),
            GetsClose(by, 1002, reason.into()),
            Fin(by),
            Ended(Client),
            Ended(Server),
        ];
        Row { headers: DEFLATE, ..Row::new(format!("{by:?}: {name}"), NEVER, steps, &record) }
    };
    let rows = [Client, Server].into_iter().flat_map(|by| {
        let first = frame(0x41, mask(by), b"ab");
        [
            row(by, "RSV2", Vec::new(), frame(0xa1, mask(by), b"x"), 0),
            row(by, "RSV3", Vec::new(), frame(0x91, mask(by), b"x"), 0),
            row(by, "RSV1 on a continuation", first, frame(0xc0, mask(by), b"x"), 2),
            row(by, "RSV1 on a ping", Vec::new(), frame(0xc9, mask(by), b"x"), 0),
        ]
    });
    play_all(rows.collect());
}
