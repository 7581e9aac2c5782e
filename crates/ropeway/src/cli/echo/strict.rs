//! An echo that keeps to RFC 6455.

use bytes::BytesMut;
use ws::{
    CloseCode, CloseFrame, Control, Header, Inspector, OpCode, Outcome, Role, Rules, Violation, apply_mask,
    control_frame,
};

use super::Echo;

/// One WebSocket.
pub(super) struct Strict {
    inspector: Inspector,
    /// Of the data frame under way.
    mask: [u8; 4],
    len: u64,
    left: u64,
    close: Option<CloseCode>,
}

impl Strict {
    /// Closes with `close` behind the first message, if asked to.
    pub(super) fn new(close: Option<CloseCode>) -> Self {
        let rules =
            Rules { sender: Role::Client, deflate: false, max_message: u64::MAX, validate_utf8: true };
        Strict { inspector: Inspector::new(rules), mask: [0; 4], len: 0, left: 0, close }
    }
}

impl Echo for Strict {
    fn take(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> bool {
        loop {
            let step = self.inspector.advance(input);
            let data = input.split_to(step.settled);
            self.echo(data, output);
            let asked = self.close.filter(|_| self.inspector.messages() > 0);
            if let Some(code) = asked.filter(|_| self.at_frame_border()) {
                output.extend_from_slice(CloseFrame::new(code, "as asked", None).as_bytes());
                return true;
            }
            match step.outcome {
                Outcome::More => return false,
                Outcome::Control(control) => {
                    let frame = input.split_to(control.wire_len);
                    if answer_control(&control, &frame, output) {
                        return true;
                    }
                }
                Outcome::Violation(violation) => {
                    self.reproach(violation, output);
                    return true;
                }
            }
        }
    }
}

impl Strict {
    /// Nowhere else can a frame of ours begin (RFC 6455 5.4).
    fn at_frame_border(&self) -> bool {
        self.left == 0
    }

    /// Says why it ends, where that can be said.
    fn reproach(&self, violation: Violation, output: &mut BytesMut) {
        if self.at_frame_border() {
            let frame = CloseFrame::new(violation.close_code(), &violation.to_string(), None);
            output.extend_from_slice(frame.as_bytes());
        }
    }

    /// Data frames, without their masks.
    fn echo(&mut self, mut data: BytesMut, output: &mut BytesMut) {
        while !data.is_empty() {
            if self.left == 0 {
                // The inspector lets only whole headers pass.
                let Ok(Some((header, len))) = Header::decode(&data) else { return };
                let _ = data.split_to(len);
                (self.mask, self.len, self.left) = (header.mask.unwrap_or_default(), header.len, header.len);
                let mut head = [0; Header::MAX];
                let len = Header { mask: None, ..header }.encode(&mut head);
                output.extend_from_slice(&head[..len]);
                continue;
            }
            let len = self.left.min(data.len() as u64) as usize;
            let mut payload = data.split_to(len);
            apply_mask(&mut payload, self.mask, self.len - self.left);
            output.extend_from_slice(&payload);
            self.left -= len as u64;
        }
    }
}

/// Answers a ping, or a Close: whether it was that.
fn answer_control(control: &Control, frame: &[u8], output: &mut BytesMut) -> bool {
    let mut room = [0; 125];
    let payload = control.payload(frame, &mut room);
    let opcode = match control.opcode {
        OpCode::Ping => OpCode::Pong,
        OpCode::Close => OpCode::Close,
        _ => return false,
    };
    output.extend_from_slice(control_frame(opcode, payload, None).as_bytes());
    opcode == OpCode::Close
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNMASKED: [u8; 4] = [0; 4];

    #[test]
    fn no_frame_begins_inside_another() {
        let mut strict = Strict::new(None);
        assert_eq!(echo(&mut strict, &frame(0x81, 4, b"ok")), (vec![0x81, 4, b'o', b'k'], false));
        assert_eq!(
            echo(&mut strict, b"\xFF"),
            (vec![], true),
            "wrong text is not followed by a Close in its frame"
        );

        let mut strict = Strict::new(CloseCode::new(4000));
        let one_and_a_half = [frame(0x82, 1, b"x"), frame(0x82, 2, b"y")].concat();
        assert_eq!(echo(&mut strict, &one_and_a_half), (vec![0x82, 1, b'x', 0x82, 2, b'y'], false));
        let (rest, over) = echo(&mut strict, b"z");
        assert_eq!((&rest[..2], over), (&b"z\x88"[..], true));
    }

    #[test]
    fn a_wrong_frame_is_reproached() {
        let (answer, over) = echo(&mut Strict::new(None), &frame(0x83, 0, b""));
        assert_eq!((&answer[..1], &answer[2..4], over), (&b"\x88"[..], &1002u16.to_be_bytes()[..], true));
    }

    fn frame(first: u8, len: u8, payload: &[u8]) -> Vec<u8> {
        [&[first, 0x80 | len], &UNMASKED[..], payload].concat()
    }

    fn echo(strict: &mut Strict, bytes: &[u8]) -> (Vec<u8>, bool) {
        let (mut input, mut output) = (BytesMut::from(bytes), BytesMut::new());
        let over = strict.take(&mut input, &mut output);
        (output.to_vec(), over)
    }
}
