//! `ropeway schema`: the configuration language as a JSON Schema, for editors.

use schemars::{
    JsonSchema, Schema,
    generate::SchemaSettings,
    transform::{RecursiveTransform, Transform},
};
use serde_json::{Map, Value, json};

use crate::filters::readers;
use crate::spec::http_server::HttpServer;
use crate::spec::pipeline::PipelineText;
use crate::spec::types::Name;

/// The JSON Schema (draft 2020-12) of one document of any kind, as text.
///
/// An editor uses it for a file that starts with `# yaml-language-server: $schema=ropeway.schema.json`.
pub fn document() -> String {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let name = Name::json_schema(&mut generator);
    let server = generator.subschema_for::<HttpServer>();
    let pipeline = generator.subschema_for::<PipelineText>();
    let filters: Vec<_> = readers().iter().map(|kind| (kind.name, (kind.schema)(&mut generator))).collect();

    let mut definitions = generator.take_definitions(true);
    let objects = [("HTTPServer", &server), ("Pipeline", &pipeline)];
    for (kind, reference) in objects.into_iter().chain(filters.iter().map(|(kind, schema)| (*kind, schema))) {
        add_common_keys(definition(&mut definitions, reference), &name, kind);
    }
    let filters: Vec<Value> = filters.into_iter().map(|(_, reference)| reference.into()).collect();
    let pipeline_fields = definition(&mut definitions, &pipeline);
    pipeline_fields["properties"]["filters"]["items"] = json!({ "oneOf": filters });

    let mut root = schemars::json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ropeway configuration",
        "description": "One document of a Ropeway configuration.",
        "oneOf": [server, pipeline],
        "$defs": definitions,
    });
    RecursiveTransform(finish).transform(&mut root);
    serde_json::to_string_pretty(&root).expect("a schema is plain JSON") + "\n"
}

/// The definition that a schema refers to.
fn definition<'d>(definitions: &'d mut Map<String, Value>, reference: &Schema) -> &'d mut Value {
    let path = reference.get("$ref").and_then(Value::as_str).unwrap_or_default();
    let name =
        path.strip_prefix("#/$defs/").expect("the schema of a struct is a reference to its definition");
    definitions.get_mut(name).expect("the generator keeps what it refers to")
}

/// Every object and filter has these, whatever its kind.
fn add_common_keys(definition: &mut Value, name: &Schema, kind: &str) {
    let common = json!({
        "name": { "allOf": [name], "description": "What it is called." },
        "kind": { "const": kind, "description": "What it is." },
        "version": { "type": "string", "description": "Accepted and not looked at." },
        "labels": {
            "type": "object",
            "additionalProperties": { "type": "string" },
            "description": "Labels of your own.",
        },
        "createdAt": { "type": "string", "description": "Accepted and not looked at." },
    });
    let (Some(fields), Value::Object(common)) = (definition.as_object_mut(), common) else { return };
    if let Value::Object(properties) = fields.entry("properties").or_insert_with(|| json!({})) {
        properties.extend(common);
    }
    if let Value::Array(required) = fields.entry("required").or_insert_with(|| json!([])) {
        required.extend(["name".into(), "kind".into()]);
    }
}

/// Refuses unknown keys, and joins the lines of descriptions, which are wrapped for readers of the code.
fn finish(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".into(), false.into());
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}
