//! What can go wrong with a request, whose fault it is, and the HTTP answer that says so.

use std::fmt;

use http::StatusCode;
use ws::handshake::{RequestFault, ResponseFault};

/// Every reason for which the gateway itself answers a request.
///
/// Its label goes to the client in `X-Ropeway-Error` and is the metric's label: it never changes its meaning.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The path cannot be routed safely: bad escapes, `%2f`, `%00`, backslashes or dot segments.
    PathInvalid,
    /// Not exactly one valid `Host` (RFC 9112 3.2).
    HostInvalid,
    /// The head of the request is no head of HTTP/1.1.
    HeadMalformed,
    /// The request has more headers than it may have.
    HeadTooLarge,
    /// No rule matches; these are some that exist.
    RouteNotFound {
        /// Paths that exist.
        known: Vec<String>,
    },
    /// A route exists, but not for these headers or queries.
    RouteMismatch,
    /// A route exists, but not for this method.
    MethodNotAllowed {
        /// Methods that would do, for `Allow`.
        allow: String,
    },
    /// An `ipFilter` refuses the client's address.
    AddressRefused,
    /// A WebSocket needs HTTP/1.1 (RFC 6455 4.1).
    HttpVersion,
    /// The handshake itself is at fault.
    Handshake(RequestFault),
    /// A handshake has no body, and what follows it are frames.
    BodyDeclared,
    /// The body of a request in another transfer coding than `chunked` (RFC 9112 6.1).
    TransferCoding,
    /// `CONNECT`, which asks for a proxy of another kind (RFC 9110 9.3.6).
    ConnectMethod,
    /// The body of the request is longer than it may be.
    BodyTooLarge,
    /// The client pauses for too long within the body of its request.
    BodyTimeout,
    /// The body of the request breaks off, or its framing is wrong.
    BodyBroken,
    /// An earlier filter of the flow has read the body of the request.
    BodySpent,
    /// Pages of this origin may not open WebSockets, or send requests, here.
    OriginRefused,
    /// A page of another site asks whether it may send a request that it may not.
    PreflightRefused,
    /// The route names a pipeline that is not there.
    PipelineMissing,
    /// The pipeline ended without an answer.
    NoReply,
    /// The gateway stops.
    Stopping,
    /// There are no descriptors left for more connections.
    NoRoom,
    /// No server can be used.
    NoServer,
    /// The listener, the route, or every server that could be used, is drained by command.
    Drained,
    /// Every server that can be used has as many connections as it may have.
    NoCapacity,
    /// No connection to a server.
    ConnectFailed,
    /// No connection to a server in time.
    ConnectTimeout,
    /// The server was connected to, and could not be agreed with on TLS, or is not who it should be.
    ServerTls,
    /// No answer of the server in time.
    HandshakeTimeout,
    /// No answer to an ordinary request in time.
    AnswerTimeout,
    /// The body of the server's answer is longer than it may be.
    AnswerTooLarge,
    /// The server closed the connection instead of an answer.
    NoAnswer,
    /// The server's answer is not HTTP, or too long.
    AnswerMalformed,
    /// The server's 101 does not agree to what was asked.
    AnswerInvalid(ResponseFault),
}

/// Who has to act for a fault to go away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Blame {
    /// The client sent something else than it may.
    Client,
    /// A backend does not do its part.
    Server,
    /// The gateway, or its configuration.
    Gateway,
}

