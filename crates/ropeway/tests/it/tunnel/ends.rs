//! Every way to end a tunnel but by breaking a rule (see `violations`).
#![expect(clippy::too_many_lines, reason = "tables: row after row, step after step")]

use ropeway::tunnel::Side::{self, Client, Server};
use testkit::op;

use super::scripted::Step::{Ended, Fin, Gets, GetsClose, Gone, Quiet, Reset, Sends, Stop, Swept};
use super::scripted::{NEVER, Row, SOON, Step, play_all};
use super::{close, part, whole};

const SERVER_LOST: &str = "connection to the server lost";
const CLIENT_LOST: &str = "connection to the client lost";
const STOPS: &str = "gateway stops";

#[test]
fn by_close_frames() {
    let codes =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    let mut rows: Vec<_> = [Client, Server]
        .into_iter()
        .flat_map(|by| {
            codes.map(|code| {
                let record = format!("{} closed; got {code} {code}; sent - -; 0/0 0/0", by.label());
                let steps = closed(by, close(by, code, "a reason"), close(by.other(), code, ""));
                Row::new(format!("{by:?} closes with {code}"), NEVER, steps, &record)
            })
        })
        .collect();
    for by in [Client, Server] {
        let name = |what: &str| format!("{by:?} closes {what}");
        let label = by.label();
        let got = |mine: &str, other: &str| match by {
            Client => format!("{mine} {other}"),
            Server => format!("{other} {mine}"),
        };
        let empty = |side| whole(side, op::CLOSE, b"");
        let longest = "\u{e9}\u{20ac}\u{1f600}".repeat(13) + "\u{e9}\u{e9}abc";
        rows.extend([
            Row::new(
                name("without a code"),
                NEVER,
                closed(by, empty(by), empty(by.other())),
                &format!("{label} closed; got empty empty; sent - -; 0/0 0/0"),
            ),
            Row::new(
                name("with the longest reason"),
                NEVER,
                closed(
                    by,
                    close(by, 4321, &longest[..longest.floor_char_boundary(123)]),
                    close(by.other(), 4321, ""),
                ),
                &format!("{label} closed; got 4321 4321; sent - -; 0/0 0/0"),
            ),
            Row::new(
                name("and gets another code for answer"),
                NEVER,
                closed(by, close(by, 1000, "bye"), close(by.other(), 1011, "no")),
                &format!("{label} closed; got {}; sent - -; 0/0 0/0", got("1000", "1011")),
            ),
            Row::new(
                name("and what it sends behind is not passed on, whatever it is"),
                NEVER,
                closed(
                    by,
                    [close(by, 1000, ""), whole(by, op::TEXT, b"late"), vec![0xff; 300]].concat(),
                    close(by.other(), 1000, ""),
                ),
                &format!("{label} closed; got 1000 1000; sent - -; 0/0 0/0"),
            ),
            Row::new(
                name("and the other side finishes what it had to say"),
                NEVER,
                [
                    vec![Sends(by.other(), part(by.other(), op::TEXT, b"be"))],
                    vec![Gets(by, part(by.other(), op::TEXT, b"be"))],
                    closed(
                        by,
                        close(by, 1000, ""),
                        [whole(by.other(), op::CONTINUATION, b"fore"), close(by.other(), 1000, "")].concat(),
                    ),
                ]
                .concat(),
                &format!(
                    "{label} closed; got 1000 1000; sent - -; {}",
                    match by {
                        Client => "0/0 1/6",
                        Server => "1/6 0/0",
                    }
                ),
            ),
        ]);
    }
    play_all(rows);
}

/// `close` of `by` reaches the other side, its `answer` comes back, TCP ends on both legs: to the client we are
/// the server and end first, to the server we are the client and it ends first (RFC 6455 7.1.1).
fn closed(by: Side, sent: Vec<u8>, answer: Vec<u8>) -> Vec<Step> {
    let other = by.other();
    let arrives = sent[..close_len(&sent)].to_vec();
    let mut steps =
        vec![Sends(by, sent), Gets(other, arrives), Sends(other, answer.clone()), Gets(by, answer)];
    steps.extend([Ended(Client), Quiet(Server), Fin(Client), Quiet(Server), Fin(Server), Ended(Server)]);
    steps
}

/// How long the short frame is that `bytes` begin with.
fn close_len(bytes: &[u8]) -> usize {
    let masked = if bytes[1] & 0x80 != 0 { 4 } else { 0 };
    2 + masked + usize::from(bytes[1] & 0x7f)
}

