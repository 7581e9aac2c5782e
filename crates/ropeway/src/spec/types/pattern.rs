//! Regular expressions as Go has them (RE2 syntax).

use std::{fmt, str::FromStr};

use regex::{Regex, RegexBuilder};

use super::text_type;

/// A regular expression in Go's syntax and with Go's meaning: not anchored; `\d`, `\w`, `\s` and `\b` know ASCII
/// only; matching takes time linear in the text. At most 4096 bytes long and 1 MiB when compiled.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

impl Pattern {
    /// The expression as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the expression matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What the first group matches in `text`; if there are no groups, what the whole expression does.
    pub fn extract<'t>(&self, text: &'t str) -> Option<&'t str> {
        let group = usize::from(self.regex.captures_len() > 1);
        self.regex.captures(text)?.get(group).map(|found| found.as_str())
    }

    /// Whether there is a group with this name or number; 0 is the whole.
    pub fn has_group(&self, group: &str) -> bool {
        match group.parse::<usize>() {
            Ok(number) => number < self.regex.captures_len(),
            Err(_) => self.regex.capture_names().flatten().any(|name| name == group),
        }
    }

    /// `text` with every match replaced; `$1`, `${1}` and `$name` stand for groups. `None` where more than
    /// [`MAX_REPLACED`](Self::MAX_REPLACED) bytes come out: a group may be repeated, and every character a match.
    pub fn replace_all(&self, text: &str, replacement: &str) -> Option<String> {
        let mut replaced = String::new();
        let mut rest = 0;
        for found in self.regex.captures_iter(text) {
            let whole = found.get_match();
            replaced.push_str(&text[rest..whole.start()]);
            found.expand(replacement, &mut replaced);
            rest = whole.end();
            if replaced.len() > Self::MAX_REPLACED {
                return None;
            }
        }
        replaced.push_str(&text[rest..]);
        (replaced.len() <= Self::MAX_REPLACED).then_some(replaced)
    }

    /// The most bytes that replacing gives.
    pub const MAX_REPLACED: usize = 64 * 1024;
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl Eq for Pattern {}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a regular expression has at most {MAX_BYTES} bytes"));
        }
        let regex =
            RegexBuilder::new(&from_go(text)).size_limit(MAX_COMPILED).nest_limit(100).build().map_err(
                |e| match e {
                    regex::Error::CompiledTooBig(_) => "this regular expression is too large".to_owned(),
                    other => format!("not a regular expression: {}", last_line(&other.to_string())),
                },
            )?;
        Ok(Self { text: text.into(), regex })
    }
}

text_type!(Pattern, expects: "a regular expression", schema: { "type": "string", "format": "regex" });

const MAX_BYTES: usize = 4096;
const MAX_COMPILED: usize = 1 << 20;

/// The last line of the message says what is wrong; those before it draw the place.
fn last_line(message: &str) -> &str {
    let line = message.lines().last().unwrap_or(message).trim();
    line.strip_prefix("error: ").unwrap_or(line)
}

/// Writes Go's syntax in that of crate `regex`, which differs in classes and in what is Unicode.
fn from_go(go: &str) -> String {
    let mut out = String::with_capacity(go.len() + 16);
    let mut in_class = false;
    let mut chars = go.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => quote(&mut chars, &mut out),
                Some(escaped) => escape(escaped, &mut out),
                None => out.push('\\'),
            },
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                out.extend(chars.next_if_eq(&'^'));
                // a bracket that comes first is a member of the class
                if chars.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            '[' if chars.peek() == Some(&':') => {
                out.push('[');
                // a named class such as [:alpha:], up to its own bracket
                for c in chars.by_ref() {
                    out.push(c);
                    if c == ']' {
                        break;
                    }
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            // `[` nests and `&&`, `~~` combine classes in crate `regex`; in Go they are members
            '[' | '&' | '~' if in_class => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn escape(c: char, out: &mut String) {
    match c {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        's' => out.push_str(r"[\t\n\f\r ]"),
        'S' => out.push_str(r"[^\t\n\f\r ]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        '<' | '>' => out.push(c),
        c => out.extend(['\\', c]),
    }
}

/// Text between `\Q` and `\E` stands for itself.
fn quote(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    for c in chars.by_ref() {
        text.push(c);
        if text.ends_with("\\E") {
            text.truncate(text.len() - 2);
            break;
        }
    }
    out.push_str(&regex::escape(&text));
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn means_what_go_means() {
        for (pattern, text, expected) in [
            (r"^\d+$", "12", true),
            (r"^\d$", "٣", false),
            (r"^\w$", "é", false),
            (r"^[\w-]+$", "a-b_1", true),
            (r"^[^\s]+$", "a b", false),
            (r"\bws\b", "é ws!", true),
            (r"a\Bb", "ab", true),
            (r"\Qa.b\E$", "a.b", true),
            (r"\Qa.b\E$", "axb", false),
            (r"^[[]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[a&&b]+$", "&ab", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"^\<$", "<", true),
            ("(?i)WS", "ws", true),
        ] {
            assert_eq!(pattern.parse::<Pattern>().unwrap().is_match(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn replaces_within_bounds() {
        let pattern = |text: &str| text.parse::<Pattern>().unwrap();
        for (expression, text, replacement, expected) in [
            ("^/old/(.*)$", "/old/a", "/new/$1", "/new/a"),
            ("o", "/foo", "${0}0", "/fo0o0"),
            ("x*", "ab", "-", "-a-b-"),
            ("(?P<name>b)", "abc", "$name$name$nothing", "abbc"),
            ("z", "abc", "y", "abc"),
        ] {
            let found = pattern(expression).replace_all(text, replacement);
            assert_eq!(found.as_deref(), Some(expected), "{expression} {text} {replacement}");
        }
        let (dots, half) = (pattern("."), "a".repeat(Pattern::MAX_REPLACED / 2));
        assert_eq!(dots.replace_all(&half, "$0$0").map(|text| text.len()), Some(Pattern::MAX_REPLACED));
        assert_eq!(dots.replace_all(&half, "$0$0$0"), None);
        assert_eq!(pattern("z").replace_all(&half.repeat(3), ""), None);
    }

    #[test]
    fn refuses_in_one_line() {
        for pattern in ["(", "a{1001,1000}", "(?:a{1000}){1000}", "\\"] {
            let error = pattern.parse::<Pattern>().unwrap_err();
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
