//! What is full, and stays so when another process goes on with its tunnels.

use testkit::{Peer, eventually, masked, op};

use super::{Controlled, Killed};
use crate::cli::open;
use crate::cli::process::json;

const MOST: &str = "maxConnections: 2";

/// A client's and a server's end.
type Tunnel = (Peer, Peer);

impl Controlled {
    /// Knocks while two tunnels are there: whoever is one too many for the listener waits, the others are told.
    fn knock_in_vain(&self, name: &str, tunnels: &mut [Tunnel]) -> Option<Peer> {
        let mut client = Peer::shake(([127, 0, 0, 1], self.port).into(), "/ws", "");
        if name == "listener" {
            self.check_waiting(name, &mut client, tunnels);
            return Some(client);
        }
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("no_capacity"), "{name}: {head}");
        None
    }

    /// Tunnels live on, and nothing has become of a client that waits.
    fn check_waiting(&self, name: &str, client: &mut Peer, tunnels: &mut [Tunnel]) {
        for (client, server) in tunnels {
            client.send(&masked(op::TEXT, b"still here"));
            assert_eq!(server.frame().payload, b"still here", "{name}");
        }
        assert!(self.backend.try_accept().is_none() && !client.is_readable(), "{name}: it has a place");
    }

    /// The tunnel of whoever waits, or of whoever finds that there is room.
    fn enter(&self, name: &str, waiting: Option<Peer>) -> Tunnel {
        let address = ([127, 0, 0, 1], self.port).into();
        let mut waiting = waiting;
        eventually(&format!("room of the {name}"), || {
            let mut client = waiting.take().unwrap_or_else(|| Peer::shake(address, "/ws", ""));
            let server = eventually(name, || {
                let server = self.backend.try_accept();
                server.map(Some).or_else(|| client.is_readable().then_some(None))
            });
            let mut server = server?;
            let head = server.head();
            server.send(testkit::Backend::answer(&head, "").as_bytes());
            assert!(client.head().starts_with("HTTP/1.1 101 "), "{name}");
            Some((client, server))
        })
    }

    /// Has another process take over, which is the `number`th one.
    fn upgrade(&self, number: usize) -> Killed {
        let upgraded = eventually("an upgrade", || {
            let ended = self.command(&["upgrade", "--force", "-o", "json"]);
            (ended.code == Some(0)).then(|| json(&ended.out.replace('\n', " ")))
        });
        let successor = Killed(upgraded["pid"].as_i64().unwrap());
        assert_eq!(upgraded["tunnels"], 2, "{upgraded}");
        eventually("the new process", || {
            (self.process.errs("taken over from").len() == number).then_some(())
        });
        successor
    }
}

#[test]
fn caps_hold_over_upgrades() {
    for (name, before, after) in [
        ("listener", "rules:\n", format!("{MOST}\nrules:\n")),
        ("pool", "  - servers:\n", format!("  - {MOST}\n    servers:\n")),
        ("server", "    - url: ", format!("    - {MOST}\n      url: ")),
    ] {
        let gateway = Controlled::start_with(&format!("control-caps-{name}"), |text| {
            assert!(text.contains(before), "{text}");
            text.replacen(before, &after, 1)
        });
        let address = ([127, 0, 0, 1], gateway.port).into();
        let mut tunnels = vec![open(address, &gateway.backend, ""), open(address, &gateway.backend, "")];
        let mut waiting = gateway.knock_in_vain(name, &mut tunnels);
        let mut successors = Vec::new();
        for number in 1..=2 {
            successors.push(gateway.upgrade(number));
            match &mut waiting {
                Some(client) => gateway.check_waiting(name, client, &mut tunnels),
                None => assert!(gateway.knock_in_vain(name, &mut tunnels).is_none()),
            }
            // The oldest ends, one has its place, and no other.
            tunnels.remove(0);
            tunnels.push(gateway.enter(name, waiting.take()));
            waiting = gateway.knock_in_vain(name, &mut tunnels);
        }
    }
}