#[test]
fn by_close_frames_that_are_not_answered() {
    let c = |code| close(Client, code, "bye");
    let s = |code| close(Server, code, "bye");
    let begun = whole(Server, op::BINARY, &[7; 500])[..200].to_vec();
    play_all(vec![
        Row::new(
            "the client got its answer, and does not end its stream",
            NEVER,
            closed(Client, c(1000), s(1000))
                .into_iter()
                .filter(|step| !matches!(step, Fin(Client)))
                .collect(),
            "client closed; got 1000 1000; sent - -; 0/0 0/0",
        ),
        Row::new(
            "closes cross",
            NEVER,
            vec![
                Sends(Client, c(1000)),
                Sends(Server, s(1001)),
                Gets(Client, s(1001)),
                Gets(Server, c(1000)),
                Ended(Client),
                Fin(Client),
                Fin(Server),
                Ended(Server),
            ],
            "client closed; got 1000 1001; sent - -; 0/0 0/0 or server closed; got 1000 1001; sent - -; 0/0 0/0",
        ),
        Row::new(
            "client closes and ends its stream at once",
            NEVER,
            vec![
                Sends(Client, c(1000)),
                Fin(Client),
                Gets(Server, c(1000)),
                Quiet(Server),
                Sends(Server, [whole(Server, op::TEXT, b"last"), s(1000)].concat()),
                Gets(Client, [whole(Server, op::TEXT, b"last"), s(1000)].concat()),
                Ended(Client),
                Fin(Server),
                Ended(Server),
            ],
            "client closed; got 1000 1000; sent - -; 0/0 1/4",
        ),
        Row::new(
            "server closes and ends its stream at once",
            NEVER,
            vec![
                Sends(Server, s(1000)),
                Fin(Server),
                Gets(Client, s(1000)),
                Ended(Client),
                Sends(Client, [whole(Client, op::TEXT, b"last"), c(1000)].concat()),
                Gets(Server, [whole(Client, op::TEXT, b"last"), c(1000)].concat()),
                Fin(Client),
                Ended(Server),
            ],
            "server closed; got 1000 1000; sent - -; 1/4 0/0",
        ),
        Row::new(
            "the server does not answer",
            SOON,
            vec![
                Sends(Client, c(4001)),
                Gets(Server, c(4001)),
                GetsClose(Client, 4001, "".into()),
                Ended(Client),
                Ended(Server),
            ],
            "client closed; got 4001 -; sent 4001 -; 0/0 0/0",
        ),
        Row::new(
            "the server does not answer an empty Close",
            SOON,
            vec![
                Sends(Client, whole(Client, op::CLOSE, b"")),
                Gets(Server, whole(Client, op::CLOSE, b"")),
                GetsClose(Client, 1005, "".into()),
                Ended(Client),
                Ended(Server),
            ],
            "client closed; got empty -; sent empty -; 0/0 0/0",
        ),
        Row::new(
            "the client does not answer",
            SOON,
            vec![
                Sends(Server, s(4001)),
                Gets(Client, s(4001)),
                Ended(Client),
                GetsClose(Server, 4001, "".into()),
                Ended(Server),
            ],
            "server closed; got - 4001; sent - 4001; 0/0 0/0",
        ),
        Row::new(
            "the client does not answer an empty Close",
            SOON,
            vec![
                Sends(Server, whole(Server, op::CLOSE, b"")),
                Gets(Client, whole(Server, op::CLOSE, b"")),
                Ended(Client),
                GetsClose(Server, 1005, "".into()),
                Ended(Server),
            ],
            "server closed; got - empty; sent - empty; 0/0 0/0",
        ),
        Row::new(
            "both answer, neither ends its stream",
            SOON,
            vec![
                Sends(Client, c(1000)),
                Gets(Server, c(1000)),
                Sends(Server, s(1000)),
                Gets(Client, s(1000)),
                Ended(Client),
                Ended(Server),
            ],
            "client closed; got 1000 1000; sent - -; 0/0 0/0",
        ),
        Row::new(
            "the server ends its stream instead of an answer",
            NEVER,
            vec![
                Sends(Client, c(1001)),
                Gets(Server, c(1001)),
                Fin(Server),
                GetsClose(Client, 1001, "".into()),
                Ended(Client),
                Fin(Client),
                Ended(Server),
            ],
            "client closed; got 1001 -; sent 1001 -; 0/0 0/0",
        ),
        Row::new(
            "the client ends its stream instead of an answer",
            NEVER,
            vec![
                Sends(Server, s(1001)),
                Gets(Client, s(1001)),
                Ended(Client),
                Fin(Client),
                GetsClose(Server, 1001, "".into()),
                Fin(Server),
                Ended(Server),
            ],
            "server closed; got - 1001; sent - 1001; 0/0 0/0",
        ),
        Row::new(
            "the server resets instead of an answer",
            NEVER,
            vec![
                Sends(Client, c(3333)),
                Gets(Server, c(3333)),
                Reset(Server),
                GetsClose(Client, 3333, "".into()),
                Ended(Client),
                Fin(Client),
            ],
            "client closed; got 3333 -; sent 3333 -; 0/0 0/0",
        ),
        Row::new(
            "the client resets instead of an answer",
            NEVER,
            vec![
                Sends(Server, s(3333)),
                Gets(Client, s(3333)),
                Ended(Client),
                Reset(Client),
                GetsClose(Server, 3333, "".into()),
                Fin(Server),
                Ended(Server),
            ],
            "server closed; got - 3333; sent - 3333; 0/0 0/0",
        ),
        Row::new(
            "the server ends its stream inside a frame instead of an answer",
            NEVER,
            vec![
                Sends(Server, begun.clone()),
                Gets(Client, begun.clone()),
                Sends(Client, c(1000)),
                Gets(Server, c(1000)),
                Fin(Server),
                Ended(Client),
                Fin(Client),
                Ended(Server),
            ],
            "client closed; got 1000 -; sent - -; 0/0 0/196",
        ),
        Row::new(
            "the server stays inside a frame instead of an answer",
            SOON,
            vec![
                Sends(Server, begun.clone()),
                Gets(Client, begun.clone()),
                Sends(Client, c(1000)),
                Gets(Server, c(1000)),
                Ended(Client),
                Ended(Server),
            ],
            "client closed; got 1000 -; sent - -; 0/0 0/196",
        ),
    ]);
}

