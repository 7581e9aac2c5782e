//! Which parts of a file must not be shown in a diagnostic.
//!
//! This goes by names and looks, not by types: a misspelt `pasword` has no type, and is a secret all the same.

use std::ops::Range;

/// Whether `value`, given under `key`, must not be shown.
pub(super) fn is_secret(key: &str, value: &str) -> bool {
    is_secret_key(key) || has_credentials(value)
}

/// The line around byte `at`, if it looks as if it held a secret: for text that could not be parsed.
pub(super) fn secret_line(text: &str, at: u32) -> Option<Range<u32>> {
    let at = text.floor_char_boundary(at as usize);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = &text[start..end];
    let mut words = line.split(|c: char| !c.is_alphanumeric());
    let is_secret = words.any(is_secret_key) || has_credentials(line);
    let position = |byte: usize| u32::try_from(byte).unwrap_or(u32::MAX);
    is_secret.then_some(position(start)..position(end))
}

/// Whether what is given under `key` is a secret by its name.
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // A template may hold any of the others.
    matches!(&*key, "cookie" | "keys" | "template")
        || ["api-key", "apikey", "authorization", "keybase64", "passw", "secret", "set-cookie", "token"]
            .iter()
            .any(|part| key.contains(part))
        || ["keybase64", "password"].iter().any(|word| strsim::jaro_winkler(word, &key) > 0.92)
}

/// Something like `user:password@host`.
fn has_credentials(text: &str) -> bool {
    text.split_once('@').is_some_and(|(before, _)| before.contains(':'))
}
