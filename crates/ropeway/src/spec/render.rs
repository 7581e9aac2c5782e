//! Findings as text: for people, as rustc shows them, and in one line each, for logs.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use super::diagnostics::{Diagnostic, Diagnostics, Severity, Span};

impl Diagnostics {
    /// All findings with the lines they point at. With `colour`, for a terminal.
    ///
    /// A line that holds a secret is not shown, nor one of more than 4096 bytes: then only its position is.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for diagnostic in self.iter() {
            text.push_str(&renderer.render(&[self.group(diagnostic)]));
            text.push_str("\n\n");
        }
        if self.left_out() > 0 {
            text.push_str(&format!("and {} more that are not shown\n", self.left_out()));
        }
        text
    }

    /// One finding in one line: `file:line:column: severity: title (help)`.
    pub fn one_line(&self, diagnostic: &Diagnostic) -> String {
        let parts = diagnostic.parts();
        let mut text = String::new();
        if let Some(line) = parts.span.and_then(|span| self.line_at(span)) {
            text.push_str(&format!("{}:{}:{}: ", line.file, line.number, line.column));
        }
        text.push_str(diagnostic.severity().as_str());
        text.push_str(": ");
        text.push_str(diagnostic.title());
        if let Some(help) = parts.help {
            text.push_str(&format!(" ({help})"));
        }
        text.replace(['\n', '\r'], " ")
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity() {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
            Severity::Note => Level::NOTE,
        };
        let parts = diagnostic.parts();
        let mut group = Group::with_title(level.primary_title(diagnostic.title()));
        if let Some(line) = parts.span.and_then(|span| self.line_at(span)) {
            group = group.element(line.element(AnnotationKind::Primary, parts.label));
        }
        if let Some((span, label)) = parts.other
            && let Some(line) = self.line_at(*span)
        {
            group = group.element(line.element(AnnotationKind::Context, label));
        }
        match parts.help {
            Some(help) => group.element(Level::HELP.message(help)),
            None => group,
        }
    }

    /// The line where `span` starts.
    fn line_at(&self, span: Span) -> Option<Line<'_>> {
        let file = self.files.get(span.file as usize)?;
        let text = file.source.text();
        let before = text.get(..span.start as usize)?;
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        let line = text[start..end].trim_end_matches('\r');
        let is_secret = file.secrets.iter().any(|s| (s.start as usize) < end && start < s.end as usize);
        let last =
            (span.end as usize).clamp(span.start as usize, start + line.len().max(before.len() - start));
        Some(Line {
            file: file.source.name(),
            text: (!is_secret && line.len() <= MAX_LINE).then_some(line),
            number: before.bytes().filter(|&byte| byte == b'\n').count() + 1,
            column: before[start..].chars().count() + 1,
            marked: before.len() - start..last - start,
        })
    }
}

const MAX_LINE: usize = 4096;

/// A line of a file with a part of it marked.
struct Line<'a> {
    file: &'a str,
    /// Nothing where the line must not be shown.
    text: Option<&'a str>,
    number: usize,
    column: usize,
    marked: std::ops::Range<usize>,
}

impl<'a> Line<'a> {
    fn element(self, kind: AnnotationKind, label: &'a str) -> Element<'a> {
        match self.text {
            None => Origin::path(self.file).line(self.number).char_column(self.column).into(),
            Some(text) => {
                let annotation = kind.span(self.marked);
                let annotation = if label.is_empty() { annotation } else { annotation.label(label) };
                Snippet::source(text).path(self.file).line_start(self.number).annotation(annotation).into()
            }
        }
    }
}
