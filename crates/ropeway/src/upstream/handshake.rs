//! The handshake with one server.
//!
//! The client hears 101 only after a server has said it, and whatever else a server answers is relayed.

use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Request, Response, StatusCode, Uri, Version, response};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use ws::extensions::DeflateParams;
use ws::handshake::{Offer, ResponseFault, check_response};

use super::Server;
use super::connect::{ConnectError, connect};
use super::headers::{end_to_end, pairs, pass_on_upgrade};
use crate::fault::Fault;
use crate::net::Stream;
use crate::net::begun::Begun;
use crate::net::head::{self, Spelling, USUAL};
use crate::net::reply::{ERROR_HEADER, Reply, ReplyBody};
use crate::tunnel::{Claim, Leg};

/// Longer heads of answers are faults of the server.
const MAX_HEAD: usize = 32 * 1024;

/// How long a refusal's body may take from when it is wanted, if its time is over by then.
const BODY_PATIENCE: Duration = Duration::from_secs(1);

/// More of a refusal's body is cut off.
const MAX_REFUSAL: usize = 64 * 1024;

/// A client's handshake as servers get it, apart from `Host`.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// Path and query.
    pub target: Uri,
    /// End-to-end headers, and those of the handshake itself.
    pub headers: HeaderMap,
    /// The letter case of the headers, where the head was read by us.
    pub spelling: Option<Spelling>,
    /// Whether the client speaks TLS, be it with a proxy in front of us.
    pub secure: bool,
}

/// How long the steps may take.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Deadlines {
    /// For the connection, with the look-up of the server's name and the handshake of TLS.
    pub connect: Duration,
    /// From then on until the answer is here.
    pub handshake: Duration,
}

/// A server's answer.
#[derive(Debug)]
pub enum Answer {
    /// A valid 101.
    Agreed(Box<Agreed>),
    /// Anything else.
    Refused(Box<Refusal>),
}

/// A server's answer other than 101, of which only the head is read yet.
#[derive(Debug)]
pub struct Refusal {
    response: Response<Incoming>,
    connection: Asked,
    /// By when the body has to be here.
    deadline: Instant,
}

/// A server that is ready to speak WebSocket.
#[derive(Debug)]
pub struct Agreed {
    /// The head of its 101, with end-to-end headers and those of the handshake.
    pub head: response::Parts,
    /// How messages are compressed, if it agreed to that.
    pub deflate: Option<DeflateParams>,
    /// The connection.
    pub leg: Leg,
    /// Its place in the server's count.
    pub claim: Claim,
}

/// Invites `server`, where `claim` is a place. `offer` is what the client asked for, by which the answer is judged.
///
/// # Errors
/// No answer, or a 101 that does not fit the offer.
///
/// Cancel safe: dropped, the connection is closed.
pub async fn invite(
    server: &Server,
    claim: Claim,
    invitation: &Invitation,
    offer: &Offer<'_>,
    deadlines: Deadlines,
) -> Result<Answer, Fault> {
    let stream = connect_to(server, deadlines.connect).await?;
    let deadline = Instant::now() + deadlines.handshake;
    match timeout_at(deadline, ask(stream, server, invitation))
        .await
        .map_err(|_| Fault::HandshakeTimeout)??
    {
        Heard::Switching(head, leg) => {
            Ok(Answer::Agreed(Box::new(agree(head, leg, claim, offer).map_err(Fault::AnswerInvalid)?)))
        }
        Heard::Other(other) => {
            let (response, connection) = *other;
            Ok(Answer::Refused(Box::new(Refusal { response, connection, deadline })))
        }
    }
}

impl Refusal {
    /// What the server says.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The answer as the client gets it, with as much of its body as is allowed and in time.
    ///
    /// Cancel safe: dropped, the connection is closed.
    pub async fn read(mut self) -> Reply {
        let (mut head, mut body) = self.response.into_parts();
        let came = std::mem::take(&mut head.headers);
        head.headers = end_to_end(&came, &[ERROR_HEADER]);
        pass_on_upgrade(head.status, &came, &mut head.headers);
        // The client's connection is not the server's (RFC 9110 2.5).
        head.version = Version::HTTP_11;
        let mut bytes = BytesMut::new();
        let reading = read_up_to(&mut body, &mut self.connection, &mut bytes);
        // In time or not, what came is relayed. Other servers may have been tried since the head came.
        let deadline = self.deadline.max(Instant::now() + BODY_PATIENCE);
        let whole = timeout_at(deadline, reading).await.unwrap_or(false);
        let body = if whole { ReplyBody::whole(bytes) } else { ReplyBody::cut(bytes) };
        if !whole {
            head.headers.remove(CONTENT_LENGTH);
        }
        Response::from_parts(head, body)
    }
}

/// A connection to `server`.
pub(super) async fn connect_to(server: &Server, patience: Duration) -> Result<Stream, Fault> {
    connect(server.destination(), patience).await.map_err(|error| match error {
        ConnectError::Failed(error) if is_our_own(&error) => Fault::NoRoom,
        ConnectError::Failed(_) => Fault::ConnectFailed,
        ConnectError::Tls(reason) => no_tls(server, &reason),
        ConnectError::TimedOut => Fault::ConnectTimeout,
    })
}

