//! Who asks for a server.

use std::borrow::Cow;
use std::net::IpAddr;

use http::request;
use percent_encoding::percent_decode_str;

/// A request for which a server is to be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who sent it.
    pub address: IpAddr,
    /// Its head, as the filters of the pipeline have left it.
    pub head: &'a request::Parts,
}

impl<'a> Asker<'a> {
    /// Its path without escapes.
    pub(super) fn path(self) -> Cow<'a, str> {
        percent_decode_str(self.head.uri.path()).decode_utf8_lossy()
    }

    /// The first value of a header, empty where there is none.
    pub(super) fn header(self, name: &str) -> &'a [u8] {
        self.head.headers.get(name).map_or(&[], |value| value.as_bytes())
    }
}