impl Fault {
    /// Stable, `snake_case`.
    pub fn label(&self) -> &'static str {
        match self {
            Fault::PathInvalid => "path_invalid",
            Fault::HostInvalid => "host_invalid",
            Fault::HeadMalformed => "head_malformed",
            Fault::HeadTooLarge => "head_too_large",
            Fault::RouteNotFound { .. } => "route_not_found",
            Fault::RouteMismatch => "route_mismatch",
            Fault::MethodNotAllowed { .. } => "method_not_allowed",
            Fault::AddressRefused => "address_refused",
            Fault::HttpVersion => "http_version",
            Fault::Handshake(fault) => fault.label(),
            Fault::BodyDeclared => "body_declared",
            Fault::TransferCoding => "transfer_coding",
            Fault::ConnectMethod => "connect_method",
            Fault::BodyTooLarge => "body_too_large",
            Fault::BodyTimeout => "body_timeout",
            Fault::BodyBroken => "body_broken",
            Fault::BodySpent => "body_spent",
            Fault::OriginRefused => "origin_refused",
            Fault::PreflightRefused => "preflight_refused",
            Fault::PipelineMissing => "pipeline_missing",
            Fault::NoReply => "no_reply",
            Fault::Stopping => "stopping",
            Fault::NoRoom => "no_room",
            Fault::NoServer => "no_server",
            Fault::Drained => "drained",
            Fault::NoCapacity => "no_capacity",
            Fault::ConnectFailed => "connect_failed",
            Fault::ConnectTimeout => "connect_timeout",
            Fault::ServerTls => "server_tls",
            Fault::HandshakeTimeout => "handshake_timeout",
            Fault::AnswerTimeout => "answer_timeout",
            Fault::AnswerTooLarge => "answer_too_large",
            Fault::NoAnswer => "no_answer",
            Fault::AnswerMalformed | Fault::AnswerInvalid(_) => "answer_invalid",
        }
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        match self {
            Fault::PathInvalid
            | Fault::HostInvalid
            | Fault::HeadMalformed
            | Fault::RouteMismatch
            | Fault::BodyDeclared
            | Fault::BodyBroken => StatusCode::BAD_REQUEST,
            Fault::BodySpent => StatusCode::INTERNAL_SERVER_ERROR,
            Fault::TransferCoding | Fault::ConnectMethod => StatusCode::NOT_IMPLEMENTED,
            Fault::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Fault::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Fault::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Fault::AddressRefused | Fault::OriginRefused | Fault::PreflightRefused => StatusCode::FORBIDDEN,
            Fault::RouteNotFound { .. } => StatusCode::NOT_FOUND,
            Fault::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Fault::HttpVersion => StatusCode::UPGRADE_REQUIRED,
            Fault::Handshake(
                RequestFault::NotAnUpgrade | RequestFault::VersionMissing | RequestFault::VersionUnsupported,
            ) => StatusCode::UPGRADE_REQUIRED,
            Fault::Handshake(_) => StatusCode::BAD_REQUEST,
            Fault::ConnectFailed
            | Fault::ServerTls
            | Fault::NoAnswer
            | Fault::AnswerMalformed
            | Fault::AnswerTooLarge
            | Fault::AnswerInvalid(_) => StatusCode::BAD_GATEWAY,
            Fault::PipelineMissing
            | Fault::NoReply
            | Fault::Stopping
            | Fault::NoRoom
            | Fault::NoServer
            | Fault::Drained
            | Fault::NoCapacity => StatusCode::SERVICE_UNAVAILABLE,
            Fault::ConnectTimeout | Fault::HandshakeTimeout | Fault::AnswerTimeout => {
                StatusCode::GATEWAY_TIMEOUT
            }
        }
    }

    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Fault::PipelineMissing | Fault::NoReply | Fault::Stopping | Fault::NoRoom | Fault::BodySpent => {
                Blame::Gateway
            }
            Fault::TransferCoding | Fault::ConnectMethod => Blame::Client,
            _ if self.status().is_client_error() => Blame::Client,
            _ => Blame::Server,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::PathInvalid => {
                "the path holds a bad escape, an escaped slash or NUL, a backslash, or a dot segment"
            }
            Fault::HostInvalid => "the request does not name exactly one valid host: send Host once",
            Fault::HeadMalformed => "the request line or a header is not as HTTP/1.1 has them",
            Fault::HeadTooLarge => "the request has more than 100 headers",
            Fault::RouteNotFound { known } if known.is_empty() => "no rule matches, and there are none",
            Fault::RouteNotFound { known } => {
                return write!(f, "no rule matches; there are: {}", known.join(", "));
            }
            Fault::RouteMismatch => "the path is known, but not with these headers or queries",
            Fault::MethodNotAllowed { allow } => return write!(f, "only {allow} can be used here"),
            Fault::AddressRefused => "your address is not allowed here",
            Fault::HttpVersion => "a WebSocket handshake needs HTTP/1.1",
            Fault::Handshake(fault) => return fault.fmt(f),
            Fault::BodyDeclared => "a WebSocket handshake cannot have a body",
            Fault::TransferCoding => "a body can have no other transfer coding than chunked",
            Fault::ConnectMethod => "this is no proxy for CONNECT",
            Fault::BodyTooLarge => "the body of the request is longer than it may be",
            Fault::BodyTimeout => "the body of the request did not come in time",
            Fault::BodyBroken => "the body of the request breaks off, or its chunks are invalid",
            Fault::BodySpent => {
                "the body of the request was read by an earlier filter, and cannot be sent again"
            }
            Fault::OriginRefused => "pages of this origin may not ask here",
            Fault::PreflightRefused => "pages of this origin may not send this method or these headers here",
            Fault::PipelineMissing => "the pipeline of this route does not exist",
            Fault::NoReply => "the pipeline of this route gave no answer",
            Fault::Stopping => "the gateway stops",
            Fault::NoRoom => "the gateway has no room for more connections",
            Fault::NoServer => "no server can be used",
            Fault::Drained => "what is asked for is drained: try again later",
            Fault::NoCapacity => "all servers have as many connections as they may have: try again later",
            Fault::ConnectFailed => "no server could be connected to",
            Fault::ConnectTimeout => "no server could be connected to in time",
            Fault::ServerTls => "no server could be spoken to securely",
            Fault::HandshakeTimeout => "the server did not answer in time",
            Fault::AnswerTimeout => "the server did not answer in time",
            Fault::AnswerTooLarge => "the body of the server's answer is longer than it may be",
            Fault::NoAnswer => "the server closed the connection without an answer",
            Fault::AnswerMalformed => {
                "the server's answer is invalid: not HTTP, or a head over 32 KiB or 100 headers"
            }
            Fault::AnswerInvalid(fault) => return write!(f, "the server's answer is invalid: {fault}"),
        })
    }
}
