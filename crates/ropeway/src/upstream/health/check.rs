//! One check of one server.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use ws::handshake::{Offer, check_request, check_response};
use ws::{CloseCode, CloseFrame};

use super::expected::Expected;
use crate::net::Stream;
use crate::net::begun::Begun;
use crate::spec::Spanned;
use crate::spec::health_check::{HealthCheck as Spec, HttpCheck, WsCheck};
use crate::spec::types::{HeaderName as NameSpec, Host, HttpMethod, Port, ServerUrl, Timeout};
use crate::upstream::Server;
use crate::upstream::connect::{ConnectError, Destination, connect};
use crate::upstream::handshake::{exchange, read_up_to};
use crate::upstream::headers::pairs;

/// How long a server may take to answer a Close.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// What is read behind a Close.
const MAX_FAREWELL: u64 = 4096;

/// How to find out whether a server is well: all that is asked must be answered as it should be.
#[derive(Debug)]
pub(super) struct Check {
    asks: Vec<Ask>,
    timeout: Duration,
    max_latency: Option<Duration>,
}

/// One question.
#[derive(Debug)]
struct Ask {
    kind: Kind,
    to: Destination,
    request: Question,
    expected: Expected,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Http,
    WebSocket,
}

/// A request that can be sent again and again. Not shown: it may hold a password.
struct Question {
    method: Method,
    target: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Check {
    /// The check of `server`.
    pub(super) fn new(spec: &Spec, server: &Server) -> Self {
        let http = spec.http.as_ref().map(|http| Ask::http(http, spec.path.as_deref(), server));
        let ws = spec.ws.as_ref().map(|ws| Ask::websocket(ws, server));
        Check {
            asks: http.into_iter().chain(ws).collect(),
            timeout: spec.timeout.get(),
            max_latency: spec.max_latency.map(Timeout::get),
        }
    }

    /// Asks, and says how long it took or what was wrong.
    ///
    /// # Errors
    /// What was wrong, in words for a log.
    ///
    /// Cancel safe: dropped, the connection under way is closed.
    pub(super) async fn run(&self) -> Result<Duration, String> {
        let mut all = Duration::ZERO;
        for ask in &self.asks {
            let asked = timeout(self.timeout, ask.run(self.timeout)).await;
            let asked = asked.unwrap_or_else(|_| Err("no answer in time".into()));
            let latency = asked.map_err(|fault| format!("{}: {fault}", ask.kind))?;
            if let Some(most) = self.max_latency.filter(|most| latency > *most) {
                return Err(format!("{}: took {latency:?}, more than {most:?}", ask.kind));
            }
            all += latency;
        }
        Ok(all)
    }
}

impl Ask {
    fn http(spec: &HttpCheck, path: Option<&str>, server: &Server) -> Self {
        let uri = spec.uri.as_ref().map(|uri| uri.as_str()).or(path);
        let mut request = Question::new(uri, spec.port, server.url());
        request.method = spec.method.map_or(Method::GET, method);
        request.body = spec.body.clone().unwrap_or_default().into();
        if let (Some(user), Some(password)) = (&spec.username, &spec.password) {
            let pair = STANDARD.encode(format!("{}:{}", **user, password.expose()));
            if let Ok(mut value) = HeaderValue::try_from(format!("Basic {pair}")) {
                value.set_sensitive(true);
                request.headers.insert(AUTHORIZATION, value);
            }
        }
        request.set(&spec.headers);
        Ask::new(
            Kind::Http,
            request,
            Expected::new(spec.r#match.as_ref(), (200, 399)),
            spec.port,
            server.destination(),
        )
    }

    fn websocket(spec: &WsCheck, server: &Server) -> Self {
        let mut request = Question::new(spec.uri.as_ref().map(|uri| uri.as_str()), spec.port, server.url());
        for (name, value) in
            [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")]
        {
            request.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        request.set(&spec.headers);
        Ask::new(
            Kind::WebSocket,
            request,
            Expected::new(spec.r#match.as_ref(), (101, 101)),
            spec.port,
            server.destination(),
        )
    }

    fn new(kind: Kind, request: Question, expected: Expected, port: Option<Port>, to: &Destination) -> Self {
        let to = port.map_or_else(|| to.clone(), |port| to.at_port(port.get()));
        Ask { kind, to, request, expected }
    }

    /// How long it took until the answer was there, or what is wrong with it.
    async fn run(&self, patience: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        let deadline = began + patience;
        let stream = connect(&self.to, patience).await.map_err(|error| match error {
            ConnectError::Failed(error) => format!("cannot connect: {error}"),
            ConnectError::Tls(reason) => format!("no TLS: {reason}"),
            ConnectError::TimedOut => "cannot connect in time".into(),
        })?;
        let mut request = self.request.ask();
        if self.kind == Kind::WebSocket {
            request.headers_mut().insert("sec-websocket-key", key());
        }
        let sent = request.headers().clone();
        let exchanged = exchange(Begun::reading(stream, Bytes::new()), request).await;
        let (response, mut connection) = exchanged.map_err(|error| format!("no valid answer: {error}"))?;
        let latency = began.elapsed();
        let (head, mut body) = response.into_parts();
        if head.status != StatusCode::SWITCHING_PROTOCOLS || self.kind == Kind::Http {
            let mut bytes = BytesMut::new();
            if self.expected.wants_body() {
                // Of a longer body, and of one that does not end, the beginning counts.
                let _ = timeout_at(deadline, read_up_to(&mut body, &mut connection, &mut bytes)).await;
            }
            return self.expected.judge(head.status, &head.headers, &bytes).map(|()| latency);
        }
        check_response(&offer(&sent)?, pairs(&head.headers).iter().copied())
            .map_err(|fault| fault.to_string())?;
        let (stream, _) = connection.into_parts().io.into_inner().into_parts(Bytes::new());
        // In time or not: this is for the server's sake.
        let _ = timeout_at(deadline.min(Instant::now() + CLOSE_PATIENCE), say_goodbye(stream)).await;
        self.expected.judge(head.status, &head.headers, b"").map(|()| latency)
    }
}

/// What a check's own request offers.
fn offer(sent: &HeaderMap) -> Result<Offer<'_>, String> {
    let fields = pairs(sent);
    check_request(fields.iter().copied()).map_err(|fault| fault.to_string())
}

impl Question {
    /// A GET for `uri`, or for what `url` names.
    fn new(uri: Option<&str>, port: Option<Port>, url: &ServerUrl) -> Self {
        let target = uri.unwrap_or(url.target());
        let target = target.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().cloned());
        let mut headers = HeaderMap::new();
        let host = match port {
            Some(port) if !matches!(url.host(), Host::Unix(_)) => format!("{}:{}", url.host(), port.get()),
            _ => url.authority().to_owned(),
        };
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
        }
    }

    /// The user's headers take the place of those that are there.
    fn set(&mut self, headers: &BTreeMap<NameSpec, Spanned<String>>) {
        for (name, value) in headers {
            // Both were found to be valid when they were read.
            if let (Ok(name), Ok(value)) = (name.as_str().parse::<HeaderName>(), value.parse()) {
                self.headers.insert(name, value);
            }
        }
    }

    fn ask(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Http => "http",
            Kind::WebSocket => "ws",
        })
    }
}

/// Closes a WebSocket as it should be (RFC 6455 7.1.2), and waits for the server's end of it.
async fn say_goodbye(mut stream: Stream) -> std::io::Result<()> {
    let close = CloseFrame::new(CloseCode::NORMAL, "", Some(random()));
    stream.write_all(close.as_bytes()).await?;
    let mut rest = Vec::new();
    stream.take(MAX_FAREWELL).read_to_end(&mut rest).await?;
    Ok(())
}

/// A `Sec-WebSocket-Key` (RFC 6455 4.1).
fn key() -> HeaderValue {
    let key = STANDARD.encode(random::<16>());
    HeaderValue::try_from(key).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Neither a key nor a mask keeps a secret here.
    let _ = getrandom::fill(&mut bytes);
    bytes
}

fn method(method: HttpMethod) -> Method {
    method.as_str().parse().unwrap_or(Method::GET)
}
