//! Frames as peers build them: by tungstenite's encoder, not by ours.

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use ws::Role;

pub(crate) const TEXT: OpCode = OpCode::Data(Data::Text);
pub(crate) const BINARY: OpCode = OpCode::Data(Data::Binary);
pub(crate) const CONTINUATION: OpCode = OpCode::Data(Data::Continue);
pub(crate) const CLOSE: OpCode = OpCode::Control(Control::Close);
pub(crate) const PING: OpCode = OpCode::Control(Control::Ping);
pub(crate) const PONG: OpCode = OpCode::Control(Control::Pong);

pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A frame to be encoded.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) rsv: u8,
    pub(crate) opcode: OpCode,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A whole message or control frame as `sender` sends it.
    pub(crate) fn new(sender: Role, opcode: OpCode, payload: impl AsRef<[u8]>) -> Frame {
        let mask = (sender == Role::Client).then_some(KEY);
        Frame { fin: true, rsv: 0, opcode, mask, payload: payload.as_ref().to_vec() }
    }

    /// More frames of this message follow.
    pub(crate) fn unfinished(self) -> Frame {
        Frame { fin: false, ..self }
    }

    pub(crate) fn rsv(self, rsv: u8) -> Frame {
        Frame { rsv, ..self }
    }

    pub(crate) fn mask(self, mask: Option<[u8; 4]>) -> Frame {
        Frame { mask, ..self }
    }

    /// The header that declares `len` bytes, whatever the payload.
    pub(crate) fn header(&self, len: u64) -> Vec<u8> {
        let header = FrameHeader {
            is_final: self.fin,
            rsv1: self.rsv & 4 != 0,
            rsv2: self.rsv & 2 != 0,
            rsv3: self.rsv & 1 != 0,
            opcode: self.opcode,
            mask: self.mask,
        };
        let mut bytes = Vec::new();
        header.format(len, &mut bytes).expect("a Vec takes every write");
        bytes
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header(self.payload.len() as u64);
        let key = self.mask.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

pub(crate) fn bytes(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}
