//! What a changed configuration means, object by object.

use std::fmt;

use super::load::{Named, Objects};

/// The difference between two configurations.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Every object of either, servers first, in the order of the documents; those that go come last.
    pub changes: Vec<Change>,
}

/// What becomes of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fate {
    /// It says the same: it stays as it is, with all that it holds.
    Kept,
    /// It says something else.
    Changed,
    /// It is new.
    Added,
    /// It is there no more.
    Removed,
}

impl Plan {
    /// What it means to go from `old` to `new`.
    pub fn new(old: &Objects, new: &Objects) -> Self {
        let mut changes = compare("HTTPServer", &old.servers, &new.servers);
        changes.extend(compare("Pipeline", &old.pipelines, &new.pipelines));
        changes.sort_by_key(|change| change.fate == Fate::Removed);
        Plan { changes }
    }

    /// Whether anything is to change.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| change.fate == Fate::Kept)
    }

    /// How many objects have this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.changes.iter().filter(|change| change.fate == fate).count()
    }
}

fn compare<T: PartialEq>(kind: &'static str, old: &[Named<T>], new: &[Named<T>]) -> Vec<Change> {
    let change = |object: &Named<T>, fate| Change { kind, name: object.name.to_string(), fate };
    let find = |objects: &'_ [Named<T>], name: &_| objects.iter().position(|object| object.name == *name);
    let there = new.iter().map(|object| {
        let fate = match find(old, &object.name) {
            None => Fate::Added,
            Some(at) if old[at].spec == object.spec => Fate::Kept,
            Some(_) => Fate::Changed,
        };
        change(object, fate)
    });
    let gone = old.iter().filter(|object| find(new, &object.name).is_none());
    there.chain(gone.map(|object| change(object, Fate::Removed))).collect()
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fate::Kept => "kept",
            Fate::Changed => "changed",
            Fate::Added => "added",
            Fate::Removed => "removed",
        })
    }
}

impl fmt::Display for Plan {
    /// One line: how many objects have which fate.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fates = [Fate::Added, Fate::Changed, Fate::Removed, Fate::Kept];
        let mut counts =
            fates.map(|fate| (self.count(fate), fate)).into_iter().filter(|(count, _)| *count > 0);
        if let Some((count, fate)) = counts.next() {
            write!(f, "{count} {fate}")?;
        }
        counts.try_for_each(|(count, fate)| write!(f, ", {count} {fate}"))
    }
}
