//! Values of headers that are made of a request.

use std::str::FromStr;

use super::text_type;

/// A text with variables: `$name`, `${name}`, and `${name:default}` for where the value is empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderText {
    text: Box<str>,
    parts: Box<[TextPart]>,
}

/// A part of a [`HeaderText`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TextPart {
    /// Stands for itself.
    Literal(String),
    /// Stands for what a request says, or else for its default.
    Variable(Variable, String),
}

/// What of a request a variable stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Variable {
    /// `arg_NAME`: the first parameter of the query that is called so.
    Argument(String),
    /// `args`, `query_string`: the query.
    Arguments,
    /// `cookie_NAME`: the first cookie that is called so.
    Cookie(String),
    /// `proxy_add_x_forwarded_for`: `X-Forwarded-For` with the client's address appended.
    ForwardedFor,
    /// `http_NAME`: the first header that is called so, with `-` for `_`.
    Header(String),
    /// `host`, `hostname`, `server_name`: the host without port.
    Host,
    /// `time_iso8601`: the time in UTC.
    Iso8601,
    /// `request_length`: the length of the body, 0 where it is not known.
    Length,
    /// `time_local`: the time in UTC, as access logs of old have it.
    LocalTime,
    /// `request_method`.
    Method,
    /// `msec`: milliseconds since 1970.
    Millis,
    /// A parameter of the path.
    Parameter(String),
    /// `uri`: the path as it came.
    Path,
    /// `server_protocol`: `HTTP/1.1`.
    Protocol,
    /// `remote_addr`: the client's address.
    RemoteAddress,
    /// `remote_user`: the user of Basic authentication.
    RemoteUser,
    /// `request`: method, path and query, protocol.
    Request,
    /// `request_time`: always `0.000`, as the request has just come.
    RequestTime,
    /// `scheme`: `http` or `https`.
    Scheme,
    /// `request_uri`: path and query as they came.
    Target,
}

impl HeaderText {
    /// The text as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its parts, one after the other.
    pub fn parts(&self) -> &[TextPart] {
        &self.parts
    }

    /// Those of its variables that only a path can give a value.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TextPart::Variable(Variable::Parameter(name), _) => Some(&**name),
            _ => None,
        })
    }
}

impl Variable {
    /// The names of variables that every request has.
    pub const KNOWN: &[&str] = &[
        "args",
        "content_length",
        "content_type",
        "host",
        "hostname",
        "http_host",
        "msec",
        "proxy_add_x_forwarded_for",
        "query_string",
        "remote_addr",
        "remote_user",
        "request",
        "request_length",
        "request_method",
        "request_time",
        "request_uri",
        "scheme",
        "server_name",
        "server_protocol",
        "time_iso8601",
        "time_local",
        "uri",
    ];

    fn new(name: &str) -> Self {
        if let Some(header) = name.strip_prefix("http_") {
            return Self::Header(header.replace('_', "-"));
        }
        if let Some(argument) = name.strip_prefix("arg_") {
            return Self::Argument(argument.into());
        }
        if let Some(cookie) = name.strip_prefix("cookie_") {
            return Self::Cookie(cookie.into());
        }
        match name {
            "args" | "query_string" => Self::Arguments,
            "content_length" | "content_type" => Self::Header(name.replace('_', "-")),
            "host" | "hostname" | "server_name" => Self::Host,
            "msec" => Self::Millis,
            "proxy_add_x_forwarded_for" => Self::ForwardedFor,
            "remote_addr" => Self::RemoteAddress,
            "remote_user" => Self::RemoteUser,
            "request" => Self::Request,
            "request_length" => Self::Length,
            "request_method" => Self::Method,
            "request_time" => Self::RequestTime,
            "request_uri" => Self::Target,
            "scheme" => Self::Scheme,
            "server_protocol" => Self::Protocol,
            "time_iso8601" => Self::Iso8601,
            "time_local" => Self::LocalTime,
            "uri" => Self::Path,
            other => Self::Parameter(other.into()),
        }
    }
}

impl FromStr for HeaderText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
            return Err("no header can have this value".into());
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, from)) = rest.split_once('$') {
            literal.push_str(before);
            match variable(from) {
                Some((name, default, behind)) => {
                    if !literal.is_empty() {
                        parts.push(TextPart::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(TextPart::Variable(Variable::new(name), default.into()));
                    rest = behind;
                }
                None => {
                    literal.push('$');
                    rest = from;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }
}

text_type!(HeaderText, expects: "a text", schema: { "type": "string" });

/// Name, default and what stands behind, where `text` stands behind a `$`; what is no name stands for itself.
fn variable(text: &str) -> Option<(&str, &str, &str)> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(is_part)
    };
    if let Some(inner) = text.strip_prefix('{') {
        let (inner, behind) = inner.split_once('}')?;
        let (name, default) = inner.split_once(':').unwrap_or((inner, ""));
        return is_name(name).then_some((name, default, behind));
    }
    let end = text.bytes().position(|byte| !is_part(byte)).unwrap_or(text.len());
    let (name, behind) = text.split_at(end);
    is_name(name).then_some((name, "", behind))
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let literal = |text: &str| TextPart::Literal(text.into());
        let variable = |name: &str, default: &str| TextPart::Variable(Variable::new(name), default.into());
        let table = [
            ("", vec![]),
            ("a", vec![literal("a")]),
            ("$uri", vec![variable("uri", "")]),
            ("a-$host/b", vec![literal("a-"), variable("host", ""), literal("/b")]),
            ("${arg_a:x:y}z", vec![variable("arg_a", "x:y"), literal("z")]),
            ("$1 ${} ${a $", vec![literal("$1 ${} ${a $")]),
            ("$$uri", vec![literal("$"), variable("uri", "")]),
        ];
        for (text, expected) in table {
            assert_eq!(text.parse::<HeaderText>().unwrap().parts(), expected, "{text}");
        }
        for known in Variable::KNOWN {
            assert!(!matches!(Variable::new(known), Variable::Parameter(_)), "{known}");
        }
        assert!("a\nb".parse::<HeaderText>().is_err());
    }
}
