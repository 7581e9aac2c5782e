//! The PROXY protocol, versions 1 and 2: a proxy in front says, before anything else, whose connection it passes on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a header of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// The shortest header: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;

/// The longest header of version 1, with its line end.
const LONGEST_TEXT: usize = 107;

/// The head of a header of version 2, and the longest header that is taken: proxies add what they know to addresses.
const HEAD: usize = 16;
const LONGEST: usize = 4096;

/// What the beginning of a connection holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// A part of a header: at least so many bytes of it are still to come.
    Part(usize),
    /// A whole header.
    Whole {
        /// Its length.
        length: usize,
        /// Whose connection it is; `None` where the proxy speaks for itself, or does not know.
        source: Option<SocketAddr>,
    },
}

/// Bytes that are no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoHeader;

/// Reads a header, and nothing behind it.
///
/// # Errors
/// The connection is lost, or does not begin with a header.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut bytes = Vec::new();
    loop {
        match parse(&bytes) {
            Ok(Beginning::Whole { source, .. }) => return Ok(source),
            Ok(Beginning::Part(missing)) => {
                let have = bytes.len();
                bytes.resize(have + missing, 0);
                stream.read_exact(&mut bytes[have..]).await?;
            }
            Err(NoHeader) => return Err(io::Error::other("no valid header of the PROXY protocol")),
        }
    }
}

/// Judges the first bytes of a connection. No header is longer than 4096 bytes.
///
/// # Errors
/// They are not the beginning of a header, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Beginning, NoHeader> {
    let begins_as = |expected: &[u8]| {
        let common = expected.len().min(bytes.len());
        bytes[..common] == expected[..common]
    };
    if !begins_as(SIGNATURE) && !begins_as(TEXT) {
        return Err(NoHeader);
    }
    if bytes.len() < SHORTEST {
        return Ok(Beginning::Part(SHORTEST - bytes.len()));
    }
    if begins_as(TEXT) { parse_text(bytes) } else { parse_binary(bytes) }
}

/// Version 1: a line.
fn parse_text(bytes: &[u8]) -> Result<Beginning, NoHeader> {
    let seen = &bytes[..bytes.len().min(LONGEST_TEXT)];
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        let missing = if seen.ends_with(b"\r") { 1 } else { 2 };
        return if seen.len() + missing <= LONGEST_TEXT {
            Ok(Beginning::Part(missing))
        } else {
            Err(NoHeader)
        };
    };
    let line = std::str::from_utf8(&seen[TEXT.len()..end]).map_err(|_| NoHeader)?;
    let fields: Vec<_> = line.split(' ').collect();
    let source = match *fields {
        // What follows says nothing.
        ["UNKNOWN", ..] => None,
        ["TCP4", from, to, from_port, to_port] => Some(source::<Ipv4Addr>([from, to], [from_port, to_port])?),
        ["TCP6", from, to, from_port, to_port] => Some(source::<Ipv6Addr>([from, to], [from_port, to_port])?),
        _ => return Err(NoHeader),
    };
    Ok(Beginning::Whole { length: end + 2, source })
}

/// The first of two addresses with their ports, all of which must be valid.
fn source<A: std::str::FromStr + Into<IpAddr>>(
    addresses: [&str; 2],
    ports: [&str; 2],
) -> Result<SocketAddr, NoHeader> {
    let address = |text: &str| text.parse::<A>().map(Into::into).map_err(|_| NoHeader);
    let port = |text: &str| match text.as_bytes() {
        [b'0'] => Ok(0),
        // A plus sign, which Rust takes, is none of a port.
        [b'1'..=b'9', ..] => text.parse().map_err(|_| NoHeader),
        _ => Err(NoHeader),
    };
    let ([from, _], [from_port, _]) =
        ([address(addresses[0])?, address(addresses[1])?], [port(ports[0])?, port(ports[1])?]);
    Ok(SocketAddr::new(from, from_port))
}

/// Version 2: a head of 16 bytes, addresses, and whatever else the proxy knows.
fn parse_binary(bytes: &[u8]) -> Result<Beginning, NoHeader> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(Beginning::Part(HEAD - bytes.len()));
    };
    let [.., command, family, high, low] = *head;
    let body = usize::from(u16::from_be_bytes([high, low]));
    if HEAD + body > LONGEST || command >> 4 != 2 {
        return Err(NoHeader);
    }
    let Some(body) = rest.get(..body) else { return Ok(Beginning::Part(body - rest.len())) };
    let source = match (command & 0xf, family) {
        // A check of the proxy's own.
        (0, _) => None,
        (1, 0x11) => Some(binary_source::<4>(body)?),
        (1, 0x21) => Some(binary_source::<16>(body)?),
        // Unspecified, and Unix sockets, which have no address that means anything here.
        (1, 0x00 | 0x31) => None,
        _ => return Err(NoHeader),
    };
    Ok(Beginning::Whole { length: HEAD + body.len(), source })
}

