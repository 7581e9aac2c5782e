//! One direction's bytes, cut in any way.

use ws::{Role, Rules, Violation};

use self::transcript::{Transcript, feed, feed_moving};
use crate::frame::frame;

// One reading of what an inspector says, for the tests of `ws` and for this.
#[path = "../../../ws/tests/it/transcript.rs"]
mod transcript;

/// Judges a stream as a whole, in pieces, and byte by byte with an inspector that moves to another process behind each:
/// all must come to the same.
///
/// | bytes | say |
/// |---|---|
/// | 1 | who sends (1), compression (2), validation of text (4), a limit (8) |
/// | 1 | the limit, in units of 16 bytes |
/// | 4 | the sizes of the pieces, over and over |
/// | rest | the stream |
pub fn inspector(data: &[u8]) {
    let Some((&[flags, limit, sizes @ ..], stream)) = data.split_first_chunk::<6>() else { return };
    let rules = Rules {
        sender: if flags & 1 != 0 { Role::Client } else { Role::Server },
        deflate: flags & 2 != 0,
        max_message: if flags & 8 != 0 { u64::from(limit) * 16 } else { u64::MAX },
        validate_utf8: flags & 4 != 0,
    };
    let whole = feed(rules, [stream]);
    for pieces in [feed(rules, Pieces { rest: stream, sizes, next: 0 }), feed_moving(rules, stream.chunks(1))]
    {
        assert_eq!(comparable(&pieces), comparable(&whole));
        assert!(pieces.forwarded >= whole.forwarded && pieces.proven_at <= whole.proven_at);
    }
    controls_are_what_the_stream_holds(rules, stream, &whole);
    what_is_forwarded_breaks_no_rule(rules, stream, &whole);
}

/// What must not depend on the split. Of a text frame that goes wrong, more may have settled.
fn comparable(seen: &Transcript) -> Transcript {
    let mut seen = Transcript { proven_at: 0, ..seen.clone() };
    if seen.end == Some(Violation::TextNotUtf8) {
        (seen.forwarded, seen.payload_bytes, seen.frame_remaining, seen.in_message) = (0, 0, 0, false);
    }
    seen
}

/// Built by hand again, each control frame is byte for byte what stands in the stream.
fn controls_are_what_the_stream_holds(rules: Rules, stream: &[u8], seen: &Transcript) {
    for control in &seen.controls {
        let wire = &stream[control.at..][..control.wire_len];
        let key = (rules.sender == Role::Client).then(|| wire[2..6].try_into().unwrap());
        assert_eq!(frame(wire[0], key, &control.payload), wire);
    }
}

/// A receiver with the same rules finds the same in it and nothing wrong.
fn what_is_forwarded_breaks_no_rule(rules: Rules, stream: &[u8], seen: &Transcript) {
    let received = feed(rules, [&stream[..seen.forwarded]]);
    assert_eq!((received.end, received.forwarded), (None, seen.forwarded));
    assert_eq!((received.messages, received.payload_bytes), (seen.messages, seen.payload_bytes));
    assert_eq!(received.controls, seen.controls);
}

/// A stream in pieces whose sizes repeat.
struct Pieces<'a> {
    rest: &'a [u8],
    sizes: [u8; 4],
    next: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let size = 1 + usize::from(self.sizes[self.next % 4]);
        self.next += 1;
        let (piece, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        (!piece.is_empty()).then_some(piece)
    }
}
