//! Checked tunnels under traffic while the real program is upgraded, again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::soak::{Backends, Plan};
use testkit::{eventually, free_port};

use super::program::{Folder, Successor, start, upgrade};
use crate::cli::process::json;
use crate::reload::soak::{is_long, target};

/// As many tunnels as a run of all tests can bear, and how often each sends; with `ROPEWAY_LONG=1` as many as the
/// descriptors of a process allow, which are twice as many while they move.
fn size() -> (usize, Duration) {
    match is_long() {
        false => (200, Duration::from_millis(200)),
        true => (4000, Duration::from_secs(4)),
    }
}

pub(super) fn document(port: u16, backend: std::net::SocketAddr) -> String {
    format!(
        "name: front\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\ndrain: {{ window: 0 }}\nrules:\n\
         - paths: [{{ path: /ws, backend: chat }}]\n---\nname: chat\nkind: Pipeline\nfilters:\n\
         - kind: WebSocketProxy\n  name: proxy\n  pools:\n  - servers: [{{ url: 'ws://{backend}' }}]\n\
         \x20   clientMaxMsgSize: -1\n    serverMaxMsgSize: -1\n"
    )
}

#[test]
fn three_upgrades_in_a_row_move_all_tunnels_and_nothing_is_lost() {
    let (tunnels, interval) = size();
    let port = free_port();
    let backends = Backends::listen(&[([127, 0, 0, 1], 0).into()]).unwrap();
    let folder = Folder::new("soak", port);
    folder.write("main.yaml", &document(port, backends.addresses[0]));
    let process = start(&folder, &[]);
    let target = target(([127, 0, 0, 1], port).into(), None);
    let plan = Plan { tunnels, interval, largest: 1 << 20, churn: Some(Duration::from_millis(50)), seed: 1 };
    let soak = backends.soak(target, plan).unwrap();
    eventually("all tunnels open", || (soak.settled() >= tunnels).then_some(()));
    let mut successors: Vec<Successor> = Vec::new();
    for number in 0..3 {
        let before = soak.received();
        eventually("some traffic", || (soak.received() > before + 5 * tunnels as u64).then_some(()));
        upgrade(&process, &mut successors);
        // Only when the process before it has ended there is a next one.
        eventually("the rest to follow", || {
            (process.errs("the rest has moved").len() > number).then_some(())
        });
    }
    let before = soak.received();
    eventually("some traffic", || (soak.received() > before + 5 * tunnels as u64).then_some(()));
    let report = soak.finish();
    println!("three upgrades: {report}");
    assert!(report.is_clean(), "{report}\n{:#?}", process.errs("upgrade"));
    assert_eq!(report.closes, BTreeMap::new(), "{report}");
    let moved = |line: &String| json(line)["tunnels"].as_u64().unwrap();
    let moved: Vec<_> = process.errs("has taken over").iter().map(moved).collect();
    // The others were coming or going.
    assert!(moved.len() == 3 && moved.iter().all(|moved| *moved > tunnels as u64 * 8 / 10), "{moved:?}");
    drop(successors);
    assert_eq!(process.wait().code, Some(0), "the first process has ended well");
}
