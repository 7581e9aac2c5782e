//! Paths with parameters, as `routerKind: RadixTree` has them.

use std::str::FromStr;

use super::Pattern;

/// What a rewriting calls the text that `*` stands for.
const WILDCARD: &str = "EG_WILDCARD";

/// A pattern for a whole path: `{name}` stands for a part of one segment, up to the character that follows in the
/// pattern and at least one character long; `{name:regexp}` for one that the expression matches as a whole; a `*` at
/// the end for the rest, which may be empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPattern {
    text: Box<str>,
    parts: Box<[Part]>,
}

/// How early a tree of patterns tries what stands at one place: patterns compare as lists of these.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rank {
    /// A character that stands for itself.
    Literal(char),
    /// A parameter with the expression of this number; whether it is the end of its segment.
    Regexp(bool, usize),
    /// A parameter; whether it is the end of its segment.
    Parameter(bool),
    /// The `*`.
    Wildcard,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(Box<str>),
    Parameter { name: Box<str>, regexp: Option<Pattern> },
    Wildcard,
}

impl PathPattern {
    /// Whether `path` has parameters or a wildcard, and is not just a path.
    pub fn is_pattern(path: &str) -> bool {
        path.contains(['{', '*'])
    }

    /// The pattern as it stands in the file.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What every path that fits begins with.
    pub fn beginning(&self) -> &str {
        match self.parts.first() {
            Some(Part::Literal(text)) => text,
            _ => "",
        }
    }

    /// Whether the whole of `path` fits.
    pub fn is_match(&self, path: &str) -> bool {
        self.walk(path, |_, _| {})
    }

    /// What the parameters stand for in `path`, which fits.
    pub fn parameters<'s, 'p>(&'s self, path: &'p str) -> Vec<(&'s str, &'p str)> {
        let mut found = Vec::new();
        self.walk(path, |name, value| found.push((name, value)));
        found
    }

    /// `target` with what the parameters stand for in `path`.
    pub fn rewrite(&self, path: &str, target: &str) -> String {
        let parameters = self.parameters(path);
        let value = |name| parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        let mut rewritten = String::new();
        let mut rest = target;
        while let Some((literal, name, behind)) = split_parameter(rest) {
            rewritten.push_str(literal);
            rewritten.push_str(value(name));
            rest = behind;
        }
        rewritten + rest
    }

    /// Whether `target` can be what paths that fit are rewritten to.
    ///
    /// # Errors
    /// Says in one line what it cannot hold.
    pub fn check_target(&self, target: &str) -> Result<(), String> {
        if target.contains('*') {
            return Err(format!(
                "`*` stands for nothing here: write {{{WILDCARD}}} for what `*` stands for in the path"
            ));
        }
        let mut rest = target;
        while let Some((_, name, behind)) = split_parameter(rest) {
            if !self.names().any(|known| known == name) {
                return Err(format!("the path has no parameter `{name}`"));
            }
            rest = behind;
        }
        Ok(())
    }

    /// The names of its parameters.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(_) => None,
            Part::Parameter { name, .. } => Some(&**name),
            Part::Wildcard => Some(WILDCARD),
        })
    }

    /// Where it stands among patterns that are searched as a tree. `regexps` are those of the patterns before it, and
    /// gets its own.
    pub fn precedence(&self, regexps: &mut Vec<Pattern>) -> Vec<Rank> {
        let mut ranks = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let ends = self.parts.get(at + 1).and_then(Part::first).is_none_or(|next| next == '/');
            match part {
                Part::Literal(text) => ranks.extend(text.chars().map(Rank::Literal)),
                Part::Parameter { regexp: None, .. } => ranks.push(Rank::Parameter(ends)),
                Part::Parameter { regexp: Some(regexp), .. } => {
                    let known = regexps.iter().position(|known| known == regexp);
                    ranks.push(Rank::Regexp(ends, known.unwrap_or(regexps.len())));
                    if known.is_none() {
                        regexps.push(regexp.clone());
                    }
                }
                Part::Wildcard => ranks.push(Rank::Wildcard),
            }
        }
        ranks
    }

    /// Holds `path` against the parts, one after the other: each can end in one place only.
    fn walk<'s, 'p>(&'s self, path: &'p str, mut found: impl FnMut(&'s str, &'p str)) -> bool {
        let mut rest = path;
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Literal(text) => match rest.strip_prefix(&**text) {
                    Some(behind) => rest = behind,
                    None => return false,
                },
                Part::Parameter { name, regexp } => {
                    let next = self.parts.get(at + 1).and_then(Part::first);
                    let end = rest.find(|c| c == '/' || Some(c) == next).unwrap_or(rest.len());
                    let (value, behind) = rest.split_at(end);
                    if value.is_empty() || regexp.as_ref().is_some_and(|regexp| !regexp.is_match(value)) {
                        return false;
                    }
                    found(name, value);
                    rest = behind;
                }
                Part::Wildcard => {
                    found(WILDCARD, rest);
                    rest = "";
                }
            }
        }
        rest.is_empty()
    }
}

