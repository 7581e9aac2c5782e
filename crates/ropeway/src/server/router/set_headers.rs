//! Headers that a route sets on its requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HeaderName, HeaderValue};
use http::request;

use super::host_of;
use super::matcher::{Parameters, unescape};
use crate::net::forwarded::Client;
use crate::spec::types::{HeaderText, TextPart, Variable};
use crate::telemetry::clock::Moment;

/// Headers with what they are set to.
pub type SetHeaders = Vec<(HeaderName, HeaderText)>;

/// Sets `headers` on `head`. One whose value is empty, or cannot stand in a header, is taken away: what the client said
/// in its place does not count either.
pub(super) fn set(
    headers: &SetHeaders,
    head: &mut request::Parts,
    client: &Client,
    parameters: &Parameters<'_>,
) {
    // All values are of the request as it came.
    let values = headers.iter().map(|(name, text)| {
        let value = Subject { head, client, parameters }.text(text);
        (name, HeaderValue::from_bytes(&value).ok().filter(|value| !value.is_empty()))
    });
    for (name, value) in values.collect::<Vec<_>>() {
        match value {
            Some(value) => head.headers.insert(name.clone(), value),
            None => head.headers.remove(name),
        };
    }
}

/// What variables are about.
struct Subject<'a> {
    head: &'a request::Parts,
    client: &'a Client,
    parameters: &'a Parameters<'a>,
}

impl Subject<'_> {
    fn text(&self, text: &HeaderText) -> Vec<u8> {
        let mut whole = Vec::new();
        for part in text.parts() {
            match part {
                TextPart::Literal(text) => whole.extend_from_slice(text.as_bytes()),
                TextPart::Variable(variable, default) => {
                    let value = self.value(variable);
                    whole.extend_from_slice(if value.is_empty() { default.as_bytes() } else { &value });
                }
            }
        }
        whole
    }

    fn value(&self, variable: &Variable) -> Vec<u8> {
        match variable {
            Variable::Argument(name) => self.argument(name),
            Variable::Arguments => self.head.uri.query().unwrap_or_default().into(),
            Variable::Cookie(name) => self.cookie(name),
            Variable::ForwardedFor => self.client.chain(&self.head.headers).as_bytes().into(),
            Variable::Header(name) => self.header(name),
            Variable::Host => host_of(self.head).into_owned().into(),
            Variable::Iso8601 => Moment::now().to_string().into(),
            Variable::Length => match self.header(CONTENT_LENGTH.as_str()) {
                length if length.is_empty() => b"0".into(),
                length => length,
            },
            Variable::LocalTime => Moment::now().local().into(),
            Variable::Method => self.head.method.as_str().into(),
            Variable::Millis => Moment::now().millis().to_string().into(),
            Variable::Parameter(name) => self.parameter(name).into(),
            Variable::Path => self.head.uri.path().into(),
            Variable::Protocol => format!("{:?}", self.head.version).into(),
            Variable::RemoteAddress => self.client.address.to_string().into(),
            Variable::RemoteUser => self.user().unwrap_or_default().into(),
            Variable::Request => {
                format!("{} {} {:?}", self.head.method, self.target(), self.head.version).into()
            }
            Variable::RequestTime => b"0.000".into(),
            Variable::Scheme => self.client.scheme(&self.head.headers).into(),
            Variable::Target => self.target().into(),
        }
    }

    fn target(&self) -> &str {
        self.head.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    fn header(&self, name: &str) -> Vec<u8> {
        self.head.headers.get(name).map(|value| value.as_bytes().to_vec()).unwrap_or_default()
    }

    fn argument(&self, name: &str) -> Vec<u8> {
        let pairs = self.head.uri.query().unwrap_or_default().split('&');
        let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.find(|(known, _)| unescape(known).as_deref() == Some(name));
        value.and_then(|(_, value)| unescape(value)).unwrap_or_default().into()
    }

    fn cookie(&self, name: &str) -> Vec<u8> {
        let lines = self.head.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut cookies =
            lines.flat_map(|line| line.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        cookies.find(|(known, _)| *known == name).map(|(_, value)| value.into()).unwrap_or_default()
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The user of Basic authentication (RFC 7617 2).
    fn user(&self) -> Option<String> {
        let value = self.head.headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        let credentials =
            STANDARD.decode(credentials.trim()).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        let credentials = String::from_utf8(credentials).ok()?;
        credentials.split_once(':').map(|(user, _)| user.to_owned())
    }
}
