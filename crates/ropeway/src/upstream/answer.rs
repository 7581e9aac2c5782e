//! A server's answer to an ordinary request, on its way to the client.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, TRAILER, TRANSFER_ENCODING};
use http::{Response, StatusCode, Version};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::headers::{are_end_to_end, end_to_end, pass_on, pass_on_upgrade};
use super::reuse::{Connections, Link};
use crate::fault::Fault;
use crate::net::reply::{BodyError, ERROR_HEADER, Reply, ReplyBody};
use crate::tunnel::{Account, Claim};

/// An answer, and whether it counts as a failure.
pub struct Answered {
    /// As the client gets it.
    pub reply: Reply,
    /// It has one of the codes that count as failures.
    pub failed: bool,
    /// Of the server that gave it.
    pub account: Arc<Account>,
}

/// The head of a server's answer.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    pub(super) lease: Lease,
}

/// What an answer holds until its end.
pub(super) struct Lease {
    pub(super) link: Link,
    pub(super) server: u64,
    pub(super) connections: Rc<Connections>,
    pub(super) claim: Claim,
}

impl Answer {
    /// As the client gets it; at most `most` bytes of the body.
    pub(super) fn reply(self, most: u64, failed: bool) -> Result<Answered, Fault> {
        let (mut head, incoming) = self.response.into_parts();
        if incoming.size_hint().lower() > most {
            return Err(Fault::AnswerTooLarge);
        }
        if !are_end_to_end(&head.headers, &[ERROR_HEADER]) {
            head.headers = Answer::headers(&head.headers, head.status);
        }
        // The client's connection is not the server's (RFC 9110 2.5).
        head.version = Version::HTTP_11;
        let account = self.lease.claim.account().clone();
        let body = AnswerBody { incoming, left: most, ended: false, lease: Some(self.lease) };
        let body = ReplyBody::streamed(body);
        Ok(Answered { reply: Response::from_parts(head, body), failed, account })
    }

    fn headers(came: &HeaderMap, status: StatusCode) -> HeaderMap {
        let mut headers = end_to_end(came, &[ERROR_HEADER]);
        if came.contains_key(TRANSFER_ENCODING) {
            // It overrides a length that stands beside it (RFC 9112 6.3).
            headers.remove(CONTENT_LENGTH);
            pass_on(came, &mut headers, TRAILER);
        }
        pass_on_upgrade(status, came, &mut headers);
        headers
    }
}

/// The body of a server's answer. The connection is free for another request when it was read to its end.
struct AnswerBody {
    incoming: Incoming,
    left: u64,
    ended: bool,
    lease: Option<Lease>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let AnswerBody { incoming, lease, .. } = &mut *self;
        let Some(lease) = lease else { return Poll::Ready(None) };
        let frame = ready!(lease.link.poll_frame(incoming, cx));
        let Some(frame) = frame.transpose()? else {
            self.ended = true;
            return Poll::Ready(None);
        };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err("the body of the answer is too large".into())));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| self.ended || self.incoming.is_end_stream()) {
            lease.connections.keep(lease.server, lease.link);
        }
    }
}
