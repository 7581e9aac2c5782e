//! What an inspector says about a stream that comes in pieces. `testkit::fuzz` compiles this file too.

use ws::{CloseCode, Inspector, OpCode, Outcome, Rules, Violation};

/// Everything that can be observed of one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// Bytes that a caller who forwards everything would have forwarded.
    pub(crate) forwarded: usize,
    pub(crate) controls: Vec<Control>,
    pub(crate) end: Option<Violation>,
    /// The bytes that had been presented when the violation was found.
    pub(crate) proven_at: usize,
    pub(crate) messages: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) frame_remaining: u64,
    pub(crate) in_message: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Control {
    /// Where the frame begins in the stream.
    pub(crate) at: usize,
    pub(crate) wire_len: usize,
    pub(crate) opcode: OpCode,
    pub(crate) close_code: Option<CloseCode>,
    pub(crate) payload: Vec<u8>,
}

/// Presents `pieces` as a relay does: what is left over comes again in front of the next piece.
pub(crate) fn feed<'a>(rules: Rules, pieces: impl IntoIterator<Item = &'a [u8]>) -> Transcript {
    feed_through(rules, pieces, |_| {})
}

/// The same, with an inspector that is saved and restored behind every piece.
pub(crate) fn feed_moving<'a>(rules: Rules, pieces: impl IntoIterator<Item = &'a [u8]>) -> Transcript {
    feed_through(rules, pieces, |inspector| {
        let saved = inspector.save();
        *inspector = Inspector::restore(saved.as_bytes()).expect("what was saved");
        assert_eq!(inspector.save().as_bytes(), saved.as_bytes(), "it is saved as it was");
    })
}

fn feed_through<'a>(
    rules: Rules,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    behind_each: impl Fn(&mut Inspector),
) -> Transcript {
    let mut inspector = Inspector::new(rules);
    let mut seen = Transcript::default();
    let mut held = Vec::new();
    let mut presented = 0;
    for piece in pieces {
        held.extend_from_slice(piece);
        presented += piece.len();
        seen.end = drain(&mut inspector, &mut held, &mut seen);
        behind_each(&mut inspector);
        if seen.end.is_some() {
            seen.proven_at = presented;
            break;
        }
        assert!(held.len() <= 130, "{} bytes are held back", held.len());
    }
    seen.messages = inspector.messages();
    seen.payload_bytes = inspector.payload_bytes();
    seen.frame_remaining = inspector.frame_remaining();
    seen.in_message = inspector.in_message();
    assert_eq!(inspector.at_frame_border(), seen.frame_remaining == 0);
    seen
}

/// Advances until more bytes are needed.
fn drain(inspector: &mut Inspector, held: &mut Vec<u8>, seen: &mut Transcript) -> Option<Violation> {
    loop {
        let step = inspector.advance(held);
        held.drain(..step.settled);
        seen.forwarded += step.settled;
        match step.outcome {
            Outcome::More => return None,
            Outcome::Control(control) => {
                assert!(inspector.at_frame_border());
                let mut out = [0; 125];
                seen.controls.push(Control {
                    at: seen.forwarded,
                    wire_len: control.wire_len,
                    opcode: control.opcode,
                    close_code: control.close_code,
                    payload: control.payload(held, &mut out).to_vec(),
                });
                held.drain(..control.wire_len);
                seen.forwarded += control.wire_len;
            }
            Outcome::Violation(violation) => {
                let again = inspector.advance(held);
                let moved = Inspector::restore(inspector.save().as_bytes()).expect("what was saved");
                assert_eq!(moved.clone().advance(held), again, "nor does it get lost on the way");
                assert_eq!((again.settled, again.outcome), (0, step.outcome), "a violation is for good");
                return Some(violation);
            }
        }
    }
}
