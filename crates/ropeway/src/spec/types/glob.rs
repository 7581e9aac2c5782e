//! Shell-like patterns for origins.

use std::str::FromStr;

use super::text_type;

/// A pattern for a whole text, letter case ignored: `*` stands for any number of characters, `?` for one,
/// `[a-z]` and `[^a-z]` for one of a class, `\` takes the next character as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Glob {
    text: Box<str>,
    parts: Box<[Part]>,
}

impl Glob {
    /// The pattern as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `text` fits the pattern.
    ///
    /// Takes time proportional to pattern times text at worst: only the last `*` is ever tried again.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
        let (mut part, mut at) = (0, 0);
        let mut last_star: Option<(usize, usize)> = None;
        while at < text.len() {
            match self.parts.get(part) {
                Some(Part::Star) => {
                    last_star = Some((part, at));
                    part += 1;
                }
                Some(one) if one.fits(text[at]) => {
                    part += 1;
                    at += 1;
                }
                _ => match &mut last_star {
                    Some((star, from)) => {
                        *from += 1;
                        (part, at) = (*star + 1, *from);
                    }
                    None => return false,
                },
            }
        }
        self.parts[part..].iter().all(|rest| matches!(rest, Part::Star))
    }
}

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a pattern cannot be empty: write `*` for every host".into());
        }
        let mut rest = text.chars().flat_map(char::to_lowercase).peekable();
        let mut parts = Vec::new();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Star,
                '?' => Part::Any,
                '[' => {
                    class(&mut rest).ok_or_else(|| format!("the `[` in `{text}` is not closed properly"))?
                }
                '\\' => Part::One(rest.next().ok_or("a pattern cannot end with `\\`")?),
                c => Part::One(c),
            });
        }
        Ok(Self { text: text.into(), parts: parts.into() })
    }
}

text_type!(Glob, expects: "a pattern such as *.example.com", schema: {
    "type": "string", "minLength": 1, "examples": ["*.example.com", "localhost:*"]
});

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Any,
    Class { negated: bool, ranges: Box<[(char, char)]> },
    One(char),
    Star,
}

impl Part {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Any => true,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(low, high)| low <= c && c <= high) != *negated
            }
            Self::One(one) => *one == c,
            Self::Star => false,
        }
    }
}

/// Reads a class after its `[`; `None` where it is empty, backwards or not closed.
fn class(rest: &mut std::iter::Peekable<impl Iterator<Item = char>>) -> Option<Part> {
    let negated = rest.next_if(|&c| c == '^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if !ranges.is_empty() => break,
            ']' => return None,
            '\\' => rest.next()?,
            c => c,
        };
        let high = match rest.next_if(|&c| c == '-') {
            Some(_) => rest.next().filter(|&c| c != ']')?,
            None => low,
        };
        if low > high {
            return None;
        }
        ranges.push((low, high));
    }
    Some(Part::Class { negated, ranges: ranges.into() })
}

#[cfg(test)]
mod tests {
    use super::Glob;

    #[test]
    fn matches_whole_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "A.EXAMPLE.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "a.example.com:8443", false),
            ("host:[0-9]*", "host:8080", true),
            ("host:[^0-9]*", "host:8080", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            (r"\*", "*", true),
            (r"\*", "x", false),
        ] {
            assert_eq!(pattern.parse::<Glob>().unwrap().matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn refuses_broken_patterns() {
        for pattern in ["", "[", "[]", "[a", "[z-a]", "[a-", "x\\"] {
            assert!(pattern.parse::<Glob>().is_err(), "{pattern}");
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern: Glob = "*a".repeat(200).parse().unwrap();
        assert!(!pattern.matches(&("a".repeat(5000) + "b")));
    }
}
