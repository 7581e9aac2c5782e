//! The forms of header values that the handshake uses (RFC 9110 5.6).

/// The elements of a comma-separated list that may be spread over several lines; empty ones are skipped.
pub(crate) fn list<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lines.flat_map(|line| line.split(|&byte| byte == b',')).map(trim).filter(|element| !element.is_empty())
}

/// Without the blanks around it.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    value.trim_ascii()
}

/// The value as text, if it is a token: not empty, no blanks, no separators.
pub(crate) fn token(value: &[u8]) -> Option<&str> {
    let is_token = !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte));
    is_token.then(|| core::str::from_utf8(value).ok()).flatten()
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
