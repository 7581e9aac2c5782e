//! What a check says over a WebSocket, and what it must hear.

use std::sync::{Arc, Mutex};

use testkit::{Backend, Frame, Peer, Record, Serving, TestGateway, close, eventually, frame, op, verdicts};

/// What a server does: it gets the head of a check and says all the rest, its 101 included.
type Act = fn(&mut Peer, &str);

/// The first verdict about a server that does `act` at each check with these fields of `ws`, and the last frame of a
/// check.
fn verdict(act: Act, fields: &str, timeout: &str) -> (Record, Option<Frame>) {
    let (checked, last) = serve(act);
    let backend = Backend::listen();
    let check = format!(
        "healthCheck: {{ interval: 10ms, timeout: {timeout}, ws: {{ port: {}, {fields} }} }}\n",
        checked.address.port()
    );
    let gateway = TestGateway::to(&[backend.address], &check);
    let verdict = eventually(fields, || verdicts(&gateway.name).first().cloned());
    (verdict, eventually("the end of a check", || last.lock().unwrap().clone()))
}

fn serve(act: Act) -> (Serving, Arc<Mutex<Option<Option<Frame>>>>) {
    let last = Arc::new(Mutex::new(None));
    let kept = last.clone();
    let serving = Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        act(&mut peer, &head);
        let mut last = None;
        while last.as_ref().is_none_or(|last: &Frame| last.opcode != op::CLOSE) {
            match peer.frame_or_end() {
                Some(frame) => last = Some(frame),
                None => break,
            }
        }
        kept.lock().unwrap().get_or_insert(last);
    });
    (serving, last)
}

fn agree(peer: &mut Peer, head: &str) {
    peer.send(Backend::answer(head, "").as_bytes());
}

fn text(text: &str) -> Vec<u8> {
    frame(0x80 | op::TEXT, None, text.as_bytes())
}

/// The 101 and the first message in one segment.
fn greets(peer: &mut Peer, head: &str) {
    peer.send(&[Backend::answer(head, "").as_bytes(), &text("welcome"), &text("all is well")].concat());
}

fn greets_later(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&text("welcome"));
    peer.send(&text("all is well"));
}

fn greets_in_bytes(peer: &mut Peer, head: &str) {
    agree(peer, head);
    [text("welcome"), text("all is well")].concat().into_iter().for_each(|byte| peer.send(&[byte]));
}

fn greets_in_binary(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(0x80 | op::BINARY, None, b"all is well"));
}

fn greets_in_fragments(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(op::TEXT, None, b"all i"));
    peer.send(&frame(0x80 | op::PING, None, b"p"));
    peer.send(&frame(op::CONTINUATION, None, b""));
    peer.send(&frame(0x80 | op::CONTINUATION, None, b"s well"));
    assert_eq!(peer.frame().payload, b"p");
}

fn greets_with_parts_of_it(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&[text("all is"), text(" well")].concat());
}

fn answers(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&text("welcome"));
    let question = peer.frame();
    assert!(question.mask.is_some() && question.fin && question.opcode == op::TEXT, "{question:?}");
    peer.send(&text(&format!("you said: {}", String::from_utf8(question.payload).unwrap())));
}

/// Says that all is well to who answers its ping.
fn pings(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(0x80 | op::PING, None, b"are you there?"));
    let pong = peer.frame();
    assert!(pong.mask.is_some() && pong.opcode == op::PONG, "{pong:?}");
    assert_eq!(pong.payload, b"are you there?");
    peer.send(&text("all is well"));
}

fn pongs(peer: &mut Peer, head: &str) {
    agree(peer, head);
    let ping = peer.frame();
    assert!(ping.mask.is_some() && ping.opcode == op::PING, "{ping:?}");
    peer.send(&frame(0x80 | op::PONG, None, b"not asked for"));
    peer.send(&frame(0x80 | op::PONG, None, &ping.payload));
}

fn pongs_wrongly(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.frame();
    peer.send(&frame(0x80 | op::PONG, None, b""));
}

fn answers_both(peer: &mut Peer, head: &str) {
    agree(peer, head);
    let frames = [peer.frame(), peer.frame()];
    let ping = frames.iter().find(|frame| frame.opcode == op::PING).unwrap();
    peer.send(&text("all is well"));
    peer.send(&frame(0x80 | op::PONG, None, &ping.payload));
}

fn says_nothing(peer: &mut Peer, head: &str) {
    agree(peer, head);
}

fn says_it_and_closes(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&[text("all is well"), frame(0x88, None, &close(1001, ""))].concat());
}

fn says_it_and_breaks_a_rule(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&[text("all is well"), frame(0xF1, None, b"")].concat());
}

fn closes(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(0x88, None, &close(1013, "later")));
}

fn closes_without_a_code(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(0x88, None, b""));
}

fn leaves(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.finish();
}

fn masks(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&testkit::masked(op::TEXT, b"all is well"));
}

fn says_much(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&text(&("x".repeat(65_536 - 11) + "all is well")));
}

fn says_too_much(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.try_send(&text(&("x".repeat(65_536 - 10) + "all is well")));
}

fn says_too_much_in_fragments(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.try_send(&frame(op::TEXT, None, &[b'x'; 60_000]));
    peer.try_send(&frame(0x80 | op::CONTINUATION, None, &[b'x'; 6_000]));
}

