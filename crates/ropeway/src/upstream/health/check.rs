//! One check of one server.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HeaderMap;
use http::{Response, StatusCode, response};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};
use ws::handshake::{check_request, check_response};

use super::expected::Expected;
use super::question::Question;
use super::talk::{self, Talk};
use crate::net::begun::Begun;
use crate::spec::health_check::{HealthCheck as Spec, HttpCheck, WsCheck};
use crate::spec::types::Port;
use crate::upstream::Server;
use crate::upstream::connect::{ConnectError, Destination, connect};
use crate::upstream::handshake::{Asked, exchange, read_up_to};
use crate::upstream::headers::pairs;

/// How to find out whether a server is well: all that is asked must be answered as it should be.
#[derive(Debug)]
pub(super) struct Check {
    asks: Vec<Ask>,
    timeout: Duration,
    max_latency: Option<Duration>,
}

/// What a check found wrong.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words for a log.
    pub(super) reason: String,
    /// How long the answer took that is wrong; `None` where none came.
    pub(super) latency: Option<Duration>,
}

/// One question.
#[derive(Debug)]
struct Ask {
    kind: Kind,
    to: Destination,
    question: Question,
    expected: Expected,
    /// What is said when the handshake is done.
    talk: Option<Talk>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Http,
    WebSocket,
}

/// The head of an answer, and what it answers.
struct Answer {
    sent: HeaderMap,
    response: Response<Incoming>,
    connection: Asked,
}

impl Check {
    /// The check of `server`.
    pub(super) fn new(spec: &Spec, server: &Server) -> Self {
        let http = spec.http.as_ref().map(|http| Ask::http(http, spec.path.as_deref(), server));
        let ws = spec.ws.as_ref().map(|ws| Ask::websocket(ws, server));
        Check {
            asks: http.into_iter().chain(ws).collect(),
            timeout: spec.timeout.get(),
            max_latency: spec.max_latency.as_ref().map(|most| most.get()),
        }
    }

    /// Asks, and says how long it took or what was wrong.
    ///
    /// Cancel safe: dropped, the connection under way is closed.
    pub(super) async fn run(&self) -> Result<Duration, Failure> {
        let mut all = Duration::ZERO;
        for ask in &self.asks {
            let asked = ask.run(self.timeout).await.and_then(|latency| self.in_time(latency));
            all += asked.map_err(|failure| failure.of(ask.kind))?;
        }
        Ok(all)
    }

    fn in_time(&self, latency: Duration) -> Result<Duration, Failure> {
        match self.max_latency {
            Some(most) if latency > most => {
                Err(Failure::answered(format!("took {latency:?}, more than {most:?}"), latency))
            }
            _ => Ok(latency),
        }
    }
}

