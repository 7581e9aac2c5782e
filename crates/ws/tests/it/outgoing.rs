//! Headers, masks and frames that we build, against tungstenite's reading of them.

use std::io::Cursor;

use proptest::prelude::*;
use tungstenite::protocol::frame::FrameHeader;
use ws::{CloseCode, CloseFrame, Header, OpCode, apply_mask, control_frame, parse_close};

use crate::frames::KEY;

const OPCODES: [OpCode; 6] =
    [OpCode::Continuation, OpCode::Text, OpCode::Binary, OpCode::Close, OpCode::Ping, OpCode::Pong];

proptest! {
    #[test]
    fn a_header_reads_as_it_was_written(
        fin: bool, rsv in 0..8_u8, opcode in prop::sample::select(&OPCODES[..]), mask: Option<[u8; 4]>,
        len in prop_oneof![0..70_000_u64, 0..=u64::MAX / 2],
    ) {
        let control = opcode.is_control();
        let header = Header { fin: fin || control, rsv, opcode, mask, len: if control { len % 126 } else { len } };
        let mut out = [0; Header::MAX];
        let written = header.encode(&mut out);
        prop_assert_eq!(Header::decode(&out), Ok(Some((header, written))));
        for short in 0..written {
            prop_assert_eq!(Header::decode(&out[..short]), Ok(None));
        }

        let mut cursor = Cursor::new(&out[..written]);
        let (theirs, len) = FrameHeader::parse(&mut cursor).expect("valid").expect("whole");
        prop_assert_eq!((theirs.is_final, theirs.mask, len), (header.fin, header.mask, header.len));
        prop_assert_eq!([theirs.rsv1, theirs.rsv2, theirs.rsv3], [rsv & 4 != 0, rsv & 2 != 0, rsv & 1 != 0]);
        prop_assert_eq!(cursor.position(), written as u64);
    }

    #[test]
    fn a_mask_goes_on_in_parts_and_comes_off(payload: Vec<u8>, key: [u8; 4], cut: prop::sample::Index, far: u32) {
        let offset = u64::from(far);
        let byte_by_byte = |at: usize| payload[at] ^ key[(offset as usize + at) % 4];
        let expected: Vec<u8> = (0..payload.len()).map(byte_by_byte).collect();

        let mut masked = payload.clone();
        let (front, back) = masked.split_at_mut(cut.index(payload.len() + 1));
        apply_mask(front, key, offset);
        apply_mask(back, key, offset + front.len() as u64);
        prop_assert_eq!(&masked, &expected);
        apply_mask(&mut masked, key, offset);
        prop_assert_eq!(masked, payload);
    }
}

#[test]
fn a_close_frame_carries_code_and_reason() {
    for mask in [None, Some(KEY)] {
        let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye", mask);
        let (code, reason) = read_close(frame.as_bytes());
        assert_eq!((code, &*reason), (1001, "bye"));
    }
    assert_eq!(CloseFrame::new(CloseCode::NORMAL, "", None).as_bytes(), [0x88, 2, 0x03, 0xE8]);
}

#[test]
fn a_reason_is_cut_at_a_character() {
    for (reason, kept) in
        [("x".repeat(200), 123), ("\u{20AC}".repeat(60), 123), (format!("ab{}", "\u{20AC}".repeat(60)), 122)]
    {
        let frame = CloseFrame::new(CloseCode::POLICY, &reason, Some(KEY));
        let (_, read) = read_close(frame.as_bytes());
        assert_eq!(read, reason[..kept]);
        assert_eq!(frame.as_bytes().len(), 6 + 2 + kept);
    }
}

#[test]
fn a_control_frame_is_cut_to_125_bytes() {
    let frame = control_frame(OpCode::Ping, &[1; 300], Some([0; 4]));
    assert_eq!(frame.as_bytes(), [&[0x89, 0xFD, 0, 0, 0, 0][..], &[1; 125]].concat());
    assert_eq!(control_frame(OpCode::Pong, b"", None).as_bytes(), [0x8A, 0]);
}

#[test]
fn a_code_may_go_on_the_wire_or_not() {
    let may = |code: u16| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    for code in 0..=u16::MAX {
        assert_eq!(CloseCode::new(code).map(CloseCode::get), may(code).then_some(code));
    }
}

/// Unmasks byte by byte what [`Header::decode`] found.
fn read_close(frame: &[u8]) -> (u16, String) {
    let (header, at) = Header::decode(frame).expect("valid").expect("whole");
    assert_eq!((header.opcode, header.len as usize), (OpCode::Close, frame.len() - at));
    let key = header.mask.unwrap_or_default();
    let payload: Vec<u8> = frame[at..].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    let close = parse_close(&payload).expect("valid");
    (close.code.expect("a code").get(), close.reason.to_owned())
}
