//! The backends' side: agrees to each handshake, and is the other end of the tunnel that it names.

use std::future::pending;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::{field, head};
use crate::end::End;
use crate::message::Way;
use crate::{World, locked};

/// Runs for ever.
pub(crate) async fn serve(world: &Arc<World>, listeners: Vec<TcpListener>) {
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(world.clone(), listener));
    }
    while let Some(ended) = accepting.join_next().await {
        if let Ok(Err(error)) = ended {
            locked(&world.past).malformed.push(format!("the backend cannot listen: {error}"));
        }
    }
    pending::<()>().await;
}

async fn accept(world: Arc<World>, listener: TcpListener) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    loop {
        let (tcp, _) = listener.accept().await?;
        // A connection that fails here is its client's to tell.
        connections.spawn(talk(world.clone(), tcp));
        while connections.try_join_next().is_some() {}
    }
}

async fn talk(world: Arc<World>, mut tcp: TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let (head, rest) = head(&mut tcp).await?;
    let key = field(&head, "sec-websocket-key").ok_or(io::ErrorKind::InvalidData)?;
    let accept = ws::handshake::accept_key(key.as_bytes());
    let accept = String::from_utf8_lossy(&accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    tcp.write_all(answer.as_bytes()).await?;
    let id = id(&head);
    let tunnel = id.and_then(|id| locked(&world.tunnels).get(&id).cloned());
    match tunnel {
        Some(tunnel) => drop(End::new(world, tunnel, Way::Down).run(tcp, rest, pending()).await),
        // Nobody of ours, as a check of the server's health: whatever it says is not our business.
        None => while tcp.read(&mut [0; 4096]).await? > 0 {},
    }
    Ok(())
}

/// The number of the tunnel, from the target of the request.
fn id(head: &str) -> Option<u32> {
    let (_, query) = head.split(' ').nth(1)?.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("soak=")?.parse().ok())
}
