//! Every rule of RFC 6455's framing: what keeps to it, what breaks it, and which byte proves it.

use ws::Violation;

use crate::table::{Bad, Case, cases};
use crate::transcript::{Transcript, feed};

#[test]
fn a_whole_stream_gets_the_expected_outcome() {
    for case in cases() {
        let seen = feed(case.rules, [&*case.stream()]);
        assert_eq!(seen.forwarded, case.good.len(), "{case}");
        case.check(&seen);
    }
}

#[test]
fn a_cut_anywhere_changes_nothing() {
    for case in cases() {
        let stream = case.stream();
        let whole = feed(case.rules, [&*stream]);
        for cut in 0..=stream.len() {
            let (front, back) = stream.split_at(cut);
            let seen = feed(case.rules, [front, back]);
            case.check(&seen);
            assert_eq!(
                case.without_partial_text(&seen),
                case.without_partial_text(&whole),
                "{case}, cut at {cut}"
            );
        }
    }
}

#[test]
fn one_byte_at_a_time_changes_nothing_and_the_first_proof_is_enough() {
    for case in cases() {
        let stream = case.stream();
        let whole = feed(case.rules, [&*stream]);
        let seen = feed(case.rules, stream.chunks(1));
        case.check(&seen);
        assert_eq!(case.without_partial_text(&seen), case.without_partial_text(&whole), "{case}");
        if let Some(bad) = &case.bad {
            assert_eq!(seen.proven_at, case.good.len() + bad.proof, "{case}");
            assert_eq!(seen.forwarded, case.good.len() + bad.settled, "{case}");
        }
    }
}

#[test]
fn every_violation_has_a_case() {
    let cases = cases();
    for violation in EVERY_VIOLATION {
        let (label, section) = (violation.label(), violation.section());
        let found = cases.iter().any(|case| {
            let bad = case.bad.as_ref().map(|bad| bad.violation);
            bad.is_some_and(|bad| bad.label() == label) && section == format!("RFC 6455 {}", case.section)
        });
        assert!(found, "{label} ({section}) has no case");
    }
}

#[test]
fn every_violation_has_its_own_label_and_a_reason_that_fits_a_close_frame() {
    for (at, violation) in EVERY_VIOLATION.into_iter().enumerate() {
        assert_eq!(index(violation), at);
        assert!(
            EVERY_VIOLATION.iter().all(|other| *other == violation || other.label() != violation.label())
        );
        let reason = violation.to_string();
        assert!(reason.len() <= 123 && !reason.ends_with('.'), "{reason}");
        let code = match violation {
            Violation::TextNotUtf8 | Violation::CloseReasonNotUtf8 => 1007,
            Violation::MessageTooBig { .. } => 1009,
            _ => 1002,
        };
        assert_eq!(violation.close_code().get(), code);
    }
    let too_big = Violation::MessageTooBig { limit: 32769, size: 40000 };
    assert_eq!(too_big.to_string(), "message of at least 40000 bytes is over the limit of 32769");
}

impl Case {
    pub(crate) fn stream(&self) -> Vec<u8> {
        let bad = self.bad.as_ref().map_or(&[][..], |bad| &bad.bytes);
        [&self.good, bad].concat()
    }

    /// What holds however the stream is cut.
    fn check(&self, seen: &Transcript) {
        assert_eq!(seen.end, self.bad.as_ref().map(|bad| bad.violation), "{self}");
        assert_eq!(seen.messages, self.messages, "{self}");
        assert_eq!(seen.controls.len(), self.controls, "{self}");
        let beyond = seen.forwarded - self.good.len();
        assert!(
            beyond == 0 || self.bad.as_ref().is_some_and(|bad| beyond == bad.settled),
            "{self}: {beyond}"
        );
    }

    /// The transcript without what depends on the cut: whether a part of a bad text frame has settled.
    fn without_partial_text(&self, seen: &Transcript) -> Transcript {
        let mut seen = Transcript { proven_at: 0, ..seen.clone() };
        if let Some(Bad { settled: 1.., .. }) = self.bad {
            (seen.forwarded, seen.payload_bytes, seen.frame_remaining, seen.in_message) = (0, 0, 0, false);
        }
        seen
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.section, self.what)
    }
}

/// The place of a violation in [`EVERY_VIOLATION`]: a new one does not compile until it stands there.
fn index(violation: Violation) -> usize {
    match violation {
        Violation::ClosePayloadTooShort => 0,
        Violation::CloseCodeInvalid { .. } => 1,
        Violation::CloseReasonNotUtf8 => 2,
        Violation::ContinuationUnexpected => 3,
        Violation::ControlFragmented => 4,
        Violation::ControlTooLong => 5,
        Violation::LengthNotMinimal => 6,
        Violation::LengthTooLarge => 7,
        Violation::MaskForbidden => 8,
        Violation::MaskMissing => 9,
        Violation::MessageInterrupted => 10,
        Violation::MessageTooBig { .. } => 11,
        Violation::ReservedBits => 12,
        Violation::ReservedOpcode => 13,
        Violation::TextNotUtf8 => 14,
    }
}

const EVERY_VIOLATION: [Violation; 15] = [
    Violation::ClosePayloadTooShort,
    Violation::CloseCodeInvalid { code: u16::MAX },
    Violation::CloseReasonNotUtf8,
    Violation::ContinuationUnexpected,
    Violation::ControlFragmented,
    Violation::ControlTooLong,
    Violation::LengthNotMinimal,
    Violation::LengthTooLarge,
    Violation::MaskForbidden,
    Violation::MaskMissing,
    Violation::MessageInterrupted,
    Violation::MessageTooBig { limit: u64::MAX, size: u64::MAX },
    Violation::ReservedBits,
    Violation::ReservedOpcode,
    Violation::TextNotUtf8,
];
