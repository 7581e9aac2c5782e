//! Answers to clients: whole in memory, or as a server sends them.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::paced::Paced;
use crate::fault::Fault;

/// Names the gateway's own answers, so that nobody takes them for a server's.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-ropeway-error");

/// An answer to a client.
pub type Reply = Response<ReplyBody>;

/// Why an answer ends before its end.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The body of an answer.
pub struct ReplyBody(Source);

enum Source {
    /// Sent with its length.
    Whole(Bytes),
    /// The beginning of a longer body, sent without its length: the rest was cut off.
    Cut(Bytes),
    /// Passed on as it comes.
    Streamed(Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>),
}

impl ReplyBody {
    /// A body with its length.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        ReplyBody(Source::Whole(bytes.into()))
    }

    /// The beginning of a longer body.
    pub fn cut(bytes: impl Into<Bytes>) -> Self {
        ReplyBody(Source::Cut(bytes.into()))
    }

    /// The same, if whole; else it fails when its server pauses for longer than `patience`.
    pub fn paced(self, patience: Duration) -> Self {
        match &self.0 {
            Source::Whole(_) | Source::Cut(_) => self,
            Source::Streamed(_) => ReplyBody::streamed(Paced::new(self, patience)),
        }
    }

    /// A body that is passed on as it comes. Its error cuts the client's connection, so that nobody takes the part for
    /// the whole.
    pub fn streamed(body: impl Body<Data = Bytes, Error = BodyError> + 'static) -> Self {
        ReplyBody(Source::Streamed(Box::pin(body)))
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
        let bytes = match &mut self.0 {
            Source::Whole(bytes) | Source::Cut(bytes) => std::mem::take(bytes),
            Source::Streamed(body) => return body.as_mut().poll_frame(cx),
        };
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Cut(_) => false,
            Source::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Source::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Source::Cut(_) => SizeHint::default(),
            Source::Streamed(body) => body.size_hint(),
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
    if matches!(fault, Fault::NoCapacity | Fault::NoRoom | Fault::Stopping) {
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
