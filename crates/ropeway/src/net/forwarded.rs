//! Whose request it is: the client behind trusted proxies, and the `X-Forwarded-*` headers that tell a server.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use super::address::Written;
use crate::spec::types::IpRange;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST_OF: HeaderName = HeaderName::from_static("x-forwarded-host");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies in front of a listener whose word counts; `None` where the user named none.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Option<Vec<IpRange>>);

/// The other end of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its address.
    pub address: SocketAddr,
    /// Whether it speaks TLS with us.
    pub secure: bool,
    /// Its certificate as `Client-Cert` says it (RFC 9440).
    pub certificate: Option<HeaderValue>,
    /// Its address as `X-Forwarded-For` says it: written once, and not for each request.
    text: HeaderValue,
}

impl Peer {
    /// Someone at `address` who speaks no TLS.
    pub fn new(address: SocketAddr) -> Self {
        let text = HeaderValue::try_from(Written(address.ip().to_canonical()).to_string());
        let text = text.expect("an address is written with digits, letters, dots and colons");
        Peer { address, secure: false, certificate: None, text }
    }
}

/// Who sent a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// The other end of the connection.
    pub peer: Peer,
    /// Who is meant: the peer, or whom trusted proxies name.
    pub address: IpAddr,
    /// What the peer says of others.
    pub word: Word,
}

/// What counts of the forwarding headers that a peer sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Word {
    /// A listed proxy: believed and passed on.
    Trusted,
    /// No proxies are listed: passed on, believed by nothing here.
    PassedOn,
    /// Not one of the listed proxies: replaced.
    Replaced,
}

impl TrustedProxies {
    /// An empty list trusts nobody, and replaces what anybody sends.
    pub fn new(listed: Option<Vec<IpRange>>) -> Self {
        TrustedProxies(listed)
    }

    /// Who is meant by a request of `peer` with these headers.
    pub fn client(&self, peer: &Peer, headers: &HeaderMap) -> Client {
        let ip = peer.address.ip().to_canonical();
        let word = match &self.0 {
            None => Word::PassedOn,
            Some(_) if self.lists(ip) => Word::Trusted,
            Some(_) => Word::Replaced,
        };
        let address = if word == Word::Trusted { self.nearest_stranger(headers).unwrap_or(ip) } else { ip };
        Client { peer: peer.clone(), address, word }
    }

    /// The last address of the chain that is not a listed proxy: whom the outermost trusted proxy saw. `Forwarded` counts
    /// where there is no `X-Forwarded-For`.
    fn nearest_stranger(&self, headers: &HeaderMap) -> Option<IpAddr> {
        match headers.contains_key(FOR) {
            true => self.nearest(headers, &FOR, address),
            false => self.nearest(headers, &FORWARDED, node),
        }
    }

    fn nearest(
        &self,
        headers: &HeaderMap,
        name: &HeaderName,
        read: fn(&[u8]) -> Option<IpAddr>,
    ) -> Option<IpAddr> {
        let mut nearest = None;
        let lines: Vec<_> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        // At every comma, quoted or not: what a client has quoted in front must not swallow what proxies have added.
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
            // What is no address hides who comes before it.
            let Some(ip) = read(hop) else { break };
            nearest = Some(ip.to_canonical());
            if !self.lists(ip.to_canonical()) {
                break;
            }
        }
        nearest
    }

    fn lists(&self, ip: IpAddr) -> bool {
        self.0.iter().flatten().any(|range| range.contains(ip))
    }
}

/// One hop of `X-Forwarded-For`.
fn address(hop: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(hop).ok()?.trim().parse().ok()
}

/// One hop of `Forwarded`: who asked is in `for`, maybe with a port, and IPv6 in brackets (RFC 7239 4, 6).
fn node(hop: &[u8]) -> Option<IpAddr> {
    let pairs = std::str::from_utf8(hop).ok()?.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.clone().find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    let node = node.strip_prefix('"').map_or(Some(node), |quoted| quoted.strip_suffix('"'))?;
    match node.strip_prefix('[') {
        Some(six) => six.split_once(']')?.0.parse().map(IpAddr::V6).ok(),
        None => node.split(':').next()?.parse().map(IpAddr::V4).ok(),
    }
}

impl Client {
    /// Takes out of a request what only we, or a trusted proxy, may say: before anything goes by it. Servers that read
    /// `_` as `-` are told nothing made up either.
    pub fn settle(&self, headers: &mut HeaderMap) {
        let forged: Vec<_> = headers.keys().filter(|name| self.is_forged(name.as_str())).cloned().collect();
        for name in forged {
            headers.remove(name);
        }
        if let Some(certificate) = &self.peer.certificate {
            headers.insert(CLIENT_CERT, certificate.clone());
        }
    }

    fn is_forged(&self, name: &str) -> bool {
        let is = |known: &HeaderName| {
            let known = known.as_str();
            known.len() == name.len()
                && known
                    .bytes()
                    .zip(name.bytes())
                    .all(|(known, byte)| byte == known || (byte, known) == (b'_', b'-'))
        };
        let is_misspelt = name.contains('_');
        match name.as_bytes().first() {
            Some(b'c') => is(&CLIENT_CERT) || is(&CLIENT_CERT_CHAIN),
            Some(b'f' | b'x') if is_misspelt || self.word == Word::Replaced => {
                [&FOR, &HOST_OF, &PROTO, &REAL_IP, &FORWARDED].into_iter().any(is)
            }
            _ => false,
        }
    }

