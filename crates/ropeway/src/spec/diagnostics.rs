//! What is wrong with a configuration, and where: collected first, shown together.

use std::{collections::BTreeSet, ops::Range};

use super::source::Source;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but something in it does nothing, or not what its name says.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// `error`, `warning` or `note`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A range of bytes in one of the files that are read together.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Span {
    pub(super) file: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    /// Whether `inner` lies in this and is not all of it.
    pub(super) fn is_around(self, inner: Self) -> bool {
        self != inner && self.file == inner.file && self.start <= inner.start && inner.end <= self.end
    }
}

/// One finding.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Diagnostic {
    // the order of the fields is the order of the findings: by place, then by weight
    span: Option<Span>,
    severity: Severity,
    title: String,
    label: String,
    help: Option<String>,
    other: Option<Box<(Span, String)>>,
}

impl Diagnostic {
    /// Something that makes the configuration unusable.
    pub fn error(title: impl Into<String>) -> Self {
        Self::new(Severity::Error, title.into())
    }

    /// Something that does nothing or not what its name says.
    pub fn warning(title: impl Into<String>) -> Self {
        Self::new(Severity::Warning, title.into())
    }

    /// Something good to know.
    pub fn note(title: impl Into<String>) -> Self {
        Self::new(Severity::Note, title.into())
    }

    /// The place it is about.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }

    /// What to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A few words at the place itself.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// A second place that has to do with it, and a few words there.
    #[must_use]
    pub fn other(self, span: Span, label: impl Into<String>) -> Self {
        Self { other: Some(Box::new((span, label.into()))), ..self }
    }

    /// The same about another text, which is told by `before` and stands nowhere.
    pub(super) fn retold(&self, before: &str) -> Self {
        Self { help: self.help.clone(), ..Self::new(self.severity, format!("{before}{}", self.title)) }
    }

    /// How much it matters.
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The one line that says what it is.
    pub fn title(&self) -> &str {
        &self.title
    }

    pub(super) const fn span(&self) -> Option<Span> {
        self.span
    }

    pub(super) fn parts(&self) -> Parts<'_> {
        Parts { span: self.span, label: &self.label, help: self.help.as_ref(), other: self.other.as_deref() }
    }

    fn new(severity: Severity, title: String) -> Self {
        Self { span: None, severity, title, label: String::new(), help: None, other: None }
    }
}

/// What a renderer shows beside severity and title.
pub(super) struct Parts<'a> {
    pub(super) span: Option<Span>,
    pub(super) label: &'a String,
    pub(super) help: Option<&'a String>,
    pub(super) other: Option<&'a (Span, String)>,
}

/// All findings of one reading, in the order of files and lines, each once; and the files they point into.
#[derive(Debug, Default)]
pub struct Diagnostics {
    pub(super) files: Vec<File>,
    found: BTreeSet<Diagnostic>,
    counts: [usize; 3],
}

/// A file that was read, and the parts of it that must not be shown.
#[derive(Debug)]
pub(super) struct File {
    pub(super) source: Source,
    pub(super) secrets: Vec<Range<u32>>,
}

impl Diagnostics {
    /// How many findings are kept; those beyond are counted only.
    pub const MAX_KEPT: usize = 500;

    /// Whether there is any error, so that the configuration cannot be used.
    pub const fn has_errors(&self) -> bool {
        self.counts[Severity::Error as usize] > 0
    }

    /// How many findings of this severity there are, those not kept included.
    pub const fn count(&self, severity: Severity) -> usize {
        self.counts[severity as usize]
    }

    /// How many findings were counted but not kept.
    pub fn left_out(&self) -> usize {
        self.counts.iter().sum::<usize>() - self.found.len()
    }

    /// The findings kept, by file and place.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.found.iter()
    }

    /// Adds a finding unless it is there already.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let severity = diagnostic.severity as usize;
        let counted = if self.found.len() < Self::MAX_KEPT {
            self.found.insert(diagnostic)
        } else {
            !self.found.contains(&diagnostic)
        };
        self.counts[severity] += usize::from(counted);
    }

    /// The number by which spans name this file.
    pub(super) fn add_file(&mut self, source: Source) -> u32 {
        self.files.push(File { source, secrets: Vec::new() });
        u32::try_from(self.files.len() - 1).expect("files are fewer than 2^32: each has a path in memory")
    }

    pub(super) fn set_secrets(&mut self, file: u32, secrets: Vec<Range<u32>>) {
        self.files[file as usize].secrets = secrets;
    }
}
