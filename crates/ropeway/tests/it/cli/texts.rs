//! What the command says of itself.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use super::process::{Process, run};

const COMMANDS: &[&str] = &[
    "",
    "run",
    "status",
    "plan",
    "reload",
    "drain",
    "undrain",
    "check",
    "demo",
    "echo",
    "schema",
    "completions",
];

/// `UPDATE_EXPECTED=1` writes the files anew.
#[test]
fn help_is_as_committed() {
    for command in COMMANDS {
        let arguments: Vec<_> = [*command, "--help"].into_iter().filter(|part| !part.is_empty()).collect();
        let help = run(&arguments);
        assert_eq!((help.code, &*help.err), (Some(0), ""), "{command}");
        let name = if command.is_empty() { "ropeway" } else { command };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/cli/help/{name}.txt"));
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&file, &help.out).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(help.out, expected, "{}: if it is meant, run with UPDATE_EXPECTED=1", file.display());
    }
}

/// What each command says to arguments that make no sense, and how it exits.
#[test]
fn misuse_is_explained() {
    let table: &[(&[&str], &str)] = &[
        (&[], "Usage: ropeway [OPTIONS] <COMMAND>"),
        (&["rnu"], "unrecognized subcommand 'rnu'"),
        (&["run"], "<FILE|DIR>..."),
        (&["check"], "<FILE|DIR>..."),
        (&["run", "x.yaml", "--workers", "many"], "'--workers <N>'"),
        (&["run", "x.yaml", "--admin", "2381"], "write an IP address and a port, as 127.0.0.1:8080"),
        (&["run", "x.yaml", "--log-format", "xml"], "possible values: text, json"),
        (&["demo", "--listen", "localhost:8080"], "write an IP address and a port, as 127.0.0.1:8080"),
        (&["echo"], "--listen <ADDR:PORT>..."),
        (&["echo", "--listen", "127.0.0.1:0", "--delay", "5"], "write `5s` for 5 seconds"),
        (&["echo", "--listen", "127.0.0.1:0", "--refuse", "101"], "a status that refuses is 300 to 999"),
        (
            &["echo", "--listen", "127.0.0.1:0", "--close", "1005"],
            "1000 to 1003, 1007 to 1014, or 3000 to 4999",
        ),
        (&["completions", "tcsh"], "possible values: bash, elvish, fish, powershell, zsh"),
    ];
    for (arguments, expected) in table {
        let ended = run(arguments);
        assert_eq!((ended.code, &*ended.out), (Some(64), ""), "{arguments:?}");
        assert!(ended.err.contains(expected), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn version() {
    let ended = run(&["--version"]);
    assert_eq!((ended.code, &*ended.out), (Some(0), concat!("ropeway ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn completions_are_scripts_for_their_shell() {
    for (shell, expected) in
        [("bash", "complete -F _ropeway"), ("zsh", "#compdef ropeway"), ("fish", "complete -c ropeway")]
    {
        let script = run(&["completions", shell]);
        assert_eq!((script.code, &*script.err), (Some(0), ""), "{shell}");
        assert!(script.out.contains(expected), "{shell}: {}", script.out);
    }
}

#[test]
fn bash_completes_a_command() {
    let mut bash = Process::start(Command::new("bash").args(["--norc", "-s"]));
    let script = run(&["completions", "bash"]).out;
    let press_tab = "COMP_WORDS=(ropeway ru); COMP_CWORD=1; _ropeway ropeway ru ropeway; echo \"found ${COMPREPLY[*]}\"\n";
    bash.feed(&(script + press_tab));
    assert_eq!(bash.out("found"), "found run");
}