impl Ask {
    fn http(spec: &HttpCheck, path: Option<&str>, server: &Server) -> Self {
        let expected = Expected::new(spec.r#match.as_ref(), (200, 399));
        Ask::new(Kind::Http, Question::http(spec, path, server.url()), expected, spec.port, server)
    }

    fn websocket(spec: &WsCheck, server: &Server) -> Self {
        let expected = Expected::new(spec.r#match.as_ref(), (101, 101));
        let question = Question::handshake(spec, server.url());
        let ask = Ask::new(Kind::WebSocket, question, expected, spec.port, server);
        Ask { talk: Talk::new(spec), ..ask }
    }

    fn new(kind: Kind, question: Question, expected: Expected, port: Option<Port>, server: &Server) -> Self {
        let to = server.destination();
        let to = port.map_or_else(|| to.clone(), |port| to.at_port(port.get()));
        Ask { kind, to, question, expected, talk: None }
    }

    /// How long it took until all was answered that is asked, or what is wrong. The answers, not the parting, have to be
    /// there within `patience`.
    async fn run(&self, patience: Duration) -> Result<Duration, Failure> {
        let began = Instant::now();
        let deadline = began + patience;
        let answer = timeout_at(deadline, self.put(patience)).await;
        let answer = answer.map_err(|_| Failure::unanswered("no answer in time"))??;
        let latency = began.elapsed();
        if self.kind == Kind::WebSocket && answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.converse(answer, began, deadline).await
        } else {
            let judged = self.judge_whole(answer, deadline).await;
            judged.map(|()| latency).map_err(|reason| Failure::answered(reason, latency))
        }
    }

    /// Sends the request, and waits for the head of the answer.
    async fn put(&self, patience: Duration) -> Result<Answer, Failure> {
        let connected = connect(&self.to, patience).await;
        let stream = connected.map_err(|error| match error {
            ConnectError::Failed(error) => Failure::unanswered(format!("cannot connect: {error}")),
            ConnectError::Tls(reason) => Failure::unanswered(format!("no TLS: {reason}")),
            ConnectError::TimedOut => Failure::unanswered("cannot connect in time"),
        })?;
        let request = self.question.ask();
        let sent = request.headers().clone();
        let exchanged = exchange(Begun::reading(stream, Bytes::new()), request).await;
        let (response, connection) =
            exchanged.map_err(|error| Failure::unanswered(format!("no valid answer: {error}")))?;
        Ok(Answer { sent, response, connection })
    }

    /// Judges an answer that opens no WebSocket, as much of its body as comes until `deadline` included.
    async fn judge_whole(&self, answer: Answer, deadline: Instant) -> Result<(), String> {
        let Answer { response, mut connection, .. } = answer;
        let (head, mut body) = response.into_parts();
        let (mut bytes, mut is_whole) = (BytesMut::new(), true);
        if self.expected.wants_body() {
            // Of a longer body, and of one that does not end, the beginning counts.
            let reading = read_up_to(&mut body, &mut connection, &mut bytes);
            is_whole = timeout_at(deadline, reading).await.unwrap_or(false);
        }
        self.expected.judge_head(head.status, &head.headers)?;
        if self.talk.is_some() {
            return Err(format!("status {}: there is no WebSocket to talk over", head.status.as_u16()));
        }
        self.expected.judge_body(&bytes, is_whole)
    }

    /// Judges a 101, says what is to be said over the WebSocket, and takes leave of the server.
    async fn converse(&self, answer: Answer, began: Instant, deadline: Instant) -> Result<Duration, Failure> {
        let parts = answer.connection.into_parts();
        let (mut stream, early) = parts.io.into_inner().into_parts(parts.read_buf);
        let head = answer.response.into_parts().0;
        check_agreement(&answer.sent, &head).map_err(|reason| Failure::answered(reason, began.elapsed()))?;
        let judged = self.expected.judge_head(head.status, &head.headers);
        let judged = judged.and_then(|()| self.expected.judge_body(b"", true));
        let heard = match &self.talk {
            Some(talk) if judged.is_ok() => talk.hold(&mut stream, early, deadline).await,
            _ => Ok(()),
        };
        let latency = began.elapsed();
        talk::part(stream, &heard).await;
        judged.map_err(|reason| Failure::answered(reason, latency))?;
        match heard {
            Ok(()) => Ok(latency),
            Err(late @ talk::Fault::Late(_)) => Err(Failure::unanswered(late.to_string())),
            Err(fault) => Err(Failure::answered(fault.to_string(), latency)),
        }
    }
}

/// Whether `head` is a valid answer to the handshake with the headers `sent`.
fn check_agreement(sent: &HeaderMap, head: &response::Parts) -> Result<(), String> {
    let fields = pairs(sent);
    let offer = check_request(fields.iter().copied()).map_err(|fault| fault.to_string())?;
    let agreed = check_response(&offer, pairs(&head.headers).iter().copied());
    agreed.map(drop).map_err(|fault| fault.to_string())
}

impl Failure {
    fn unanswered(reason: impl Into<String>) -> Self {
        Failure { reason: reason.into(), latency: None }
    }

    fn answered(reason: String, latency: Duration) -> Self {
        Failure { reason, latency: Some(latency) }
    }

    fn of(self, kind: Kind) -> Self {
        Failure { reason: format!("{kind}: {}", self.reason), ..self }
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
