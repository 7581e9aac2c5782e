//! What is done to a tunnel in one run.

use std::fmt;

use ropeway::tunnel::Side;

use super::choices::Choices;
use super::walk::Walk;
use crate::frame::{frame, op};
use crate::side::{close, mask, whole};

/// What is done to a tunnel in one run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the client does.
    pub client: Script,
    /// What the server does.
    pub server: Script,
    /// The gateway stops somewhere on the way.
    pub stop: bool,
}

/// What one side does.
#[derive(Clone)]
pub struct Script {
    /// Its bytes.
    pub sends: Vec<u8>,
    /// So many of the bytes were read with the handshake.
    pub early: usize,
    /// What stands behind them.
    pub finish: Finish,
}

/// What stands behind the bytes of a side.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Finish {
    /// The end of its stream.
    Fin,
    /// The loss of its connection, at any time.
    Lost,
    /// Nothing.
    Silence,
    /// A fault of the stream's own code, when it is read.
    Panic,
}

impl Scenario {
    /// One that the choices make; nothing in it panics, and not both sides are silent.
    pub fn choose(choices: &Choices) -> Self {
        let mut scenario = Scenario {
            client: Script::choose(choices, Side::Client),
            server: Script::choose(choices, Side::Server),
            stop: choices.one_in(8),
        };
        let silent = |script: &Script| script.finish == Finish::Silence;
        if silent(&scenario.client) && silent(&scenario.server) {
            scenario.client.finish = Finish::Fin;
        }
        scenario
    }

    /// Nobody breaks a rule, is lost, is silent or stops: all that was sent must arrive.
    pub(super) fn is_orderly(&self) -> bool {
        let orderly = |script: &Script| script.finish == Finish::Fin && !Walk::over(&script.sends).broken;
        !self.stop && orderly(&self.client) && orderly(&self.server)
    }
}

impl Script {
    fn choose(choices: &Choices, side: Side) -> Self {
        let mut sends = frames(choices, side);
        match choices.below(8) {
            // Ends with a Close frame, behind which nothing counts. Its code is never the other side's: the gateway
            // answers with the code it got, and one cannot be told from the other.
            0..4 => {
                let code = 4000 + 2 * choices.below(500) as u16 + u16::from(side == Side::Server);
                sends.extend(close(side, code, &"reason".repeat(choices.below(20))));
                sends.extend(vec![0xff; choices.below(3) * 20]);
            }
            // Breaks a rule,
            4 => {
                let frames = [whole(side, 3, b"reserved opcode"), whole(side, op::PING, b"behind")];
                sends.extend(frames.concat());
            }
            // ends at a frame border,
            5 => {}
            // or anywhere.
            _ => sends.truncate(choices.below(sends.len() + 1)),
        }
        let early = if choices.one_in(2) { 0 } else { choices.below(sends.len().min(64 * 1024) + 1) };
        let finish = match choices.below(8) {
            0 => Finish::Lost,
            1 => Finish::Silence,
            _ => Finish::Fin,
        };
        Script { sends, early, finish }
    }
}

/// Frames that keep to the rules; the last message may be unfinished.
fn frames(choices: &Choices, side: Side) -> Vec<u8> {
    let (mut bytes, mut in_message) = (Vec::new(), false);
    let most = if choices.one_in(20) { 100_000 } else { 300 };
    for _ in 0..choices.below(12) {
        let key = mask(side).map(|_| choices.bytes());
        let control = choices.one_in(3);
        let payload = vec![choices.byte(); choices.below(if control { 126 } else { most })];
        let fin = control || choices.one_in(2);
        let opcode = match (control, in_message) {
            (true, _) => choices.pick(&[op::PING, op::PONG]),
            (false, true) => op::CONTINUATION,
            (false, false) => choices.pick(&[op::TEXT, op::BINARY]),
        };
        if !control {
            in_message = !fin;
        }
        bytes.extend(frame(u8::from(fin) << 7 | opcode, key, &payload));
    }
    bytes
}

/// Without the bytes.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Walk { borders, close, broken, .. } = Walk::over(&self.sends);
        let (len, early, finish) = (self.sends.len(), self.early, self.finish);
        let shown = format!("borders {borders:?}, close {close:?}, broken {broken}");
        write!(f, "{len} bytes ({early} early), {shown}, then {finish:?}")
    }
}
