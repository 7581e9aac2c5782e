//! Frames as bytes, independent of the gateway's own code.

/// Opcodes (RFC 6455 5.2).
pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// Appends a frame; `mask` is the client's.
pub(crate) fn write(out: &mut Vec<u8>, fin: bool, opcode: u8, mask: Option<[u8; 4]>, payload: &[u8]) {
    out.push(if fin { 0x80 | opcode } else { opcode });
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => out.push(bit | len as u8),
        len @ 126..0x1_0000 => {
            out.push(bit | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(bit | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let begin = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        apply(&mut out[begin..], key);
    }
}

/// A frame in a buffer: where its payload is, unmasked already.
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: std::ops::Range<usize>,
}

/// The frame at `from`, once it is whole; unmasks it in place.
///
/// # Errors
/// Reserved bits are set, or it is longer than `largest`.
pub(crate) fn read(bytes: &mut [u8], from: usize, largest: usize) -> Result<Option<Frame>, String> {
    let Some(head @ [first, second, ..]) = bytes.get(from..) else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(format!("reserved bits in {first:#x}"));
    }
    let (header, len) = match second & 0x7f {
        126 => (4, head.get(2..4).map(|bytes| u64::from(u16::from_be_bytes([bytes[0], bytes[1]])))),
        127 => {
            (10, head.get(2..).and_then(|bytes| bytes.first_chunk()).map(|bytes| u64::from_be_bytes(*bytes)))
        }
        len => (2, Some(u64::from(len))),
    };
    let Some(len) = len else { return Ok(None) };
    if len > largest as u64 {
        return Err(format!("a frame of {len} bytes"));
    }
    let (fin, opcode, masked) = (first & 0x80 != 0, first & 15, second & 0x80 != 0);
    let begin = from + header + if masked { 4 } else { 0 };
    let payload = begin..begin + len as usize;
    if bytes.len() < payload.end {
        return Ok(None);
    }
    if masked {
        let key = [bytes[begin - 4], bytes[begin - 3], bytes[begin - 2], bytes[begin - 1]];
        apply(&mut bytes[payload.clone()], key);
    }
    Ok(Some(Frame { fin, opcode, masked, payload }))
}

fn apply(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(key.into_iter().cycle()).for_each(|(byte, key)| *byte ^= key);
}
