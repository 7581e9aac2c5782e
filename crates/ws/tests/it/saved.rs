//! An inspector that moves to another process.

use ws::{CloseCode, CloseFrame, Inspector, RestoreError, Role, Rules, Saved};

use crate::table::cases;
use crate::transcript::{feed, feed_moving};

/// Saved and restored at every byte of every row, it comes to the same verdicts.
#[test]
fn a_move_at_any_byte_changes_nothing() {
    for case in cases() {
        let stream = case.stream();
        assert_eq!(feed_moving(case.rules, stream.chunks(1)), feed(case.rules, stream.chunks(1)), "{case}");
        for cut in 0..=stream.len() {
            let (front, back) = stream.split_at(cut);
            let moved = feed_moving(case.rules, [front, back]);
            assert_eq!(moved, feed(case.rules, [front, back]), "{case}, moved at {cut}");
        }
    }
}

/// Whatever is restored goes on without a panic and is saved as it was; a byte less or more is refused.
#[test]
fn no_byte_is_trusted() {
    let bytes = [0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4, 0x88, 0x80].repeat(30);
    let (mut good, mut bad) = (0, 0);
    for saved in saved_in_every_state() {
        for at in 0..saved.len() {
            assert!(Inspector::restore(&saved[..at]).is_err(), "{at} bytes of {saved:x?}");
            for byte in [0, 1, 3, 4, 0x7f, 0x80, 0xe2, 0xff, saved[at] ^ 1, saved[at] ^ 8, saved[at] ^ 64] {
                let mut altered = saved.clone();
                altered[at] = byte;
                match Inspector::restore(&altered) {
                    Ok(mut inspector) => {
                        good += 1;
                        assert_eq!(inspector.save().as_bytes(), altered);
                        inspector.advance(&bytes);
                        inspector.advance(&bytes);
                    }
                    Err(_) => bad += 1,
                }
            }
        }
        let longer = [&saved[..], &[0]].concat();
        assert_eq!(Inspector::restore(&longer).err(), Some(RestoreError::Malformed));
    }
    assert!(good > 1000 && bad > 1000, "{good} and {bad}");
}

/// No tunnel has counted so far, and who adds to it would overflow.
#[test]
fn a_count_has_a_bound() {
    let saved = Inspector::new(rules(Role::Client)).save();
    for (what, at) in [("messages", 10), ("payload bytes", 18)] {
        for (bound, is_fine) in [(1_u64 << 62, true), ((1 << 62) + 1, false), (u64::MAX, false)] {
            let mut altered = saved.as_bytes().to_vec();
            altered[at..at + 8].copy_from_slice(&bound.to_be_bytes());
            assert_eq!(Inspector::restore(&altered).is_ok(), is_fine, "{bound} {what}");
        }
    }
}

#[test]
fn another_form_is_known_by_its_version() {
    let mut saved = Inspector::new(rules(Role::Client)).save().as_bytes().to_vec();
    saved[0] = 2;
    let error = Inspector::restore(&saved).unwrap_err();
    assert_eq!(error, RestoreError::Version(2));
    assert_eq!(error.to_string(), "inspector is saved in form 2, not 1");
}

#[test]
fn a_close_frame_is_read_from_its_bytes_and_from_no_others() {
    let reason = "r".repeat(CloseFrame::REASON_MAX);
    let going_away = |mask| CloseFrame::new(CloseCode::GOING_AWAY, &reason, mask);
    for (frame, sender) in [
        (going_away(None), Role::Server),
        (going_away(Some([1, 2, 3, 4])), Role::Client),
        (CloseFrame::empty(None), Role::Server),
    ] {
        let bytes = frame.as_bytes();
        let read = CloseFrame::from_wire(bytes, sender).unwrap();
        assert_eq!(read.as_bytes(), bytes);
        let other = if sender == Role::Client { Role::Server } else { Role::Client };
        assert!(CloseFrame::from_wire(bytes, other).is_none(), "the wrong side");
        assert!(CloseFrame::from_wire(&bytes[..bytes.len() - 1], sender).is_none(), "not whole");
        assert!(CloseFrame::from_wire(&[bytes, &[0]].concat(), sender).is_none(), "something behind");
        assert!(CloseFrame::from_wire(&[&[0x89], &bytes[1..]].concat(), sender).is_none(), "a ping");
    }
    assert!(CloseFrame::from_wire(&[0x88, 2, 0, 0], Role::Server).is_none(), "no code");
}

/// What inspectors know at every byte of every row, without doubles.
fn saved_in_every_state() -> Vec<Vec<u8>> {
    let mut all = vec![Inspector::new(rules(Role::Server)).save().as_bytes().to_vec()];
    for case in cases().iter().filter(|case| case.stream().len() < 300) {
        let mut inspector = Inspector::new(case.rules);
        let mut held = Vec::new();
        for byte in case.stream() {
            held.push(byte);
            let step = inspector.advance(&held);
            held.drain(..step.settled);
            if let ws::Outcome::Control(control) = step.outcome {
                held.drain(..control.wire_len);
            }
            let saved = inspector.save();
            assert!(saved.as_bytes().len() <= Saved::MAX);
            all.push(saved.as_bytes().to_vec());
        }
    }
    all.sort();
    all.dedup();
    all
}

fn rules(sender: Role) -> Rules {
    Rules { sender, deflate: true, max_message: u64::MAX, validate_utf8: true }
}
