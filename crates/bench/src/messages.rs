//! The bytes of a connection, as a function of the connection and the position.
//!
//! All frames of a measurement have one length and one filling, but for a mark of eight bytes at the start of the
//! payload that names the connection and the message. So the sender keeps nothing but a position, and the receiver
//! knows each byte that must come: lost, doubled, mixed up or altered messages all show as a wrong byte.

/// The least payload: the mark must fit.
pub(crate) const MIN_PAYLOAD: usize = MARK;

/// The masking key of every client frame (RFC 6455 5.3). Proxies must not care which it is.
pub(crate) const MASK_KEY: [u8; 4] = [0x3a, 0x91, 0x5c, 0xe7];

/// An endless row of binary frames of one length.
pub(crate) struct Messages {
    frame: Vec<u8>,
    mark_at: usize,
    key: [u8; 4],
}

impl Messages {
    /// Masked frames with `payload` bytes each, as a client sends them.
    pub(crate) fn from_client(payload: usize) -> Messages {
        let mut frame = header(payload, 0x80);
        frame.extend(MASK_KEY);
        Messages::with_header(frame, payload, MASK_KEY)
    }

    /// The same messages unmasked, as the echo must bring them back.
    pub(crate) fn from_server(payload: usize) -> Messages {
        Messages::with_header(header(payload, 0), payload, [0; 4])
    }

    /// Bytes of one frame, header and payload.
    pub(crate) fn frame_len(&self) -> u64 {
        self.frame.len() as u64
    }

    /// Appends `count` bytes of `connection`'s row from `position` on.
    pub(crate) fn fill(&self, connection: u32, position: u64, count: usize, out: &mut Vec<u8>) {
        let mut done = 0;
        while done < count {
            let mark = self.mark(connection, position + done as u64);
            let (parts, len) = self.parts(&mark, position, done, count);
            parts.iter().for_each(|part| out.extend_from_slice(part));
            done += len;
        }
    }

    /// Whether `bytes` are those of `connection`'s row from `position` on.
    pub(crate) fn matches(&self, connection: u32, position: u64, bytes: &[u8]) -> bool {
        let mut done = 0;
        while done < bytes.len() {
            let mark = self.mark(connection, position + done as u64);
            let (parts, len) = self.parts(&mark, position, done, bytes.len());
            let mut rest = &bytes[done..done + len];
            for part in parts {
                let (here, later) = rest.split_at(part.len());
                if here != part {
                    return false;
                }
                rest = later;
            }
            done += len;
        }
        true
    }

    fn with_header(mut frame: Vec<u8>, payload: usize, key: [u8; 4]) -> Messages {
        let mark_at = frame.len();
        frame.extend(filling().take(payload));
        for (byte, key) in frame[mark_at..].iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        Messages { frame, mark_at, key }
    }

    /// What the frame that holds `position` carries as its mark, masked.
    fn mark(&self, connection: u32, position: u64) -> [u8; MARK] {
        let index = position / self.frame_len();
        let mut mark = ((u64::from(connection) << 40) ^ index).to_le_bytes();
        for (byte, key) in mark.iter_mut().zip(self.key.iter().cycle()) {
            *byte ^= key;
        }
        mark
    }

    /// The bytes from `position + done` to the end of their frame, at most up to `position + count`: what stands
    /// before the mark, of the mark, and behind it; and how many they are.
    fn parts<'a>(
        &'a self,
        mark: &'a [u8; MARK],
        position: u64,
        done: usize,
        count: usize,
    ) -> ([&'a [u8]; 3], usize) {
        let from = ((position + done as u64) % self.frame_len()) as usize;
        let to = self.frame.len().min(from + count - done);
        let (mark_from, mark_to) = (self.mark_at, self.mark_at + MARK);
        let head = &self.frame[from.min(mark_from)..to.min(mark_from)];
        let middle =
            &mark[from.clamp(mark_from, mark_to) - mark_from..to.clamp(mark_from, mark_to) - mark_from];
        let tail = &self.frame[from.max(mark_to)..to.max(mark_to)];
        ([head, middle, tail], to - from)
    }
}

/// The header of a whole binary frame without its masking key (RFC 6455 5.2); `mask_bit` is 0x80 or 0.
pub(crate) fn header(payload: usize, mask_bit: u8) -> Vec<u8> {
    let mut bytes = vec![0x82];
    match payload {
        0..=125 => bytes.push(mask_bit | payload as u8),
        126..=0xffff => {
            bytes.push(mask_bit | 126);
            bytes.extend((payload as u16).to_be_bytes());
        }
        _ => {
            bytes.push(mask_bit | 127);
            bytes.extend((payload as u64).to_be_bytes());
        }
    }
    bytes
}

/// Bytes without a short period (xorshift64), so that a piece that was moved or left out does not look right.
fn filling() -> impl Iterator<Item = u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

const MARK: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(messages: &Messages, connection: u32, position: u64, count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        messages.fill(connection, position, count, &mut out);
        out
    }

    #[test]
    fn a_frame_has_the_header_of_its_length() {
        for (payload, header) in [(125, 6), (126, 8), (65_535, 8), (65_536, 14)] {
            assert_eq!(Messages::from_client(payload).frame_len(), (payload + header) as u64);
        }
        assert_eq!(filled(&Messages::from_server(300), 1, 0, 4), [0x82, 126, 1, 44]);
        assert_eq!(filled(&Messages::from_client(64), 1, 0, 6)[..2], [0x82, 0x80 | 64]);
    }

    #[test]
    fn unmasking_what_the_client_sends_gives_what_must_come_back() {
        let (sent, expected) = (Messages::from_client(64), Messages::from_server(64));
        for index in 0..3 {
            let frame = filled(&sent, 7, index * sent.frame_len(), sent.frame_len() as usize);
            let mut echo = vec![0x82, 64];
            echo.extend(frame[6..].iter().zip(MASK_KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
            assert!(expected.matches(7, index * expected.frame_len(), &echo), "message {index}");
            assert!(!expected.matches(8, index * expected.frame_len(), &echo), "another connection's");
            assert!(!expected.matches(7, (index + 1) * expected.frame_len(), &echo), "another message");
        }
    }

    #[test]
    fn any_cut_of_the_row_is_the_same_row() {
        for messages in [Messages::from_client(MIN_PAYLOAD), Messages::from_server(200)] {
            let whole = filled(&messages, 3, 0, 3 * messages.frame_len() as usize);
            for cut in 0..whole.len() {
                let (left, right) = whole.split_at(cut);
                assert_eq!(filled(&messages, 3, cut as u64, right.len()), right);
                assert!(messages.matches(3, 0, left) && messages.matches(3, cut as u64, right));
            }
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_found() {
        let messages = Messages::from_server(130);
        let whole = filled(&messages, 3, 0, 2 * messages.frame_len() as usize);
        for at in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[at] ^= 1;
            assert!(!messages.matches(3, 0, &wrong), "byte {at}");
        }
    }
}
