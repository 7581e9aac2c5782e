//! Which headers go on to the next hop.

use http::StatusCode;
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};

/// Headers that belong to one connection (RFC 9110 7.6.1, and those that predate it).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    UPGRADE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Headers by which servers decide: no client may have them dropped by naming them in `Connection`.
const PROTECTED: [&str; 6] = ["authorization", "cookie", "forwarded", "host", "origin", "set-cookie"];
const PROTECTED_PREFIXES: [&str; 2] = ["sec-websocket-", "x-forwarded-"];

/// A proxy adds some headers.
const ROOM: usize = 4;

/// The headers that are not about this connection only, in their order; those in `but` are left out, too.
pub fn end_to_end(headers: &HeaderMap, but: &[HeaderName]) -> HeaderMap {
    let named = named(headers);
    let kept = headers.iter().filter(|(name, _)| stays(name, but, &named));
    // Not by `HeaderMap::remove`: it puts the last header in the place of the one removed.
    let mut ours = HeaderMap::with_capacity(headers.len() + ROOM);
    ours.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    ours
}

/// Whether [`end_to_end`] leaves nothing out.
pub fn are_end_to_end(headers: &HeaderMap, but: &[HeaderName]) -> bool {
    // What `Connection` names does not count, as it does not stay itself.
    headers.keys().all(|name| stays(name, but, &[]))
}

fn stays(name: &HeaderName, but: &[HeaderName], named: &[HeaderName]) -> bool {
    ![&HOP_BY_HOP, but, named].iter().any(|gone| gone.contains(name))
}

/// What `Connection` names.
fn named(headers: &HeaderMap) -> Vec<HeaderName> {
    let named = items(headers, &CONNECTION).filter_map(|name| name.parse().ok());
    named.filter(|name| !is_protected(name)).collect()
}

/// Adds all lines of `name`.
pub fn pass_on(from: &HeaderMap, to: &mut HeaderMap, name: HeaderName) {
    for value in from.get_all(&name) {
        to.append(name.clone(), value.clone());
    }
}

/// A 426 says what to upgrade to, though that is about one connection (RFC 9110 15.5.22).
pub fn pass_on_upgrade(status: StatusCode, from: &HeaderMap, to: &mut HeaderMap) {
    if status == StatusCode::UPGRADE_REQUIRED && from.contains_key(UPGRADE) {
        pass_on(from, to, UPGRADE);
        to.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    }
}

fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    PROTECTED.contains(&name) || PROTECTED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the list that `name` holds has `token` in it, in any letter case.
pub fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(token))
}

/// The items of the list that `name` holds, over all its lines (RFC 9110 5.6.1).
pub fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// The headers as `ws` reads them.
pub fn pairs(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hop_by_hop_headers_go_and_the_others_stay() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, X-Mine, Cookie"));
        headers.append(CONNECTION, HeaderValue::from_static("Upgrade, X-Forwarded-For"));
        for name in
            ["upgrade", "keep-alive", "x-b", "te", "x-mine", "cookie", "x-forwarded-for", "gone", "x-a"]
        {
            headers.append(name, HeaderValue::from_static("v"));
        }
        let kept = end_to_end(&headers, &[HeaderName::from_static("gone")]);
        let kept: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        assert_eq!(kept, ["x-b", "cookie", "x-forwarded-for", "x-a"]);
        assert!(!are_end_to_end(&headers, &[]));
        assert!(are_end_to_end(&end_to_end(&headers, &[]), &[]));
    }
}
