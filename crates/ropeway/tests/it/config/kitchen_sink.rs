//! A file with every field of every spec.

use std::collections::BTreeSet;

use ropeway::{cli::schema, spec::Source, supervisor::load::load};
use serde_json::Value;

use super::{expected::assert_expected, lines, load_text};

const TEXT: &str = include_str!("kitchen_sink.yaml");

#[test]
fn every_field_is_read_and_nothing_is_ignored_in_silence() {
    let loaded = load_text(TEXT);
    assert_expected("kitchen_sink.lines.txt", &(lines(&loaded).join("\n") + "\n"));
    assert!(!loaded.diagnostics.has_errors());
}

#[test]
fn the_file_has_every_field() {
    let schema: Value = serde_json::from_str(&schema::document()).unwrap();
    let missing: Vec<String> = schema["$defs"]
        .as_object()
        .unwrap()
        .values()
        .filter_map(|definition| definition.get("properties")?.as_object())
        .flat_map(|properties| properties.keys().cloned())
        .filter(|key| !TEXT.contains(&format!("{key}:")) && key != "tags")
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn keys_in_any_letter_case_mean_the_same() {
    let shout = |line: &str| match line.split_once(": ") {
        // keys of maps are names of the user's own: they are left alone
        Some((key, rest)) if !line.contains('{') => format!("{}: {rest}", key.to_uppercase()),
        _ => line.to_owned(),
    };
    let shouted: Vec<String> = TEXT.lines().map(shout).collect();
    assert!(shouted.iter().any(|line| line == "KEEPALIVETIMEOUT: 30s"));
    let shouted = load_text(&shouted.join("\n"));
    let loaded = load_text(TEXT);
    assert!(!shouted.diagnostics.has_errors(), "{:#?}", lines(&shouted));
    assert_eq!(shouted.objects, loaded.objects);
    assert_eq!(shouted.diagnostics.iter().count(), loaded.diagnostics.iter().count());
}

#[test]
fn the_same_text_elsewhere_is_the_same_and_any_change_is_not() {
    let loaded = load_text(TEXT);
    let moved = load(&[Source::new("other.yaml", format!("# moved\n\n{TEXT}"))]);
    assert_eq!(loaded.objects, moved.objects);
    for (old, new) in
        [("connectTimeout: 1s", "connectTimeout: 2s"), ("port: 8443", "port: 8444"), ("END", "sockets2")]
    {
        assert!(TEXT.contains(old));
        assert_ne!(loaded.objects, load_text(&TEXT.replace(old, new)).objects, "{new}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let loaded = load_text(TEXT);
    assert_eq!(loaded.objects.servers.len(), 3);
    let shown = format!("{loaded:?}");
    assert!(TEXT.matches("hunter2").count() >= 2);
    assert!(!shown.contains("hunter2"));
    for key in TEXT.lines().filter(|line| line.trim_start().starts_with("key")) {
        let value = key.split([' ', '}']).rfind(|word| word.len() > 50);
        assert!(!value.is_some_and(|value| shown.contains(value)), "{key}");
    }
    assert!(shown.contains("key_base64: Some(Spanned { value: ***"), "{shown}");
}

/// The first line that begins so.
fn line(beginning: &str) -> &'static str {
    TEXT.lines().find(|line| line.starts_with(beginning)).unwrap()
}

const DAMAGES: [&str; 7] =
    ["\"", "{", "  -", "*x", "\nbogus: 1", "\nkeyBase46: hunter2", "\npasswrd: [hunter2]"];

#[test]
fn no_diagnostic_shows_a_secret_of_the_wrong_form() {
    for (good, bad) in [
        (line("keys: "), "keys: hunter2"),
        (line("keys: "), "keys: { a: hunter2 }"),
        (line("keyBase64: "), "keyBase64: { a: hunter2 }"),
        (line("keyBase64: "), "keyBase64: hunter2"),
        ("password: hunter2", "passwords: hunter2"),
        ("ws://127.0.0.1:9095/ignored", "me:hunter2@127.0.0.1"),
        ("ws://127.0.0.1:9095/ignored", "ftp://me:hunter2@a b"),
    ] {
        assert!(TEXT.contains(good));
        let loaded = load_text(&TEXT.replace(good, bad));
        assert!(loaded.diagnostics.has_errors(), "{bad}");
        let text = loaded.diagnostics.render(false) + &lines(&loaded).join("\n");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn no_diagnostic_shows_a_secret_wherever_the_file_is_broken() {
    let all: Vec<&str> = TEXT.lines().collect();
    let mut rendered = BTreeSet::new();
    for broken in 0..all.len() {
        let indent = all[broken].len() - all[broken].trim_start().len();
        // near a secret every damage is done, elsewhere one
        let is_near = all[broken.saturating_sub(1)..all.len().min(broken + 2)].join("\n").contains("hunter2");
        let damages =
            if is_near { &DAMAGES[..] } else { std::slice::from_ref(&DAMAGES[broken % DAMAGES.len()]) };
        for damage in damages {
            let mut lines = all.clone();
            let line =
                format!("{}{}", all[broken], damage.replace('\n', &format!("\n{}", " ".repeat(indent))));
            lines[broken] = &line;
            let text = load_text(&lines.join("\n")).diagnostics.render(false);
            assert!(!text.contains("hunter2"), "{text}");
            rendered.insert(text);
        }
    }
    assert!(rendered.len() > 50, "the damage is felt");
}
