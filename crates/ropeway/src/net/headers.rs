//! Headers that the user has us send.

use http::header::{HeaderMap, HeaderName};

use crate::spec::headers::{HeaderEdits, Headers};

/// Changes of headers: first `del`, then `set`, then `add`.
#[derive(Debug, Default)]
pub struct Edits {
    /// To be taken away.
    pub del: Vec<HeaderName>,
    /// To be set, whatever they were before.
    pub set: HeaderMap,
    /// To be added to those of the same name.
    pub add: HeaderMap,
}

impl Edits {
    /// Those that `spec` asks for.
    pub fn new(spec: &HeaderEdits) -> Self {
        let del = spec.del.iter().map(|name| (&**name).into()).collect();
        Edits { del, set: map(&spec.set), add: map(&spec.add) }
    }

    /// Makes them.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.del {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

/// `headers` as messages have them.
pub fn map(headers: &Headers) -> HeaderMap {
    headers.iter().map(|(name, value)| ((&**name).into(), value.get().clone())).collect()
}
