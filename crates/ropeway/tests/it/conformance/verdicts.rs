//! What the suite says of each case, and what is expected of it.

use std::collections::BTreeMap;

/// The verdicts of one run by case: two words of the suite, on what was sent and on how the connection was closed.
pub(super) struct Verdicts(BTreeMap<Case, String>);

/// A file with one line for each case. `3.2 OK OK` is the verdict on a peer alone, and must be the one behind the
/// gateway too; with `3.2 OK OK | NON-STRICT OK` the latter may come instead. `OK OK`, the best, may always come: some
/// verdicts depend on how bytes meet.
pub(super) struct Expected(BTreeMap<Case, (String, Option<String>)>);

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
        let line = |line| {
            let (case, rest) = case_and_rest(line);
            let (alone, behind) =
                rest.split_once(" | ").map_or((rest, None), |(a, b)| (a, Some(b.to_owned())));
            (case, (alone.to_owned(), behind))
        };
        Expected(lines.lines().map(line).collect())
    }

    /// Compares a run against the peer alone.
    pub(super) fn check_alone(&self, found: &Verdicts) {
        self.check(found, false);
    }

    /// Compares a run with the gateway in front of the peer.
    pub(super) fn check_behind_gateway(&self, found: &Verdicts) {
        self.check(found, true);
    }

    fn check(&self, found: &Verdicts, behind_gateway: bool) {
        let cases: Vec<_> = self.0.keys().collect();
        assert_eq!(found.0.keys().collect::<Vec<_>>(), cases, "the cases that were run");
        let mut differ = Vec::new();
        for (case, (alone, behind)) in &self.0 {
            let verdict = &found.0[case];
            let other = behind.as_ref().filter(|_| behind_gateway);
            if verdict != BEST && verdict != alone && Some(verdict) != other {
                differ.push(format!("{case:?}: {verdict}, expected {alone}"));
            }
        }
        assert!(differ.is_empty(), "behind the gateway: {behind_gateway}, {differ:#?}");
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
