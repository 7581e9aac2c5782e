//! The one path that routing looks at.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What cannot stand in a path as it is (RFC 3986 3.3).
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// `raw` without its escapes. `None` where gateway and backend could read it differently: bad escapes, an
/// escaped slash or NUL, dot segments.
pub(super) fn decode(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains(['%', '.']) {
        return Some(Cow::Borrowed(raw));
    }
    for (at, _) in raw.match_indices('%') {
        let escape = raw.get(at + 1..at + 3)?;
        if !escape.bytes().all(|digit| digit.is_ascii_hexdigit()) || matches!(escape, "2f" | "2F" | "00") {
            return None;
        }
    }
    let path = percent_decode_str(raw).decode_utf8_lossy();
    (!has_dots(&path)).then_some(path)
}

/// Dot segments, which change what a path means.
fn has_dots(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "." | ".."))
}

/// Path and query for the next hop. `None` where rewriting brought dot segments about: `/ws../x` with `/ws` made `/`
/// is `/../x`.
pub(super) fn target(path: &str, query: Option<&str>) -> Option<Uri> {
    if has_dots(path) {
        return None;
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let path = utf8_percent_encode(path, ESCAPED);
    let target = match query {
        Some(query) => format!("{slash}{path}?{query}"),
        None => format!("{slash}{path}"),
    };
    target.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let table = [
            ("/ws", Some("/ws")),
            ("/a%20b", Some("/a b")),
            ("/%77s", Some("/ws")),
            ("/v1.2/ws", Some("/v1.2/ws")),
            ("/a/../b", None),
            ("/a/%2e%2E/b", None),
            ("/a/.", None),
            ("/a%2fb", None),
            ("/a%2Fb", None),
            ("/a%00", None),
            ("/a%zz", None),
            ("/a%2", None),
            ("/a%", None),
        ];
        for (raw, expected) in table {
            assert_eq!(decode(raw).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn what_was_decoded_is_escaped_again() {
        assert_eq!(target("/a b/ü", Some("x=1")).unwrap(), "/a%20b/%C3%BC?x=1");
        assert_eq!(target("a", None).unwrap(), "/a");
        assert_eq!(target("/../a", None), None);
    }
}
