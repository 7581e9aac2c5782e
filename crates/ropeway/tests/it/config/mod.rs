//! The configuration language.

mod expected;
mod faults;
mod hostile;
mod kitchen_sink;
mod loading;
mod schema;
mod types;

use ropeway::spec::Source;
use ropeway::supervisor::load::{Loaded, load};

fn load_text(text: &str) -> Loaded {
    load(&[Source::new("test.yaml", text)])
}

/// All findings, a line each.
fn lines(loaded: &Loaded) -> Vec<String> {
    loaded.diagnostics.iter().map(|diagnostic| loaded.diagnostics.one_line(diagnostic)).collect()
}

/// A file of `examples/`, read.
fn example(name: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/").to_owned() + name;
    std::fs::read_to_string(path).unwrap()
}
