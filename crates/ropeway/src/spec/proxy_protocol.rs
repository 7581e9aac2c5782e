//! Who may say whose connection it passes on.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Check, Diagnostic, Reader, Spanned, types::IpRange};

/// The PROXY protocol, version 1 or 2, in front of every connection.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProxyProtocol {
    /// The load balancers that say it. Nobody else can connect. Required; it may be empty on a Unix socket, where everybody
    /// who can connect is one of them.
    #[serde(rename = "trustedIPs")]
    pub trusted_ips: Spanned<Vec<IpRange>>,
}

impl Check for ProxyProtocol {
    fn check(&self, reader: &Reader) {
        if self.trusted_ips.is_empty() {
            let title = "nobody is in `trustedIPs`, so nobody could connect";
            let help = "name the load balancers that speak the PROXY protocol";
            reader.report(Diagnostic::error(title).at(self.trusted_ips.span()).help(help));
        }
    }
}
