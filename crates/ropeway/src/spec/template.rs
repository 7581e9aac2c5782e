//! Texts in which values of a pipeline's `data` stand.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Check, Diagnostic, Reader, Source, Spanned};

/// Values by their names. Those of a map in it have names of their own.
pub type Data = BTreeMap<String, Value>;

/// The most bytes that a filled template may have: one value can stand in it many times.
const MAX_BYTES: usize = 64 * 1024;

/// What an action begins with that names a value.
const PIPELINE: &str = ".data.PIPELINE.";

/// Reads the fields of `T` from a template, if there is one, as it is with the values of `data`. Reports all that is wrong
/// with it. `delimiters` begin and end an action; one that is not given, or empty, is the usual one.
pub fn read<T: Check + DeserializeOwned>(
    template: Option<&Spanned<String>>,
    delimiters: [&Option<String>; 2],
    data: &Data,
    reader: &Reader,
) -> Option<T> {
    let template = template?;
    let report = |diagnostic: Diagnostic| reader.report(diagnostic.at(template.span()));
    let text = match fill(template, delimiters, data) {
        Ok(text) => text,
        Err(fault) => {
            report(Diagnostic::error(fault));
            return None;
        }
    };
    let inner = Reader::new(&[Source::new("template", text)]);
    let document = inner.documents().first().copied();
    if document.is_some_and(|document| inner.peek(&document, "template").is_some()) {
        report(Diagnostic::error("a template cannot hold another one"));
    }
    let value = document.and_then(|document| inner.read(&document));
    inner.finish().iter().for_each(|found| report(found.retold("in the template: ")));
    value
}

/// The text, with values in the place of actions.
fn fill(text: &str, [left, right]: [&Option<String>; 2], data: &Data) -> Result<String, String> {
    let left = left.as_deref().filter(|left| !left.is_empty()).unwrap_or("{{");
    let right = right.as_deref().filter(|right| !right.is_empty()).unwrap_or("}}");
    let (mut filled, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(left) {
        let (action, behind) =
            after.split_once(right).ok_or_else(|| format!("`{left}` is not followed by `{right}`"))?;
        filled.push_str(before);
        filled.push_str(value(action.trim(), data)?);
        rest = behind;
        if filled.len() > MAX_BYTES {
            break;
        }
    }
    filled.push_str(rest);
    if filled.len() > MAX_BYTES {
        return Err(format!("the template has more than {MAX_BYTES} bytes when it is filled"));
    }
    Ok(filled)
}

/// The value that an action names.
fn value<'d>(action: &str, data: &'d Data) -> Result<&'d str, String> {
    let path = action
        .strip_prefix(PIPELINE)
        .ok_or_else(|| format!("`{action}` is not supported yet: only `{PIPELINE}NAME` is"))?;
    let mut names = path.split('.');
    let first = names.next().and_then(|name| data.get(name));
    match names.fold(first, |value, name| value?.get(name)) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{path}` in `data` is no single value")),
        None => Err(format!("`data` has no `{path}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, delimiters: [&str; 2], data: &Data) -> Result<String, String> {
        fill(text, delimiters.map(|delimiter| Some(delimiter.to_owned())).each_ref(), data)
    }

    #[test]
    fn values_stand_for_actions() {
        let data = serde_json::from_str(r#"{"a": "1", "b": {"c": "two", "d": ["x"]}}"#).unwrap();
        for (text, expected) in [
            ("", Ok("")),
            ("none", Ok("none")),
            ("<{{.data.PIPELINE.a}}{{ .data.PIPELINE.b.c\n}}>", Ok("<1two>")),
            ("{{ .data.PIPELINE.b }}", Err("`b` in `data` is no single value")),
            ("{{ .data.PIPELINE.b.d }}", Err("`b.d` in `data` is no single value")),
            ("{{ .data.PIPELINE.b.e }}", Err("`data` has no `b.e`")),
            ("{{ .data.PIPELINE. }}", Err("`data` has no ``")),
            ("{{ .data.PIPELINE.a", Err("`{{` is not followed by `}}`")),
            ("{{ .req.Method }}", Err("`.req.Method` is not supported yet: only `.data.PIPELINE.NAME` is")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(filled(text, ["", ""], &data), expected, "{text}");
        }
        assert_eq!(filled("{{[.data.PIPELINE.a]", ["[", "]"], &data).unwrap(), "{{1");
    }

    #[test]
    fn what_is_filled_is_bounded() {
        let data = Data::from([("a".into(), Value::String("x".repeat(MAX_BYTES / 2)))]);
        let text = "{{.data.PIPELINE.a}}".repeat(2);
        assert_eq!(filled(&text, ["", ""], &data).unwrap().len(), MAX_BYTES);
        let text = "{{.data.PIPELINE.a}}".repeat(3);
        assert_eq!(
            filled(&text, ["", ""], &data).unwrap_err(),
            "the template has more than 65536 bytes when it is filled"
        );
    }
}
