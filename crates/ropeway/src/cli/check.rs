//! `ropeway check`: says everything that is wrong with a configuration.

use std::path::PathBuf;

use crate::spec::{Diagnostics, Severity};
use crate::supervisor::load::{Objects, load, sources_from};

/// Reads the files and prints to standard error what was found. Gives the exit code: 0 if the configuration can be
/// used, else 1.
pub fn run(paths: &[PathBuf], colour: bool) -> u8 {
    let sources = match sources_from(paths) {
        Ok(sources) => sources,
        Err(error) => {
            eprintln!("error: {error}");
            return 1;
        }
    };
    let loaded = load(&sources);
    eprint!("{}", loaded.diagnostics.render(colour));
    eprintln!("{}", summary(&loaded.diagnostics, &loaded.objects, sources.len()));
    u8::from(loaded.diagnostics.has_errors())
}

/// One line that says how it went.
pub fn summary(diagnostics: &Diagnostics, objects: &Objects, files: usize) -> String {
    let found = [Severity::Error, Severity::Warning, Severity::Note]
        .map(|severity| (diagnostics.count(severity), severity.as_str()))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| plural(count, what));
    if diagnostics.has_errors() {
        return format!("{} in {}", found.collect::<Vec<_>>().join(", "), plural(files, "file"));
    }
    let objects = [(objects.servers.len(), "HTTPServer"), (objects.pipelines.len(), "Pipeline")];
    let objects = objects.map(|(count, kind)| plural(count, kind)).into_iter();
    format!("ok: {}", objects.chain(found).collect::<Vec<_>>().join(", "))
}

fn plural(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
