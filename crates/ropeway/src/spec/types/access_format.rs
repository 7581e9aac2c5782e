//! The format of lines in the access log.

use std::str::FromStr;

use super::text_type;
use crate::spec::help_for;

/// A text with placeholders such as `{{Method}}`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AccessFormat {
    text: Box<str>,
    parts: Box<[AccessPart]>,
}

/// A part of an [`AccessFormat`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccessPart {
    /// Stands for itself.
    Literal(String),
    /// Stands for what is known of a request and its answer.
    Placeholder(Placeholder),
}

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placeholder {
    /// How long it took until all of the answer was sent.
    Duration,
    /// The code of the gateway's own answers.
    Error,
    /// The method.
    Method,
    /// `HTTP/1.1`.
    Proto,
    /// The client's address, which a trusted proxy may have told.
    RealIp,
    /// Address and port of the other end of the connection.
    RemoteAddr,
    /// The headers of the request.
    ReqHeaders,
    /// The bytes of its body that were read.
    ReqSize,
    /// The headers of the answer.
    RespHeaders,
    /// The bytes of its body that were sent.
    RespSize,
    /// `server/rule/path`.
    Route,
    /// The status.
    StatusCode,
    /// Route and error, each with its name.
    Tags,
    /// When the request came.
    Time,
    /// Path and query as they came.
    Uri,
}

impl AccessFormat {
    /// Its parts, one after the other.
    pub fn parts(&self) -> &[AccessPart] {
        &self.parts
    }
}

const PLACEHOLDERS: [(&str, Placeholder); 15] = [
    ("Duration", Placeholder::Duration),
    ("Error", Placeholder::Error),
    ("Method", Placeholder::Method),
    ("Proto", Placeholder::Proto),
    ("RealIP", Placeholder::RealIp),
    ("RemoteAddr", Placeholder::RemoteAddr),
    ("ReqHeaders", Placeholder::ReqHeaders),
    ("ReqSize", Placeholder::ReqSize),
    ("RespHeaders", Placeholder::RespHeaders),
    ("RespSize", Placeholder::RespSize),
    ("Route", Placeholder::Route),
    ("StatusCode", Placeholder::StatusCode),
    ("Tags", Placeholder::Tags),
    ("Time", Placeholder::Time),
    ("URI", Placeholder::Uri),
];

impl FromStr for AccessFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(['\n', '\r']) {
            return Err("the format is one line".into());
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, behind)) = rest.split_once("{{") {
            let (name, behind) = behind.split_once("}}").ok_or("a `{{` is not closed by `}}`")?;
            let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
            let (_, placeholder) = known.ok_or_else(|| unknown(name))?;
            if !literal.is_empty() {
                parts.push(AccessPart::Literal(literal.into()));
            }
            parts.push(AccessPart::Placeholder(*placeholder));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(AccessPart::Literal(rest.into()));
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }
}

text_type!(AccessFormat, expects: "a text such as `{{Method}} {{URI}}`", schema: { "type": "string" });

fn unknown(name: &str) -> String {
    let names = PLACEHOLDERS.map(|(known, _)| known);
    match names.contains(&name.trim()) {
        true => format!("write `{{{{{}}}}}`, without spaces", name.trim()),
        false => format!("there is no placeholder `{{{{{name}}}}}`: {}", help_for(name.trim(), &names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let parse = |text: &str| text.parse::<AccessFormat>().map(|format| format.parts.into_vec());
        let literal = |text: &str| AccessPart::Literal(text.into());
        let placeholder = AccessPart::Placeholder;
        assert_eq!(parse("").unwrap(), []);
        let expected = [
            literal("{\"t\":\""),
            placeholder(Placeholder::Time),
            literal("\"} "),
            placeholder(Placeholder::Uri),
        ];
        assert_eq!(parse("{\"t\":\"{{Time}}\"} {{URI}}").unwrap(), expected);
        for (text, expected) in [
            ("{{Methd}}", "there is no placeholder `{{Methd}}`: did you mean `Method`?"),
            ("{{ Method }}", "write `{{Method}}`, without spaces"),
            ("{{Method", "a `{{` is not closed by `}}`"),
            ("a\nb", "the format is one line"),
        ] {
            assert_eq!(parse(text).unwrap_err(), expected);
        }
    }
}
