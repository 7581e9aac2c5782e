//! The record of a tunnel that comes from another process.

use ropeway::tunnel::Side;
use ropeway::tunnel::farewell::Cause;
use ropeway::tunnel::frozen::Thaw;

use crate::op;
use crate::side::whole;
use crate::simulation::{Choices, Finish, Machine, Scenario, Script, on_paused_clock};

/// Reads a record. A tunnel that goes on by it does not panic, keeps no more than it may, and ends.
pub fn frozen(data: &[u8]) {
    let mut thaw = Thaw::new(|_: &str, _: &str| None);
    let Ok(thawing) = thaw.read(data) else { return };
    let had_panicked = thawing.cause() == Some(Cause::Panic);
    let says = |side| Script { sends: whole(side, op::TEXT, b"hello"), early: 0, finish: Finish::Fin };
    let scenario = Scenario { client: says(Side::Client), server: says(Side::Server), stop: false };
    let record = on_paused_clock(async {
        let mut machine = Machine::of(thawing, &scenario, &Choices::new(data));
        machine.drive().await
    });
    assert!(had_panicked || record.cause != Cause::Panic, "{record:?}");
}
