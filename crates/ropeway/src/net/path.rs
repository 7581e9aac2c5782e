//! The one path that routing looks at, and filters change.

use std::borrow::Cow;

use http::Uri;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::spec::http_server::EncodedSlashes;

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

/// `raw` without its escapes. `None` where gateway and backend could read it differently: bad escapes, an escaped NUL,
/// dot segments, and what some servers take for a slash: an escaped slash, and a backslash in any form.
///
/// Kept slashes stand in the path as `%2F` and `%5C`, and part nothing. What would look the same is refused then.
pub fn decode(raw: &str, slashes: EncodedSlashes) -> Option<Cow<'_, str>> {
    if !raw.bytes().any(|byte| matches!(byte, b'%' | b'.' | b'\\')) {
        return Some(Cow::Borrowed(raw));
    }
    if raw.contains('\\') {
        return None;
    }
    for (at, _) in raw.match_indices('%') {
        let escape = raw.get(at + 1..at + 3)?;
        let is_hex = escape.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !is_hex || escape == "00" {
            return None;
        }
    }
    let kept = escaped_slashes(raw);
    let path = match (kept, slashes) {
        (0, _) => percent_decode_str(raw).decode_utf8_lossy(),
        (_, EncodedSlashes::Keep) => {
            percent_decode_str(&protect(raw)).decode_utf8_lossy().into_owned().into()
        }
        (_, EncodedSlashes::Reject) => return None,
    };
    let is_ambiguous = slashes == EncodedSlashes::Keep && escaped_slashes(&path) != kept;
    (!is_ambiguous && !has_dots(&path)).then_some(path)
}

/// How many slashes and backslashes stand in `path` as escapes, or as what looks like one.
fn escaped_slashes(path: &str) -> usize {
    path.match_indices('%')
        .filter_map(|(at, _)| path.get(at + 1..at + 3))
        .filter(|digits| is_slash(digits))
        .count()
}

/// Whether these two digits escape a slash or a backslash.
fn is_slash(escape: &str) -> bool {
    ["2f", "5c"].iter().any(|code| code.eq_ignore_ascii_case(escape))
}

/// Escaped slashes so that decoding gives their escapes.
fn protect(raw: &str) -> String {
    let raw = raw.replace("%2f", "%252F").replace("%2F", "%252F");
    raw.replace("%5c", "%255C").replace("%5C", "%255C")
}

/// Dot segments, which change what a path means. Some servers look at a segment up to its `;` only, and take escaped
/// slashes for such.
fn has_dots(path: &str) -> bool {
    let segments = path.split('/').flat_map(|part| part.split("%2F")).flat_map(|part| part.split("%5C"));
    let mut names = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    names.any(|name| matches!(name, "." | ".."))
}

/// Path and query for the next hop. `None` where rewriting brought dot segments about: `/ws../x` with `/ws` made `/`
/// is `/../x`.
pub fn target(path: &str, query: Option<&str>, slashes: EncodedSlashes) -> Option<Uri> {
    if has_dots(path) {
        return None;
    }
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut path = utf8_percent_encode(path, ESCAPED).to_string();
    if slashes == EncodedSlashes::Keep {
        path = path.replace("%252F", "%2F").replace("%255C", "%5C");
    }
    let target = match query {
        Some(query) => format!("{slash}{path}?{query}"),
        None => format!("{slash}{path}"),
    };
    target.parse().ok()
}

/// The path of a request that was routed, without its escapes: as routing saw it.
pub fn plain(target: &Uri) -> Option<Cow<'_, str>> {
    decode(target.path(), slashes_in(target.path()))
}

/// `target` with another path: what `change` makes of the [plain] one. The query stays as it is, and so do escaped
/// slashes. `None` where there is no path to change, or none that is safe comes out.
pub fn changed(target: &Uri, change: impl FnOnce(&str) -> Option<String>) -> Option<Uri> {
    let path = plain(target).filter(|path| path.starts_with('/'))?;
    if path.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    self::target(&change(&path)?, target.query(), slashes_in(target.path()))
}

