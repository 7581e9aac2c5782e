//! References in a replacement to the groups of a regular expression.

use super::types::Pattern;
use super::{Diagnostic, Reader, Span};

/// Warns of a reference in `replacement`, which stands at `at`, to a group that `pattern` has not.
pub fn check_groups(pattern: &Pattern, replacement: &str, at: Span, reader: &Reader) {
    for group in references(replacement).filter(|group| !pattern.has_group(group)) {
        let title = format!("there is no group `{group}` in the regular expression: nothing stands for it");
        let number = group.len() - group.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let help = match group.split_at(number) {
            ("", _) => "a group has a name as in `(?P<name>…)`, or a number; `$$` is a `$`".into(),
            (_, "") => "groups are counted by their opening brackets; `$0` is the whole match".into(),
            (number, behind) => {
                format!("to have group {number} in front of `{behind}`, write `${{{number}}}`")
            }
        };
        reader.report(Diagnostic::warning(title).at(at).help(help));
    }
}

/// The groups that a replacement names, as `$name` or `${name}`; `$$` names none.
fn references(replacement: &str) -> impl Iterator<Item = &str> {
    let mut rest = replacement;
    std::iter::from_fn(move || {
        loop {
            let (_, behind) = rest.split_once('$')?;
            if let Some(behind) = behind.strip_prefix('$') {
                rest = behind;
                continue;
            }
            if let Some((name, behind)) = behind.strip_prefix('{').and_then(|behind| behind.split_once('}')) {
                rest = behind;
                return Some(name);
            }
            let length =
                behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
            let (name, behind) = behind.split_at(length);
            rest = behind;
            if !name.is_empty() {
                return Some(name);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is named is what replacing goes by.
    #[test]
    fn references_are_those_of_replacing() {
        let rows: [(&str, &[&str]); 9] = [
            ("/a", &[]),
            ("$1$2", &["1", "2"]),
            ("$1_new/$name", &["1_new", "name"]),
            ("${1}_new", &["1"]),
            ("$$1", &[]),
            ("$$$1", &["1"]),
            ("100$", &[]),
            ("$-$/", &[]),
            ("${a b}", &["a b"]),
        ];
        let pattern: Pattern = "(\u{e4})".parse().unwrap();
        for (replacement, expected) in rows {
            assert_eq!(references(replacement).collect::<Vec<_>>(), expected, "{replacement}");
            let replaced = pattern.replace_all("\u{e4}", replacement).unwrap();
            let is_named = references(replacement).any(|name| name == "1");
            assert_eq!(replaced.contains('\u{e4}'), is_named, "{replacement}: {replaced}");
        }
    }
}
