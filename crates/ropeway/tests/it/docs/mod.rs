//! What the documentation says holds.

mod facts;
mod reference;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ropeway::spec::Source;
use ropeway::supervisor::load::load;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[test]
fn every_yaml_block_loads() {
    let mut count = 0;
    for page in pages() {
        for (line, text) in yaml_blocks(&fs::read_to_string(&page).unwrap()) {
            assert_loads(&format!("{} line {line}", page.display()), &text);
            count += 1;
        }
    }
    assert!(count > 3, "the blocks are not found");
}

#[test]
fn every_example_loads() {
    let examples: Vec<_> = files(&Path::new(ROOT).join("examples"), "yaml");
    assert!(examples.len() > 1, "{examples:?}");
    for example in examples {
        assert_loads(&example.display().to_string(), &fs::read_to_string(&example).unwrap());
    }
}

#[test]
fn a_faulty_block_would_be_seen() {
    let blocks = yaml_blocks("text\n```yaml\nname: [\n```\n```sh\nls\n```\n  ```yaml\n  a: 1\n  ```\n");
    assert_eq!(blocks, [(2, "name: [\n".to_owned()), (8, "a: 1\n".to_owned())]);
    assert!(load(&[Source::new("block", blocks[0].1.clone())]).diagnostics.has_errors());
}

/// To files that are there, and to headings that are in them.
#[test]
fn links_between_pages_lead_somewhere() {
    let mut count = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in links(&text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(target.exists(), "{} links to {link}", page.display());
            if !heading.is_empty() {
                let anchors = anchors(&fs::read_to_string(&target).unwrap());
                assert!(
                    anchors.contains(heading),
                    "{} links to {link}; there are {anchors:?}",
                    page.display()
                );
            }
            count += 1;
        }
    }
    assert!(count > 10, "the links are not found");
}

fn assert_loads(what: &str, text: &str) {
    let loaded = load(&[Source::new(what, text.to_owned())]);
    assert!(!loaded.diagnostics.has_errors(), "{}", loaded.diagnostics.render(false));
}

/// All Markdown files of the project.
fn pages() -> Vec<PathBuf> {
    ["", "docs", "peers", "examples", "crates/ws", "crates/ropeway", "crates/testkit", "crates/bench"]
        .iter()
        .flat_map(|folder| files(&Path::new(ROOT).join(folder), "md"))
        .collect()
}

/// The files directly in a folder, which need not be there, that end like this.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|found| found == end)).collect();
    files.sort();
    files
}

/// Each with the line it begins on, and without what indents it.
fn yaml_blocks(page: &str) -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(indent) = line.strip_suffix("```yaml") {
            let inside = lines.by_ref().map(|(line, _)| line).take_while(|line| line.trim() != "```");
            let text = inside.map(|line| line.strip_prefix(indent).unwrap_or(line).to_owned() + "\n");
            blocks.push((number, text.collect()));
        }
    }
    blocks
}

/// The targets of links that stay in the project.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.match_indices("](").filter_map(|(at, _)| page[at + 2..].split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// What links can name after `#`.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    let slug = |heading: &str| {
        let kept = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}
