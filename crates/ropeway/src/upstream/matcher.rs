//! Which requests a candidate pool is for.

use http::Method;

use super::asker::Asker;
use super::hash::fnv1;
use crate::spec::matcher::TextMatcher;
use crate::spec::pool_filter::{FilterPolicy, PoolFilter};

/// A condition on requests.
#[derive(Debug)]
pub enum Matcher {
    /// By headers and URL.
    General {
        /// What headers must be.
        headers: Vec<(String, TextMatcher)>,
        /// Whether all of them must; else any one will do.
        all: bool,
        /// Methods, any if there are none, and what the path must be. One of these must fit, if there are any.
        urls: Vec<(Vec<Method>, TextMatcher)>,
    },
    /// A share of the requests, in thousandths.
    Share(Dice, u32),
}

/// By what a request falls into a share.
#[derive(Debug)]
pub enum Dice {
    /// By the client's address.
    Ip,
    /// By the value of a header.
    Header(String),
    /// By chance.
    Chance,
}

impl Matcher {
    /// The condition that `spec` asks for.
    pub fn new(spec: &PoolFilter) -> Self {
        let header = || spec.header_hash_key.as_ref().map(|name| name.to_string()).unwrap_or_default();
        let dice = match spec.policy {
            FilterPolicy::General => return general(spec),
            FilterPolicy::IpHash => Dice::Ip,
            FilterPolicy::HeaderHash => Dice::Header(header()),
            FilterPolicy::Random => Dice::Chance,
        };
        Matcher::Share(dice, spec.permil.map_or(0, |permil| permil.get().into()))
    }

    /// Whether the request is one of these.
    pub fn matches(&self, asker: Asker<'_>) -> bool {
        match self {
            Matcher::General { headers, all, urls } => {
                let fits = |(name, text): &(String, TextMatcher)| has_header(asker, name, text);
                let by_headers = if *all { headers.iter().all(fits) } else { headers.iter().any(fits) };
                by_headers && (urls.is_empty() || urls.iter().any(|url| is_at(asker, url)))
            }
            Matcher::Share(dice, permil) => dice.roll(asker) < *permil,
        }
    }
}

impl Dice {
    /// From 0 to 999.
    fn roll(&self, asker: Asker<'_>) -> u32 {
        match self {
            Dice::Ip => fnv1(asker.address.to_string().as_bytes()) % 1000,
            Dice::Header(name) => fnv1(asker.header(name)) % 1000,
            Dice::Chance => fastrand::u32(..1000),
        }
    }
}

fn general(spec: &PoolFilter) -> Matcher {
    let headers = spec.headers.iter().map(|(name, text)| (name.to_string(), (**text).clone()));
    let urls = spec.urls.iter().map(|url| {
        let methods = url.methods.iter().filter_map(|method| method.as_str().parse().ok());
        (methods.collect(), (*url.url).clone())
    });
    Matcher::General { headers: headers.collect(), all: spec.match_all_headers, urls: urls.collect() }
}

/// Whether any value of the header fits; one that is missing counts as empty.
fn has_header(asker: Asker<'_>, name: &str, text: &TextMatcher) -> bool {
    let mut values = asker.head.headers.get_all(name).iter().peekable();
    match values.peek() {
        Some(_) => values.any(|value| text.is_match(&String::from_utf8_lossy(value.as_bytes()))),
        None => text.is_match(""),
    }
}

fn is_at(asker: Asker<'_>, (methods, path): &(Vec<Method>, TextMatcher)) -> bool {
    (methods.is_empty() || methods.contains(&asker.head.method)) && path.is_match(&asker.path())
}
