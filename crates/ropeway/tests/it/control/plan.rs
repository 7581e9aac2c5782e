//! `ropeway plan`, as its user meets it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;

use serde_json::json;

use super::{Controlled, socket};
use crate::cli::process::{Process, json as parse, ropeway, run};
use crate::cli::{documents, open};

impl Controlled {
    /// The documents in force, with further lines of the pool.
    fn documents(&self, pool: &str) -> String {
        documents(self.port, &[self.backend.address], pool)
    }

    /// Writes a file that the gateway does not read, and says where.
    fn write(&self, text: &str) -> String {
        self.folder.write("next.yaml", text);
        self.folder.path("next.yaml")
    }

    fn plan(&self, text: &str) -> crate::cli::process::Ended {
        self.command(&["plan", &self.write(text)])
    }
}

#[test]
fn plan_says_what_would_change_and_changes_nothing() {
    let gateway = Controlled::start("control-plan");
    let tunnels = [(); 2].map(|()| open(([127, 0, 0, 1], gateway.port).into(), &gateway.backend, ""));

    let commented = format!("# words\n{}", gateway.documents("").replace("---\n", "---\n# more\n"));
    let same = gateway.plan(&commented);
    assert_eq!((same.code, &*same.err), (Some(0), ""));
    let kept = "KIND        NAME   FATE\nHTTPServer  front  kept\nPipeline    chat   kept\n\n\
                POOL             KEEP  DRAIN  CLOSE\nchat/proxy#main  2     0      0\nall tunnels      2     0      0\n\n\
                2 kept\nan upgrade would move 2 of 2 tunnels; others would drain\n";
    assert_eq!(same.out, kept);

    let elsewhere = gateway.documents("onRemoved: { action: close }").replace("127.0.0.1:", "127.0.0.2:");
    let close = gateway.plan(&elsewhere);
    assert_eq!((close.code, &*close.err), (Some(2), ""));
    for part in ["Pipeline    chat   changed\n", "all tunnels      0     0      2\n", "1 changed, 1 kept\n"] {
        assert!(close.out.contains(part), "no `{part}` in:\n{}", close.out);
    }

    // Its port is taken: plan does not try.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut from_stdin =
        Process::start(&mut ropeway(&["plan", "-", "-o", "json", "--control", &socket(&gateway.folder)]));
    from_stdin
        .feed(&format!("{elsewhere}---\nname: more\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\n"));
    let ended = from_stdin.wait();
    let objects =
        [("HTTPServer", "front", "kept"), ("HTTPServer", "more", "added"), ("Pipeline", "chat", "changed")];
    let expected = json!({
        "changed": true,
        "summary": "1 added, 1 changed, 1 kept",
        "objects": objects.map(|(kind, name, fate)| json!({ "kind": kind, "name": name, "fate": fate })),
        "pools": [{ "pool": "chat/proxy#main", "keep": 0, "drain": 0, "close": 2 }],
        "tunnels": { "keep": 0, "drain": 0, "close": 2 },
        "movable": 2,
    });
    assert_eq!((ended.code, parse(&ended.out.replace('\n', " "))), (Some(2), expected), "{}", ended.err);

    assert_eq!(gateway.plan(&gateway.documents("")).out, kept, "nothing has happened");
    assert!(gateway.command(&["reload"]).out.ends_with("Pipeline    chat   kept\n"));
    drop(tunnels);
}

#[test]
fn plan_shows_faults_as_check_does() {
    let gateway = Controlled::start("control-plan-faults");
    for (name, text) in [
        ("a value", gateway.documents("clientMaxMsgSize: much")),
        ("no YAML", "{".to_owned()),
        ("two of a name", format!("{0}---\n{0}", gateway.documents(""))),
    ] {
        let planned = gateway.plan(&text);
        let checked = run(&["check", &gateway.folder.path("next.yaml")]);
        assert_eq!((planned.code, &*planned.out), (Some(1), ""), "{name}");
        let findings = planned.err.strip_suffix("error: the configuration has faults\n").unwrap_or("none");
        assert!(!findings.is_empty() && checked.err.starts_with(findings), "{name}: {}", planned.err);
    }
    let warned = gateway.plan(
        &gateway
            .documents("healthCheck: { ws: { uri: / } }\nmaxRetries: 3")
            .replace("/ws\n", "/ws\n    clientMaxBodySize: 1\n"),
    );
    let (code, checked) = (warned.code, run(&["check", &gateway.folder.path("next.yaml")]));
    assert_eq!(code, Some(2), "{}", warned.err);
    assert!(
        warned.err.contains("clientMaxBodySize") && checked.err.starts_with(&warned.err),
        "{}",
        warned.err
    );
}

#[test]
fn plan_refuses_what_a_gateway_would_refuse_and_what_is_not_there() {
    let gateway = Controlled::start("control-plan-refusals");
    let without = gateway.plan("name: chat\nkind: Pipeline\nfilters: []\n");
    assert_eq!((without.code, &*without.out), (Some(1), ""));
    assert!(without.err.contains("the configuration has no HTTPServer"), "{}", without.err);
    let absent = gateway.command(&["plan", &gateway.folder.path("absent.yaml")]);
    assert!(absent.code == Some(1) && absent.err.contains("absent.yaml"), "{}", absent.err);
    assert_eq!(run(&["plan"]).code, Some(64));
    // Together more than a gateway reads, each file no more than it may be.
    let files: Vec<_> = (0..9).map(|number| gateway.folder.path(&format!("big-{number}.yaml"))).collect();
    files.iter().for_each(|file| fs::write(file, vec![b'#'; 4 << 20]).unwrap());
    let mut arguments = vec!["plan"];
    arguments.extend(files.iter().map(String::as_str));
    let large = gateway.command(&arguments);
    assert!(large.code == Some(1) && large.err.contains("larger than 32 MiB together"), "{}", large.err);
}

/// What is no question is refused, and how long one is counts before it is read.
#[test]
fn a_question_is_bounded() {
    let gateway = Controlled::start("control-plan-bounds");
    let ask = |length: usize, body: &[u8]| {
        let mut stream = UnixStream::connect(socket(&gateway.folder)).unwrap();
        let head = format!("POST /plan HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        // It may be refused before it is sent.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    };
    for (what, body) in
        [("no JSON", "{"), ("no documents", "{}"), ("of the wrong form", r#"{"texts":[1],"colour":true}"#)]
    {
        let answer = ask(body.len(), body.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(r#"{"error":""#), "{what}: {answer}");
    }
    let spaces = vec![b' '; 33 << 20];
    let answer = ask(spaces.len(), &spaces);
    assert!(!answer.contains("EOF while parsing"), "it was read to its end: {answer}");
    assert!(answer.is_empty() || answer.contains("length limit exceeded"), "{answer}");
    assert_eq!(gateway.command(&["status"]).code, Some(0));
}
