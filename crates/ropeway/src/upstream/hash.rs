//! Hashes that are the same in every process: gateways side by side choose alike, and so does one started anew.

/// FNV-1 with 32 bits, by which Easegress chooses.
pub(super) fn fnv1(bytes: &[u8]) -> u32 {
    bytes.iter().fold(2_166_136_261, |hash: u32, byte| hash.wrapping_mul(16_777_619) ^ u32::from(*byte))
}

/// 64 well-mixed bits.
pub(super) fn stable(bytes: &[u8]) -> u64 {
    // FNV-1a
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

/// Spreads numbers that are near each other over all 64 bits: a step of SplitMix64.
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_that_others_compute() {
        for (text, expected) in
            [("", 2_166_136_261), ("127.0.0.1", 171_769_816), ("192.168.1.1", 1_957_403_386)]
        {
            assert_eq!(fnv1(text.as_bytes()), expected, "{text}");
        }
        // The first numbers of SplitMix64 from the seed 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }
}
