//! The body of a client's request on its way to a server.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::unread::ClientBody;
use crate::fault::Fault;

/// How long a server that was asked for its consent (RFC 9110 10.1.1) may be silent: it may not know the question.
const CONSENT_PATIENCE: Duration = Duration::from_secs(1);

/// A body that is read as fast as somebody takes it, within bounds of length and time.
///
/// Boxed: handshakes have none, and should not carry room for one.
#[derive(Default)]
pub struct RequestBody(Option<Box<Flow>>);

struct Flow {
    incoming: Option<ClientBody>,
    /// How much more may come.
    left: u64,
    /// How long the client may pause.
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    /// Resolves when the body may be read; until then the client was not told to send it.
    consent: Option<Pin<Box<dyn Future<Output = ()>>>>,
    ended: Ended,
}

/// What counts only at the head of a request (RFC 9110 6.5.1), as some servers do not care where it stood.
const NO_TRAILERS: [&str; 21] = [
    "authorization",
    "client-cert",
    "client-cert-chain",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// How a body ended, for those who no longer have it.
#[derive(Clone, Default, Debug)]
pub struct Ended(Option<Rc<Progress>>);

#[derive(Debug)]
struct Progress {
    end: Cell<Option<End>>,
    /// How many bytes were read.
    read: Cell<u64>,
}

type End = Result<(), BodyFault>;

/// Why a body ended before its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyFault {
    /// It has more bytes than it may have.
    TooLarge,
    /// The client paused for too long.
    TooSlow,
    /// The connection was lost, or a chunk is invalid.
    Broken,
}

impl RequestBody {
    /// The body `incoming`, of which at most `most` bytes are passed on, with pauses of at most `patience`.
    pub fn new(incoming: ClientBody, most: u64, patience: Duration) -> Self {
        let end = incoming.is_end_stream().then_some(Ok(()));
        let ended = Ended(Some(Rc::new(Progress { end: Cell::new(end), read: Cell::new(0) })));
        let incoming = Some(incoming);
        let flow = Flow { incoming, left: most, patience, pause: None, consent: None, ended };
        RequestBody(Some(Box::new(flow)))
    }

    /// Whether there is no body.
    pub fn is_empty(&self) -> bool {
        self.incoming().is_none_or(Body::is_end_stream)
    }

    /// Whether its head says that it is longer than it may be.
    pub fn is_too_large(&self) -> bool {
        self.0.as_ref().is_some_and(|flow| self.size_hint().lower() > flow.left)
    }

    /// Is not read before `given` is cancelled, or for a while.
    pub fn wait_for(&mut self, given: CancellationToken) {
        let Some(flow) = &mut self.0 else { return };
        flow.consent = Some(Box::pin(async move {
            // A server that says nothing gets the body all the same.
            let _ = timeout(CONSENT_PATIENCE, given.cancelled()).await;
        }));
    }

    /// Where to see why it ended.
    pub fn ended(&self) -> Ended {
        self.0.as_ref().map(|flow| flow.ended.clone()).unwrap_or_default()
    }

    fn incoming(&self) -> Option<&ClientBody> {
        self.0.as_ref()?.incoming.as_ref()
    }
}

impl Flow {
    fn note_end(&self) {
        if let Some(ended) = &self.ended.0 {
            ended.end.set(Some(Ok(())));
        }
    }

    fn fail(&mut self, fault: BodyFault) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        self.incoming = None;
        if let Some(ended) = &self.ended.0 {
            ended.end.set(Some(Err(fault)));
        }
        Poll::Ready(Some(Err(fault)))
    }

    /// Whether the client has paused for too long.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let patience = self.patience;
        self.pause.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx)
    }
}

impl Ended {
    /// Whether there is more to come.
    pub fn is_unfinished(&self) -> bool {
        self.0.as_ref().is_some_and(|ended| ended.end.get().is_none())
    }

    /// How many bytes of it were read so far.
    pub fn read(&self) -> u64 {
        self.0.as_ref().map_or(0, |ended| ended.read.get())
    }

    /// The fault, if the body ended by one.
    pub fn fault(&self) -> Option<Fault> {
        self.0.as_ref()?.end.get()?.err().map(|fault| match fault {
            BodyFault::TooLarge => Fault::BodyTooLarge,
            BodyFault::TooSlow => Fault::BodyTimeout,
            BodyFault::Broken => Fault::BodyBroken,
        })
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        if let Some(consent) = &mut body.consent {
            ready!(consent.as_mut().poll(cx));
            body.consent = None;
        }
        let Some(incoming) = &mut body.incoming else { return Poll::Ready(None) };
        let frame = match Pin::new(incoming).poll_frame(cx) {
            Poll::Pending if body.poll_pause(cx).is_ready() => return body.fail(BodyFault::TooSlow),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(frame) => frame,
        };
        body.pause = None;
        if body.incoming.as_ref().is_none_or(Body::is_end_stream) || frame.is_none() {
            body.note_end();
        }
        let Some(frame) = frame else { return Poll::Ready(None) };
        let Ok(mut frame) = frame else { return body.fail(BodyFault::Broken) };
        if let Some(trailers) = frame.trailers_mut() {
            NO_TRAILERS.iter().for_each(|name| drop(trailers.remove(*name)));
        }
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        match body.left.checked_sub(length) {
            None => body.fail(BodyFault::TooLarge),
            Some(left) => {
                body.left = left;
                if let Some(ended) = &body.ended.0 {
                    ended.read.set(ended.read.get() + length);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").field("size", &self.size_hint()).finish()
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyFault::TooLarge => "the body is too large",
            BodyFault::TooSlow => "the body did not come in time",
            BodyFault::Broken => "the body breaks off",
        })
    }
}

impl std::error::Error for BodyFault {}
