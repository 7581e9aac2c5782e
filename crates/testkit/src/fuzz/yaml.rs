//! A configuration as somebody may write it.

use std::time::{Duration, Instant};

use ropeway::spec::{Diagnostics, Source};
use ropeway::supervisor::load::{Objects, load};

const NAME: &str = "fuzz.yaml";

const NO_SERVER: &str = "warning: there is no HTTPServer: nothing will be served";

/// Far more than any text of a fuzzer's size takes, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(10);

/// Reads a text as a configuration: soon, always with the same findings, and each at a place in the text.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sources = [Source::new(NAME, &*text)];
    let began = Instant::now();
    let loaded = load(&sources);
    let diagnostics = &loaded.diagnostics;
    let found = lines(diagnostics);
    diagnostics.render(true);
    let rendered = diagnostics.render(false);
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());

    let again = load(&sources);
    assert_eq!(found, lines(&again.diagnostics));
    assert_eq!(loaded.objects, again.objects);
    assert_eq!(rendered.is_empty(), found.is_empty());
    assert!(found.len() <= Diagnostics::MAX_KEPT);
    found.iter().for_each(|line| has_a_place(line, &text));
    assert!(!diagnostics.has_errors() || loaded.objects == Objects::default());
}

fn lines(diagnostics: &Diagnostics) -> Vec<String> {
    diagnostics.iter().map(|diagnostic| diagnostics.one_line(diagnostic)).collect()
}

/// `fuzz.yaml:line:column: …`, where the text has that line and it that column, or ends there.
///
/// Only what is not there has no place.
fn has_a_place(finding: &str, text: &str) {
    if finding == NO_SERVER {
        return;
    }
    let mut parts = finding.split(':');
    assert_eq!(parts.next(), Some(NAME), "no place: {finding}");
    let mut number =
        || parts.next().and_then(|number| number.parse::<usize>().ok()).filter(|number| *number > 0);
    let (Some(line), Some(column)) = (number(), number()) else { panic!("no place: {finding}") };
    let line = text.split('\n').nth(line - 1).unwrap_or_else(|| panic!("no such line: {finding}"));
    assert!(column <= line.chars().count() + 1, "no such column: {finding}");
}