impl Part {
    fn first(&self) -> Option<char> {
        match self {
            Part::Literal(text) => text.chars().next(),
            _ => None,
        }
    }
}

/// What stands before the first `{name}`, the name, and what stands behind.
fn split_parameter(target: &str) -> Option<(&str, &str, &str)> {
    let (literal, rest) = target.split_once('{')?;
    let (name, behind) = rest.split_once('}')?;
    Some((literal, name, behind))
}

impl FromStr for PathPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts: Vec<Part> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = match rest.as_bytes() {
                [b'*'] => (Part::Wildcard, ""),
                [b'*', ..] => return Err("`*` can only stand at the end of a path".into()),
                [b'{', ..] => parameter(rest)?,
                _ => {
                    let end = rest.find(['{', '*']).unwrap_or(rest.len());
                    (Part::Literal(rest[..end].into()), &rest[end..])
                }
            };
            if let (Some(Part::Parameter { .. }), Part::Parameter { .. } | Part::Wildcard) =
                (parts.last(), &part)
            {
                return Err("something has to stand between two parameters: where would one end?".into());
            }
            parts.push(part);
            rest = behind;
        }
        let pattern = Self { text: text.into(), parts: parts.into() };
        let mut names: Vec<_> = pattern.names().collect();
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(format!("two parameters are called `{}`", pair[0])),
            None => Ok(pattern),
        }
    }
}

/// Reads `{name}` or `{name:regexp}`; gives it and what stands behind. Braces in the expression come in pairs.
fn parameter(text: &str) -> Result<(Part, &str), String> {
    let mut depth = 0;
    let end = text.find(|c| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        depth == 0
    });
    let end = end.ok_or("a `{` is not closed: `path` holds a pattern with this `routerKind`")?;
    let (inner, behind) = (&text[1..end], &text[end + 1..]);
    let (name, regexp) = match inner.split_once(':') {
        Some((name, regexp)) => (name, Some(format!("^(?:{regexp})$").parse()?)),
        None => (inner, None),
    };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!("`{name}` cannot name a parameter: use letters, digits and `_`"));
    }
    Ok((Part::Parameter { name: name.into(), regexp }, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().unwrap()
    }

    #[test]
    fn what_fits() {
        let table: [(&str, &str, Option<&[&str]>); 17] = [
            ("/a/{x}", "/a/b", Some(&["b"])),
            ("/a/{x}", "/a/", None),
            ("/a/{x}", "/a/b/", None),
            ("/a/{x}", "/a/b/c", None),
            ("/a/{x}/c", "/a/b/c", Some(&["b"])),
            ("/a/{x}/c", "/a//c", None),
            ("/{x}-{y}", "/a-b-c", Some(&["a", "b-c"])),
            ("/{x}-{y}", "/a/b-c", None),
            ("/{x}.json", "/a.json", Some(&["a"])),
            ("/{x}.json", "/a.b.json", None),
            ("/{x:[0-9]{3}}", "/123", Some(&["123"])),
            ("/{x:[0-9]{3}}", "/1234", None),
            ("/{x:a|b}/c", "/b/c", Some(&["b"])),
            ("/a/*", "/a/b/c", Some(&["b/c"])),
            ("/a/*", "/a/", Some(&[""])),
            ("/a/*", "/a", None),
            ("/é{x}/*", "/éü/", Some(&["ü", ""])),
        ];
        for (text, path, expected) in table {
            let pattern = pattern(text);
            let found = pattern.is_match(path).then(|| pattern.parameters(path));
            let values = found.map(|found| found.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
            assert_eq!(values.as_deref(), expected, "{text} {path}");
        }
    }

    #[test]
    fn targets() {
        let table = [
            ("/u/{id}/*", "/u/7/x/y", "/{EG_WILDCARD}/of/{id}", "/x/y/of/7"),
            ("/u/{id}", "/u/{x}", "/{id}", "/{x}"),
            ("/u/{id}", "/u/7", "/v", "/v"),
            ("/u/{id}", "/u/7", "/v{", "/v{"),
        ];
        for (text, path, target, expected) in table {
            assert_eq!(pattern(text).rewrite(path, target), expected, "{text}");
        }
        for target in ["/*", "/{other}", "/{EG_WILDCARD}"] {
            assert!(pattern("/u/{id}").check_target(target).is_err(), "{target}");
        }
        assert!(pattern("/u/*").check_target("/{EG_WILDCARD}").is_ok());
    }

    #[test]
    fn what_is_no_pattern() {
        for text in
            ["/{", "/{a", "/{a:[}", "/{}", "/{a b}", "/{a}{b}", "/{a}*", "/*/a", "/{a}/{a}", "/{a:(}", "/**"]
        {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn order() {
        let sorted = ["/a/b*", "/a/{x:[0-9]+}", "/a/{x:[a-z]+}", "/a/{x}-{y}", "/a/{x}", "/a/*"];
        let mut regexps = Vec::new();
        let ranks: Vec<_> = sorted.map(|text| pattern(text).precedence(&mut regexps)).into();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }
}