/// Whether the gateway itself has no descriptor or no local port left: no server can help that.
fn is_our_own(error: &io::Error) -> bool {
    let codes = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn no_tls(server: &Server, reason: &str) -> Fault {
    tracing::warn!(pool = server.pool(), server = server.name(), reason, "no TLS with this server");
    Fault::ServerTls
}

/// With TLS 1.3 a server's refusal of our certificate comes when we believe that all is well (RFC 8446 4.4.2.4).
fn no_answer(server: &Server, error: &io::Error) -> Fault {
    match error.get_ref().filter(|inner| inner.is::<rustls::Error>()) {
        Some(reason) => no_tls(server, &reason.to_string()),
        None => Fault::NoAnswer,
    }
}

fn no_valid_answer(server: &Server, error: &hyper::Error) -> Fault {
    match error.source().and_then(|source| source.downcast_ref()) {
        _ if error.is_parse() => Fault::AnswerMalformed,
        Some(error) => no_answer(server, error),
        None => Fault::NoAnswer,
    }
}

pub(super) type Asked = Connection<TokioIo<Begun>, Full<Bytes>>;

/// The beginning of an answer.
enum Heard {
    /// A 101, and the connection behind it.
    Switching(response::Parts, Leg),
    /// Another answer, the body of which is still to be read.
    Other(Box<(Response<Incoming>, Asked)>),
}

/// Sends the request and waits for the head of the answer.
///
/// Nearly every answer is a 101 in one segment, and read here. All else is hyper's to read.
async fn ask(mut stream: Stream, server: &Server, invitation: &Invitation) -> Result<Heard, Fault> {
    let Invitation { target, headers, spelling, .. } = invitation;
    let spelling = spelling.as_ref();
    let target = server.target(target.clone());
    let request =
        head::write_request(&target, headers, server.own_host(), spelling.unwrap_or(&Spelling::default()));
    send(&mut stream, &request).await.map_err(|error| no_answer(server, &error))?;
    if spelling.is_none() {
        // hyper writes the answer to the client, and knows the spelling of what hyper has read.
        return Box::pin(hear_by_hyper(Begun::written(stream, Bytes::new()), server)).await;
    }
    let mut answer = BytesMut::with_capacity(USUAL);
    stream.read_buf(&mut answer).await.map_err(|error| no_answer(server, &error))?;
    let answer = answer.freeze();
    match head::read_switching(&answer) {
        Some((head, length)) => {
            let leg = Leg { stream, early: answer.slice(length..) };
            Ok(Heard::Switching(head, leg))
        }
        None => Box::pin(hear_by_hyper(Begun::written(stream, answer), server)).await,
    }
}

async fn send(stream: &mut Stream, request: &[u8]) -> io::Result<()> {
    let written = stream.write_at_once(request)?;
    stream.write_all(&request[written..]).await
}

/// Waits for the head of the answer to what was written. What hyper is given to write goes nowhere.
async fn hear_by_hyper(written: Begun, server: &Server) -> Result<Heard, Fault> {
    let (response, connection) = exchange(written, Request::new(Full::default()))
        .await
        .map_err(|error| no_valid_answer(server, &error))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Heard::Other(Box::new((response, connection))));
    }
    let parts = connection.into_parts();
    let (stream, early) = parts.io.into_inner().into_parts(parts.read_buf);
    Ok(Heard::Switching(response.into_parts().0, Leg { stream, early }))
}

/// Sends `request` and waits for the head of the answer, until the connection is free of hyper if it is a 101.
pub(super) async fn exchange(
    stream: Begun,
    request: Request<Full<Bytes>>,
) -> Result<(Response<Incoming>, Asked), hyper::Error> {
    let mut client = http1::Builder::new();
    client.preserve_header_case(true).title_case_headers(true).max_buf_size(MAX_HEAD);
    let (mut sender, mut connection) = client.handshake(TokioIo::new(stream)).await?;
    let mut answer = pin!(sender.send_request(request));
    let mut driven = false;
    let response = poll_fn(|cx| {
        driven = driven || connection.poll_without_shutdown(cx).is_ready();
        answer.as_mut().poll(cx)
    })
    .await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS && !driven {
        poll_fn(|cx| connection.poll_without_shutdown(cx)).await?;
    }
    Ok((response, connection))
}

/// Checks a 101.
fn agree(
    mut head: response::Parts,
    leg: Leg,
    claim: Claim,
    offer: &Offer<'_>,
) -> Result<Agreed, ResponseFault> {
    let agreement = check_response(offer, pairs(&head.headers).iter().copied())?;
    let deflate = agreement.deflate;
    head.headers = end_to_end(&head.headers, &[CONTENT_LENGTH, ERROR_HEADER]);
    head.version = Version::HTTP_11;
    Ok(Agreed { head, deflate, leg, claim })
}

/// Reads at most [`MAX_REFUSAL`] bytes of `body` into `bytes`; whether that was all of it.
pub(super) async fn read_up_to(body: &mut Incoming, connection: &mut Asked, bytes: &mut BytesMut) -> bool {
    let mut driven = false;
    loop {
        let frame = poll_fn(|cx| {
            let frame = Pin::new(&mut *body).poll_frame(cx);
            driven = driven || connection.poll_without_shutdown(cx).is_ready();
            if frame.is_ready() { frame } else { Pin::new(&mut *body).poll_frame(cx) }
        });
        match frame.await {
            None => return true,
            Some(Err(_)) => return false,
            Some(Ok(frame)) => {
                let Some(data) = frame.data_ref() else { continue };
                let room = MAX_REFUSAL - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if data.len() > room {
                    return false;
                }
            }
        }
    }
}