#[test]
fn by_losing_a_side() {
    let fragment = |side| part(side, op::TEXT, b"half");
    let begun = |side| whole(side, op::BINARY, &[7; 500])[..208].to_vec();
    let at_border = |lost: Side, how: fn(Side) -> Step, pool: &str, code: u16, name: &str| {
        let (other, reason) = match lost {
            Client => (Server, CLIENT_LOST),
            Server => (Client, SERVER_LOST),
        };
        let record = match lost {
            Client => format!("client vanished; got - {code}; sent - {code}; 1/2 0/0"),
            Server => format!("server vanished; got {code} -; sent {code} -; 0/0 1/2"),
        };
        let mut steps = vec![
            Sends(lost, whole(lost, op::TEXT, b"hi")),
            how(lost),
            Gets(other, whole(lost, op::TEXT, b"hi")),
            GetsClose(other, code, reason.into()),
        ];
        if other == Client {
            steps.push(Ended(Client));
        }
        steps.extend([Sends(other, close(other, code, "")), Fin(other)]);
        if other == Server {
            steps.push(Ended(Server));
        }
        Row::new(name, pool, steps, &record)
    };
    let vanished_code = format!("{NEVER}\nvanishedCode: 4500");
    play_all(vec![
        at_border(Client, Fin, NEVER, 1001, "client ends its stream"),
        at_border(Server, Fin, NEVER, 1011, "server ends its stream"),
        at_border(Server, Fin, &vanished_code, 4500, "server ends its stream, vanishedCode 4500"),
        // What was sent right before a reset may be lost with it: the message is awaited first.
        Row::new(
            "client resets",
            NEVER,
            vec![
                Sends(Client, whole(Client, op::TEXT, b"hi")),
                Gets(Server, whole(Client, op::TEXT, b"hi")),
                Reset(Client),
                GetsClose(Server, 1001, CLIENT_LOST.into()),
                Sends(Server, close(Server, 1001, "")),
                Fin(Server),
                Ended(Server),
            ],
            "client vanished; got - 1001; sent - 1001; 1/2 0/0",
        ),
        Row::new(
            "server resets",
            NEVER,
            vec![
                Sends(Server, whole(Server, op::TEXT, b"hi")),
                Gets(Client, whole(Server, op::TEXT, b"hi")),
                Reset(Server),
                GetsClose(Client, 1011, SERVER_LOST.into()),
                Ended(Client),
                Sends(Client, close(Client, 1011, "")),
                Fin(Client),
            ],
            "server vanished; got 1011 -; sent 1011 -; 0/0 1/2",
        ),
        Row::new(
            "server resets, vanishedCode 4500",
            &vanished_code,
            vec![Reset(Server), GetsClose(Client, 4500, SERVER_LOST.into()), Ended(Client), Fin(Client)],
            "server vanished; got - -; sent 4500 -; 0/0 0/0",
        ),
        Row::new(
            "client ends its stream inside a frame",
            NEVER,
            vec![
                Sends(Client, begun(Client)),
                Fin(Client),
                Gets(Server, begun(Client)),
                Ended(Server),
                Fin(Server),
                Ended(Client),
            ],
            "client vanished; got - -; sent - -; 0/200 0/0",
        ),
        Row::new(
            "server ends its stream inside a frame",
            NEVER,
            vec![
                Sends(Server, begun(Server)),
                Fin(Server),
                Gets(Client, begun(Server)),
                Ended(Client),
                Fin(Client),
                Ended(Server),
            ],
            "server vanished; got - -; sent - -; 0/0 0/204",
        ),
        Row::new(
            "client resets inside a frame",
            NEVER,
            vec![
                Sends(Client, begun(Client)),
                Gets(Server, begun(Client)),
                Reset(Client),
                Ended(Server),
                Fin(Server),
            ],
            "client vanished; got - -; sent - -; 0/200 0/0",
        ),
        Row::new(
            "server resets inside a frame",
            NEVER,
            vec![
                Sends(Server, begun(Server)),
                Gets(Client, begun(Server)),
                Reset(Server),
                Ended(Client),
                Fin(Client),
            ],
            "server vanished; got - -; sent - -; 0/0 0/204",
        ),
        Row::new(
            "client ends its stream inside a header",
            NEVER,
            vec![
                Sends(Client, whole(Client, op::BINARY, &[7; 500])[..5].to_vec()),
                Fin(Client),
                GetsClose(Server, 1001, CLIENT_LOST.into()),
                Fin(Server),
                Ended(Server),
                Ended(Client),
            ],
            "client vanished; got - -; sent - 1001; 0/0 0/0",
        ),
        Row::new(
            "server ends its stream inside a header",
            NEVER,
            vec![
                Sends(Server, whole(Server, op::BINARY, &[7; 500])[..3].to_vec()),
                Fin(Server),
                GetsClose(Client, 1011, SERVER_LOST.into()),
                Ended(Client),
                Fin(Client),
                Ended(Server),
            ],
            "server vanished; got - -; sent 1011 -; 0/0 0/0",
        ),
        Row::new(
            "client ends its stream inside a Close",
            NEVER,
            vec![
                Sends(Client, close(Client, 1000, "bye")[..7].to_vec()),
                Fin(Client),
                GetsClose(Server, 1001, CLIENT_LOST.into()),
                Fin(Server),
                Ended(Server),
                Ended(Client),
            ],
            "client vanished; got - -; sent - 1001; 0/0 0/0",
        ),
        Row::new(
            "client ends its stream between fragments",
            NEVER,
            vec![
                Sends(Client, fragment(Client)),
                Fin(Client),
                Gets(Server, fragment(Client)),
                GetsClose(Server, 1001, CLIENT_LOST.into()),
                Fin(Server),
                Ended(Server),
                Ended(Client),
            ],
            "client vanished; got - -; sent - 1001; 0/4 0/0",
        ),
        Row::new(
            "server ends its stream between fragments",
            NEVER,
            vec![
                Sends(Server, fragment(Server)),
                Fin(Server),
                Gets(Client, fragment(Server)),
                GetsClose(Client, 1011, SERVER_LOST.into()),
                Ended(Client),
                Fin(Client),
                Ended(Server),
            ],
            "server vanished; got - -; sent 1011 -; 0/0 0/4",
        ),
        Row::new(
            "client ends its stream and goes on reading",
            NEVER,
            vec![
                Fin(Client),
                GetsClose(Server, 1001, CLIENT_LOST.into()),
                Sends(Server, whole(Server, op::TEXT, b"still")),
                Gets(Client, whole(Server, op::TEXT, b"still")),
                Sends(Server, close(Server, 1001, "")),
                Gets(Client, close(Server, 1001, "")),
                Ended(Client),
                Fin(Server),
                Ended(Server),
            ],
            "client vanished; got - 1001; sent - 1001; 0/0 1/5",
        ),
        Row::new(
            "server ends its stream and goes on reading",
            NEVER,
            vec![
                Fin(Server),
                GetsClose(Client, 1011, SERVER_LOST.into()),
                Ended(Client),
                Sends(Client, whole(Client, op::TEXT, b"still")),
                Gets(Server, whole(Client, op::TEXT, b"still")),
                Sends(Client, close(Client, 1011, "")),
                Gets(Server, close(Client, 1011, "")),
                Fin(Client),
                Ended(Server),
            ],
            "server vanished; got 1011 -; sent 1011 -; 1/5 0/0",
        ),
        Row::new(
            "client ends its stream and the server says no more",
            SOON,
            vec![Fin(Client), GetsClose(Server, 1001, CLIENT_LOST.into()), Ended(Client), Ended(Server)],
            "client vanished; got - -; sent - 1001; 0/0 0/0",
        ),
        Row::new(
            "server ends its stream and the client says no more",
            SOON,
            vec![Fin(Server), GetsClose(Client, 1011, SERVER_LOST.into()), Ended(Client), Ended(Server)],
            "server vanished; got - -; sent 1011 -; 0/0 0/0",
        ),
        Row::new(
            "both end their streams",
            NEVER,
            vec![Fin(Client), Fin(Server), Swept(Client), Swept(Server)],
            "client vanished; got - -; sent - 1001; 0/0 0/0 or server vanished; got - -; sent 1011 -; 0/0 0/0",
        ),
    ]);
}

