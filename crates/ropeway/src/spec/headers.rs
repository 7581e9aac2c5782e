//! Headers that a user has the gateway send.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Diagnostic, Reader, Spanned,
    types::{HeaderName, HeaderValue},
};

/// Headers with their values.
pub type Headers = BTreeMap<Spanned<HeaderName>, HeaderValue>;

/// Changes of headers: first `del`, then `set`, then `add`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct HeaderEdits {
    /// Headers to take away.
    pub del: Vec<Spanned<HeaderName>>,
    /// Headers to set, whatever they were before.
    pub set: Headers,
    /// Headers to add to those of the same name.
    pub add: Headers,
}

/// What the headers are of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Message {
    /// A request to servers.
    Request,
    /// An answer to a client.
    Reply,
}

impl HeaderEdits {
    /// Reports headers that nobody may change.
    pub fn check(&self, message: Message, reader: &Reader) {
        check(self.del.iter().chain(self.set.keys()).chain(self.add.keys()), message, reader);
        if message == Message::Request {
            self.warn_of_origin(reader);
        }
    }

    /// By `Origin` alone a page of another site is known (RFC 6455 10.2).
    fn warn_of_origin(&self, reader: &Reader) {
        for name in self.del.iter().chain(self.set.keys()).filter(|name| name.as_str() == "origin") {
            reader.report(
                Diagnostic::warning("no step behind this one can tell pages of other sites")
                    .at(name.span())
                    .help("name the sites that may connect in `originPatterns` of the pool instead"),
            );
        }
    }
}

/// Reports those of `names` that nobody may change by hand.
pub fn check<'a>(
    names: impl IntoIterator<Item = &'a Spanned<HeaderName>>,
    message: Message,
    reader: &Reader,
) {
    for name in names {
        let (reason, help) = match (name.as_str(), message) {
            _ if name.is_framing() => {
                ("it says how to read the message", "leave it out: it is right by itself")
            }
            ("host", Message::Request) => ("it names the server", "write it in the field `host`"),
            ("x-ropeway-error", Message::Reply) => {
                ("it tells the gateway's own answers from those of servers", "leave it out")
            }
            _ => continue,
        };
        let title = format!("`{}` cannot be changed: {reason}", **name);
        reader.report(Diagnostic::error(title).at(name.span()).help(help));
    }
}
