//! An ordinary request, led to a server of a pool.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderValue, TE, TRAILER, TRANSFER_ENCODING,
};
use http::{Method, Request, StatusCode, Uri, Version, request};
use hyper::body::Body;
use hyper::ext::on_informational;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Answered, Lease};
use super::attempts::Attempts;
use super::headers::{end_to_end, lists, pass_on};
use super::health::Trial;
use super::reuse::Connections;
use super::websocket::declares_body;
use super::{Asker, Pool, Server};
use crate::fault::{Blame, Fault};
use crate::net::body::RequestBody;
use crate::net::forwarded::Client;
use crate::spec::types::StatusCodes;
use crate::tunnel::Claim;

/// What a pool makes of ordinary requests.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Rules {
    /// How long a server may take to the head of its answer; `None` for any time.
    pub(super) timeout: Option<Duration>,
    /// Answers that count as failures; `None` for those from 500 on.
    pub(super) failure_codes: Option<Vec<StatusCodes>>,
    /// The most bytes that the body of an answer may have.
    pub(super) max_answer: u64,
}

/// A request to servers. Each gets it made anew of what came: nearly always there is but one.
struct Outgoing<'a> {
    came: &'a request::Parts,
    client: &'a Client,
    body: RequestBody,
    /// Whether a second server would get the same.
    repeatable: bool,
    /// Whether the client waits for a word before it sends the body (RFC 9110 10.1.1).
    waits: bool,
}

impl Pool {
    /// Asks servers one after the other until one gives an answer that is no failure, or no further try is allowed.
    ///
    /// # Errors
    /// No server gave an answer; the fault of the last one tried.
    ///
    /// Cancel safe: dropped, the connection under way is closed.
    pub async fn exchange(
        &self,
        request: &request::Parts,
        body: RequestBody,
        client: &Client,
        connections: &Rc<Connections>,
    ) -> Result<Answered, Fault> {
        if body.is_empty() && declares_body(&request.headers) {
            return Err(Fault::BodySpent);
        }
        let mut outgoing = Outgoing::new(request, body, client);
        let asker = Asker { address: client.address, head: request };
        let mut attempts = Attempts::new(self, asker);
        if outgoing.repeatable
            && let Some((place, server, trial)) = self.trial(asker)
            && let Some(answer) = Box::pin(self.risk_request(server, trial, &mut outgoing, connections)).await
        {
            return Ok(self.pinned(place, answer.reply(self.rules.max_answer, false)?, request, client));
        }
        let mut failure = None;
        while let Some((server, claim)) = attempts.next() {
            let result = self.ask(server, claim, &mut outgoing, connections).await;
            if let Some(reason) = self.fault_of(&result) {
                self.note_failure(server, &reason);
            }
            match result {
                Ok(answer) => {
                    let status = answer.response.status();
                    let (failed, again) = self.judge(&answer, &outgoing);
                    failure = Some((answer, failed));
                    if !again {
                        break;
                    }
                    tracing::debug!(server = server.name(), %status, "failed");
                    attempts.costs = true;
                }
                Err(fault) => {
                    tracing::debug!(server = server.name(), error = %fault, "no answer");
                    attempts.costs = fault != Fault::ConnectFailed;
                    let again = outgoing.may_go_on_after(&fault);
                    attempts.fault = fault;
                    if !again {
                        break;
                    }
                }
            }
        }
        match failure {
            Some((answer, failed)) => {
                let answered = answer.reply(self.rules.max_answer, failed)?;
                Ok(self.pinned(attempts.place(), answered, request, client))
            }
            None => Err(attempts.fault),
        }
    }

    /// Has a client that is to come back to its server do so, unless that has just failed it.
    fn pinned(
        &self,
        place: usize,
        mut answered: Answered,
        request: &request::Parts,
        client: &Client,
    ) -> Answered {
        if !answered.failed {
            self.balancer.pin(place, client.is_secure(&request.headers), answered.reply.headers_mut());
        }
        answered
    }

    /// Has a request that can be repeated try an ejected server. Where that fails the request goes on as if nothing had
    /// been.
    async fn risk_request(
        &self,
        server: &Server,
        trial: Trial,
        outgoing: &mut Outgoing<'_>,
        connections: &Rc<Connections>,
    ) -> Option<Answer> {
        let claim = server.claim();
        if self.is_over_capacity() || server.is_over_capacity() {
            return None;
        }
        let patience = self.deadlines.connect + self.deadlines.handshake;
        let asking = self.ask(server, claim, outgoing, connections);
        let result = timeout(patience, asking).await.unwrap_or(Err(Fault::AnswerTimeout));
        match self.fault_of(&result) {
            Some(reason) => trial.failed(&reason),
            None if result.is_ok() => {
                trial.passed();
                return result.ok();
            }
            None => {}
        }
        None
    }

    /// Whether an answer counts as a failure, and whether another server is to be asked.
    fn judge(&self, answer: &Answer, outgoing: &Outgoing<'_>) -> (bool, bool) {
        let status = answer.response.status();
        let failed = self.rules.is_failure(status);
        (failed, failed && self.rules.is_worth_another(status) && outgoing.repeatable)
    }

