//! What goes wrong while one value is read.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{
    diagnostics::{Diagnostic, Span},
    suggest,
    tree::NodeId,
};

/// Why a value could not be read.
#[derive(Debug)]
pub(super) struct ReadError {
    pub(super) message: String,
    pub(super) help: Option<String>,
    /// The innermost place that is known.
    pub(super) span: Option<Span>,
    /// The innermost key or item whose value is at fault: to be left out when the rest is read again.
    pub(super) culprit: Option<NodeId>,
    /// The innermost key that it stands under.
    pub(super) field: Option<String>,
    /// The field that a mapping lacks.
    pub(super) missing: Option<&'static str>,
    /// Whether this is only the consequence of an error that was reported before.
    pub(super) is_consequence: bool,
    /// Whether to read on makes no sense.
    pub(super) is_fatal: bool,
}

impl ReadError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: None,
            span: None,
            culprit: None,
            field: None,
            missing: None,
            is_consequence: false,
            is_fatal: false,
        }
    }

    pub(super) fn fatal(message: impl Into<String>, span: Span) -> Self {
        Self { span: Some(span), is_fatal: true, ..Self::new(message) }
    }

    pub(super) fn into_diagnostic(self, place: Span) -> Diagnostic {
        let title = match self.field {
            Some(field) => format!("`{field}`: {}", self.message),
            None => self.message,
        };
        let diagnostic = Diagnostic::error(title).at(self.span.unwrap_or(place));
        match self.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("duplicate key: `{field}` is given twice, under two names"))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("expected {expected}"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("missing field `{field}`")) }
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Self {
            help: Some(suggest::help_for(variant, known)),
            ..Self::new(format!("`{variant}` is not known here"))
        }
    }
}
