//! The XOR of RFC 6455 5.3: the same operation masks and unmasks.

/// Masks or unmasks `payload` in place, a word at a time.
///
/// `offset` is the position of `payload[0]` within its frame's payload, so that a frame can be done in parts.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: u64) {
    let key = rotate(key, offset);
    let half = u64::from(u32::from_le_bytes(key));
    let word = half << 32 | half;
    let (words, tail) = payload.as_chunks_mut();
    for bytes in words {
        *bytes = (u64::from_le_bytes(*bytes) ^ word).to_le_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it meets a payload that begins `offset` bytes into its frame.
#[inline]
pub(crate) const fn rotate(key: [u8; 4], offset: u64) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (offset % 4) as u32).to_le_bytes()
}
