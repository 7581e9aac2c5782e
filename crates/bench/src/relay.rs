//! `ropeway-bench relay`: bytes from here to there without a look at them, as cheap as tokio makes it. What a proxy
//! costs above this is what it does beyond relaying.

use crate::fault::Fault;
use clap::Args;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Arguments of `ropeway-bench relay`.
#[derive(Args)]
pub(crate) struct RelayArgs {
    /// Where to listen; port 0 takes a free one, and the address is printed
    #[arg(long, value_name = "ADDR")]
    listen: SocketAddr,

    /// Where each connection is carried on to
    #[arg(long, value_name = "ADDR")]
    to: SocketAddr,
}

/// Relays until the process is ended.
pub(crate) fn run(args: &RelayArgs) -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Fault::io("start tokio"))?;
    runtime.block_on(serve(args)).map_err(Fault::io("relay"))
}

#[expect(clippy::disallowed_methods, reason = "this relay is killed, never drained")]
async fn serve(args: &RelayArgs) -> io::Result<()> {
    let listener = TcpListener::bind(args.listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let to = args.to;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A backend that cannot be reached shows as a closed connection.
            if let Ok(server) = TcpStream::connect(to).await {
                relay(client, server);
            }
        });
    }
}

/// Starts a task of its own: the one that connects keeps the size of its connecting for ever.
#[expect(clippy::disallowed_methods, reason = "this relay is killed, never drained")]
fn relay(mut client: TcpStream, mut server: TcpStream) {
    // Both fail only on a socket that is already dead, which the first read finds.
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (mut up, mut down) = (Direction::default(), Direction::default());
    tokio::spawn(std::future::poll_fn(move |cx| {
        let up = up.poll(&mut client, &mut server, cx);
        let down = down.poll(&mut server, &mut client, cx);
        match (up, down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(())))
            | (Poll::Ready(Err(_)), _)
            | (_, Poll::Ready(Err(_))) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }));
}

/// One way of a connection. Holds bytes only while the other side does not take them.
#[derive(Default)]
struct Direction {
    pending: Option<Pending>,
    ended: bool,
}

struct Pending {
    bytes: Box<[u8]>,
    written: usize,
}

impl Direction {
    /// Ready when `from` has ended and `to` has been told.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        for _ in 0..ROUNDS {
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.poll_pending(to, cx)?.is_pending() || self.poll_forward(from, to, cx)?.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_pending(&mut self, to: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(pending) = &mut self.pending {
            let Poll::Ready(count) = Pin::new(&mut *to).poll_write(cx, &pending.bytes[pending.written..])?
            else {
                return Poll::Pending;
            };
            pending.written += count;
            if pending.written == pending.bytes.len() {
                self.pending = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// One read, and as many writes as the socket takes.
    fn poll_forward(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            if Pin::new(from).poll_read(cx, &mut buffer)?.is_pending() {
                return Poll::Pending;
            }
            let bytes = buffer.filled();
            if bytes.is_empty() {
                self.ended = true;
                return Pin::new(to).poll_shutdown(cx);
            }
            let mut written = 0;
            while written < bytes.len() {
                match Pin::new(&mut *to).poll_write(cx, &bytes[written..])? {
                    Poll::Ready(count) => written += count,
                    Poll::Pending => {
                        self.pending = Some(Pending { bytes: bytes[written..].into(), written: 0 });
                        break;
                    }
                }
            }
            Poll::Ready(Ok(()))
        })
    }
}

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 256 << 10].into());
}

/// Reads of one direction before the others have their turn.
const ROUNDS: usize = 8;
