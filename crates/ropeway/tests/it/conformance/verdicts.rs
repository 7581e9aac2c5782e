//! What the suite says of each case, and what is expected of it.

use std::collections::BTreeMap;

/// The verdicts of one run by case: two words of the suite, on what was sent and on how the connection was closed.
pub(super) struct Verdicts(BTreeMap<Case, String>);

/// A file with one line for each case. `3.2 OK OK` is the verdict on a peer, alone and behind the gateway. `OK OK`, the
/// best, may always come: some verdicts depend on how bytes meet.
pub(super) struct Expected(BTreeMap<Case, String>);

/// The numbers of `9.1.2`.
type Case = Vec<u32>;

impl Verdicts {
    /// Reads lines like `3.2 OK OK`.
    pub(super) fn read(lines: &str) -> Self {
        Verdicts(lines.lines().map(case_and_rest).map(|(case, rest)| (case, rest.into())).collect())
    }

    /// Every case passed as the suite understands it.
    pub(super) fn check_all_pass(&self) {
        assert!(self.0.len() > 200, "only {} cases were run", self.0.len());
        let failed: Vec<_> = self.0.iter().filter(|(_, verdict)| !passes(verdict)).collect();
        assert!(failed.is_empty(), "{failed:#?}");
    }

    /// Some case failed in each of these groups.
    pub(super) fn check_failures_in(&self, groups: &[u32]) {
        for group in groups {
            let mut cases = self.0.iter().filter(|(case, _)| case[0] == *group);
            assert!(cases.any(|(_, verdict)| !passes(verdict)), "group {group} passes");
        }
    }
}

impl Expected {
    pub(super) fn read(lines: &str) -> Self {
        Expected(lines.lines().map(case_and_rest).map(|(case, rest)| (case, rest.into())).collect())
    }

    /// Compares a run `of` something.
    pub(super) fn check(&self, of: &str, found: &Verdicts) {
        let cases: Vec<_> = self.0.keys().collect();
        assert_eq!(found.0.keys().collect::<Vec<_>>(), cases, "the cases that were run");
        let mut differ = Vec::new();
        for (case, expected) in &self.0 {
            let verdict = &found.0[case];
            if verdict != BEST && verdict != expected {
                differ.push(format!("{case:?}: {verdict}, expected {expected}"));
            }
        }
        assert!(differ.is_empty(), "{of}: {differ:#?}");
    }
}

const BEST: &str = "OK OK";

fn case_and_rest(line: &str) -> (Case, &str) {
    let (case, rest) = line.split_once(' ').unwrap_or_else(|| panic!("not a verdict: {line:?}"));
    (case.split('.').map(|number| number.parse().unwrap()).collect(), rest)
}

fn passes(verdict: &str) -> bool {
    verdict.split(' ').all(|word| ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&word))
}
