//! Addresses of peers.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::text_type;

/// One IP address or a network in CIDR notation.
///
/// An IPv4 address that a dual-stack socket shows as `::ffff:a.b.c.d` is in the range of `a.b.c.d`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IpRange(IpNet);

impl IpRange {
    /// Whether `ip` is this address or lies in this network.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.contains(&ip.to_canonical())
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for IpRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let network = match text.parse::<IpAddr>() {
            Ok(ip) => IpNet::from(ip.to_canonical()),
            Err(_) => text.parse::<IpNet>().map_err(|_| {
                format!("`{text}` is not an IP address or network: write it like `10.0.0.1` or `10.0.0.0/8`")
            })?,
        };
        Ok(Self(network.trunc()))
    }
}

text_type!(IpRange, expects: "an IP address or a network such as 10.0.0.0/8", schema: {
    "type": "string",
    "examples": ["10.0.0.1", "10.0.0.0/8", "2001:db8::/32"],
});
