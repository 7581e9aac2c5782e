//! The tables of `docs/configuration.md` are those of the JSON Schema, and so of the code.

use std::collections::BTreeSet;
use std::{env, fs};

use ropeway::filters::KINDS;
use ropeway::spec::http_server::HttpServer;
use ropeway::spec::pipeline::PipelineText;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::ROOT;

const BEGIN: &str = "<!-- fields of ";
const END: &str = "<!-- end -->";

/// `UPDATE_EXPECTED=1` writes the tables anew.
#[test]
fn the_reference_has_every_field() {
    let file = format!("{ROOT}/docs/configuration.md");
    let page = fs::read_to_string(&file).unwrap();
    let definitions = definitions();
    let structures = definitions.iter().filter(|(_, schema)| schema["properties"].is_object());
    let structures: BTreeSet<_> = structures.map(|(name, _)| name.as_str()).collect();
    assert!(structures.len() > 10, "{structures:?}");

    let (written, documented) = with_tables(&page, &definitions);
    assert_eq!(documented, structures, "the page has `{BEGIN}NAME -->` for each of these");
    if env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&file, &written).unwrap();
    } else {
        let differing = page.lines().zip(written.lines()).find(|(found, expected)| found != expected);
        assert!(page == written, "{differing:?}: run with UPDATE_EXPECTED=1 to write the tables anew");
    }
}

/// What each structure of a configuration looks like, by its name.
fn definitions() -> Map<String, Value> {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    generator.subschema_for::<HttpServer>();
    generator.subschema_for::<PipelineText>();
    for kind in KINDS {
        (kind.reader.schema)(&mut generator);
    }
    generator.take_definitions(true)
}

/// The page with its tables written anew, and the names of the structures that have one.
fn with_tables<'p>(page: &'p str, definitions: &Map<String, Value>) -> (String, BTreeSet<&'p str>) {
    let mut parts = page.split(BEGIN);
    let mut written = parts.next().unwrap_or_default().to_owned();
    let mut names = BTreeSet::new();
    for part in parts {
        let (name, rest) = part.split_once(" -->").unwrap();
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("`{END}` is missing after {name}"));
        let table = table(name, definitions);
        written += &format!("{BEGIN}{name} -->\n{table}{END}{after}");
        assert!(names.insert(name), "two tables of {name}");
    }
    (written, names)
}

fn table(name: &str, definitions: &Map<String, Value>) -> String {
    let schema = definitions.get(name).unwrap_or_else(|| panic!("there is no {name}"));
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    let mut text = "\n| field | type | default | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (field, schema) in schema["properties"].as_object().unwrap() {
        let description = schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        let (default, meaning) = split_default(&description);
        let default = if required.iter().any(|name| *name == field) { "required" } else { default };
        let values = values(schema, definitions).map(|values| format!(" {values}")).unwrap_or_default();
        let meaning = (meaning + &values).replace('|', "\\|");
        let kind = kind(schema, definitions);
        text += &format!("| `{field}` | {kind} | {default} | {meaning} |\n");
    }
    text + "\n"
}

/// Takes `Default: …` out of a description.
fn split_default(description: &str) -> (&str, String) {
    let Some((before, rest)) = description.split_once("Default: ") else { return ("", description.into()) };
    let (default, after) = rest.split_once(". ").unwrap_or((rest.trim_end_matches('.'), ""));
    (default, [before.trim(), after.trim()].join(" ").trim().to_owned())
}

/// The type of a field, in words.
fn kind(schema: &Value, definitions: &Map<String, Value>) -> String {
    if let Some(name) = reference(schema) {
        let target = &definitions[name];
        if target["properties"].is_object() {
            return format!("[{name}](#{})", name.to_lowercase());
        }
        return match name {
            "GoDuration" => "[duration](#durations)".into(),
            "MessageLimit" | "BodyLimit" => "bytes, or -1".into(),
            _ if is_enumeration(target) => "word".into(),
            _ => kind(target, definitions),
        };
    }
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("array") => format!("list of {}", kind(&schema["items"], definitions)),
        Some("object") => match &schema["additionalProperties"] {
            values @ Value::Object(_) => format!("map to {}", kind(values, definitions)),
            _ => "map".into(),
        },
        Some("boolean") => "true or false".into(),
        Some("integer") => match (schema["minimum"].as_i64(), schema["maximum"].as_i64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "whole number".into(),
        },
        Some("string") => "text".into(),
        Some(other) => other.into(),
        None => "anything".into(),
    }
}

/// The words that an enumeration takes, with their meaning.
fn values(schema: &Value, definitions: &Map<String, Value>) -> Option<String> {
    let target = definitions.get(reference(schema)?)?;
    let words = target["oneOf"].as_array().filter(|_| is_enumeration(target))?;
    let words = words.iter().filter_map(|word| {
        let description = word["description"].as_str()?.trim_end_matches('.').replace('\n', " ");
        Some(format!("`{}`: {description}", word["const"].as_str()?))
    });
    Some(words.collect::<Vec<_>>().join("; ") + ".")
}

fn is_enumeration(schema: &Value) -> bool {
    schema["oneOf"].as_array().is_some_and(|words| words.iter().all(|word| word["const"].is_string()))
}

/// The definition that a schema points to, if it must or may be that.
fn reference(schema: &Value) -> Option<&str> {
    let pointer = schema["$ref"].as_str().or_else(|| schema["anyOf"][0]["$ref"].as_str())?;
    pointer.strip_prefix("#/$defs/")
}
