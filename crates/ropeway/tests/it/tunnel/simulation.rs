//! The tunnel's future by itself, over streams in memory. `fuzz.rs` runs what chance makes of it.

use std::rc::Rc;

use ropeway::tunnel::Side;
use ropeway::tunnel::farewell::Cause;
use testkit::op;
use testkit::simulation::{Choices, Finish, Machine, Scenario, Script, on_paused_clock, split_farewell};

use super::{close, whole};

/// A panic ends its own tunnel with 1011 on both sides; the one beside it in the same thread lives on.
#[test]
fn a_panic_ends_one_tunnel_only() {
    on_paused_clock(async {
        let choices = Choices::new(b"a panic");
        let registry = Rc::default();
        let mut neighbour = Machine::new(&greetings(), &registry, &choices);
        assert!(neighbour.poll().is_pending());
        for by in [Side::Client, Side::Server] {
            let mut scenario = greetings();
            let (at_fault, other) = match by {
                Side::Client => (&mut scenario.client, &mut scenario.server),
                Side::Server => (&mut scenario.server, &mut scenario.client),
            };
            (at_fault.finish, other.finish) = (Finish::Panic, Finish::Silence);
            let mut machine = Machine::new(&scenario, &registry, &choices);
            let record = machine.drive().await;
            assert_eq!(record.cause, Cause::Panic);
            let codes = [record.codes.to_client, record.codes.to_server].map(|code| code.to_string());
            assert_eq!(codes, ["1011", "1011"]);
            // What a client gets is not masked: it is the same in every run.
            assert!(machine.client().written.ends_with(&close(Side::Server, 1011, FAULT)), "{by:?}");
            let to_server = &machine.server().written;
            let (_, own) = split_farewell(to_server, &scenario.client.sends, Side::Server, false).unwrap();
            assert_eq!(own, Some((1011, FAULT.into())), "{by:?}");
        }
        let record = neighbour.drive().await;
        assert_eq!(record.progress.to_client.messages + record.progress.to_server.messages, 2);
    });
}

/// Both sides say hello and end.
fn greetings() -> Scenario {
    let hello = |side| Script { sends: whole(side, op::TEXT, b"hello"), early: 0, finish: Finish::Fin };
    Scenario { client: hello(Side::Client), server: hello(Side::Server), stop: false }
}

const FAULT: &str = "fault in the gateway";
