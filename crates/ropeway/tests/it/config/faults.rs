//! A file with many faults: all of them are found, each at its place.

use ropeway::spec::Severity;

use super::{expected::assert_expected, lines, load_text};

#[test]
fn all_faults_are_found_at_their_places() {
    let loaded = load_text(include_str!("faults.yaml"));
    assert!(loaded.diagnostics.count(Severity::Error) > 30);
    assert_expected("faults.txt", &loaded.diagnostics.render(false));
    assert_expected("faults.lines.txt", &(lines(&loaded).join("\n") + "\n"));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let loaded = load_text(include_str!("faults.yaml"));
    let coloured = loaded.diagnostics.render(true);
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert!(coloured.contains("\x1b["));
    assert_eq!(plain, loaded.diagnostics.render(false));
}