/// From source, destination, and their ports.
fn binary_source<const LENGTH: usize>(body: &[u8]) -> Result<SocketAddr, NoHeader>
where
    IpAddr: From<[u8; LENGTH]>,
{
    let (address, rest) = body.split_first_chunk::<LENGTH>().ok_or(NoHeader)?;
    let (_, ports) = rest.split_first_chunk::<LENGTH>().ok_or(NoHeader)?;
    let [high, low, _, _] = *ports.first_chunk::<4>().ok_or(NoHeader)?;
    Ok(SocketAddr::new(IpAddr::from(*address), u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([command, family]);
        header.extend((body.len() as u16).to_be_bytes());
        header.extend(body);
        header
    }

    const FOUR: &[u8] = &[192, 0, 2, 7, 192, 0, 2, 1, 0x15, 0xb3, 1, 187];

    fn six() -> Vec<u8> {
        let (from, to): (Ipv6Addr, Ipv6Addr) =
            ("2001:db8::7".parse().unwrap(), "2001:db8::1".parse().unwrap());
        [&from.octets()[..], &to.octets(), &[0x15, 0xb3, 1, 187]].concat()
    }

    #[test]
    fn headers_and_whom_they_name() {
        let longest = "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n";
        let rows: &[(&str, Vec<u8>, Option<&str>)] = &[
            ("1 over IPv4", b"PROXY TCP4 192.0.2.7 192.0.2.1 5555 443\r\n".to_vec(), Some("192.0.2.7:5555")),
            ("1 over IPv6", b"PROXY TCP6 2001:db8::7 ::1 5555 443\r\n".to_vec(), Some("[2001:db8::7]:5555")),
            ("1 with port 0", b"PROXY TCP4 192.0.2.7 192.0.2.1 0 0\r\n".to_vec(), Some("192.0.2.7:0")),
            ("1 without a word", b"PROXY UNKNOWN\r\n".to_vec(), None),
            ("1 with words", longest.as_bytes().to_vec(), None),
            ("2 over IPv4", v2(0x21, 0x11, FOUR), Some("192.0.2.7:5555")),
            ("2 over IPv6", v2(0x21, 0x21, &six()), Some("[2001:db8::7]:5555")),
            ("2 with more", v2(0x21, 0x11, &[FOUR, &[4, 0, 1, 0]].concat()), Some("192.0.2.7:5555")),
            (
                "2 as long as may be",
                v2(0x21, 0x11, &[FOUR, &vec![0; LONGEST - HEAD - 12]].concat()),
                Some("192.0.2.7:5555"),
            ),
            ("2 of the proxy itself", v2(0x20, 0x00, b""), None),
            ("2 of the proxy itself, with addresses", v2(0x20, 0x11, FOUR), None),
            ("2 of the proxy itself, with nonsense", v2(0x20, 0xff, b"abc"), None),
            ("2 unspecified", v2(0x21, 0x00, b"abc"), None),
            ("2 over a Unix socket", v2(0x21, 0x31, &[0; 216]), None),
        ];
        for (name, header, source) in rows {
            let source = source.map(|source| source.parse().unwrap());
            let whole = Ok(Beginning::Whole { length: header.len(), source });
            assert_eq!(parse(header), whole, "{name}");
            assert_eq!(parse(&[header, &b"\r\nPROXY"[..]].concat()), whole, "{name} and more");
            for cut in 0..header.len() {
                match parse(&header[..cut]) {
                    Ok(Beginning::Part(missing)) => {
                        assert!((1..=header.len() - cut).contains(&missing), "{name}: {missing} at {cut}");
                    }
                    other => panic!("{name}: {other:?} at {cut}"),
                }
            }
        }
    }

    #[test]
    fn what_is_no_header() {
        let text = |line: &str| format!("{line}\r\n").into_bytes();
        let long = format!("PROXY UNKNOWN {}", "x".repeat(LONGEST_TEXT - 15));
        let rows: &[(&str, Vec<u8>)] = &[
            ("HTTP", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
            ("TLS", vec![22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0]),
            ("1 in lower case", text("proxy TCP4 192.0.2.7 192.0.2.1 1 2")),
            ("1 of another protocol", text("PROXY UDP4 192.0.2.7 192.0.2.1 1 2")),
            ("1 with two spaces", text("PROXY TCP4  192.0.2.7 192.0.2.1 1 2")),
            ("1 with an address too few", text("PROXY TCP4 192.0.2.7 1 2")),
            ("1 with a field too many", text("PROXY TCP4 192.0.2.7 192.0.2.1 1 2 3")),
            ("1 with a name", text("PROXY TCP4 localhost 192.0.2.1 1 2")),
            ("1 with the other family", text("PROXY TCP4 ::1 ::1 1 2")),
            ("1 with a port too large", text("PROXY TCP4 192.0.2.7 192.0.2.1 65536 2")),
            ("1 with a signed port", text("PROXY TCP4 192.0.2.7 192.0.2.1 +1 2")),
            ("1 with a leading zero", text("PROXY TCP4 192.0.2.7 192.0.2.1 01 2")),
            ("1 with a bad destination", text("PROXY TCP4 192.0.2.7 x 1 2")),
            ("1 that is too long", text(&long)),
            ("1 without an end", [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat()),
            ("1 that is no text", b"PROXY TCP4 \xff\xff\xff\xff\r\n".to_vec()),
            (
                "1 with a bare line feed",
                [b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\n".to_vec(), vec![b' '; 100]].concat(),
            ),
            ("2 of another version", v2(0x11, 0x11, FOUR)),
            ("2 with another command", v2(0x22, 0x11, FOUR)),
            ("2 with another family", v2(0x21, 0x41, FOUR)),
            ("2 for datagrams", v2(0x21, 0x12, FOUR)),
            ("2 that is too short for IPv4", v2(0x21, 0x11, &FOUR[..11])),
            ("2 that is too short for IPv6", v2(0x21, 0x21, &six()[..35])),
            ("2 that is too long", v2(0x21, 0x11, &vec![0; LONGEST - HEAD + 1])),
        ];
        for (name, bytes) in rows {
            assert_eq!(parse(bytes), Err(NoHeader), "{name}");
        }
    }
}
