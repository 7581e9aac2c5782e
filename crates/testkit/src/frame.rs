//! Frames by hand, independent of the gateway's own code.

/// Opcodes (RFC 6455 5.2).
pub mod op {
    #![expect(missing_docs, reason = "the names say it all")]
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// A frame that was read, with its payload unmasked.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The last one of its message.
    pub fin: bool,
    /// The three reserved bits; RSV1 is 4.
    pub rsv: u8,
    /// See [`op`].
    pub opcode: u8,
    /// The masking key, if it was masked.
    pub mask: Option<[u8; 4]>,
    /// Without the mask.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Code and reason of a Close frame; code 1005 where it has none.
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.opcode, op::CLOSE, "{self:?} is no Close frame");
        match self.payload.split_first_chunk() {
            None => (1005, String::new()),
            Some((code, reason)) => (u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).unwrap()),
        }
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (fin, rsv, opcode, len) = (self.fin, self.rsv, self.opcode, self.payload.len());
        let shown = String::from_utf8_lossy(&self.payload[..len.min(40)]);
        write!(f, "Frame(fin {fin}, rsv {rsv}, opcode {opcode}, {len} bytes, {shown:?})")
    }
}

/// The bytes of a frame; `first` is its first byte: FIN, reserved bits and opcode.
pub fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => bytes.push(masked | len as u8),
        len @ 126..65536 => {
            bytes.push(masked | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(masked | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask.into_iter().flatten());
    let key = mask.unwrap_or_default();
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A whole message in one frame as a client sends it.
pub fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, Some([0x37, 0xfa, 0x21, 0x3d]), payload)
}

/// The payload of a Close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}
