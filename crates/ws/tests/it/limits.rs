//! The size limit at its edges, lengths that nobody will ever send, and the inspector's own size.

use ws::Role::{Client, Server};
use ws::{Inspector, Outcome, Role, Rules, Step, Violation};

use crate::frames::{BINARY, CONTINUATION, Frame, PING, bytes};
use crate::transcript::feed;

const LIMIT: u64 = 32769;

fn limited(sender: Role, max_message: u64) -> Rules {
    Rules { sender, deflate: false, max_message, validate_utf8: false }
}

#[test]
fn one_frame_up_to_the_limit_passes() {
    for sender in [Client, Server] {
        for (len, passes) in [(LIMIT - 1, true), (LIMIT, true), (LIMIT + 1, false)] {
            let stream = Frame::new(sender, BINARY, vec![0; len as usize]).bytes();
            let seen = feed(limited(sender, LIMIT), stream.chunks(1000));
            let expected = match passes {
                true => (stream.len(), None, 1),
                false => (0, Some(Violation::MessageTooBig { limit: LIMIT, size: len }), 0),
            };
            assert_eq!((seen.forwarded, seen.end, seen.messages), expected, "{sender:?}, {len} bytes");
        }
    }
}

#[test]
fn fragments_and_control_frames_between_them_are_held_to_the_limit_together() {
    for (last, passes) in [(LIMIT - 20_001, true), (LIMIT - 20_000, true), (LIMIT - 19_999, false)] {
        let front = bytes(&[
            Frame::new(Client, BINARY, vec![0; 10_000]).unfinished(),
            Frame::new(Client, PING, [0; 125]),
            Frame::new(Client, CONTINUATION, vec![0; 10_000]).unfinished(),
            Frame::new(Client, PING, ""),
        ]);
        let back = Frame::new(Client, CONTINUATION, vec![0; last as usize]).bytes();
        let next = Frame::new(Client, BINARY, vec![0; LIMIT as usize]).bytes();
        let stream = [&*front, &back, &next].concat();
        let seen = feed(limited(Client, LIMIT), [&*stream]);
        let expected = match passes {
            true => (stream.len(), None, 2), // the next message counts from zero
            false => (front.len(), Some(Violation::MessageTooBig { limit: LIMIT, size: 20_000 + last }), 0),
        };
        assert_eq!(
            (seen.forwarded, seen.end, seen.messages, seen.controls.len()),
            (expected.0, expected.1, expected.2, 2)
        );
    }
}

#[test]
fn the_largest_length_settles_as_it_comes() {
    let largest = u64::MAX / 2;
    let frame = Frame::new(Server, BINARY, "");
    let mut inspector = Inspector::new(limited(Server, u64::MAX));
    assert_eq!(inspector.advance(&frame.header(largest)), Step { settled: 10, outcome: Outcome::More });
    assert_eq!(inspector.frame_remaining(), largest);
    assert_eq!(inspector.advance(&[0x88; 1000]), Step { settled: 1000, outcome: Outcome::More });
    assert_eq!((inspector.frame_remaining(), inspector.payload_bytes()), (largest - 1000, 1000));
}

#[test]
fn fragments_that_add_up_beyond_u64_are_over_any_limit_but_none() {
    let largest = u64::MAX / 2;
    for (max, passes) in [(u64::MAX, true), (u64::MAX - 1, true), (largest, false)] {
        let mut inspector = Inspector::new(limited(Server, max));
        // Nobody can send the first fragment's payload: an empty one stands for what the second adds.
        let first = Frame::new(Server, BINARY, "x").unfinished().bytes();
        assert_eq!(inspector.advance(&first), Step { settled: first.len(), outcome: Outcome::More });
        let second = Frame::new(Server, CONTINUATION, "").unfinished().header(largest);
        let outcome = inspector.advance(&second).outcome;
        let too_big = Outcome::Violation(Violation::MessageTooBig { limit: max, size: largest + 1 });
        assert_eq!(outcome, if passes { Outcome::More } else { too_big });
    }
}

#[test]
fn a_new_limit_holds_from_the_next_header_for_the_whole_message() {
    let first = Frame::new(Client, BINARY, [0; 100]).unfinished().bytes();
    let (front, back) = first.split_at(50);
    let mut inspector = Inspector::new(limited(Client, 200));
    assert_eq!(inspector.advance(front).settled, front.len());
    inspector.set_max_message(10);
    assert_eq!(inspector.advance(back), Step { settled: back.len(), outcome: Outcome::More });
    assert!(inspector.in_message() && inspector.at_frame_border());
    let second = Frame::new(Client, CONTINUATION, "").bytes();
    let too_big = Violation::MessageTooBig { limit: 10, size: 100 };
    assert_eq!(inspector.advance(&second), Step { settled: 0, outcome: Outcome::Violation(too_big) });
}

#[test]
fn an_inspector_is_small() {
    assert_eq!(size_of::<Inspector>(), 88);
}
