//! Whose request it is: the client behind trusted proxies, and the `X-Forwarded-*` headers that tell a server.

use std::net::{IpAddr, SocketAddr};

use http::header::{FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};

use crate::spec::types::IpRange;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST_OF: HeaderName = HeaderName::from_static("x-forwarded-host");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
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

    /// The last address of the chain that is not a listed proxy: whom the outermost trusted proxy saw.
    fn nearest_stranger(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut nearest = None;
        let lines: Vec<_> = headers.get_all(FOR).iter().filter_map(|line| line.to_str().ok()).collect();
        for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            let Ok(ip) = hop.trim().parse::<IpAddr>() else { break };
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

impl Client {
    /// Writes `X-Forwarded-For`, `-Host` and `-Proto` for the server, from what came with the request.
    pub fn forward(&self, headers: &mut HeaderMap) {
        self.forward_for(headers);
        self.forward_proto(headers);
        self.forward_certificate(headers);
        if self.word == Word::Replaced {
            // These say the same in other words.
            headers.remove(FORWARDED);
            headers.remove("x-real-ip");
        }
        if self.word == Word::Replaced || !headers.contains_key(HOST_OF) {
            headers.remove(HOST_OF);
            if let Some(host) = headers.get(HOST).cloned() {
                headers.insert(HOST_OF, host);
            }
        }
    }

    fn forward_for(&self, headers: &mut HeaderMap) {
        let mut chain = Vec::new();
        if self.word != Word::Replaced {
            for line in headers.get_all(FOR) {
                chain.extend_from_slice(line.as_bytes());
                chain.extend_from_slice(b", ");
            }
        }
        chain.extend_from_slice(self.peer.address.ip().to_canonical().to_string().as_bytes());
        // Header values joined by commas and an address are a header value.
        if let Ok(chain) = HeaderValue::from_bytes(&chain) {
            headers.insert(FOR, chain);
        }
    }

    /// Only we can know the certificate; whoever sends these headers made them up.
    fn forward_certificate(&self, headers: &mut HeaderMap) {
        headers.remove(CLIENT_CERT_CHAIN);
        match &self.peer.certificate {
            Some(certificate) => drop(headers.insert(CLIENT_CERT, certificate.clone())),
            None => drop(headers.remove(CLIENT_CERT)),
        }
    }

    /// `http` or `https`, whatever the peer calls it: programs compare with these two.
    fn forward_proto(&self, headers: &mut HeaderMap) {
        let said = headers.get(PROTO).filter(|_| self.word != Word::Replaced);
        let secure = said.map_or(self.peer.secure, |said| matches!(said.as_bytes(), b"https" | b"wss"));
        headers.insert(PROTO, HeaderValue::from_static(if secure { "https" } else { "http" }));
    }
}
