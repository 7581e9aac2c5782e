//! What the answer to a check must look like.

use http::{HeaderMap, StatusCode};

use crate::spec::health_check::{Expected as Spec, ExpectedText, HeaderComparison, TextComparison};
use crate::spec::types::{Pattern, StatusRange};

/// What an answer must look like. All of it must fit.
#[derive(Debug)]
pub(super) struct Expected {
    statuses: Statuses,
    headers: Vec<(String, Comparison)>,
    body: Option<Comparison>,
}

#[derive(Debug)]
enum Statuses {
    Between(u16, u16),
    Listed(Vec<StatusRange>),
}

/// What a text must be like.
#[derive(Debug)]
pub(super) enum Comparison {
    Is(String),
    Holds(String),
    Fits(Pattern),
}

impl Expected {
    /// `default` are the statuses where the user lists none. A spec that was read without an error has patterns that
    /// are valid.
    pub(super) fn new(spec: Option<&Spec>, default: (u16, u16)) -> Self {
        let fallback = Spec::default();
        let spec = spec.unwrap_or(&fallback);
        let headers = spec.headers.iter().map(|header| {
            let value = header.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
            let comparison = match header.r#type {
                HeaderComparison::Exact => Comparison::Is(value),
                HeaderComparison::Regexp => Comparison::pattern(value),
            };
            (header.name.to_string(), comparison)
        });
        Expected {
            statuses: match spec.status_codes.is_empty() {
                true => Statuses::Between(default.0, default.1),
                false => Statuses::Listed(spec.status_codes.clone()),
            },
            headers: headers.collect(),
            body: spec.body.as_ref().map(Comparison::with_text),
        }
    }

    /// Whether anything is said of the body.
    pub(super) fn wants_body(&self) -> bool {
        self.body.is_some()
    }

    /// What is wrong with the head of an answer, if anything.
    pub(super) fn judge_head(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), String> {
        let code = status.as_u16();
        let is_listed = match &self.statuses {
            Statuses::Between(first, last) => (*first..=*last).contains(&code),
            Statuses::Listed(ranges) => ranges.iter().any(|range| range.contains(code)),
        };
        if !is_listed {
            return Err(format!("status {code}"));
        }
        for (name, comparison) in &self.headers {
            let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
            if !comparison.is_met(&value.unwrap_or_default()) {
                return Err(format!("header {name} does not match"));
            }
        }
        Ok(())
    }

    /// What is wrong with a body, if anything; `is_whole` if this is all of it.
    pub(super) fn judge_body(&self, body: &[u8], is_whole: bool) -> Result<(), String> {
        let is_met = match &self.body {
            Some(Comparison::Is(_)) if !is_whole => false,
            Some(comparison) => comparison.is_met(&String::from_utf8_lossy(body)),
            None => true,
        };
        if is_met { Ok(()) } else { Err("the body does not match".into()) }
    }
}

impl Comparison {
    /// As `spec` says; one that was read without an error has a valid pattern.
    pub(super) fn with_text(spec: &ExpectedText) -> Self {
        let value = spec.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
        match spec.r#type {
            TextComparison::Contains => Comparison::Holds(value),
            TextComparison::Exact => Comparison::Is(value),
            TextComparison::Regexp => Comparison::pattern(value),
        }
    }

    /// Whether `text` is like that.
    pub(super) fn is_met(&self, text: &str) -> bool {
        match self {
            Comparison::Is(value) => text == value,
            Comparison::Holds(value) => text.contains(value.as_str()),
            Comparison::Fits(pattern) => pattern.is_match(text),
        }
    }

    fn pattern(value: String) -> Self {
        value.parse().map_or(Comparison::Is(value), Comparison::Fits)
    }
}
