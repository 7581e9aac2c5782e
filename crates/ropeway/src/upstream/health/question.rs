//! The request of a check.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::Full;

use super::talk::random;
use crate::spec::Spanned;
use crate::spec::health_check::{HttpCheck, WsCheck};
use crate::spec::types::{HeaderName as NameSpec, Host, HttpMethod, Port, ServerUrl};

/// A request that can be sent again and again. Its headers and body are not shown: they may hold secrets.
pub(super) struct Question {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
    is_handshake: bool,
}

impl Question {
    /// An HTTP request; for `path`, where `spec` names nothing else.
    pub(super) fn http(spec: &HttpCheck, path: Option<&str>, url: &ServerUrl) -> Self {
        let mut question = Question::new(spec.uri.as_ref().map(|uri| uri.as_str()).or(path), spec.port, url);
        question.method = spec.method.as_ref().map_or(Method::GET, |asked| method(**asked));
        question.body = spec.body.clone().unwrap_or_default().into();
        if let (Some(user), Some(password)) = (&spec.username, &spec.password) {
            let pair = STANDARD.encode(format!("{}:{}", **user, password.expose()));
            question.set(AUTHORIZATION, &format!("Basic {pair}"));
        }
        question.set_all(&spec.headers);
        question
    }

    /// A WebSocket handshake.
    pub(super) fn handshake(spec: &WsCheck, url: &ServerUrl) -> Self {
        let mut question = Question::new(spec.uri.as_ref().map(|uri| uri.as_str()), spec.port, url);
        question.is_handshake = true;
        for (name, value) in
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
        {
            question.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        question.set_all(&spec.headers);
        question
    }

    /// The request as it is sent this time: a handshake has a key of its own.
    pub(super) fn ask(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        if self.is_handshake {
            request.headers_mut().insert("sec-websocket-key", key());
        }
        request
    }

    /// A GET for `uri`, or for what `url` names.
    fn new(uri: Option<&str>, port: Option<Port>, url: &ServerUrl) -> Self {
        let target = uri.unwrap_or(url.target()).parse::<Uri>().ok();
        let target = target.and_then(|uri| uri.path_and_query().cloned());
        let host = match port {
            Some(port) if !matches!(url.host(), Host::Unix(_)) => format!("{}:{}", url.host(), port.get()),
            _ => url.authority().to_owned(),
        };
        let mut headers = HeaderMap::new();
        if let Ok(host) = HeaderValue::try_from(host) {
            headers.insert(HOST, host);
        }
        headers
            .insert("user-agent", HeaderValue::from_static(concat!("ropeway/", env!("CARGO_PKG_VERSION"))));
        Question {
            method: Method::GET,
            target: target.map_or(Uri::from_static("/"), Uri::from),
            headers,
            body: Bytes::new(),
            is_handshake: false,
        }
    }

    /// The user's headers take the place of those that are there.
    fn set_all(&mut self, headers: &BTreeMap<NameSpec, Spanned<String>>) {
        for (name, value) in headers {
            // Was found to be valid when it was read.
            if let Ok(name) = name.as_str().parse() {
                self.set(name, value);
            }
        }
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        if let Ok(mut value) = HeaderValue::from_str(value) {
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

fn method(method: HttpMethod) -> Method {
    method.as_str().parse().unwrap_or(Method::GET)
}

/// A `Sec-WebSocket-Key` (RFC 6455 4.1).
fn key() -> HeaderValue {
    let key = STANDARD.encode(random::<16>());
    HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever logs headers does not log these.
    #[test]
    fn what_the_user_sets_is_sensitive() {
        let mut question = Question::new(None, None, &"ws://a".parse().unwrap());
        question.set(HeaderName::from_static("x-token"), "hunter2");
        question.set(AUTHORIZATION, "Basic hunter2");
        let shown = format!("{:?} {question:?}", question.ask());
        assert!(shown.contains("x-token") && shown.contains("authorization"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
