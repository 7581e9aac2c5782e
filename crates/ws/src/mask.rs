//! The XOR of RFC 6455 5.3: the same operation masks and unmasks.

/// Masks or unmasks `payload` in place, a word at a time.
///
/// `offset` is the position of `payload[0]` within its frame's payload, so that a frame can be done in parts.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: [u8; 4], offset: u64) {
    let key = rotate(key, offset);
    let [a, b, c, d] = key;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, tail) = payload.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// The key as it meets a payload that begins `offset` bytes into its frame.
#[inline]
pub(crate) fn rotate(mut key: [u8; 4], offset: u64) -> [u8; 4] {
    key.rotate_left((offset % 4) as usize);
    key
}
