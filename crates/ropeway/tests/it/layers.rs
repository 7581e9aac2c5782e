//! The modules of the crate are layers, listed in `lib.rs` with the highest first: a module uses only those that
//! stand below it.

use std::fs;
use std::path::{Path, PathBuf};

const SRC: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");

/// One use of a module by another.
#[derive(PartialEq, Debug)]
struct Use {
    place: String,
    from: String,
    to: String,
}

#[test]
fn a_module_uses_only_those_below_it() {
    let layers = layers(&fs::read_to_string(format!("{SRC}/lib.rs")).unwrap());
    assert!(layers.len() > 10, "the list in lib.rs is not found: {layers:?}");
    let uses = uses(&layers);
    assert!(uses.len() > 50, "the uses are not found: {uses:?}");
    let wrong: Vec<_> = uses.iter().filter(|found| goes_up(&layers, found)).collect();
    assert!(wrong.is_empty(), "these look upward: {wrong:#?}");
}

#[test]
fn a_look_upward_is_seen() {
    let layers = layers("pub mod server;\n/// words\npub mod net;\n");
    let text = "use crate::net::Stream;\n// use crate::cli;\nfn f() { crate::server::start() }\nuse super::server::x;";
    let uses = uses_in(&layers, "net", "net/stream.rs", text);
    let up: Vec<_> = uses.iter().filter(|found| goes_up(&layers, found)).map(|found| &*found.place).collect();
    assert_eq!(up, ["net/stream.rs:3", "net/stream.rs:4"]);
}

#[test]
fn filters_do_not_know_each_other_and_nobody_else_knows_one() {
    let kinds: Vec<_> = files(Path::new(&format!("{SRC}/filters")))
        .iter()
        .filter_map(|file| file.file_stem()?.to_str().map(str::to_owned))
        .filter(|kind| kind != "mod")
        .collect();
    assert!(kinds.contains(&"websocket_proxy".to_owned()), "{kinds:?}");
    for file in files(Path::new(SRC)) {
        let text = fs::read_to_string(&file).unwrap();
        for kind in &kinds {
            let names = [format!("filters::{kind}"), format!("super::{kind}")];
            let named = names.iter().any(|name| code(&text).any(|(_, line)| line.contains(name)));
            assert!(!named || file.ends_with("filters/mod.rs"), "{} names the filter {kind}", file.display());
        }
    }
}

#[test]
fn tunnels_know_nothing_of_http() {
    for file in files(Path::new(&format!("{SRC}/tunnel"))) {
        let text = fs::read_to_string(&file).unwrap();
        let http = code(&text).find(|(_, line)| line.contains("hyper") || line.contains("http::"));
        assert_eq!(http, None, "in {}", file.display());
    }
}

fn layers(lib: &str) -> Vec<String> {
    code(lib)
        .filter_map(|(_, line)| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned()))
        .collect()
}

fn goes_up(layers: &[String], found: &Use) -> bool {
    let height = |name: &str| layers.iter().position(|layer| layer == name);
    height(&found.to) < height(&found.from)
}

fn uses(layers: &[String]) -> Vec<Use> {
    let mut uses = Vec::new();
    for file in files(Path::new(SRC)) {
        let place = file.strip_prefix(SRC).unwrap().display().to_string();
        let from = place.split(['/', '.']).next().unwrap().to_owned();
        if layers.contains(&from) {
            uses.extend(uses_in(layers, &from, &place, &fs::read_to_string(&file).unwrap()));
        }
    }
    uses
}

fn uses_in(layers: &[String], from: &str, place: &str, text: &str) -> Vec<Use> {
    let mut uses = Vec::new();
    for (number, line) in code(text) {
        assert!(!line.contains("crate::{"), "{place}:{number}: one `use` for each module, please");
        for to in layers.iter().filter(|to| *to != from && names(line, to)) {
            uses.push(Use { place: format!("{place}:{number}"), from: from.into(), to: to.clone() });
        }
    }
    uses
}

/// Whether a line of code names a module of the crate.
fn names(line: &str, module: &str) -> bool {
    let paths = ["crate::", "super::"];
    paths.iter().map(|path| format!("{path}{module}")).any(|path| {
        line.match_indices(&path)
            .any(|(at, _)| !line[at + path.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Numbered lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}