/// What the listener does with escaped slashes: if it let one pass, it keeps them.
fn slashes_in(raw: &str) -> EncodedSlashes {
    if escaped_slashes(raw) > 0 { EncodedSlashes::Keep } else { EncodedSlashes::Reject }
}

#[cfg(test)]
mod tests {
    use super::EncodedSlashes::{Keep, Reject};
    use super::*;

    #[test]
    fn escapes() {
        let table = [
            ("/ws", Some("/ws")),
            ("/a%20b", Some("/a b")),
            ("/%77s", Some("/ws")),
            ("/v1.2/ws", Some("/v1.2/ws")),
            ("/a;b=1/c", Some("/a;b=1/c")),
            ("/a%3Bb", Some("/a;b")),
            ("/a%252Fb", Some("/a%2Fb")),
            ("/...", Some("/...")),
            ("/a/../b", None),
            ("/a/%2e%2E/b", None),
            ("/a/.", None),
            ("/a/..;x/b", None),
            ("/a/.;/b", None),
            ("/a/..%3B/b", None),
            ("/a%2fb", None),
            ("/a%2Fb", None),
            ("/a\\b", None),
            ("/a%5cb", None),
            ("/a%00", None),
            ("/a%zz", None),
            ("/a%2", None),
            ("/a%", None),
        ];
        for (raw, expected) in table {
            assert_eq!(decode(raw, Reject).as_deref(), expected, "{raw}");
        }
    }

    #[test]
    fn slashes_that_are_kept() {
        let table = [
            ("/a%2fb", Some("/a%2Fb")),
            ("/a%2Fb%20c", Some("/a%2Fb c")),
            ("/a%5cb", Some("/a%5Cb")),
            ("/a%25b", Some("/a%b")),
            ("/a%252fb", None),
            ("/a%255Cb", None),
            // Each of these decodes to what a kept slash looks like.
            ("/a%252%46b", None),
            ("/a%25%32%66b", None),
            ("/a%255%43b", None),
            ("/a%2fb%252%46c", None),
            ("/a%2%66b", None),
            ("/a%25252fb", Some("/a%252fb")),
            ("/a%2fb%25c", Some("/a%2Fb%c")),
            ("/a/..%2fb", None),
            ("/a%2f..", None),
            ("/a%2f.%5cb", None),
            ("/a\\b", None),
            ("/a%00", None),
        ];
        for (raw, expected) in table {
            let path = decode(raw, Keep);
            assert_eq!(path.as_deref(), expected, "{raw}");
            let again = path.and_then(|path| target(&path, None, Keep));
            let again = again.map(|target| target.to_string().to_ascii_lowercase());
            assert_eq!(again, expected.map(|_| raw.to_ascii_lowercase()), "{raw}");
        }
    }

    #[test]
    fn what_was_decoded_is_escaped_again() {
        assert_eq!(target("/a b/ü", Some("x=1"), Reject).unwrap(), "/a%20b/%C3%BC?x=1");
        assert_eq!(target("/a%2Fb", None, Reject).unwrap(), "/a%252Fb");
        assert_eq!(target("a", None, Reject).unwrap(), "/a");
        assert_eq!(target("/../a", None, Reject), None);
    }
    #[test]
    fn what_is_changed_is_safe() {
        let table = [
            ("/a%20b?c=%20", "/x", Some("/x/a%20b?c=%20")),
            ("/a%252Fb", "/x", Some("/x/a%252Fb")),
            ("/a%2fb", "/x", Some("/x/a%2Fb")),
            ("/a", "/x?y#z%20", Some("/x%3Fy%23z%2520/a")),
            ("/a", "", Some("/a")),
            ("/a", "x", Some("/x/a")),
            ("/a", "/..", None),
            ("/%ff", "/x", None),
            ("*", "/x", None),
        ];
        for (before, prefix, after) in table {
            let found = changed(&before.parse().unwrap(), |path| Some(format!("{prefix}{path}")));
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), after, "{before} {prefix}");
        }
    }
}
