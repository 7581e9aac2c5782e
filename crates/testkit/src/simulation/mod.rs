//! A tunnel's future by itself, over streams in memory that read short, write short, keep it waiting and wake it in
//! an order that [`Choices`] make.
//!
//! Nothing here depends on the kernel or on a clock: a wake that is lost stands still, and is seen to.

mod choices;
mod judge;
mod machine;
mod scenario;
mod walk;
mod wire;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tokio::runtime::Builder;
use tokio::task::coop::unconstrained;

pub use choices::Choices;
pub use judge::split_farewell;
pub use machine::Machine;
pub use scenario::{Finish, Scenario, Script};
pub use wire::Wire;

/// One whole run of a scenario that the choices make.
///
/// # Panics
/// What came of it is not right.
pub fn run(choices: &Choices) {
    let scenario = Scenario::choose(choices);
    judge_run(&scenario, Machine::new(&scenario, &Rc::default(), choices));
}

/// The same, with a tunnel that goes on in another process now and then.
///
/// # Panics
/// What came of it is not right.
pub fn run_moving(choices: &Choices) {
    let scenario = Scenario::choose(choices);
    judge_run(&scenario, Machine::new(&scenario, &Rc::default(), choices).moving());
}

fn judge_run(scenario: &Scenario, mut machine: Machine) {
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let record = on_paused_clock(machine.drive());
        judge::judge(scenario, &machine, &record);
    }));
    assert!(judged.is_ok(), "{scenario:?}");
}

/// Runs `simulation` on a clock that moves only when it is told to.
pub fn on_paused_clock<F: Future>(simulation: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(unconstrained(simulation))
}
