//! Peers that speak HTTP/2 to do harm. Each finds an end, and a good client is served beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use testkit::h2::{END, END_HEADERS, H2Frame, H2Peer, h2_frame, h2_get, h2_headers, kind};
use testkit::{Backend, End};

use super::{Front, paths};

/// More than anybody may send.
const MANY: u32 = 20_000;

/// What a bad peer sends again and again, by the number of the time.
struct Row {
    name: &'static str,
    /// How many pieces it may send before it is cut off, with what time and the kernel's buffers add.
    frames: fn(u32) -> Vec<u8>,
}

fn nothing_begun(_: u32, kind: u8, payload: &[u8]) -> Vec<u8> {
    h2_frame(kind, 0, 0, payload)
}

const ROWS: &[Row] = &[
    Row { name: "settings", frames: |at| nothing_begun(at, kind::SETTINGS, &[0, 3, 0, 0, 0, 100]) },
    Row { name: "pings", frames: |at| nothing_begun(at, kind::PING, &[0; 8]) },
    Row { name: "unknown frames", frames: |at| nothing_begun(at, 0xbe, b"") },
    Row { name: "priorities", frames: |at| h2_frame(kind::PRIORITY, 0, 1 + 2 * at, &[0, 0, 0, 0, 16]) },
    Row { name: "updates of windows", frames: |at| nothing_begun(at, kind::WINDOW_UPDATE, &[0, 0, 0, 1]) },
    Row {
        name: "rapid reset",
        frames: |at| {
            let stream = 1 + 2 * at;
            let mut frames = h2_frame(kind::HEADERS, END | END_HEADERS, stream, &h2_get("/", &[]));
            frames.extend(h2_frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            frames
        },
    },
    Row {
        name: "resets that we are to make",
        frames: |at| {
            let stream = 1 + 2 * at;
            let mut frames = h2_frame(kind::HEADERS, END | END_HEADERS, stream, &h2_get("/", &[]));
            frames.extend(h2_frame(kind::WINDOW_UPDATE, 0, stream, &[0; 4]));
            frames
        },
    },
    Row {
        name: "malformed requests",
        frames: |at| {
            h2_frame(kind::HEADERS, END | END_HEADERS, 1 + 2 * at, &h2_get("/", &[("upgrade", "h2c")]))
        },
    },
    Row {
        name: "continuations",
        frames: |at| match at {
            0 => h2_frame(kind::HEADERS, END, 1, &h2_get("/", &[])),
            _ => h2_frame(kind::CONTINUATION, 0, 1, &h2_headers(&[("x", "y")])),
        },
    },
    Row {
        name: "empty continuations",
        frames: |at| match at {
            0 => h2_frame(kind::HEADERS, END, 1, &h2_get("/", &[])),
            _ => h2_frame(kind::CONTINUATION, 0, 1, b""),
        },
    },
    Row {
        name: "empty pieces of a body",
        frames: |at| match at {
            0 => h2_frame(kind::HEADERS, END_HEADERS, 1, &h2_get("/", &[])),
            _ => h2_frame(kind::DATA, 0, 1, b""),
        },
    },
    Row {
        name: "a body of padding",
        frames: |at| match at {
            0 => h2_frame(kind::HEADERS, END_HEADERS, 1, &h2_get("/", &[])),
            _ => h2_frame(kind::DATA, PADDED, 1, &[2, 0, 0]),
        },
    },
];

/// A flag of DATA (RFC 9113 6.1).
const PADDED: u8 = 8;

/// Whether the connection ends before all of it was taken.
fn flood(bad: &mut H2Peer, frames: fn(u32) -> Vec<u8>) -> bool {
    const LAST: &[u8] = b"the last";
    let taken = (0..MANY).all(|at| bad.peer.try_send(&frames(at)));
    if !taken || !bad.peer.try_send(&h2_frame(kind::PING, 0, 0, LAST)) {
        return true;
    }
    let is_answer = |frame: &H2Frame| frame.kind == kind::PING && frame.payload == LAST;
    !std::iter::from_fn(|| bad.frame()).any(|frame| is_answer(&frame))
}

/// Asks on connections of its own until it is over.
fn good(front: &Front, over: &AtomicBool) -> usize {
    let mut client = front.connect();
    let mut rounds = 0_u32;
    while !over.load(Ordering::Relaxed) || rounds < 3 {
        let stream = 1 + 2 * rounds;
        client.get(stream, "/good");
        assert_eq!(client.answer(stream).expect("a good client is served").body, b"/good");
        rounds += 1;
    }
    rounds as usize
}

#[test]
fn floods_find_an_end() {
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "");
    for row in ROWS {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let good = scope.spawn(|| good(&front, &over));
            let mut bad = front.connect();
            let was_cut = flood(&mut bad, row.frames);
            over.store(true, Ordering::Relaxed);
            assert!(was_cut, "{}: all was taken", row.name);
            let rounds = good.join().unwrap_or_else(|_| panic!("{}: a good client suffered", row.name));
            eprintln!("{}: {rounds} rounds of a good client beside it", row.name);
        });
    }
    assert!(backend.connections() < 2_000, "{} connections to the server", backend.connections());
}

