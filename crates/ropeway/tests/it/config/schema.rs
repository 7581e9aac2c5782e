//! The JSON Schema: it is closed, complete and knows what the reader knows.

use ropeway::cli::schema;
use ropeway::filters::KINDS;
use serde_json::Value;

#[test]
fn every_object_is_closed_and_every_field_described() {
    let schema: Value = serde_json::from_str(&schema::document()).unwrap();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 2);
    let definitions = schema["$defs"].as_object().unwrap();
    assert_eq!(
        definitions["Pipeline"]["properties"]["filters"]["items"]["oneOf"].as_array().unwrap().len(),
        KINDS.len()
    );
    for (name, definition) in definitions {
        let Some(properties) = definition.get("properties") else { continue };
        assert_eq!(definition["additionalProperties"], false, "{name}");
        for (field, property) in properties.as_object().unwrap() {
            let description = property.get("description").and_then(Value::as_str);
            assert!(description.is_some_and(|text| !text.contains('\n')), "{name}.{field}");
        }
    }
    assert!(definitions["HealthCheck"]["properties"].get("pass").is_some());
    for (kind, definition) in [("HTTPServer", "HttpServer"), ("Mock", "Mock")] {
        assert_eq!(definitions[definition]["properties"]["kind"]["const"], kind);
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let schema: Value = serde_json::from_str(&schema::document()).unwrap();
    let mut open = vec![&schema];
    let mut references = 0;
    while let Some(value) = open.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            references += 1;
            assert!(schema.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        open.extend(value.as_object().into_iter().flat_map(|fields| fields.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    assert!(references > 50);
}
