//! What load a proxy is put under, as text and as numbers.

use crate::messages::MIN_PAYLOAD;
use std::fmt;
use std::str::FromStr;

/// One kind of load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `100x128B`, `50x64Bx16`: each connection keeps `in_flight` messages of `size` bytes on their way.
    Echo { connections: usize, size: usize, in_flight: usize },
    /// `latency=64B`: one connection, one message at a time, and the figure is the time it takes.
    Latency { size: usize },
    /// `http=100`: each connection asks for a page of 1 KiB, again and again.
    Http { connections: usize },
    /// `handshakes=32`: that many at a time connect, upgrade, get one message echoed and close.
    Handshakes { parallel: usize },
    /// `idle=5000`, `idle=1000..9000`: memory that each tunnel above the first number adds after one message.
    Idle { from: usize, to: usize },
}

/// What of a measurement goes into a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// Microseconds of the proxy's CPU time per round trip, or per handshake.
    Cpu,
    /// Microseconds from sending a message until its echo is whole, in the middle.
    LatencyP50,
    /// The same for the 99th of 100.
    LatencyP99,
    /// KiB of the proxy's resident memory for each further tunnel.
    Memory,
}

/// A shape, with TLS to the proxy or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) shape: Shape,
    /// `tls:100x128B`.
    pub(crate) tls: bool,
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Case, String> {
        let secured = text.strip_prefix("tls:");
        Ok(Case { shape: secured.unwrap_or(text).parse()?, tls: secured.is_some() })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tls {
            f.write_str("tls:")?;
        }
        self.shape.fmt(f)
    }
}

/// Where the backend has its page for ordinary requests.
pub(crate) const PAGE: &str = "/page";

macro_rules! tunnels {
    () => {
        "100x128B,2000x64B,50x16KiB,16x1MiB,50x64Bx16,latency=64B,handshakes=32,idle=5000,idle=1000..9000"
    };
}

/// Those that need no TLS, through tunnels.
pub(crate) const TUNNELS: &str = tunnels!();

/// The shapes of `docs/performance.md`, in its order.
pub(crate) const DEFAULT: &str =
    concat!(tunnels!(), ",tls:100x128B,tls:50x16KiB,tls:handshakes=32,tls:idle=5000,http=100");

impl Shape {
    /// How many connections are open at the most.
    pub(crate) fn connections(&self) -> usize {
        match *self {
            Shape::Echo { connections, .. } | Shape::Http { connections } => connections,
            Shape::Latency { .. } => 1,
            Shape::Handshakes { parallel } => parallel,
            Shape::Idle { to, .. } => to,
        }
    }

    /// Whether it is of ordinary requests.
    pub(crate) fn is_http(&self) -> bool {
        matches!(self, Shape::Http { .. })
    }

    /// Payload bytes of each message.
    pub(crate) fn size(&self) -> usize {
        match *self {
            Shape::Echo { size, .. } | Shape::Latency { size } => size,
            Shape::Http { .. } | Shape::Handshakes { .. } | Shape::Idle { .. } => 64,
        }
    }

    /// What this shape is there to find out.
    pub(crate) fn metrics(&self) -> &'static [Metric] {
        match self {
            Shape::Echo { .. } | Shape::Http { .. } | Shape::Handshakes { .. } => &[Metric::Cpu],
            Shape::Latency { .. } => &[Metric::LatencyP50, Metric::LatencyP99, Metric::Cpu],
            Shape::Idle { .. } => &[Metric::Memory],
        }
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let shape = match text.split_once('=') {
            Some(("latency", size)) => parse_size(size).map(|size| Shape::Latency { size }),
            Some(("handshakes", parallel)) => {
                parse_count(parallel).map(|parallel| Shape::Handshakes { parallel })
            }
            Some(("http", connections)) => {
                parse_count(connections).map(|connections| Shape::Http { connections })
            }
            Some(("idle", range)) => parse_idle(range),
            Some(_) => None,
            None => parse_echo(text),
        };
        shape.ok_or_else(|| {
            format!(
                "`{text}` is no shape: write 100x128B, 50x64Bx16 (16 in flight), latency=64B, handshakes=32, \
                 http=100, idle=5000 or idle=1000..9000, `tls:` before any of them, with messages of {MIN_PAYLOAD}B \
                 to {}MiB",
                MAX_PAYLOAD >> 20
            )
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Shape::Echo { connections, size, in_flight: 1 } => write!(f, "{connections}x{}", SizeText(size)),
            Shape::Echo { connections, size, in_flight } => {
                write!(f, "{connections}x{}x{in_flight}", SizeText(size))
            }
            Shape::Latency { size } => write!(f, "latency={}", SizeText(size)),
            Shape::Http { connections } => write!(f, "http={connections}"),
            Shape::Handshakes { parallel } => write!(f, "handshakes={parallel}"),
            Shape::Idle { from: 0, to } => write!(f, "idle={to}"),
            Shape::Idle { from, to } => write!(f, "idle={from}..{to}"),
        }
    }
}

struct SizeText(usize);

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            size if size % (1 << 20) == 0 => write!(f, "{}MiB", size >> 20),
            size if size % (1 << 10) == 0 => write!(f, "{}KiB", size >> 10),
            size => write!(f, "{size}B"),
        }
    }
}

fn parse_echo(text: &str) -> Option<Shape> {
    let mut parts = text.split('x');
    let connections = parse_count(parts.next()?)?;
    let size = parse_size(parts.next()?)?;
    let in_flight = parts.next().map_or(Some(1), parse_count)?;
    parts.next().is_none().then_some(Shape::Echo { connections, size, in_flight })
}

fn parse_idle(range: &str) -> Option<Shape> {
    let (from, to) = match range.split_once("..") {
        Some((from, to)) => (parse_count(from)?, parse_count(to)?),
        None => (0, parse_count(range)?),
    };
    (from < to).then_some(Shape::Idle { from, to })
}

fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    let size = parse_count(number)?.checked_mul(unit)?;
    (MIN_PAYLOAD..=MAX_PAYLOAD).contains(&size).then_some(size)
}

fn parse_count(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&count| count > 0)
}

/// The echo backend holds a message until it is whole.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_shapes_read_back_as_written() {
        for text in DEFAULT.split(',') {
            assert_eq!(text.parse::<Case>().map(|case| case.to_string()).as_deref(), Ok(text));
        }
        let pipelined = Shape::Echo { connections: 50, size: 64, in_flight: 16 };
        assert_eq!("50x64Bx16".parse(), Ok(pipelined));
        assert_eq!("idle=5000".parse(), Ok(Shape::Idle { from: 0, to: 5000 }));
    }

    #[test]
    fn what_is_no_shape_is_refused() {
        for text in
            ["", "100", "0x64B", "10x64", "10x7B", "10x17MiB", "1x64Bx0", "1x64Bx1x1", "idle=9..9", "warm=1"]
        {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