/// Requests that are given up one by one, each after it has reached the server.
#[test]
fn requests_that_are_given_up_cost_a_bounded_number_of_servers_connections() {
    let backend = Backend::listen();
    let front = Front::to(backend.address, "");
    let mut client = front.connect();
    let mut asked = 0;
    for at in 0..1_000_u32 {
        let stream = 1 + 2 * at;
        let frames = [
            h2_frame(kind::HEADERS, END | END_HEADERS, stream, &h2_get("/", &[])),
            h2_frame(kind::PING, 0, 0, &at.to_be_bytes().repeat(2)),
        ];
        if !client.peer.try_send(&frames.concat()) || client.next(kind::PING).is_none() {
            break;
        }
        asked += 1;
        if !client.peer.try_send(&h2_frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())) {
            break;
        }
    }
    // Each costs ten for the reset and one for the ping, of two thousand; time gives a hundred a second.
    assert!((180..500).contains(&asked), "{asked}");
}

#[test]
fn a_list_of_headers_that_is_too_long_is_refused() {
    let backend = Backend::listen().serve(paths);
    let front = Front::to(backend.address, "");
    let long = "x".repeat(10_000);
    let list = |count| h2_get("/", &vec![("x-long", &*long); count]);
    for (count, refused) in [(3, false), (4, true), (20, true)] {
        let mut client = front.connect();
        let list = list(count);
        let mut pieces = list.chunks(16_000).peekable();
        let mut kind = kind::HEADERS;
        let mut taken = true;
        while let Some(piece) = pieces.next().filter(|_| taken) {
            let last = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            let end = if kind == testkit::h2::kind::HEADERS { END } else { 0 };
            taken = client.peer.try_send(&h2_frame(kind, last | end, 1, piece));
            kind = testkit::h2::kind::CONTINUATION;
        }
        let answer = client.answer(1);
        assert_eq!(answer.is_some_and(|answer| answer.status == 0x88), !refused, "{count}");
    }
}

#[test]
fn nonsense_ends_the_connection_and_nothing_else() {
    let backend = Backend::listen().serve(paths);
    let front = Front::on(1, backend.address, "");
    let rows: &[(&str, Vec<u8>)] = &[
        ("no frame at all", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        ("a frame that is too long", h2_frame(kind::DATA, 0, 1, &[0; 20_000])),
        ("a body before its request", h2_frame(kind::DATA, 0, 1, b"a")),
        ("an even stream", h2_frame(kind::HEADERS, END | END_HEADERS, 2, &h2_get("/", &[]))),
        ("headers that are none", h2_frame(kind::HEADERS, END | END_HEADERS, 1, &[0xff; 20])),
        ("settings of a wrong size", h2_frame(kind::SETTINGS, 0, 0, &[0; 5])),
        ("a window that is too large", h2_frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff])),
        ("a push", h2_frame(5, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a continuation of nothing", h2_frame(kind::CONTINUATION, END_HEADERS, 1, b"")),
    ];
    for (name, bytes) in rows {
        let mut client = front.connect();
        client.peer.send(bytes);
        client.peer.rest();
        assert!(matches!(client.peer.end(), End::Fin | End::Reset), "{name}");
        let mut good: H2Peer = front.connect();
        good.get(1, "/good");
        assert_eq!(good.answer(1).unwrap().body, b"/good", "{name}");
    }
    assert_eq!(backend.connections(), 1);
}
