//! The fuzzers' entry points under stable Rust: the committed seeds, mutations of them, and random bytes.
//!
//! A failure says how to repeat it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{env, fs};

use fastrand::Rng;
use testkit::fuzz::{TARGETS, Target};

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz");

/// Names a file, from the root of the repository, that is the one input of a run.
const INPUT: &str = "ROPEWAY_FUZZ_INPUT";

#[test]
fn inspector() {
    run("inspector", 20_000, 5_000);
}

#[test]
fn head() {
    run("head", 20_000, 500);
}

#[test]
fn handshake() {
    run("handshake", 20_000, 500);
}

#[test]
fn proxy_protocol() {
    run("proxy_protocol", 50_000, 500);
}

#[test]
fn yaml() {
    run("yaml", 1_000, 200);
}

#[test]
fn relay() {
    run("relay", 200, 2_000);
}

#[test]
fn moving() {
    run("moving", 200, 2_000);
}

#[test]
fn frozen() {
    run("frozen", 20_000, 500);
}

/// Every target is a binary of `fuzz/` that calls its entry point and has seeds.
#[test]
fn the_fuzzers_are_these() {
    let manifest = fs::read_to_string(format!("{FUZZ}/Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    assert_eq!(fs::read_dir(format!("{FUZZ}/fuzz_targets")).unwrap().count(), TARGETS.len());
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name} in Cargo.toml");
        let text = fs::read_to_string(format!("{FUZZ}/fuzz_targets/{name}.rs")).unwrap();
        assert!(
            text.contains(&format!("fuzz_target!(|data: &[u8]| testkit::fuzz::{name}(data));")),
            "{text}"
        );
        assert!(!seeds(name).is_empty(), "seeds of {name}");
    }
}

#[test]
fn a_failure_says_how_to_repeat_it() {
    let target: Target = |data| assert!(!data.starts_with(b"bad"), "a promise is broken");
    attempt("none", target, b"good", || "a".into());
    let failed = catch_unwind(|| attempt("none", target, b"bad one", || "seed 7".into())).unwrap_err();
    let said = failed.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("none fails on seed 7; repeat it with ROPEWAY_FUZZ_INPUT="), "{said}");
    let path = said.split_once('=').and_then(|(_, rest)| rest.split_once(' ')).unwrap().0;
    assert_eq!(fs::read(path).unwrap(), b"bad one");
    fs::remove_file(path).unwrap();
}

/// Runs a target over its seeds, so many mutations of them, and so many inputs of random bytes.
fn run(name: &str, mutated: u64, random: u64) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).unwrap();
    if let Some(path) = env::var_os(INPUT) {
        return target(&fs::read(Path::new(FUZZ).join("..").join(path)).unwrap());
    }
    let (seeds, tokens) = (seeds(name), tokens(name));
    for (file, seed) in &seeds {
        attempt(name, target, seed, || file.clone());
    }
    for number in 0..mutated {
        let input = mutation(&seeds, &tokens, &mut Rng::with_seed(number));
        attempt(name, target, &input, || format!("mutation {number}"));
    }
    for number in 0..random {
        let input = noise(&mut Rng::with_seed(number));
        attempt(name, target, &input, || format!("random input {number}"));
    }
}

fn seeds(name: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fs::read_dir(Path::new(FUZZ).join("seeds").join(name)).unwrap();
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.sort(); // a mutation is known by its number
    paths.into_iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

/// The words of the fuzzer's dictionary, if it has one.
fn tokens(name: &str) -> Vec<Vec<u8>> {
    let dictionary = fs::read_to_string(format!("{FUZZ}/{name}.dict")).unwrap_or_default();
    let token = |line: &str| line.strip_prefix('"')?.strip_suffix('"').map(unescaped);
    dictionary.lines().map(|line| token(line).unwrap_or_else(|| panic!("{name}.dict: {line}"))).collect()
}

/// The bytes of a dictionary's word, where `\xAB` stands for one byte.
fn unescaped(word: &str) -> Vec<u8> {
    let mut parts = word.split("\\x");
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    bytes
}

fn attempt(name: &str, target: Target, input: &[u8], what: impl Fn() -> String) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_ok() {
        return;
    }
    let path = env::temp_dir().join(format!("ropeway-fuzz-{name}-{}", std::process::id()));
    fs::write(&path, input).unwrap();
    let (what, path) = (what(), path.display());
    panic!(
        "{name} fails on {what}; repeat it with {INPUT}={path} cargo test -p ropeway --test it fuzz::{name}"
    );
}

/// One of the seeds with up to four changes.
fn mutation(seeds: &[(String, Vec<u8>)], tokens: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut input = rng.choice(seeds).unwrap().1.clone();
    let other = &rng.choice(seeds).unwrap().1;
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..=16)).min(input.len());
        match rng.u8(..8) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => input[at] = rng.u8(..),
            2 => input.insert(at, rng.u8(..)),
            3 => drop(input.drain(at..end)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            5 => input.truncate(at),
            6 => drop(input.splice(at..end, snippet(other, rng))),
            _ => drop(input.splice(at..at, rng.choice(tokens).cloned().unwrap_or_default())),
        }
    }
    input
}

/// Some bytes in a row.
fn snippet(of: &[u8], rng: &mut Rng) -> Vec<u8> {
    let at = rng.usize(..=of.len());
    of[at..(at + rng.usize(..=32)).min(of.len())].to_vec()
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..200)];
    rng.fill(&mut bytes);
    bytes
}