    /// What the server has to answer for.
    fn fault_of(&self, result: &Result<Answer, Fault>) -> Option<Cow<'static, str>> {
        match result {
            Ok(answer) => {
                let status = answer.response.status();
                self.rules.is_failure(status).then(|| format!("status {}", status.as_u16()).into())
            }
            Err(fault) => (fault.blame() == Blame::Server).then(|| fault.label().into()),
        }
    }

    /// Asks one server: over a connection that waits, or else over a new one.
    async fn ask(
        &self,
        server: &Server,
        claim: Claim,
        outgoing: &mut Outgoing<'_>,
        connections: &Rc<Connections>,
    ) -> Result<Answer, Fault> {
        let lease =
            |link, claim| Lease { link, server: server.id(), connections: connections.clone(), claim };
        let mut claim = claim;
        if let Some(link) = connections.take(server, outgoing.repeatable) {
            match self.send(lease(link, claim), server, outgoing).await {
                // It may have been closed while it waited: that says nothing about the server.
                Err(Failed { fault: Fault::NoAnswer, unsent }) if unsent || outgoing.repeatable => {
                    claim = server.claim();
                }
                answered => return answered.map_err(|failed| failed.fault),
            }
        }
        let link = connections.open(server, self.deadlines.connect).await?;
        self.send(lease(link, claim), server, outgoing).await.map_err(|failed| failed.fault)
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(
        &self,
        mut lease: Lease,
        server: &Server,
        outgoing: &mut Outgoing<'_>,
    ) -> Result<Answer, Failed> {
        let request = outgoing.request(server);
        let ended = request.body().ended();
        let sending = lease.link.send(request);
        let sent = match self.rules.timeout {
            Some(patience) => timeout(patience, sending).await.map_err(|_| match ended.is_unfinished() {
                true => Fault::BodyTimeout,
                false => Fault::AnswerTimeout,
            })?,
            None => sending.await,
        };
        match sent {
            // Nobody asked it to switch.
            Ok(response) if response.status().is_informational() => Err(Fault::AnswerMalformed.into()),
            Ok(response) if is_coded(response.headers()) => Err(Fault::AnswerMalformed.into()),
            Ok(response) => {
                if ended.is_unfinished() {
                    // A client that sends on may read nothing until it is done.
                    lease.connections.set_apart(&mut lease.link);
                }
                Ok(Answer { response, lease })
            }
            Err(mut error) => {
                if let Some(request) = error.take_message() {
                    outgoing.body = request.into_body();
                    return Err(Failed { fault: Fault::NoAnswer, unsent: true });
                }
                let malformed = error.error().is_parse();
                let fault = if malformed { Fault::AnswerMalformed } else { Fault::NoAnswer };
                Err(ended.fault().unwrap_or(fault).into())
            }
        }
    }
}

/// Why there is no answer.
struct Failed {
    fault: Fault,
    /// Nothing of the request was sent.
    unsent: bool,
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Failed { fault, unsent: false }
    }
}

impl Rules {
    fn is_failure(&self, status: StatusCode) -> bool {
        match &self.failure_codes {
            Some(codes) => codes.iter().any(|codes| codes.contains(status.as_u16())),
            None => status.is_server_error(),
        }
    }

    /// Whether a failure speaks of the server, and not of the request: what the user lists does.
    fn is_worth_another(&self, status: StatusCode) -> bool {
        self.failure_codes.is_some() || matches!(status.as_u16(), 502..=504)
    }
}

impl<'a> Outgoing<'a> {
    fn new(came: &'a request::Parts, body: RequestBody, client: &'a Client) -> Self {
        let has_body = !body.is_empty();
        Outgoing {
            came,
            client,
            repeatable: !has_body && came.method.is_idempotent() && came.method != Method::TRACE,
            waits: has_body && came.version > Version::HTTP_10 && is_asking(&came.headers),
            body,
        }
    }

    /// As `server` gets it, with the body.
    fn request(&mut self, server: &Server) -> Request<RequestBody> {
        let came = self.came;
        let mut request = Request::new(std::mem::take(&mut self.body));
        let target = came.uri.path_and_query().cloned().map_or(Uri::from_static("/"), Uri::from);
        *request.method_mut() = came.method.clone();
        *request.uri_mut() = server.target(target);
        *request.headers_mut() = self.headers(request.body());
        if let Some(host) = server.own_host() {
            request.headers_mut().insert(HOST, host.clone());
        }
        if self.waits {
            let consent = CancellationToken::new();
            request.body_mut().wait_for(consent.clone());
            on_informational(&mut request, move |word| {
                if word.status() == StatusCode::CONTINUE {
                    consent.cancel();
                }
            });
        }
        request
    }

    fn headers(&self, body: &RequestBody) -> HeaderMap {
        let came = &self.came.headers;
        let mut headers = end_to_end(came, &[EXPECT]);
        self.client.forward(&mut headers);
        if self.waits {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        if !body.is_empty() && body.size_hint().exact().is_none() {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            pass_on(came, &mut headers, TRAILER);
        }
        if takes_trailers(came) {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            headers.insert(CONNECTION, HeaderValue::from_static("TE"));
        }
        headers
    }

    /// Whether another server may be asked. What was never sent can be sent by any method; what may have been sent
    /// only by one that can be repeated (RFC 9110 9.2.2).
    fn may_go_on_after(&self, fault: &Fault) -> bool {
        match fault {
            Fault::ConnectFailed | Fault::ConnectTimeout | Fault::ServerTls | Fault::NoRoom => true,
            Fault::NoAnswer | Fault::AnswerTimeout => self.repeatable,
            _ => false,
        }
    }
}

/// Whether a body has another coding than `chunked`, which nobody behind could undo.
fn is_coded(headers: &HeaderMap) -> bool {
    headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

fn is_asking(headers: &HeaderMap) -> bool {
    headers.get_all(EXPECT).iter().any(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether trailers can be sent to who sent these (RFC 9110 10.1.4).
fn takes_trailers(headers: &HeaderMap) -> bool {
    lists(headers, &TE, "trailers")
}
