//! What `plan` foretells is what a reload does.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use fastrand::Rng;
use ropeway::supervisor::forecast::{Fates, Forecast};
use ropeway::supervisor::plan::{Fate, Plan};
use testkit::{Backend, Peer, TestGateway, eventually, free_port, records};

use super::{documents, echoes, open_many, pool};

const BARE: &str = "name: NAME\nkind: HTTPServer\nport: PORT\naddress: 127.0.0.1\n";

/// Edits to a gateway with four tunnels of its main pool, two to each server, and three of a candidate.
#[test]
fn it_foretells_the_fate_of_every_tunnel() {
    type Edit = fn(String) -> String;
    const NONE: Edit = |text| text;
    const DRAIN: &str = "{ window: 200ms }";
    const CLOSE: &str = "{ action: close }";
    const KEEP: &str = "{ action: keep }";
    let rows: [(_, _, _, _, Edit, _); 14] = [
        ("nothing", DRAIN, 2, true, NONE, [7, 0, 0]),
        ("a comment", DRAIN, 2, true, |text| format!("# words\n{text}"), [7, 0, 0]),
        ("a limit", DRAIN, 2, true, |text| text.replace("maxRetries: 3", "clientMaxMsgSize: 9"), [7, 0, 0]),
        ("a server more", DRAIN, 3, true, NONE, [7, 0, 0]),
        ("a server less, drained", DRAIN, 1, true, NONE, [5, 2, 0]),
        ("a server less, drained in no time", "{ window: 0 }", 1, true, NONE, [5, 0, 2]),
        ("a server less, closed", CLOSE, 1, true, NONE, [5, 0, 2]),
        ("a server less, kept", KEEP, 1, true, NONE, [7, 0, 0]),
        ("no candidate, drained", DRAIN, 2, false, NONE, [4, 3, 0]),
        ("no candidate, closed", CLOSE, 2, false, NONE, [4, 0, 3]),
        ("no candidate, kept", KEEP, 2, false, NONE, [7, 0, 0]),
        ("neither", CLOSE, 1, false, NONE, [2, 0, 5]),
        ("another filter", CLOSE, 2, true, |text| text.replace("name: proxy", "name: other"), [0, 0, 7]),
        ("no pipeline", CLOSE, 2, true, |_| BARE.to_owned(), [7, 0, 0]),
    ];
    let (_servers, addresses) = echoes(3);
    for (what, on_removed, servers, has_candidate, edit, [keep, drain, close]) in rows {
        let fields = format!(", onRemoved: {on_removed}, closeTimeout: 50ms, maxRetries: 3");
        let of = |servers: usize, has_candidate| {
            let candidate = format!("{fields}, filter: {{ headers: {{ X-Beta: {{ exact: a }} }} }}");
            let mut pools = vec![pool(&addresses[..servers], &fields), pool(&addresses[2..], &candidate)];
            pools.truncate(if has_candidate { 2 } else { 1 });
            documents(&pools, "", "")
        };
        let after = edit(of(servers, has_candidate));
        let mut gateway = TestGateway::start(&of(2, true));
        let _main = open_many(&gateway, 4);
        let _candidate = [(); 3].map(|()| shake(&gateway, "/ws", "X-Beta: a\r\n"));

        let foretold = gateway.forecast(&after);
        assert_eq!(foretold.total(), Fates { keep, drain, close }, "{what}: {foretold:?}");
        assert_eq!(gateway.reload(&after), foretold.plan, "{what}");
        let ended = || records(&gateway.name);
        eventually(what, || (ended().len() == drain + close).then_some(()));
        assert!(
            ended().iter().all(|record| record["cause"] == "drain:server_removed"),
            "{what}: {:?}",
            ended()
        );
        // Nor will another end.
        let rest = gateway.forecast(&after).total();
        assert_eq!(
            (gateway.registries().tunnels(), rest),
            (keep, Fates { keep, ..Fates::default() }),
            "{what}"
        );
    }
}

