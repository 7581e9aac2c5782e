//! The binary against its own relay, and against one that alters a byte.

#![expect(clippy::unwrap_used, reason = "a test may panic in its helpers too")]

use rustls::{ServerConfig, ServerConnection};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread;

const BENCH: &str = env!("CARGO_BIN_EXE_ropeway-bench");

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn every_kind_of_load_passes_a_relay() {
    let backend = free_address();
    let mut relay = Command::new(BENCH)
        .args(["relay", "--listen", "127.0.0.1:0", "--to", &backend])
        .stdout(Stdio::piped())
        .spawn()
        .map(Running)
        .unwrap();
    let mut line = String::new();
    BufReader::new(relay.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let proxy = line.trim().strip_prefix("listening on ").unwrap();

    let shapes = "10x64B,4x64Bx16,2x1MiB,latency=64B,handshakes=4,idle=20,idle=10..30,http=4";
    let output = load(proxy, &backend, relay.0.id(), shapes);

    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let measured: Vec<&str> = text.lines().map(|line| line.split_once(": ").unwrap().0).collect();
    assert_eq!(measured.join(","), shapes, "{text}");
}

#[test]
fn loads_with_tls_pass_what_ends_tls() {
    let backend = free_address();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let authority = std::env::temp_dir().join(format!("ropeway-bench-smoke-{}.crt", std::process::id()));
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], made.signing_key.serialize_der().try_into().unwrap())
        .map(Arc::new)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, to) = (listener.local_addr().unwrap().to_string(), backend.clone());
    thread::spawn(move || {
        for client in listener.incoming() {
            let (tls, to) = (ServerConnection::new(config.clone()).unwrap(), to.clone());
            thread::spawn(move || end_tls(tls, client.unwrap(), TcpStream::connect(to).unwrap()));
        }
    });

    let shapes = "tls:4x64B,tls:2x64KiB,tls:handshakes=2,tls:http=2";
    let (pid, authority) = (std::process::id().to_string(), authority.to_str().unwrap().to_owned());
    let output = Command::new(BENCH)
        .args(["load", "--proxy", &proxy, "--backend", &backend, "--pid", &pid, "--shapes", shapes])
        .args(["--ca", &authority, "--seconds", "0.3", "--warmup", "0.1"])
        .output()
        .unwrap();

    let _ = std::fs::remove_file(&authority);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 4);
}

/// Carries bytes between a client with TLS and a server without, until either ends.
fn end_tls(mut tls: ServerConnection, mut client: TcpStream, mut server: TcpStream) {
    client.set_nonblocking(true).unwrap();
    server.set_nonblocking(true).unwrap();
    let (mut answer, mut sent) = (Vec::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        if tls.wants_read() && matches!(tls.read_tls(&mut client), Ok(0)) {
            return;
        }
        if tls.process_new_packets().is_err() {
            return;
        }
        match tls.reader().read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                server.set_nonblocking(false).unwrap();
                server.write_all(&buffer[..count]).unwrap();
                server.set_nonblocking(true).unwrap();
            }
            Err(_) => {}
        }
        if sent == answer.len() {
            match server.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => (answer, sent) = (buffer[..count].to_vec(), 0),
                Err(_) => {}
            }
        }
        sent += tls.writer().write(&answer[sent..]).unwrap();
        while tls.wants_write() && matches!(tls.write_tls(&mut client), Ok(1..)) {}
        thread::yield_now();
    }
}

#[test]
fn a_soak_tells_a_relay_from_one_that_alters_a_byte() {
    for (alters, code) in [(false, 0), (true, 1)] {
        let backend = free_address();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let to = backend.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&to).unwrap());
                thread::spawn(move || if alters { alter_once(client, server) } else { pass(client, server) });
            }
        });
        let arguments = ["soak", "--url", &url, "--backend", &backend, "--tunnels", "4", "--seconds", "1"];
        let output = Command::new(BENCH).args(arguments).args(["--rate", "50"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert_eq!(text.contains(" 0 altered"), !alters, "{text}");
    }
}

#[test]
fn an_altered_byte_gives_no_figure() {
    let backend = free_address();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    let to = backend.clone();
    thread::spawn(move || {
        for client in listener.incoming() {
            alter_once(client.unwrap(), TcpStream::connect(&to).unwrap());
        }
    });

    let output = load(&proxy, &backend, std::process::id(), "1x64B");

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("came back altered"), "{errors}");
}

#[test]
fn a_comparison_prints_a_table() {
    if thread::available_parallelism().unwrap().get() < 2 {
        println!("SKIPPED: a comparison needs two CPUs");
        return;
    }
    let output = Command::new(BENCH)
        .args(["compare", "--only", "raw", "--shapes", "4x64B", "--rounds", "2"])
        // Long enough for a machine that does something else besides.
        .args(["--seconds", "1", "--warmup", "0.1"])
        .output()
        .unwrap();

    assert!(output.status.success(), "{output:?}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("| 4x64B, CPU µs per round trip |"), "{table}");
    assert!(table.contains("rounds: 2 (a trial"), "{table}");
}

fn load(proxy: &str, backend: &str, pid: u32, shapes: &str) -> Output {
    Command::new(BENCH)
        .args(["load", "--proxy", proxy, "--backend", backend, "--pid", &pid.to_string(), "--shapes", shapes])
        .args(["--seconds", "0.5", "--warmup", "0.1", "--settle", "0"])
        .output()
        .unwrap()
}

/// Relays both ways.
fn pass(client: TcpStream, server: TcpStream) {
    for (mut from, mut to) in [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)] {
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}

/// Relays both ways, and changes one byte of what the backend says far behind its 101.
fn alter_once(mut client: TcpStream, mut server: TcpStream) {
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    let (mut buffer, mut before) = ([0; 4096], 0);
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        if (before..before + count).contains(&ALTERED) {
            buffer[ALTERED - before] ^= 1;
        }
        before += count;
        if client.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}

const ALTERED: usize = 5_000;

/// An address that was free a moment ago.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