    /// What the client speaks: `http` or `https`. `headers` are those of its request.
    pub fn scheme(&self, headers: &HeaderMap) -> &'static str {
        scheme(self.is_secure(headers))
    }

    /// Whether that is `https`.
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let is_believed = self.word == Word::Trusted;
        self.is_secure_by(is_believed.then(|| headers.get(PROTO)).flatten())
    }

    /// What `X-Forwarded-For` is for the server, from what came: the chain, and who told it.
    pub fn chain(&self, headers: &HeaderMap) -> HeaderValue {
        let mut lines = headers.get_all(FOR).iter().peekable();
        if lines.peek().is_none() {
            return self.peer.text.clone();
        }
        let lines = lines.chain([&self.peer.text]).map(HeaderValue::as_bytes).collect::<Vec<_>>();
        HeaderValue::from_bytes(&lines.join(&b", "[..])).expect("values joined by commas are a value")
    }

    /// Writes `X-Forwarded-For`, `-Host` and `-Proto` for the server, from what came with the [settled](Client::settle)
    /// request.
    pub fn forward(&self, headers: &mut HeaderMap) {
        headers.insert(FOR, self.chain(headers));
        // `http` or `https`, whatever the peer calls it: programs compare with these two.
        let scheme = scheme(self.is_secure_by(headers.get(PROTO)));
        headers.insert(PROTO, HeaderValue::from_static(scheme));
        if !headers.contains_key(HOST_OF)
            && let Some(host) = headers.get(HOST).cloned()
        {
            headers.insert(HOST_OF, host);
        }
    }

    fn is_secure_by(&self, said: Option<&HeaderValue>) -> bool {
        said.map_or(self.peer.secure, |said| matches!(said.as_bytes(), b"https" | b"wss"))
    }
}

fn scheme(secure: bool) -> &'static str {
    if secure { "https" } else { "http" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        Peer::new(SocketAddr::new(address.parse().unwrap(), 1))
    }

    /// Who is meant by a request of 10.0.0.1, which is trusted, with these lines.
    fn meant(lines: &[&[u8]]) -> String {
        let trusted = TrustedProxies::new(Some(vec!["10.0.0.0/8".parse().unwrap()]));
        let lines = lines.iter().map(|line| (FOR, HeaderValue::from_bytes(line).unwrap()));
        trusted.client(&peer("10.0.0.1"), &lines.collect()).address.to_string()
    }

    #[test]
    fn what_is_no_text_hides_no_address() {
        assert_eq!(meant(&[b"\xff, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(meant(&[b"10.1.1.1", b"\xff, 192.0.2.7"]), "192.0.2.7");
        assert_eq!(meant(&[b"192.0.2.9", b"\xff, 10.0.0.2"]), "10.0.0.2");
    }

    #[test]
    fn forwarded_says_who_asked_where_nothing_else_does() {
        let trusted = TrustedProxies::new(Some(vec!["10.0.0.0/8".parse().unwrap()]));
        let meant = |headers: &[(HeaderName, &'static [u8])]| {
            let headers =
                headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_bytes(value).unwrap()));
            trusted.client(&peer("10.0.0.1"), &headers.collect()).address.to_string()
        };
        for (line, expected) in [
            (&b"for=192.0.2.7"[..], "192.0.2.7"),
            (b"For=192.0.2.7:8080;proto=https;by=10.0.0.1", "192.0.2.7"),
            (b"by=10.0.0.1; FOR=\"192.0.2.7\"", "192.0.2.7"),
            (b"for=\"[2001:db8::7]:8080\"", "2001:db8::7"),
            (b"for=\"[2001:db8::7]\"", "2001:db8::7"),
            (b"for=\"[::ffff:192.0.2.7]\"", "192.0.2.7"),
            (b"for=192.0.2.9, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
            (b"for=\", for=192.0.2.7", "192.0.2.7"),
            (b"for=192.0.2.9, for=unknown, for=10.0.0.2", "10.0.0.2"),
            (b"for=192.0.2.9, for=_hidden", "10.0.0.1"),
            (b"for=192.0.2.9, by=10.0.0.2", "10.0.0.1"),
            (b"for=\"192.0.2.9", "10.0.0.1"),
            (b"for=2001:db8::7", "10.0.0.1"),
            (b"for=[2001:db8::7", "10.0.0.1"),
            (b"for=\xff", "10.0.0.1"),
            (b"for=", "10.0.0.1"),
            (b"", "10.0.0.1"),
        ] {
            assert_eq!(meant(&[(FORWARDED, line)]), expected, "{}", String::from_utf8_lossy(line));
        }
        let both: [(HeaderName, &[u8]); 2] = [(FORWARDED, b"for=192.0.2.9"), (FOR, b"192.0.2.7")];
        assert_eq!(meant(&both), "192.0.2.7");
        let stranger = trusted.client(
            &peer("192.0.2.1"),
            &HeaderMap::from_iter([(FORWARDED, HeaderValue::from_static("for=192.0.2.9"))]),
        );
        assert_eq!(stranger.address.to_string(), "192.0.2.1");
    }

    #[test]
    fn nobody_says_what_only_we_may_say_in_any_spelling() {
        let forged = ["client-cert", "client_cert", "client-cert_chain", "x_forwarded_for", "x-real_ip"];
        let mut headers: HeaderMap = forged
            .into_iter()
            .chain(["x-forwarded-for", "client-name", "x_other"])
            .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a")))
            .collect();
        let client = TrustedProxies::default().client(&peer("192.0.2.1"), &headers);
        client.settle(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["client-name", "x-forwarded-for", "x_other"]);
        let strict = TrustedProxies::new(Some(Vec::new())).client(&peer("192.0.2.1"), &headers);
        strict.settle(&mut headers);
        assert!(!headers.contains_key(FOR));
    }
}
