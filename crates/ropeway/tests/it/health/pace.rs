//! When servers are checked, and when no more.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Backend, Peer, TestGateway, eventually, op, verdicts};

use super::{Answer, Patient, broken, nonsense, ok, pool};

fn http(port: u16) -> String {
    pool(&format!("http: {{ port: {port} }}"))
}

/// A check that takes nearly the whole interval is followed by the next soon.
#[test]
fn the_interval_is_from_start_to_start() {
    let interval = Duration::from_millis(400);
    let (slow, backend) = (Backend::listen(), Backend::listen());
    let check = format!("healthCheck: {{ interval: 400ms, http: {{ port: {} }} }}\n", slow.address.port());
    let _gateway = TestGateway::to(&[backend.address], &check);
    eventually("a pause that is shorter than the interval", || {
        let (mut peer, began) = (slow.accept(), Instant::now());
        let head = peer.head();
        eventually("a long time", || (began.elapsed() > interval.mul_f64(0.9)).then_some(()));
        peer.try_send(ok(&head).as_bytes());
        let answered = Instant::now();
        // Here again in time to answer this one.
        eventually("the next check", || {
            let next = slow.try_accept()?;
            next.reset();
            Some(())
        });
        (answered.elapsed() < interval / 2).then_some(())
    });
}

/// Those under way when it is told may still be counted.
#[test]
fn a_gateway_that_stops_checks_no_more() {
    let (patient, backend) = (Patient::new(ok), Backend::listen());
    let check = http(patient.port()) + "closeTimeout: 1s\n";
    let gateway = TestGateway::to(&[backend.address], &check);
    patient.second_check();
    let (mut client, _server) = gateway.tunnel(&backend);
    let stopping = thread::spawn(move || gateway.stop());
    assert_eq!(client.frame().opcode, op::CLOSE);
    let checks = patient.serving.connections();
    // Neither side answers its Close: the tunnel takes its whole second to end.
    stopping.join().unwrap();
    assert!(patient.serving.connections() <= checks + 3, "{checks} and then more");
}

/// While its tunnels live on, and while they drain.
#[test]
fn a_server_that_is_taken_out_is_checked_no_more() {
    for fate in ["drain", "keep"] {
        let (patient, stays) = (Patient::new(ok), Patient::new(ok));
        let (gone, other) = (Backend::listen(), Backend::listen());
        let fields = |patient: &Patient| {
            format!("{}onRemoved: {{ action: {fate}, window: 1h }}\n", http(patient.port()))
        };
        let mut gateway = TestGateway::to(&[gone.address], &fields(&patient));
        patient.second_check();
        let (_client, _server) = gateway.tunnel(&gone);
        gateway.reload(&TestGateway::documents_to(&[other.address], &fields(&stays)));
        stays.second_check();
        let checks = patient.serving.connections();
        stays.second_check();
        stays.second_check();
        assert_eq!(patient.serving.connections(), checks, "{fate}");
    }
}

/// A server that answers the checks and nothing else: not even a Close is waited for longer than the answer may take.
#[test]
fn who_does_not_answer_a_close_is_well_all_the_same() {
    let silent: Arc<Mutex<Vec<Peer>>> = Arc::default();
    let kept = silent.clone();
    let checked = Backend::listen().serve(move |mut peer| {
        let head = peer.head();
        peer.send(Backend::answer(&head, "").as_bytes());
        kept.lock().unwrap().push(peer);
    });
    let backend = Backend::listen();
    let check = format!(
        "healthCheck: {{ interval: 10ms, timeout: 300ms, ws: {{ port: {} }} }}\n",
        checked.address.port()
    );
    let gateway = TestGateway::to(&[backend.address], &check);
    eventually("three checks", || (checked.connections() > 3).then_some(()));
    let states: Vec<_> = verdicts(&gateway.name).iter().map(|verdict| verdict["state"].clone()).collect();
    assert_eq!(states, ["healthy"]);
}

/// The log tells how long the answer took that decided, right or wrong, and nothing where none came.
#[test]
fn the_log_tells_how_long_the_answer_took() {
    for (answer, is_timed) in [(broken as Answer, true), (ok, true), (nonsense, false)] {
        let checked = Patient::new(answer);
        let backend = Backend::listen();
        let gateway = TestGateway::to(&[backend.address], &http(checked.port()));
        let verdict = eventually("a verdict", || verdicts(&gateway.name).first().cloned());
        assert_eq!(verdict.contains_key("latency_ms"), is_timed, "{verdict:?}");
    }
}
