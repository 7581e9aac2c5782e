//! Heads of HTTP/1.1 messages as nearly all WebSocket handshakes have them, read and written in one go.
//!
//! What is not as usual is no fault here: it is left to hyper, which knows every form that a message can have, and
//! costs more.

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri, request, response};
use httparse::{EMPTY_HEADER, Header, Status};

use crate::fault::Fault;

/// Room for a usual head; one that comes in parts may be longer.
pub const USUAL: usize = 4096;

/// Heads with more headers are left to hyper.
const USUAL_HEADERS: usize = 48;

/// Requests with more headers get a 431. hyper has this bound over HTTP/1.1.
pub const MOST_HEADERS: usize = 100;

const SWITCHING: &str = "Switching Protocols";

/// The names of headers with the letter case they came in. An extension of the heads that are read here.
#[derive(Clone, Default, Debug)]
pub struct Spelling(Vec<Bytes>);

/// The request for an upgrade that `bytes` begin with, and its length.
pub fn read_request(bytes: &Bytes) -> Option<(request::Parts, usize)> {
    let mut headers = [EMPTY_HEADER; USUAL_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(Status::Complete(length)) = parsed.parse(bytes) else { return None };
    if parsed.method != Some("GET") || parsed.version != Some(1) {
        return None;
    }
    let uri = Uri::from_maybe_shared(bytes.slice_ref(parsed.path?.as_bytes())).ok()?;
    let (mut head, ()) = Request::new(()).into_parts();
    (head.method, head.uri) = (Method::GET, uri);
    let (headers, spelling) = keep(bytes, parsed.headers)?;
    head.headers = headers;
    head.extensions.insert(spelling);
    let has_body =
        [CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT].iter().any(|name| head.headers.contains_key(name));
    (head.headers.contains_key(UPGRADE) && !has_body).then_some((head, length))
}

/// Whether `bytes` are the beginning of a request that [`read_request`] may read when more of it is there.
pub fn is_begun(bytes: &[u8]) -> bool {
    if bytes.ends_with(b"\r\n\r\n") {
        return false;
    }
    let mut headers = [EMPTY_HEADER; USUAL_HEADERS];
    let begins_with_method = bytes.iter().zip(b"GET ").all(|(byte, expected)| byte == expected);
    begins_with_method && matches!(httparse::Request::new(&mut headers).parse(bytes), Ok(Status::Partial))
}

/// What is wrong with the head that `bytes` begin with, as far as it is here.
pub fn judge(bytes: &[u8]) -> Option<Fault> {
    let mut headers = [EMPTY_HEADER; MOST_HEADERS];
    match httparse::Request::new(&mut headers).parse(bytes) {
        Ok(_) => None,
        Err(httparse::Error::TooManyHeaders) => Some(Fault::HeadTooLarge),
        Err(_) => Some(Fault::HeadMalformed),
    }
}

/// The 101 that `bytes` begin with, and its length.
pub fn read_switching(bytes: &Bytes) -> Option<(response::Parts, usize)> {
    let mut headers = [EMPTY_HEADER; USUAL_HEADERS];
    let mut parsed = httparse::Response::new(&mut headers);
    let Ok(Status::Complete(length)) = parsed.parse(bytes) else { return None };
    if parsed.code != Some(101) || parsed.version != Some(1) || parsed.reason != Some(SWITCHING) {
        return None;
    }
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    let (headers, spelling) = keep(bytes, parsed.headers)?;
    head.headers = headers;
    head.extensions.insert(spelling);
    Some((head, length))
}

fn keep(bytes: &Bytes, parsed: &[Header<'_>]) -> Option<(HeaderMap, Spelling)> {
    let mut headers = HeaderMap::with_capacity(parsed.len() + 4); // a proxy adds some
    let mut spelling = Vec::with_capacity(parsed.len());
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = match header.value {
            [] => HeaderValue::from_static(""),
            value => HeaderValue::from_maybe_shared(bytes.slice_ref(value)).ok()?,
        };
        headers.append(name, value);
        spelling.push(bytes.slice_ref(header.name.as_bytes()));
    }
    Some((headers, Spelling(spelling)))
}

/// A GET for `target`. `host` takes the place of the client's.
pub fn write_request(
    target: &Uri,
    headers: &HeaderMap,
    host: Option<&HeaderValue>,
    spelling: &Spelling,
) -> Vec<u8> {
    let target = target.path_and_query().map_or("/", |target| target.as_str());
    let mut output = Vec::with_capacity(1024);
    // An absolute target may have a query and no path; the origin form begins with a slash (RFC 9112 3.2.1).
    let slash = if target.starts_with(['/', '*']) { "" } else { "/" };
    for part in ["GET ", slash, target, " HTTP/1.1\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    let lines = headers.iter().map(|(name, value)| (name, host.filter(|_| *name == HOST).unwrap_or(value)));
    spelling.write(lines, &mut output);
    output
}

/// A 101 that was read here.
pub fn write_switching(headers: &HeaderMap, spelling: &Spelling) -> Vec<u8> {
    let mut output = Vec::with_capacity(512);
    for part in ["HTTP/1.1 101 ", SWITCHING, "\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    spelling.write(headers.iter(), &mut output);
    output
}

impl Spelling {
    /// The rest of a head: lines of one name stand together, as `HeaderMap` has them.
    fn write<'a>(
        &self,
        headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
        output: &mut Vec<u8>,
    ) {
        let mut previous = None;
        let mut next = 0;
        for (name, value) in headers {
            if previous != Some(name) {
                (previous, next) = (Some(name), 0);
            }
            let is_meant = |came: &Bytes| came.eq_ignore_ascii_case(name.as_str().as_bytes());
            let unused = self.0.get(next..).unwrap_or_default();
            match unused.iter().position(is_meant) {
                Some(at) => {
                    output.extend_from_slice(&unused[at]);
                    next += at + 1;
                }
                None => write_in_title_case(name.as_str(), output),
            }
            output.extend_from_slice(if value.is_empty() { b":" } else { b": " });
            output.extend_from_slice(value.as_bytes());
            output.extend_from_slice(b"\r\n");
        }
        output.extend_from_slice(b"\r\n");
    }
}

/// As most programs write names that are not their peers', those of the handshake as RFC 6455 does.
fn write_in_title_case(name: &str, output: &mut Vec<u8>) {
    let rest = name.strip_prefix("sec-websocket-");
    if rest.is_some() {
        output.extend_from_slice(b"Sec-WebSocket-");
    }
    let name = rest.unwrap_or(name);
    let mut starts_word = true;
    for byte in name.bytes() {
        output.push(if starts_word { byte.to_ascii_uppercase() } else { byte });
        starts_word = byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str =
        "GET /a?b HTTP/1.1\r\nHOST: h\r\nupgrade: websocket\r\nx-A: 1\r\nX-b:\r\nX-a: 2\r\n\r\n";

    fn request(text: &str) -> Option<(request::Parts, usize)> {
        read_request(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_request_is_written_as_it_was_read() {
        let (mut head, length) = request(&format!("{REQUEST}early")).unwrap();
        assert_eq!(length, REQUEST.len());
        head.headers.append("x-a", HeaderValue::from_static("3"));
        head.headers.insert("sec-websocket-key", HeaderValue::from_static("::1"));
        let spelling = head.extensions.get::<Spelling>().unwrap();
        let written = |host| write_request(&head.uri, &head.headers, host, spelling);
        let expected = "GET /a?b HTTP/1.1\r\nHOST: h\r\nupgrade: websocket\r\nx-A: 1\r\nX-a: 2\r\nX-A: 3\r\nX-b:\r\n\
                        Sec-WebSocket-Key: ::1\r\n\r\n";
        assert_eq!(String::from_utf8(written(None)).unwrap(), expected);
        let unknown = write_request(&head.uri, &head.headers, None, &Spelling::default());
        let titled = expected.replace("HOST", "Host").replace("upgrade:", "Upgrade:").replace("X-a", "X-A");
        let titled = titled.replace("x-A", "X-A").replace("X-b", "X-B");
        assert_eq!(String::from_utf8(unknown).unwrap(), titled);
        let own = String::from_utf8(written(Some(&HeaderValue::from_static("own")))).unwrap();
        assert_eq!(own, expected.replace("HOST: h", "HOST: own"));
    }

    #[test]
    fn what_is_not_usual_is_left_to_others() {
        for cut in 0..REQUEST.len() {
            assert!(request(&REQUEST[..cut]).is_none(), "{cut}");
            assert!(is_begun(&REQUEST.as_bytes()[..cut]), "{cut}");
        }
        for whole in [REQUEST, &format!("{REQUEST}early"), "POST /", "GET / HTTP/1.1\r\n a", "GET /\0"] {
            assert!(!is_begun(whole.as_bytes()), "{whole}");
        }
        for (usual, other) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("/a?b", "a b"),
            ("upgrade: websocket", "x: y"),
            ("x-A: 1", "content-length: 0"),
            ("x-A: 1", "transfer-encoding: chunked"),
            ("x-A: 1", "expect: 100-continue"),
            ("x-A: 1", "x-A : 1"),
            ("x-A: 1", " folded"),
            ("x-A: 1", "x-A: \0"),
        ] {
            assert!(request(&REQUEST.replace(usual, other)).is_none(), "{other}");
        }
        let many = "a: b\r\n".repeat(USUAL_HEADERS);
        assert!(request(&REQUEST.replace("x-A: 1\r\n", &many)).is_none());
    }

    #[test]
    fn a_101_is_written_as_it_was_read_and_other_answers_are_left_to_others() {
        let text = "HTTP/1.1 101 Switching Protocols\r\nSERVER: x\r\nsec-websocket-ACCEPT: y\r\n\r\n";
        let answer = |text: &str| read_switching(&Bytes::copy_from_slice(text.as_bytes()));
        let (head, length) = answer(&format!("{text}early")).unwrap();
        assert_eq!(length, text.len());
        let written = write_switching(&head.headers, head.extensions.get().unwrap());
        assert_eq!(String::from_utf8(written).unwrap(), text);
        for cut in 0..text.len() {
            assert!(answer(&text[..cut]).is_none(), "{cut}");
        }
        for (usual, other) in [("101", "100"), ("101", "200"), ("HTTP/1.1", "HTTP/1.0"), ("Protocols", "it")]
        {
            assert!(answer(&text.replacen(usual, other, 1)).is_none(), "{other}");
        }
    }
}