fn says_no_text(peer: &mut Peer, head: &str) {
    agree(peer, head);
    peer.send(&frame(0x80 | op::TEXT, None, b"all is well\xFF"));
}

fn refuses(peer: &mut Peer, _: &str) {
    peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    peer.finish();
}

const EXPECT: &str = "expect: { value: all is well }";
const PING: &str = "ping: true";

/// What is asked, what the server does, and what is wrong with that.
const TALKS: &[(&str, Act, Option<&str>)] = &[
    (EXPECT, greets, None),
    (EXPECT, greets_later, None),
    (EXPECT, greets_in_bytes, None),
    (EXPECT, greets_in_fragments, None),
    (EXPECT, greets_in_binary, Some("no message as expected in time")),
    (EXPECT, greets_with_parts_of_it, Some("no message as expected in time")),
    (EXPECT, says_nothing, Some("no message as expected in time")),
    (EXPECT, pings, None),
    (EXPECT, says_it_and_closes, None),
    (EXPECT, says_it_and_breaks_a_rule, None),
    (EXPECT, says_much, None),
    (EXPECT, closes, Some("the server closed with 1013")),
    (EXPECT, closes_without_a_code, Some("the server closed")),
    (EXPECT, leaves, Some("connection lost: unexpected end of file")),
    (EXPECT, masks, Some("the server broke a rule: frame from a server is masked")),
    (EXPECT, says_no_text, Some("the server broke a rule: text message is not utf-8")),
    (EXPECT, says_too_much, Some("the server broke a rule: message of at least 65537 bytes")),
    (EXPECT, says_too_much_in_fragments, Some("the server broke a rule: message of at least 66000")),
    ("expect: {}", greets, None),
    ("expect: {}", greets_in_binary, Some("no message as expected in time")),
    ("expect: {}", says_nothing, Some("no message as expected in time")),
    ("expect: { value: ' is ', type: contains }", greets, None),
    ("expect: { value: '^all .* well$', type: regexp }", greets, None),
    ("expect: { value: '^is', type: regexp }", greets, Some("no message as expected in time")),
    ("expect: { value: all is well, type: exact }", greets, None),
    ("expect: { value: all is, type: exact }", greets, Some("no message as expected in time")),
    ("send: hello, expect: { value: 'you said: hello', type: exact }", answers, None),
    ("send: grün, expect: { value: 'said: grün$', type: regexp }", answers, None),
    ("send: hello, expect: { value: you said, type: exact }", answers, Some("no message")),
    (PING, pongs, None),
    (PING, pongs_wrongly, Some("no pong in time")),
    (PING, says_nothing, Some("no pong in time")),
    ("send: hello, ping: true, expect: { value: well }", answers_both, None),
    ("ping: true, expect: { value: well }", greets, Some("no pong in time")),
    (
        "expect: {}, match: { statusCodes: [[101, 101], [404, 404]] }",
        refuses,
        Some("status 404: there is no WebSocket to talk over"),
    ),
];

#[test]
fn a_talk_decides() {
    for (fields, act, wrong) in TALKS {
        // What does not come is not waited for long.
        let is_late = wrong.is_some_and(|wrong| wrong.starts_with("no "));
        let (verdict, last) = verdict(*act, fields, if is_late { "200ms" } else { "10s" });
        let row = format!("{fields}: {verdict:?}");
        match (wrong, verdict.get("reason")) {
            (None, None) => assert_eq!(verdict["state"], "healthy", "{row}"),
            (Some(wrong), Some(reason)) => assert!(reason.starts_with(&format!("ws: {wrong}")), "{row}"),
            _ => panic!("{row}, not {wrong:?}"),
        }
        assert_eq!(verdict.contains_key("latency_ms"), !is_late, "{row}");
        let code = match wrong {
            Some(wrong) if wrong.contains("65537") || wrong.contains("66000") => 1009,
            Some(wrong) if wrong.contains("utf-8") => 1007,
            Some(wrong) if wrong.contains("masked") => 1002,
            Some(wrong) if wrong.starts_with("status") => continue,
            _ => 1000,
        };
        let last = last.expect(&row);
        assert_eq!((last.close().0, last.mask.is_some()), (code, true), "{row}");
    }
}

/// The whole talk counts, not only its handshake.
#[test]
fn a_talk_can_take_too_long() {
    let late: Act = |peer, head| {
        agree(peer, head);
        let began = std::time::Instant::now();
        eventually("the time that is too long", || (began.elapsed().as_millis() > 40).then_some(()));
        peer.try_send(&text("all is well"));
    };
    let (checked, _) = serve(late);
    let check = format!(
        "healthCheck: {{ interval: 10ms, timeout: 5s, maxLatency: 30ms, ws: {{ port: {}, expect: {{}} }} }}\n",
        checked.address.port()
    );
    let backend = Backend::listen();
    let gateway = TestGateway::to(&[backend.address], &check);
    let verdict = eventually("a verdict", || verdicts(&gateway.name).first().cloned());
    assert!(verdict["reason"].starts_with("ws: took "), "{verdict:?}");
    assert!(verdict["latency_ms"].parse::<f64>().unwrap() > 30.0, "{verdict:?}");
}
