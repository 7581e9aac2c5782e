//! Texts made to hurt: the reader ends soon and says why. Those that chance makes are in `fuzz.rs`.

use std::fmt::Write;

use ropeway::spec::{Diagnostics, Source};

use super::{lines, load_text};

fn first_error(text: &str) -> String {
    lines(&load_text(text)).into_iter().find(|line| line.contains("error: ")).unwrap_or_default()
}

#[test]
fn an_alias_inside_what_it_stands_for() {
    assert_eq!(
        first_error("a: &a [*a]\n"),
        "test.yaml:1:8: error: an alias cannot stand inside what it stands for"
    );
    assert_eq!(
        first_error("&a { kind: HTTPServer, rules: *a }\n"),
        "test.yaml:1:31: error: an alias cannot stand inside what it stands for"
    );
}

/// Nine levels of nine aliases each.
fn bomb() -> String {
    let mut text = "a0: &a0 [x]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{},", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", below.repeat(9)).unwrap();
    }
    text
}

#[test]
fn an_alias_bomb_in_a_field_that_nothing_looks_into() {
    let text =
        format!("kind: Pipeline\nname: p\nfilters: []\nresilience:\n- {}", bomb().replace('\n', "\n  "));
    assert_eq!(first_error(&text), "");
}

#[test]
fn an_alias_bomb_in_data() {
    let text = format!("kind: Pipeline\nname: p\nfilters: []\ndata:\n  {}", bomb().replace('\n', "\n  "));
    let error = first_error(&text);
    assert!(error.contains("more than 100000 values"), "{error}");
}

#[test]
fn an_alias_bomb_in_typed_fields() {
    let mut text = "kind: HTTPServer\nname: s\nport: 80\nrules:\n".to_owned();
    let path = "{ backend: b, methods: [GET, GET, GET, GET, GET, GET, GET, GET, GET] }";
    writeln!(text, "- paths: &paths [{}]", format!("{path},").repeat(500)).unwrap();
    for _ in 0..5000 {
        text.push_str("- paths: *paths\n");
    }
    assert_eq!(
        first_error(&text).split_once("error: ").unwrap().1,
        "`paths`: more than 100000 values, counting aliases each time they are used"
    );
}

#[test]
fn merge_keys_that_multiply() {
    let mut text = "a: &a {".to_owned();
    for key in 0..1000 {
        write!(text, "k{key}: 1, ").unwrap();
    }
    text.push_str("}\nlist:\n");
    for _ in 0..1000 {
        text.push_str("- <<: *a\n");
    }
    let error = first_error(&text);
    assert!(error.starts_with("test.yaml:100:3: error: more than 100000 values in one file"), "{error}");
}

#[test]
fn deep_nesting() {
    for text in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(10_000)] {
        assert!(first_error(&text).ends_with("nested more than 64 levels deep"), "{}", first_error(&text));
    }
    let deep = (0..100).fold(String::new(), |mut text, level| {
        writeln!(text, "{}a:", " ".repeat(level)).unwrap();
        text
    });
    assert!(first_error(&deep).ends_with("nested more than 64 levels deep"), "{}", first_error(&deep));
}

#[test]
fn too_many_values() {
    let text = format!("[{}]", "1,".repeat(100_001));
    assert_eq!(
        first_error(&text).split_once("error: ").unwrap().1,
        "more than 100000 values in one file (split the file: a directory of files can be loaded as one)"
    );
}

#[test]
fn too_large_a_file() {
    let text = " ".repeat(Source::MAX_BYTES + 1);
    assert_eq!(first_error(&text), "test.yaml:1:1: error: the file is larger than 4 MiB");
}

#[test]
fn bytes_that_are_no_text() {
    assert_eq!(
        first_error("kind: a\nname: \0"),
        "test.yaml:2:7: error: this is not a text: it holds a NUL byte"
    );
    for text in [
        "\u{1}\u{2}",
        "\u{7f}",
        "\u{feff}\u{feff}",
        "%YAML 9.9\n---\n",
        "\t\t: x",
        "\u{1f600}",
        "\r\r\n\u{85}",
    ] {
        load_text(text).diagnostics.render(true);
    }
}

#[test]
fn countless_faults_are_counted_and_few_kept() {
    let mut text = "kind: HTTPServer\nname: s\nport: 80\n".to_owned();
    for key in 0..2_000 {
        writeln!(text, "bogus{key}: 1").unwrap();
    }
    let diagnostics = load_text(&text).diagnostics;
    assert_eq!(diagnostics.iter().count(), Diagnostics::MAX_KEPT);
    assert_eq!(diagnostics.left_out(), 2_000 - Diagnostics::MAX_KEPT);
    assert!(diagnostics.render(false).ends_with("and 1500 more that are not shown\n"));
}

#[test]
fn wrong_values_without_end() {
    let rule = "- paths: [{ backend: b, methods: 1 }]\n";
    let text = format!("kind: HTTPServer\nname: s\nport: 80\nrules:\n{}", rule.repeat(10_000));
    let found = lines(&load_text(&text));
    assert_eq!(found.iter().filter(|line| line.contains("`methods`: expected a list")).count(), 64);
    assert!(found.iter().any(|line| line.contains("there may be more faults in this file")));
}

#[test]
fn documents_references_and_names_without_end() {
    let documents = "---\n1\n".repeat(50_000);
    assert!(first_error(&documents).contains("expected a mapping"));
    let path = |number: usize| format!("{{ backend: pipeline{number} }},");
    let pipeline = |number: usize| format!("---\nkind: Pipeline\nname: pipe{number}\nfilters: []\n");
    let server = format!(
        "kind: HTTPServer\nname: s\nport: 80\nrules: [{{ paths: [{}] }}]\n",
        (0..500).map(path).collect::<String>()
    );
    let text = server + &(0..500).map(pipeline).collect::<String>();
    assert!(first_error(&text).contains("no Pipeline is called `pipeline0`"));
}

#[test]
fn a_line_without_end_is_not_shown() {
    let text = format!("{{ kind: HTTPServer, name: s, bogus: {} }}", "x".repeat(1_000_000));
    let rendered = load_text(&text).diagnostics.render(false);
    assert!(rendered.contains("test.yaml:1:30"), "{rendered}");
    assert!(rendered.len() < 1000);
}
