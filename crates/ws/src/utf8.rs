//! UTF-8 that comes in pieces (RFC 6455 8.1).

use simdutf8::compat::from_utf8;

/// Judges a text that comes in pieces, and fails at the first byte that no valid text could have there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character whose end has not come yet; at most three bytes between two pieces.
    begun: [u8; 4],
    begun_len: u8,
}

impl Utf8 {
    /// A text of which nothing has come yet.
    pub const fn new() -> Utf8 {
        Utf8 { begun: [0; 4], begun_len: 0 }
    }

    /// Judges the next piece. After an error the text is lost; start a new one.
    ///
    /// # Errors
    /// The index in `bytes` of the first byte that no valid text could have there.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut taken = 0;
        let mut rest = bytes;
        while let (false, Some((&byte, after))) = (self.is_complete(), rest.split_first()) {
            self.extend(byte).map_err(|Impossible| taken)?;
            taken += 1;
            rest = after;
        }
        let Err(error) = from_utf8(rest) else { return Ok(()) };
        taken += error.valid_up_to();
        for &byte in rest.iter().skip(error.valid_up_to()) {
            self.extend(byte).map_err(|Impossible| taken)?;
            taken += 1;
        }
        Ok(())
    }

    /// The text may end here: no character is half done.
    pub const fn is_complete(&self) -> bool {
        self.begun_len == 0
    }

    /// The bytes of the character that is half done.
    pub(crate) fn begun(&self) -> &[u8] {
        self.begun.get(..usize::from(self.begun_len)).unwrap_or_default()
    }

    /// A text that goes on within a character of which `begun` has come; `None` if no text ends so.
    pub(crate) fn resumed(begun: &[u8]) -> Option<Utf8> {
        let mut text = Utf8::new();
        text.push(begun).ok()?;
        (text.begun() == begun).then_some(text)
    }

    /// Adds a byte to the character that is begun, or begins one.
    fn extend(&mut self, byte: u8) -> Result<(), Impossible> {
        let at = usize::from(self.begun_len);
        if let Some(slot) = self.begun.get_mut(at) {
            *slot = byte;
        }
        let (character, _) = self.begun.split_at_checked(at + 1).ok_or(Impossible)?;
        self.begun_len = match core::str::from_utf8(character) {
            Ok(_) => 0,
            Err(error) if error.error_len().is_none() => self.begun_len + 1,
            Err(_) => return Err(Impossible),
        };
        Ok(())
    }
}

/// No character of UTF-8 has this byte at this place.
struct Impossible;

#[cfg(test)]
mod tests {
    use super::Utf8;

    #[test]
    fn fails_at_the_first_impossible_byte() {
        for (text, at) in [
            (&b"ab\x80"[..], 2),      // a continuation byte begins nothing
            (b"\xC0\x80", 0),         // overlong from its first byte
            (b"\xE0\x9F\xBF", 1),     // overlong from its second
            (b"\xED\xA0\x80", 1),     // a surrogate
            (b"\xF4\x90\x80\x80", 1), // above U+10FFFF
            (b"\xF5", 0),
            (b"a\xE2\x82a", 3), // cut short
        ] {
            assert_eq!(Utf8::new().push(text), Err(at), "{text:x?}");
        }
    }

    #[test]
    fn is_incomplete_inside_a_character() {
        let mut utf8 = Utf8::new();
        for byte in "\u{1F600}".bytes() {
            utf8.push(&[byte]).expect("a byte of a valid character");
            assert_eq!(utf8.is_complete(), byte == 0x80);
        }
    }
}