/// Between the word to end and the end, a tunnel is one that is to be closed, whatever comes.
#[test]
fn who_was_told_to_end_is_closed_under_every_configuration() {
    let backends = [Backend::listen(), Backend::listen()];
    let of = |servers: &[Backend], fields: &str| {
        let addresses: Vec<_> = servers.iter().map(|backend| backend.address).collect();
        documents(&[pool(&addresses, &format!(", closeTimeout: 60s{fields}"))], "", "")
    };
    let close = ", onRemoved: { action: close }";
    let mut gateway = TestGateway::start(&of(&backends, close));
    // None of them answers the farewell.
    let _tunnels = [(); 4].map(|()| {
        let client = Peer::shake(gateway.address, "/ws", "");
        let mut server = eventually("a server's turn", || backends.iter().find_map(Backend::try_accept));
        let head = server.head();
        server.send(Backend::answer(&head, "").as_bytes());
        (client, server)
    });
    eventually("four tunnels", || (gateway.registries().tunnels() == 4).then_some(()));
    let one = of(&backends[..1], close);
    gateway.reload(&one);
    eventually("two tunnels told", || (gateway.forecast(&one).total().close == 2).then_some(()));
    for (what, next, fates) in [
        ("the same", one, [2, 0, 2]),
        ("both servers", of(&backends, close), [2, 0, 2]),
        ("one server, kept", of(&backends[..1], ", onRemoved: { action: keep }"), [2, 0, 2]),
        ("the other server", of(&backends[1..], close), [0, 0, 4]),
        ("no pipeline", BARE.to_owned(), [2, 0, 2]),
    ] {
        let [keep, drain, close] = fates;
        assert_eq!(gateway.forecast(&next).total(), Fates { keep, drain, close }, "{what}");
    }
}

/// Random configurations, one after the other, with tunnels that have come under any of them.
#[test]
fn what_is_foretold_comes_true_whatever_the_change() {
    let (_servers, addresses) = echoes(4);
    for seed in 0..12 {
        let mut rng = Rng::with_seed(seed);
        let more = free_port();
        let mut draw = || Drawn::new(&mut rng, &addresses, more);
        let configurations: Vec<_> = (0..8).map(|_| draw()).collect();
        let mut gateway = TestGateway::start(&configurations[0].text());
        let mut clients = Vec::new();
        let mut before = &configurations[0];
        for (step, drawn) in configurations.iter().enumerate() {
            let what = format!("seed {seed}, step {step}: {}", drawn.text());
            assert_eq!(
                fates(&gateway, &gateway.forecast(&drawn.text()).plan),
                drawn.fates_after(before),
                "{what}"
            );
            check_step(&mut gateway, &drawn.text(), &what);
            before = drawn;
            clients.extend(drawn.routes().map(|(path, header)| shake(&gateway, path, header)));
        }
        assert!(!clients.is_empty(), "seed {seed} has no tunnels");
    }
}

/// Foretells, reloads, and compares.
fn check_step(gateway: &mut TestGateway, text: &str, what: &str) {
    let live = gateway.registries().tunnels();
    let foretold = gateway.forecast(text);
    let Fates { keep, drain, close } = foretold.total();
    assert_eq!(keep + drain + close, live, "{what}: {foretold:?}");
    let names: HashSet<_> = foretold.plan.changes.iter().map(|change| &change.name).collect();
    assert_eq!(names.len(), foretold.plan.changes.len(), "{what}: each object once");

    assert_eq!(gateway.reload(text), foretold.plan, "{what}");
    eventually(what, || (gateway.registries().tunnels() == keep + drain).then_some(()));
    let after = gateway.forecast(text);
    assert!(after.plan.is_empty(), "{what}");
    let there = foretold.plan.changes.len() - foretold.plan.count(Fate::Removed);
    assert_eq!(after.plan.count(Fate::Kept), there, "{what}");
    assert_eq!(lasting(&after), lasting(&foretold), "{what}");
    assert_eq!(after.total().close, 0, "{what}");
}

/// Of objects by what stands behind the name of the gateway.
fn fates(gateway: &TestGateway, plan: &Plan) -> BTreeMap<String, Fate> {
    let ending = |name: &str| name.strip_prefix(&gateway.name).expect("names begin so").to_owned();
    plan.changes.iter().map(|change| (ending(&change.name), change.fate)).collect()
}

/// Those that are not to end at once, by pool.
fn lasting(forecast: &Forecast) -> Vec<(&str, usize, usize)> {
    let pools = forecast.pools.iter().map(|(pool, fates)| (&**pool, fates.keep, fates.drain));
    pools.filter(|(_, keep, drain)| keep + drain > 0).collect()
}

