//! Keeps clients on their servers, by cookies.
//!
//! A server's name in the gateway's own cookie is found from its URL alone: nothing is kept of a client, and a pin holds
//! through reloads, upgrades and restarts, and among gateways side by side.

use std::collections::HashMap;
use std::time::Duration;

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::key::cookie;
use super::ring::Ring;
use crate::spec::load_balance::{StickyMode, StickySession};
use crate::upstream::Server;
use crate::upstream::hash::stable;

/// The gateway's own cookie, unless the user gives it another name, and how long it lives.
const NAME: &str = "EG_SESSION";
const LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// How the clients of a pool are kept on their servers, which it knows by their places.
#[derive(Debug)]
pub(super) enum Sticky {
    /// By a hash of a cookie of the application's.
    Hash { cookie: String, ring: Ring },
    /// By a cookie of the gateway's.
    Own(Own),
}

/// A cookie that names a server.
#[derive(Debug)]
pub(super) struct Own {
    name: String,
    /// Set when the server's answer sets this one; `None` for each answer.
    with: Option<String>,
    life: Duration,
    /// The value for each place, and the place for each value.
    values: Vec<String>,
    places: HashMap<String, usize>,
}

impl Sticky {
    /// As the user wants it; what is missing was reported as an error.
    pub(super) fn new(spec: &StickySession, servers: &[Server], ring: impl FnOnce() -> Ring) -> Option<Self> {
        let app = spec.app_cookie_name.as_deref().filter(|name| !name.is_empty()).cloned();
        Some(match *spec.mode {
            StickyMode::CookieConsistentHash => Sticky::Hash { cookie: app?, ring: ring() },
            StickyMode::DurationBased => Sticky::Own(Own::new(spec, None, servers)),
            StickyMode::ApplicationBased => Sticky::Own(Own::new(spec, Some(app?), servers)),
        })
    }

    /// Where the client of this request is to go, if it is known and that is one of those that `may` be chosen.
    pub(super) fn place(&self, headers: &HeaderMap, may: impl Fn(usize) -> bool) -> Option<usize> {
        match self {
            Sticky::Hash { cookie: name, ring } => {
                let value = cookie(headers, name).filter(|value| !value.is_empty())?;
                ring.walk(stable(value)).find(|place| may(*place))
            }
            Sticky::Own(own) => own.place(headers).filter(|place| may(*place)),
        }
    }

    /// Whether the client has a server of its own, and that is one of those that `may` be chosen.
    pub(super) fn is_at_home(&self, headers: &HeaderMap, may: impl Fn(usize) -> bool) -> bool {
        match self {
            // Who has one that may not be chosen is only a guest where it goes meanwhile.
            Sticky::Hash { .. } => self.place(headers, |_| true).is_some_and(may),
            Sticky::Own(_) => self.place(headers, may).is_some(),
        }
    }

    /// Has the client come back to the server at `place`, by the answer with these `headers`.
    pub(super) fn pin(&self, place: usize, secure: bool, headers: &mut HeaderMap) {
        if let Sticky::Own(own) = self
            && own.with.as_deref().is_none_or(|app| sets(headers, app))
            && let Some(cookie) = own.set_cookie(place, secure)
        {
            headers.append(SET_COOKIE, cookie);
        }
    }
}

impl Own {
    fn new(spec: &StickySession, with: Option<String>, servers: &[Server]) -> Self {
        let name = spec.lb_cookie_name.as_deref().filter(|name| !name.is_empty());
        let life = spec.lb_cookie_expire.filter(|life| !life.is_zero());
        let values: Vec<_> = servers.iter().map(value).collect();
        // From the last, so that of equal URLs the first stays.
        let places = values.iter().cloned().enumerate().rev().map(|(place, value)| (value, place)).collect();
        Own {
            name: name.map_or(NAME, String::as_str).to_owned(),
            with,
            life: life.map_or(LIFE, Duration::from),
            values,
            places,
        }
    }

    fn place(&self, headers: &HeaderMap) -> Option<usize> {
        let value = std::str::from_utf8(cookie(headers, &self.name)?).ok()?;
        self.places.get(value).copied()
    }

    /// A page of another site that holds ours in a frame needs `SameSite=None`, which counts over TLS alone.
    fn set_cookie(&self, place: usize, secure: bool) -> Option<HeaderValue> {
        let (name, value, life) = (&self.name, self.values.get(place)?, self.life.as_secs().max(1));
        let site = if secure { "None; Secure" } else { "Lax" };
        HeaderValue::try_from(format!("{name}={value}; Path=/; Max-Age={life}; HttpOnly; SameSite={site}"))
            .ok()
    }
}

/// What stands for a server. `ws` and `http` are the same to it: pools of both share clients.
fn value(server: &Server) -> String {
    format!("{:016x}", stable(server.url().to_string().as_bytes()))
}

/// Whether an answer sets the cookie called `name`.
fn sets(headers: &HeaderMap, name: &str) -> bool {
    let is_meant = |line: &HeaderValue| {
        let rest = line.as_bytes().trim_ascii_start().strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    headers.get_all(SET_COOKIE).iter().any(is_meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_sets_a_cookie_if_one_of_its_lines_names_it() {
        let sets_session = |line: &'static str| {
            let headers = [
                (SET_COOKIE, HeaderValue::from_static("other=1")),
                (SET_COOKIE, HeaderValue::from_static(line)),
            ];
            sets(&HeaderMap::from_iter(headers), "session")
        };
        for line in ["session=1", "session=1; Path=/", " session =1", "session="] {
            assert!(sets_session(line), "{line}");
        }
        for line in ["session", "sessions=1", "a=session=1", "Session=1", ""] {
            assert!(!sets_session(line), "{line}");
        }
    }

    #[test]
    fn the_cookie_says_where_and_for_how_long() {
        let (values, name) = (vec!["0123456789abcdef".to_owned()], "a".to_owned());
        let own = Own { name, with: None, life: Duration::from_secs(90), values, places: HashMap::new() };
        let plain = own.set_cookie(0, false).unwrap();
        assert_eq!(plain, "a=0123456789abcdef; Path=/; Max-Age=90; HttpOnly; SameSite=Lax");
        let secure = own.set_cookie(0, true).unwrap();
        assert_eq!(secure, "a=0123456789abcdef; Path=/; Max-Age=90; HttpOnly; SameSite=None; Secure");
        assert_eq!(own.set_cookie(1, true), None);
    }
}
