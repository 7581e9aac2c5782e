//! An echo that checks nothing: frames of any opcode, with any bits, in any order go back as they came.

use bytes::BytesMut;
use ws::{OpCode, apply_mask};

use super::Echo;

/// One WebSocket.
#[derive(Default)]
pub(super) struct Lenient {
    /// Of the frame under way.
    opcode: u8,
    mask: [u8; 4],
    len: u64,
    left: u64,
}

impl Echo for Lenient {
    fn take(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> bool {
        loop {
            self.echo_payload(input, output);
            if self.left > 0 {
                return false;
            }
            if self.opcode == CLOSE {
                return true;
            }
            let Some(header) = Header::read(input) else { return false };
            self.echo_header(&header, input, output);
        }
    }
}

impl Lenient {
    fn echo_header(&mut self, header: &Header, input: &mut BytesMut, output: &mut BytesMut) {
        let [first, second] = header.lead;
        self.opcode = first & 0x0F;
        (self.mask, self.len, self.left) = (header.mask, header.len, header.len);

        let bytes = input.split_to(header.size);
        let first = if self.opcode == PING { first & 0xF0 | PONG } else { first };
        if self.opcode != PONG {
            output.extend_from_slice(&[first, second & !MASKED]);
            output.extend_from_slice(&bytes[2..header.mask_at]);
        }
    }

    fn echo_payload(&mut self, input: &mut BytesMut, output: &mut BytesMut) {
        let len = self.left.min(input.len() as u64) as usize;
        let mut payload = input.split_to(len);
        apply_mask(&mut payload, self.mask, self.len - self.left);
        if self.opcode != PONG {
            output.extend_from_slice(&payload);
        }
        self.left -= len as u64;
    }
}

/// The beginning of a frame (RFC 6455 5.2), unjudged.
struct Header {
    lead: [u8; 2],
    /// Zeros, which change nothing, where there is none.
    mask: [u8; 4],
    /// Of the payload.
    len: u64,
    /// Bytes in front of the masking key, and of the payload.
    mask_at: usize,
    size: usize,
}

impl Header {
    /// `None` where it is not whole.
    fn read(bytes: &[u8]) -> Option<Header> {
        let lead = *bytes.first_chunk()?;
        let [_, second] = lead;
        let (len, mask_at) = match second & !MASKED {
            126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into(), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            len => (len.into(), 2),
        };
        let (mask, size) = match second & MASKED {
            0 => ([0; 4], mask_at),
            _ => (*bytes.get(mask_at..)?.first_chunk()?, mask_at + 4),
        };
        Some(Header { lead, mask, len, mask_at, size })
    }
}

const CLOSE: u8 = OpCode::Close as u8;
const PING: u8 = OpCode::Ping as u8;
const PONG: u8 = OpCode::Pong as u8;
/// The bit of the second byte that says a masking key follows.
const MASKED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [1, 2, 3, 4];

    #[test]
    fn everything_goes_back_however_it_is_cut() {
        let rows: &[(&str, &[u8], &[u8], bool)] = &[
            ("text", &[0x81, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2], &[0x81, 2, b'h', b'i'], false),
            ("unmasked", &[0x82, 1, 7], &[0x82, 1, 7], false),
            ("reserved bits", &[0xF1, 0], &[0xF1, 0], false),
            ("reserved opcodes", &[0x83, 0, 0x8F, 1, 9], &[0x83, 0, 0x8F, 1, 9], false),
            ("length not minimal", &[0x82, 126, 0, 1, 9], &[0x82, 126, 0, 1, 9], false),
            (
                "long length",
                &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9],
                &[0x82, 127, 0, 0, 0, 0, 0, 0, 0, 1, 9],
                false,
            ),
            (
                "highest bit of a length",
                &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 9],
                &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 9],
                false,
            ),
            ("fragmented ping", &[0x09, 1, 9], &[0x0A, 1, 9], false),
            ("pong", &[0x8A, 2, 9, 9, 0x81, 0], &[0x81, 0], false),
            ("close code not allowed", &[0x88, 2, 0x03, 0xED, 0x81, 0], &[0x88, 2, 0x03, 0xED], true),
            ("empty close", &[0x88, 0x80, 1, 2, 3, 4], &[0x88, 0], true),
        ];
        for (name, sent, answer, over) in rows {
            for cut in 0..=sent.len() {
                let (first, second) = sent.split_at(cut);
                assert_eq!(echo(&[first, second]), (answer.to_vec(), *over), "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_payload_goes_back_as_it_comes() {
        let mut frame = vec![0x82, 0x85];
        frame.extend_from_slice(&KEY);
        frame.extend_from_slice(&[1, 2]);
        assert_eq!(echo(&[&frame]), (vec![0x82, 5, 0, 0], false));
    }

    fn echo(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let (mut lenient, mut input, mut output) = (Lenient::default(), BytesMut::new(), BytesMut::new());
        let mut over = false;
        for piece in pieces {
            input.extend_from_slice(piece);
            over = over || lenient.take(&mut input, &mut output);
        }
        (output.to_vec(), over)
    }
}
