//! Whether the page that opens a WebSocket may do so (RFC 6455 10.2).

use http::header::{HOST, HeaderMap, HeaderValue, ORIGIN};

use crate::spec::types::Glob;

/// Who may open WebSockets, by the `Origin` that browsers send.
#[derive(Clone, PartialEq, Debug)]
pub enum OriginRule {
    /// Pages of the same host and port as the request's `Host`, and of hosts that match a pattern.
    SameHostOr(Vec<Glob>),
    /// Any page.
    Any,
}

impl OriginRule {
    /// Whether a request with these headers may pass. One without an `Origin` does not come from a page.
    pub fn allows(&self, headers: &HeaderMap) -> bool {
        let OriginRule::SameHostOr(patterns) = self else { return true };
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        if origins.next().is_some() {
            return false;
        }
        let Some(from) = authority(origin) else { return false };
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        from.eq_ignore_ascii_case(host) || patterns.iter().any(|pattern| pattern.matches(from))
    }
}

/// `host[:port]` of an origin; empty for `null`, as pages without an origin of their own send.
fn authority(origin: &HeaderValue) -> Option<&str> {
    let origin = origin.to_str().ok()?;
    Some(origin.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(patterns: &[&str], host: &'static str, origin: &'static str) -> bool {
        let rule = OriginRule::SameHostOr(patterns.iter().map(|pattern| pattern.parse().unwrap()).collect());
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static(host));
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        rule.allows(&headers)
    }

    #[test]
    fn origins() {
        let table: &[(&[&str], &'static str, &'static str, bool)] = &[
            (&[], "example.com", "https://example.com", true),
            (&[], "Example.COM", "https://eXample.com", true),
            (&[], "example.com", "https://example.org", false),
            (&[], "example.com", "https://example.com:8443", false),
            (&[], "example.com:8443", "https://example.com:8443", true),
            (&[], "example.com", "null", false),
            (&["*"], "example.com", "null", true),
            (&["*.example.com"], "x", "https://a.example.com", true),
            (&["*.example.com"], "x", "https://A.EXAMPLE.com", true),
            (&["*.example.com"], "x", "https://example.com", false),
            (&["*.example.com"], "x", "https://a.example.com:8443", false),
            (&["*.example.com"], "x", "https://a.example.com.evil.org", false),
            (&["app?.example.com", "b"], "x", "https://app7.example.com", true),
            (&["app[0-9].example.com"], "x", "https://app7.example.com", true),
            (&["app[^0-9].example.com"], "x", "https://app7.example.com", false),
        ];
        for (patterns, host, origin, expected) in table {
            assert_eq!(allows(patterns, host, origin), *expected, "{origin} at {host} with {patterns:?}");
        }
    }

    #[test]
    fn no_origin_is_no_page() {
        assert!(OriginRule::SameHostOr(vec![]).allows(&HeaderMap::new()));
    }

    #[test]
    fn two_origins_are_refused() {
        let mut headers = HeaderMap::new();
        headers.append(ORIGIN, HeaderValue::from_static("http://a"));
        headers.append(ORIGIN, HeaderValue::from_static("http://b"));
        assert!(!OriginRule::SameHostOr(vec!["*".parse().unwrap()]).allows(&headers));
    }
}
