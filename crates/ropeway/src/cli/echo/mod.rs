//! `ropeway echo`: a backend to try things with.
//!
//! It sends every message back frame by frame as it comes, so that a message of any size needs no memory. It keeps
//! to RFC 6455 ([`strict`]), or, to see what a gateway lets through, to nothing ([`lenient`]).

mod lenient;
mod strict;

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use clap::Args;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use ws::CloseCode;
use ws::handshake::{accept_key, check_request};

use self::lenient::Lenient;
use self::strict::Strict;
use super::address;
use super::run::failure;
use crate::app::runtime;
use crate::lifecycle::Lifecycle;
use crate::net::limits::raise_open_files;
use crate::net::linger::linger;
use crate::net::listener::listen;
use crate::net::reply::{Reply, ReplyBody};
use crate::spec::types::GoDuration;
use crate::upstream::headers::pairs;

/// Send every WebSocket message back.
#[derive(Args, Clone, Debug, Default)]
pub struct EchoOptions {
    /// Where to listen
    #[arg(long, required = true, num_args = 1.., value_name = "ADDR:PORT", value_parser = address)]
    pub listen: Vec<SocketAddr>,
    /// Wait this long before answering each handshake, as 500ms or 3s
    #[arg(long, default_value = "0", value_name = "DURATION")]
    pub delay: GoDuration,
    /// Refuse every handshake with this HTTP status
    #[arg(long, value_name = "STATUS", value_parser = refusal)]
    pub refuse: Option<StatusCode>,
    /// Close each WebSocket with this code after its first message
    #[arg(long, value_name = "CODE", value_parser = close_code)]
    pub close: Option<CloseCode>,
    /// Check nothing behind the handshake: send every frame back, however wrong it is
    #[arg(long, conflicts_with = "close")]
    pub lenient: bool,
}

fn refusal(text: &str) -> Result<StatusCode, String> {
    let status = text.parse().ok().filter(|status: &StatusCode| status.as_u16() >= 300);
    status.ok_or_else(|| "a status that refuses is 300 to 999".to_owned())
}

fn close_code(text: &str) -> Result<CloseCode, String> {
    let code = text.parse().ok().and_then(CloseCode::new);
    code.ok_or_else(|| "a close code is 1000 to 1003, 1007 to 1014, or 3000 to 4999".to_owned())
}

/// Runs until the process is ended.
pub(super) fn run(options: &EchoOptions) -> ExitCode {
    raise_open_files();
    let listeners =
        match options.listen.iter().map(|address| listen(*address)).collect::<io::Result<Vec<_>>>() {
            Ok(listeners) => listeners,
            Err(error) => return failure(&format!("listening: {error}")),
        };
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        println!("echo on ws://{address}");
    }
    match serve(listeners, options, &CancellationToken::new()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&error),
    }
}

/// Serves the listeners on this thread until `stop` is cancelled.
///
/// # Errors
/// There are no descriptors left.
pub fn serve(listeners: Vec<TcpListener>, options: &EchoOptions, stop: &CancellationToken) -> io::Result<()> {
    let lifecycle = Lifecycle::new(stop);
    runtime()?.block_on(async {
        for listener in listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let (options, connections) = (Rc::new(options.clone()), lifecycle.clone());
            lifecycle.spawn(async move {
                loop {
                    let Ok((tcp, _)) = listener.accept().await else {
                        // No descriptors left, most likely: some come back.
                        sleep(Duration::from_millis(100)).await;
                        continue;
                    };
                    let options = options.clone();
                    connections.spawn(async move {
                        // Whatever ends a connection ends only that.
                        let _ = serve_connection(tcp, &options).await;
                    });
                }
            });
        }
        lifecycle.stopping().await;
        Ok(())
    })
}

async fn serve_connection(tcp: TcpStream, options: &EchoOptions) -> Result<(), hyper::Error> {
    let _ = tcp.set_nodelay(true);
    let agreed = Cell::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        let agreed = &agreed;
        Box::pin(async move {
            sleep(options.delay.get()).await;
            let reply = answer(&request, options);
            agreed.set(reply.status() == StatusCode::SWITCHING_PROTOCOLS);
            Ok::<_, Infallible>(reply)
        })
    });
    let parts = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).without_shutdown().await?;
    if agreed.get() {
        let (tcp, early) = (parts.io.into_inner(), BytesMut::from(&parts.read_buf[..]));
        // Lost or not, it is over.
        let _ = if options.lenient {
            converse(tcp, early, Lenient::default()).await
        } else {
            converse(tcp, early, Strict::new(options.close)).await
        };
    }
    Ok(())
}

fn answer(request: &Request<Incoming>, options: &EchoOptions) -> Reply {
    let fields = pairs(request.headers());
    let offer = match check_request(fields.iter().copied()) {
        _ if options.refuse.is_some() => {
            return plain(options.refuse.unwrap_or_default(), "refused\n".into());
        }
        Ok(offer) => offer,
        Err(fault) => return plain(StatusCode::BAD_REQUEST, format!("{fault}\n")),
    };
    let mut reply = Response::new(ReplyBody::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_bytes(&accept_key(offer.key)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = offer.protocols.first().and_then(|name| HeaderValue::from_str(name).ok()) {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    reply
}

fn plain(status: StatusCode, text: String) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(text));
    *reply.status_mut() = status;
    reply
}

/// One side of a WebSocket, without its socket.
trait Echo {
    /// Turns what is whole of `input` into `output`; whether that was the end.
    fn take(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> bool;
}

/// Echoes until either side closes. `input` was read behind the handshake.
async fn converse(mut tcp: TcpStream, mut input: BytesMut, mut echo: impl Echo) -> io::Result<()> {
    let mut output = BytesMut::new();
    loop {
        let over = echo.take(&mut input, &mut output);
        tcp.write_all(&output).await?;
        output.clear();
        if over {
            // The server closes first, and waits for the client to follow (RFC 6455 7.1.1).
            linger(tcp.into(), PATIENCE).await;
            return Ok(());
        }
        input.reserve(CHUNK);
        if tcp.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

/// How long a client may take to close its connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read at once.
const CHUNK: usize = 64 * 1024;
