//! What each side must have received, and what the record must say.

use ropeway::tunnel::farewell::Cause;
use ropeway::tunnel::{Record, Side};
use ws::CloseCode;

use super::machine::Machine;
use super::scenario::{Finish, Scenario, Script};
use super::walk::Walk;
use super::wire::Wire;

/// Panics unless what came of `scenario` is right.
pub(super) fn judge(scenario: &Scenario, machine: &Machine, record: &Record) {
    assert_ne!(record.cause, Cause::Panic);
    let silent = [&scenario.client, &scenario.server].iter().any(|script| script.finish == Finish::Silence);
    assert!(silent || !machine.has_waited(), "it had to wait for its deadline");
    for to in [Side::Client, Side::Server] {
        judge_direction(scenario, machine, record, to);
    }
    if scenario.is_orderly() {
        let codes = record.codes;
        for (script, code) in [(&scenario.client, codes.from_client), (&scenario.server, codes.from_server)] {
            let sent = Walk::over(&script.sends).close.map_or("-".into(), |code| code.to_string());
            assert_eq!(code.to_string(), sent, "the code received");
        }
    }
}

fn judge_direction(scenario: &Scenario, machine: &Machine, record: &Record, to: Side) {
    let Record { codes, progress, .. } = record;
    let (client, server): (&Wire, &Wire) = (&machine.client(), &machine.server());
    let (script, from_wire, to_wire, sent, progress): (&Script, _, _, _, _) = match to {
        Side::Client => (&scenario.server, server, client, codes.to_client, progress.to_client),
        Side::Server => (&scenario.client, client, server, codes.to_server, progress.to_server),
    };
    let sends = &script.sends[..from_wire.taken];
    // A peer that is lost may be gone before it took what it was sent.
    let cut_short = to_wire.is_lost() || machine.has_waited();
    let (passed, own) = split_farewell(&to_wire.written, sends, to, cut_short)
        .unwrap_or_else(|| panic!("to {to:?}: {:x?} does not come of {sends:x?}", to_wire.written));
    let logged = own.as_ref().map_or("-".into(), |(code, _)| code.to_string().replace("1005", "empty"));
    assert_eq!(sent.to_string(), logged, "sent to {to:?}");
    if !cut_short {
        let arrived = Walk::over(&sends[..passed]);
        assert_eq!(progress.messages, arrived.messages, "messages to {to:?}");
        assert_eq!(progress.bytes, arrived.payload, "bytes to {to:?}");
    }
    let all = Walk::over(sends);
    if matches!(record.cause, Cause::Violation(by, _) if by == to) && !cut_short {
        // Ours stands behind all that the other side said, or its own Close went first.
        let crossed = all.close.is_some() && passed == all.settled;
        assert!(crossed || passed == all.says(), "to {to:?}: the offender is told before the answers");
        assert_eq!(own.is_some(), all.at_border && !crossed, "to {to:?}: the offender is told");
    }
    if scenario.is_orderly() {
        assert_eq!(passed, all.settled, "to {to:?}: not all that was sent has arrived");
        assert_eq!(own.map(|(code, _)| code), expected_code(record.cause, to, &all), "to {to:?}");
    }
}

/// The code of the gateway's own Close, when both sides end by Close frames and ends of streams only.
fn expected_code(cause: Cause, to: Side, sent: &Walk) -> Option<u16> {
    if sent.close.is_some() || !sent.at_border {
        return None;
    }
    match cause {
        Cause::Closed(by, code) if by == to => code.map(CloseCode::get),
        Cause::Vanished(side) if side == to => None,
        Cause::Vanished(Side::Server) => Some(1011),
        _ => Some(1001),
    }
}

/// Takes what was written apart: how many bytes came from the other side, and the gateway's own Close behind them,
/// which must stand at a frame border. `None` if it is anything else.
///
/// A receiver that is gone before it took all may have got the beginning of a Close, which counts as none.
pub fn split_farewell(
    written: &[u8],
    sent: &[u8],
    to: Side,
    cut_short: bool,
) -> Option<(usize, Option<(u16, String)>)> {
    let all = Walk::over(sent);
    if sent[..all.settled].starts_with(written) {
        return Some((written.len(), None));
    }
    all.borders.iter().rev().find_map(|border| {
        let frame = written.strip_prefix(&sent[..*border])?;
        let masked = if to == Side::Server { 4 } else { 0 };
        let begun = frame.len() < 2 || frame.len() < 2 + masked + usize::from(frame[1] & 0x7f);
        if cut_short && frame[0] == 0x88 && begun {
            return Some((*border, None));
        }
        Some((*border, Some(own_close(frame, to)?)))
    })
}

/// Code and reason of one whole Close frame, masked towards a server and only there.
fn own_close(frame: &[u8], to: Side) -> Option<(u16, String)> {
    let (&[0x88, second], rest) = frame.split_first_chunk()? else { return None };
    let masked = second & 0x80 != 0;
    let (key, payload) = if masked { rest.split_at_checked(4)? } else { (&[0; 4][..], rest) };
    if masked != (to == Side::Server) || payload.len() != usize::from(second & 0x7f) {
        return None;
    }
    let clear: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    match clear.split_first_chunk() {
        None => Some((1005, String::new())),
        Some((code, reason)) => Some((u16::from_be_bytes(*code), String::from_utf8(reason.to_vec()).ok()?)),
    }
}
