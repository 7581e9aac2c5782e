//! What the answer to a check must look like.

use http::{HeaderMap, StatusCode};

use crate::spec::health_check::{BodyComparison, Expected as Spec, HeaderComparison};
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

#[derive(Debug)]
enum Comparison {
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
        let body = spec.body.as_ref().map(|body| {
            let value = body.value.as_ref().map(|value| value.to_string()).unwrap_or_default();
            match body.r#type {
                BodyComparison::Contains => Comparison::Holds(value),
                BodyComparison::Regexp => Comparison::pattern(value),
            }
        });
        Expected {
            statuses: match spec.status_codes.is_empty() {
                true => Statuses::Between(default.0, default.1),
                false => Statuses::Listed(spec.status_codes.clone()),
            },
            headers: headers.collect(),
            body,
        }
    }

    /// Whether anything is said of the body.
    pub(super) fn wants_body(&self) -> bool {
        self.body.is_some()
    }

    /// What is wrong with an answer, if anything.
    pub(super) fn judge(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
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
        match &self.body {
            Some(comparison) if !comparison.is_met(&String::from_utf8_lossy(body)) => {
                Err("the body does not match".into())
            }
            _ => Ok(()),
        }
    }
}

impl Comparison {
    fn pattern(value: String) -> Self {
        value.parse().map_or(Comparison::Is(value), Comparison::Fits)
    }

    fn is_met(&self, text: &str) -> bool {
        match self {
            Comparison::Is(value) => text == value,
            Comparison::Holds(value) => text.contains(value.as_str()),
            Comparison::Fits(pattern) => pattern.is_match(text),
        }
    }
}
