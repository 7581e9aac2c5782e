//! The part of a request by which a server is chosen.

use std::borrow::Cow;

use http::Uri;
use http::header::{COOKIE, HeaderMap};
use percent_encoding::percent_decode_str;

use crate::spec::types::HashKey;
use crate::upstream::asker::Asker;

/// What stands there, unless nothing does.
pub(super) fn value<'a>(key: &'a HashKey, asker: Asker<'a>) -> Option<Cow<'a, [u8]>> {
    let value: Cow<'a, [u8]> = match key {
        HashKey::Ip => asker.address.to_string().into_bytes().into(),
        HashKey::Header(name) => asker.header(name.as_str()).into(),
        HashKey::Cookie(name) => cookie(&asker.head.headers, name)?.into(),
        HashKey::Query(name) => query(&asker.head.uri, name)?.into(),
        HashKey::Path(pattern) => pattern.extract(&asker.path())?.as_bytes().to_vec().into(),
    };
    Some(value).filter(|value| !value.is_empty())
}

/// The first cookie of that name.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lines = headers.get_all(COOKIE).iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The first parameter of that name.
fn query(uri: &Uri, name: &str) -> Option<Vec<u8>> {
    let mut pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| unescaped(found) == name.as_bytes()).map(|(_, value)| unescaped(value))
}

fn unescaped(text: &str) -> Vec<u8> {
    percent_decode_str(&text.replace('+', " ")).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::Request;

    use super::*;

    #[test]
    fn keys_are_found() {
        let (head, ()) = Request::get("/room/a%20b/x?q=1&user=a%20b&user=2&u+v=a+b&empty=")
            .header("cookie", "a=1; session=x=y;sess=2")
            .header("cookie", "late=3")
            .header("x-user", "me")
            .header("x-user", "you")
            .header("x-empty", "")
            .body(())
            .unwrap()
            .into_parts();
        let asker = Asker { address: Ipv4Addr::LOCALHOST.into(), head: &head };
        for (key, expected) in [
            ("ip", Some("127.0.0.1")),
            ("header:X-User", Some("me")),
            ("header:X-Empty", None),
            ("header:X-None", None),
            ("cookie:session", Some("x=y")),
            ("cookie:sess", Some("2")),
            ("cookie:late", Some("3")),
            ("cookie:Session", None),
            ("query:user", Some("a b")),
            ("query:u v", Some("a b")),
            ("query:empty", None),
            ("query:none", None),
            ("path:^/room/([^/]+)", Some("a b")),
            ("path:^/room/[^/]+", Some("/room/a b")),
            ("path:^/(room)|(other)", Some("room")),
            ("path:^/room|(other)", None),
            ("path:^/other", None),
        ] {
            let key = key.parse().unwrap();
            let found = value(&key, asker);
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{key:?}");
        }
    }
}