/// A configuration that was drawn: up to two pipelines, each with a pool or two.
struct Drawn {
    pipelines: Vec<(&'static str, Vec<String>, &'static str)>,
    listener: String,
    comment: u8,
}

impl Drawn {
    fn new(rng: &mut Rng, addresses: &[SocketAddr], port: u16) -> Self {
        let mut pipelines = Vec::new();
        for name in ["one", "two"] {
            if rng.u8(..4) == 0 {
                continue;
            }
            let mut pools = vec![draw_pool(rng, addresses, "")];
            if rng.bool() {
                pools.push(draw_pool(rng, addresses, ", filter: { headers: { X-Beta: { exact: a } } }"));
            }
            pipelines.push((name, pools, if rng.u8(..5) == 0 { "other" } else { "proxy" }));
        }
        let listener = format!("---\nname: NAME-more\nkind: HTTPServer\nport: {port}\naddress: 127.0.0.1\n");
        Drawn { pipelines, listener: if rng.bool() { listener } else { String::new() }, comment: rng.u8(..) }
    }

    fn text(&self) -> String {
        let names = self.pipelines.iter().map(|(name, ..)| name);
        let paths = names.map(|name| format!("  - {{ path: /{name}, backend: NAME-{name} }}\n"));
        let rules = format!("rules:\n- paths:\n{}", paths.collect::<String>());
        let pipelines = self.pipelines.iter().map(|(name, pools, filter)| {
            let pools: String = pools.iter().map(|pool| format!("  - {pool}\n")).collect();
            format!(
                "---\nname: NAME-{name}\nkind: Pipeline\nfilters:\n- kind: WebSocketProxy\n  name: {filter}\n  pools:\n{pools}"
            )
        });
        let pipelines: String = pipelines.collect();
        let rules = if self.pipelines.is_empty() { String::new() } else { rules };
        format!("# {}\n{BARE}{rules}{pipelines}{}", self.comment, self.listener)
    }

    /// What becomes of the objects where this follows `before`: told by what they say, apart from how a plan is made.
    fn fates_after(&self, before: &Drawn) -> BTreeMap<String, Fate> {
        let (old, new) = (before.objects(), self.objects());
        let gone =
            old.keys().filter(|name| !new.contains_key(*name)).map(|name| (name.clone(), Fate::Removed));
        let there = new.iter().map(|(name, text)| match old.get(name) {
            None => (name.clone(), Fate::Added),
            Some(old) if old == text => (name.clone(), Fate::Kept),
            Some(_) => (name.clone(), Fate::Changed),
        });
        gone.chain(there).collect()
    }

    /// What each object says, by what stands behind the name of the gateway.
    fn objects(&self) -> BTreeMap<String, String> {
        let names: Vec<_> = self.pipelines.iter().map(|(name, ..)| name).collect();
        let mut objects = BTreeMap::from([(String::new(), format!("{names:?}"))]);
        objects.extend(
            self.pipelines.iter().map(|pipeline| (format!("-{}", pipeline.0), format!("{pipeline:?}"))),
        );
        if !self.listener.is_empty() {
            objects.insert("-more".into(), self.listener.clone());
        }
        objects
    }

    /// Ways through it: path and header.
    fn routes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.pipelines.iter().flat_map(|(name, ..)| {
            let path = if *name == "one" { "/one" } else { "/two" };
            ["", "", "X-Beta: a\r\n"].map(|header| (path, header))
        })
    }
}

/// Drains take so long that none ends within a test.
fn draw_pool(rng: &mut Rng, addresses: &[SocketAddr], filter: &str) -> String {
    let mut servers: Vec<_> = addresses.iter().copied().filter(|_| rng.bool()).collect();
    if servers.is_empty() {
        servers.push(addresses[rng.usize(..addresses.len())]);
    }
    let on_removed = rng.choice(["window: 24h", "action: close", "action: keep"]).unwrap();
    let limit = if rng.bool() { ", clientMaxMsgSize: 9" } else { "" };
    pool(&servers, &format!(", onRemoved: {{ {on_removed} }}, closeTimeout: 50ms{limit}{filter}"))
}

fn shake(gateway: &TestGateway, path: &str, headers: &str) -> Peer {
    let mut client = Peer::shake(gateway.address, path, headers);
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    client
}
