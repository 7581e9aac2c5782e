//! Answers that the gateway has whole in memory.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use crate::fault::Fault;

/// Names the gateway's own answers, so that nobody takes them for a server's.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-ropeway-error");

/// An answer to a client.
pub type Reply = Response<ReplyBody>;

/// The body of an answer that is whole in memory.
#[derive(Clone, Default, Debug)]
pub struct ReplyBody {
    bytes: Option<Bytes>,
    /// Sent without its length: the rest was cut off.
    cut: bool,
}

impl ReplyBody {
    /// A body with its length.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        ReplyBody { bytes: Some(bytes.into()), cut: false }
    }

    /// The beginning of a longer body.
    pub fn cut(bytes: impl Into<Bytes>) -> Self {
        ReplyBody { bytes: Some(bytes.into()), cut: true }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        !self.cut && self.bytes.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        let len = self.bytes.as_ref().map_or(0, Bytes::len) as u64;
        if self.cut { SizeHint::default() } else { SizeHint::with_exact(len) }
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