#[test]
fn by_the_gateway() {
    let begun = |side| whole(side, op::BINARY, &[7; 500])[..208].to_vec();
    let rest = |side| whole(side, op::BINARY, &[7; 500])[208..].to_vec();
    let told = |side| GetsClose(side, 1001, STOPS.into());
    play_all(vec![
        Row::new(
            "stops, both answer",
            NEVER,
            vec![
                Stop,
                told(Client),
                Ended(Client),
                told(Server),
                Quiet(Server),
                Sends(Client, close(Client, 1001, "")),
                Fin(Client),
                Sends(Server, close(Server, 1001, "")),
                Fin(Server),
                Ended(Server),
            ],
            "gateway drain:shutdown; got 1001 1001; sent 1001 1001; 0/0 0/0",
        ),
        Row::new(
            "stops, nobody answers",
            SOON,
            vec![Stop, told(Client), told(Server), Ended(Client), Ended(Server)],
            "gateway drain:shutdown; got - -; sent 1001 1001; 0/0 0/0",
        ),
        Row::new(
            "stops between fragments",
            NEVER,
            vec![
                Sends(Client, part(Client, op::TEXT, b"half")),
                Gets(Server, part(Client, op::TEXT, b"half")),
                Sends(Server, part(Server, op::TEXT, b"half")),
                Gets(Client, part(Server, op::TEXT, b"half")),
                Stop,
                told(Client),
                told(Server),
                Fin(Client),
                Fin(Server),
                Ended(Client),
                Ended(Server),
            ],
            "gateway drain:shutdown; got - -; sent 1001 1001; 0/4 0/4",
        ),
        Row::new(
            "stops inside frames of both sides",
            NEVER,
            vec![
                Sends(Client, begun(Client)),
                Gets(Server, begun(Client)),
                Sends(Server, begun(Server)),
                Gets(Client, begun(Server)),
                Stop,
                Sends(Client, rest(Client)),
                Gets(Server, rest(Client)),
                told(Server),
                Sends(Server, rest(Server)),
                Gets(Client, rest(Server)),
                told(Client),
                Sends(Client, whole(Client, op::TEXT, b"too late")),
                Sends(Server, whole(Server, op::TEXT, b"too late")),
                Fin(Client),
                Fin(Server),
                Ended(Client),
                Ended(Server),
            ],
            "gateway drain:shutdown; got - -; sent 1001 1001; 1/500 1/500",
        ),
        Row::new(
            "stops inside a frame that nobody finishes",
            SOON,
            vec![
                Sends(Client, begun(Client)),
                Gets(Server, begun(Client)),
                Stop,
                told(Client),
                Ended(Client),
                Ended(Server),
            ],
            "gateway drain:shutdown; got - -; sent 1001 -; 0/200 0/0",
        ),
        Row::new(
            "stops inside a frame, and its sender resets",
            NEVER,
            vec![
                Sends(Client, begun(Client)),
                Gets(Server, begun(Client)),
                Stop,
                told(Client),
                Ended(Client),
                Reset(Client),
                Ended(Server),
                Fin(Server),
            ],
            "gateway drain:shutdown; got - -; sent 1001 -; 0/200 0/0",
        ),
        Row::new(
            "stops inside a frame, and its receiver resets",
            NEVER,
            vec![
                Sends(Server, begun(Server)),
                Gets(Client, begun(Server)),
                Stop,
                told(Server),
                Reset(Client),
                Fin(Server),
                Gone(Server),
            ],
            "gateway drain:shutdown; got - -; sent - 1001; 0/0 0/204",
        ),
    ]);
}
