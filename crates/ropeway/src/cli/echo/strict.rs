//! An echo that keeps to RFC 6455.

use bytes::BytesMut;
use ws::{
    CloseCode, CloseFrame, Control, Header, Inspector, OpCode, Outcome, Role, Rules, apply_mask,
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
            if let Some(code) = self.close.filter(|_| self.inspector.messages() > 0) {
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
                    let reason = violation.to_string();
                    output
                        .extend_from_slice(CloseFrame::new(violation.close_code(), &reason, None).as_bytes());
                    return true;
                }
            }
        }
    }
}

impl Strict {
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
