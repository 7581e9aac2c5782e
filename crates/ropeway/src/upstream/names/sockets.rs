//! What the resolver needs of a runtime. Its own way to run on tokio would have every runtime of the gateway pay for
//! work-stealing: with that feature of tokio, each socket is larger and each wake has a branch more.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use futures_io::{AsyncRead, AsyncWrite};
use hickory_resolver::net::runtime::{DnsTcpStream, DnsUdpSocket, RuntimeProvider, Spawn, Time};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::{sleep, timeout};

use crate::lifecycle::Lifecycle;

/// How long a name server may take to accept a TCP connection, unless the resolver says otherwise.
const CONNECT: Duration = Duration::from_secs(5);

/// The thread on which it is used.
#[derive(Clone)]
pub(super) struct Here(pub(super) Lifecycle);

pub(super) struct Udp(tokio::net::UdpSocket);

pub(super) struct Tcp(tokio::net::TcpStream);

pub(super) struct Clock;

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for Here {
    type Handle = Here;
    type Timer = Clock;
    type Udp = Udp;
    type Tcp = Tcp;

    fn create_handle(&self) -> Here {
        self.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _bind: Option<SocketAddr>,
        patience: Option<Duration>,
    ) -> Opening<Tcp> {
        Box::pin(async move {
            let connecting = tokio::net::TcpStream::connect(server);
            Ok(Tcp(timeout(patience.unwrap_or(CONNECT), connecting).await??))
        })
    }

    fn bind_udp(&self, local: SocketAddr, _server: SocketAddr) -> Opening<Udp> {
        Box::pin(async move { tokio::net::UdpSocket::bind(local).await.map(Udp) })
    }
}

impl Spawn for Here {
    fn spawn_bg(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

#[async_trait]
impl Time for Clock {
    async fn delay_for(duration: Duration) {
        sleep(duration).await;
    }

    async fn timeout<F: 'static + Future + Send>(duration: Duration, future: F) -> io::Result<F::Output> {
        Ok(timeout(duration, future).await?)
    }
}

impl DnsUdpSocket for Udp {
    type Time = Clock;

    fn poll_recv_from(&self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut room = ReadBuf::new(room);
        let from = ready!(self.0.poll_recv_from(cx, &mut room))?;
        Poll::Ready(Ok((room.filled().len(), from)))
    }

    fn poll_send_to(&self, cx: &mut Context<'_>, bytes: &[u8], to: SocketAddr) -> Poll<io::Result<usize>> {
        self.0.poll_send_to(cx, bytes, to)
    }
}

impl DnsTcpStream for Tcp {
    type Time = Clock;
}

impl AsyncRead for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(room);
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
