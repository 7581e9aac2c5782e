//! Answers to clients: whole in memory, or as a server sends them.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::paced::Pace;
use crate::fault::Fault;

/// Names the gateway's own answers, so that nobody takes them for a server's.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-ropeway-error");

/// An answer to a client.
pub type Reply = Response<ReplyBody>;

/// Why an answer ends before its end.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The body of an answer.
pub struct ReplyBody {
    source: Source,
    watch: Option<Watch>,
}

/// Somebody who wants to know how much of a body was sent, once it is over.
struct Watch {
    sent: u64,
    tell: Option<Box<dyn FnOnce(u64)>>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(tell) = self.tell.take() {
            tell(self.sent);
        }
    }
}

enum Source {
    /// Sent with its length.
    Whole(Bytes),
    /// The beginning of a longer body, sent without its length: the rest was cut off.
    Cut(Bytes),
    /// Passed on as it comes, or as it comes in time.
    Streamed(Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>, Option<Pace>),
}

impl ReplyBody {
    /// A body with its length.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        ReplyBody { source: Source::Whole(bytes.into()), watch: None }
    }

    /// The beginning of a longer body.
    pub fn cut(bytes: impl Into<Bytes>) -> Self {
        ReplyBody { source: Source::Cut(bytes.into()), watch: None }
    }

    /// The same, if whole; else it fails when its server pauses for longer than `patience`.
    pub fn paced(mut self, patience: Duration) -> Self {
        if let Source::Streamed(_, pace) = &mut self.source {
            *pace = Some(Pace::new(patience));
        }
        self
    }

    /// A body that is passed on as it comes. Its error cuts the client's connection, so that nobody takes the part for
    /// the whole.
    pub fn streamed(body: impl Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        ReplyBody { source: Source::Streamed(Box::pin(body), None), watch: None }
    }

    /// Calls `tell` with the number of bytes that were sent, once that is over for whatever reason.
    #[must_use]
    pub fn watched(self, tell: impl FnOnce(u64) + 'static) -> Self {
        ReplyBody { watch: Some(Watch { sent: 0, tell: Some(Box::new(tell)) }), ..self }
    }
}

impl Default for ReplyBody {
    fn default() -> Self {
        ReplyBody::whole(Bytes::new())
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").field("size", &self.size_hint()).finish()
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Whole(bytes) | Source::Cut(bytes) => {
                let bytes = std::mem::take(bytes);
                (!bytes.is_empty()).then(|| Ok(Frame::data(bytes)))
            }
            Source::Streamed(body, None) => ready!(body.as_mut().poll_frame(cx)),
            Source::Streamed(body, Some(pace)) => ready!(pace.poll_frame(body.as_mut(), cx)),
        };
        if let (Some(watch), Some(Ok(frame))) = (&mut self.watch, &frame) {
            watch.sent += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Cut(_) => false,
            Source::Streamed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Cut(_) => SizeHint::default(),
            Source::Streamed(body, _) => body.size_hint(),
        }
    }
}

/// The answer that tells a client of `fault`.
pub fn refusal(fault: &Fault) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(format!("{fault}\n")));
    *reply.status_mut() = fault.status();
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(ERROR_HEADER, HeaderValue::from_static(fault.label()));
    if let Fault::MethodNotAllowed { allow } = fault
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        headers.insert(ALLOW, allow);
    }
    if matches!(fault, Fault::Drained | Fault::NoCapacity | Fault::NoRoom | Fault::Stopping) {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if fault.status() == StatusCode::UPGRADE_REQUIRED {
        // RFC 9110 15.5.22 and RFC 6455 4.2.2.
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    reply
}
