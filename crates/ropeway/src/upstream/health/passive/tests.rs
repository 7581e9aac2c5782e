//! When servers are ejected, and come back.

use std::net::Ipv4Addr;
use std::thread;

use ws::CloseCode;

use super::*;
use crate::spec::health_check::Initial;
use crate::spec::types::Percent;
use crate::tunnel::farewell::Why;
use crate::tunnel::policy::Policy;
use crate::tunnel::registry::Progress;
use crate::tunnel::{Account, Count, TunnelId};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Servers that are all well, each with its health.
struct Ward {
    passive: Arc<Passive>,
    healths: Vec<Arc<Health>>,
    began: Instant,
}

impl Ward {
    /// So many servers of which so much percent may be ejected, by the rules of the documentation.
    fn new(count: usize, percent: u8) -> Self {
        let changes = Arc::<Changes>::default();
        let passive = Arc::new(Passive::new("pool", changes.clone()));
        let healths = (0..count).map(|_| Arc::new(Health::new(Initial::Healthy, &changes))).collect();
        let ward = Ward { passive, healths, began: Instant::now() };
        let spec = Spec { max_ejected: Percent::new(percent).unwrap(), ..Spec::default() };
        ward.set(Some(&spec));
        ward
    }

    fn set(&self, spec: Option<&Spec>) {
        self.passive.set(spec, NAMES.iter().copied().zip(&self.healths));
    }

    /// So many seconds after the beginning.
    fn at(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    /// For how many seconds a failure at that second ejects.
    fn failed(&self, server: &str, second: f64) -> Option<u64> {
        let length = self.passive.state().failed(server, "reason", self.at(second));
        length.map(|length| length.as_secs())
    }

    fn eject(&self, server: &str, second: f64) -> Option<u64> {
        (0..5).fold(None, |_, _| self.failed(server, second))
    }

    fn ejected(&self) -> Vec<usize> {
        (0..self.healths.len()).filter(|place| self.healths[*place].is_ejected()).collect()
    }
}

#[test]
fn so_many_failures_within_the_time_eject() {
    let ward = Ward::new(3, 50);
    for second in [0.0, 1.0, 2.0, 3.0] {
        assert_eq!(ward.failed("a", second), None);
    }
    // The first is too long ago by now.
    assert_eq!(ward.failed("a", 30.5), None);
    assert_eq!(ward.failed("b", 30.6), None, "each counts for itself");
    assert_eq!(ward.ejected(), [0; 0]);
    assert_eq!(ward.failed("a", 30.7), Some(30));
    assert_eq!(ward.ejected(), [0]);
    assert_eq!(ward.eject("a", 31.0), None, "only once");
    assert_eq!(ward.failed("nobody", 31.0), None);
    let conduct = &ward.passive.conducts()[0];
    assert_eq!((conduct.failures, conduct.ejections), (11, 1));
}

#[test]
fn no_more_are_ejected_than_may_be() {
    for (count, percent, expected) in
        [(1, 50, 0), (1, 100, 0), (2, 50, 1), (3, 50, 1), (4, 50, 2), (4, 49, 1), (4, 100, 3), (4, 0, 0)]
    {
        let ward = Ward::new(count, percent);
        for server in NAMES {
            ward.eject(server, 0.0);
        }
        assert_eq!(ward.ejected().len(), expected, "{percent}% of {count}");
    }
    // What its checks leave of a pool is not taken away.
    let ward = Ward::new(2, 50);
    ward.healths[1].set(super::super::UNWELL, true);
    assert_eq!(ward.eject("a", 0.0), None);
    ward.healths[1].set(super::super::UNWELL, false);
    assert_eq!(ward.failed("a", 1.0), Some(30));
}

#[test]
fn ejections_grow_and_the_growth_is_forgotten() {
    let ward = Ward::new(3, 50);
    assert_eq!(ward.eject("a", 0.0), Some(30));
    for expected in [60, 120, 240, 300, 300] {
        let length = ward.passive.state().failed_again("a", "reason", ward.at(0.0));
        assert_eq!(length, Some(Duration::from_secs(expected)));
    }
    assert_eq!(ward.passive.state().passed("a", ward.at(100.0)), Some(Duration::from_secs(100)));
    assert_eq!(ward.ejected(), [0; 0]);
    // Two of six are forgiven after a minute.
    assert_eq!(ward.eject("a", 161.0), Some(300));
    ward.passive.state().passed("a", ward.at(200.0));
    assert_eq!(ward.eject("a", 200.0 + 3.5 * 30.0), Some(120), "five less three: the third");
    ward.passive.state().passed("a", ward.at(400.0));
    assert_eq!(ward.eject("a", 1000.0), Some(30));
}

#[test]
fn one_handshake_at_a_time_tries() {
    let ward = Ward::new(4, 50);
    ward.eject("a", 0.0);
    ward.eject("b", 1.0);
    let try_one = |second| ward.passive.state().try_one(ward.at(second));
    assert_eq!(try_one(29.9), None);
    assert_eq!(try_one(30.1).as_deref(), Some("a"));
    assert_eq!(try_one(30.2), None, "it is on trial, and the other's time is not up");
    assert_eq!(try_one(31.1).as_deref(), Some("b"));
    ward.passive.state().failed_again("b", "reason", ward.at(32.0));
    assert_eq!(try_one(91.9), None);
    assert_eq!(try_one(92.1).as_deref(), Some("b"));
    ward.passive.state().passed("a", ward.at(92.0));
    assert_eq!(ward.ejected(), [1]);
}

/// Rules by which an ejected server is tried at once.
fn at_once() -> Spec {
    Spec {
        eject: "1ns".parse().unwrap(),
        failures: crate::spec::types::Failures::new(1).unwrap(),
        ..Spec::default()
    }
}

#[test]
fn a_trial_without_a_result_is_followed_by_another() {
    let ward = Ward::new(2, 50);
    ward.set(Some(&at_once()));
    assert!(ward.passive.trial().is_none(), "nobody is ejected");
    ward.passive.failed("a", "reason");
    let trial = ward.passive.trial().unwrap();
    assert_eq!(trial.server(), "a");
    assert!(ward.passive.trial().is_none(), "there is one already");
    drop(trial);
    ward.passive.trial().unwrap().failed("reason");
    ward.passive.trial().unwrap().passed();
    assert_eq!(ward.ejected(), [0; 0]);
    assert!(ward.passive.trial().is_none());
}

/// Its checks know better: a client is not risked on it.
#[test]
fn a_server_that_is_not_well_is_not_tried() {
    let ward = Ward::new(3, 50);
    ward.eject("a", 0.0);
    ward.healths[0].set(super::super::UNWELL, true);
    let try_one = |second| ward.passive.state().try_one(ward.at(second));
    assert_eq!(try_one(31.0), None);
    ward.healths[0].set(super::super::UNWELL, false);
    assert_eq!(try_one(31.5), None, "it is not looked at again at once");
    assert_eq!(try_one(32.5).as_deref(), Some("a"));
    ward.passive.state().passed("a", ward.at(33.0));
    assert!(ward.healths[0].is_usable());
}

#[test]
fn both_reasons_are_kept() {
    let ward = Ward::new(3, 50);
    let health = &ward.healths[0];
    ward.eject("a", 0.0);
    health.set(super::super::UNWELL, true);
    ward.passive.state().passed("a", ward.at(40.0));
    assert!(!health.is_usable() && !health.is_ejected());
    ward.eject("a", 41.0);
    health.set(super::super::UNWELL, false);
    assert!(!health.is_usable() && health.is_well());
    ward.passive.state().passed("a", ward.at(40.0));
    assert!(health.is_usable());
}

#[test]
fn other_rules_keep_what_is_known_and_none_forget_it() {
    let ward = Ward::new(4, 50);
    ward.eject("a", 0.0);
    ward.eject("b", 0.0);
    ward.set(Some(&Spec { within: "1s".parse().unwrap(), ..Spec::default() }));
    assert_eq!(ward.ejected(), [0, 1]);
    // Without b, and with a's health made anew.
    let health = Arc::new(Health::new(Initial::Healthy, &ward.passive.changes));
    ward.passive.set(Some(&Spec::default()), [("a", &health), ("c", &ward.healths[2])].into_iter());
    assert!(health.is_ejected() && !ward.healths[1].is_ejected());
    ward.passive.set(None, [("a", &health)].into_iter());
    assert!(health.is_usable());
    assert_eq!(ward.eject("a", 1.0), None);
}

fn ended(cause: Cause, messages: u64, after: f64) -> Record {
    let policy = Policy::any();
    let to_server = Moved { messages, bytes: 0 };
    Record {
        id: TunnelId::random(),
        route: "".into(),
        client: Ipv4Addr::LOCALHOST.into(),
        account: Arc::new(Account::new("pool", "a", &policy, Count::single())),
        duration: Duration::from_secs(9),
        until_end: Duration::from_secs_f64(after),
        progress: Progress { to_server, to_client: Moved { messages: 1, bytes: 1 } },
        codes: Default::default(),
        cause,
    }
}

#[test]
fn what_a_server_has_to_answer_for() {
    use Side::{Client, Server};
    let (big, bits) = (Violation::MessageTooBig { limit: 1, size: 2 }, Violation::ReservedBits);
    for (cause, messages, after, expected) in [
        (Cause::Vanished(Server), 0, 0.0, Some("vanished")),
        (Cause::Vanished(Server), 0, 4.9, Some("vanished")),
        (Cause::Vanished(Server), 0, 5.1, None),
        (Cause::Vanished(Server), 1, 0.0, None),
        (Cause::Vanished(Client), 0, 0.0, None),
        (Cause::Violation(Server, bits), 0, 0.0, Some("violation:reserved_bits")),
        (Cause::Violation(Server, bits), 1, 0.0, None),
        (Cause::Violation(Server, bits), 0, 6.0, None),
        (Cause::Violation(Server, big), 0, 0.0, None),
        (Cause::Violation(Server, Violation::TextNotUtf8), 0, 0.0, None),
        (Cause::Violation(Client, bits), 0, 0.0, None),
        (Cause::Closed(Server, Some(CloseCode::INTERNAL_ERROR)), 0, 0.0, None),
        (Cause::Closed(Server, None), 0, 0.0, None),
        (Cause::Closed(Client, None), 0, 0.0, None),
        (Cause::Drain(Why::Shutdown), 0, 0.0, None),
        (Cause::Panic, 0, 0.0, None),
    ] {
        let found = blame(&ended(cause, messages, after));
        assert_eq!(found.as_deref(), expected, "{cause:?} after {messages} messages and {after} s");
    }
}

/// What clients do, and normal ends, by the hundred thousand.
#[test]
fn ends_that_are_nobodys_failure_eject_nobody() {
    let ward = Ward::new(2, 50);
    let closed = |side| Cause::Closed(side, Some(CloseCode::INTERNAL_ERROR));
    let records = [
        ended(closed(Side::Client), 0, 0.1),
        ended(closed(Side::Server), 0, 0.1),
        ended(Cause::Vanished(Side::Client), 0, 0.1),
        ended(Cause::Violation(Side::Client, Violation::MaskMissing), 0, 0.1),
        ended(Cause::Vanished(Side::Server), 1, 0.1),
    ];
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..30_000 {
                    ward.passive.ended(&records[number % records.len()]);
                }
            });
        }
    });
    assert!(ward.passive.conducts().iter().all(|conduct| conduct.failures == 0 && conduct.ejections == 0));
    for _ in 0..5 {
        ward.passive.ended(&ended(Cause::Vanished(Side::Server), 0, 0.1));
    }
    assert_eq!(ward.ejected(), [0], "what does count, counts");
}

/// Many threads at once: each failure counts, at most one handshake is risked at a time, and changes are all seen.
#[test]
fn many_threads_leave_it_exact() {
    const ROUNDS: usize = 5_000;
    let ward = Ward::new(2, 50);
    ward.set(Some(&at_once()));
    let before = ward.passive.changes.count();
    let under_way = AtomicU64::new(0);
    let counts: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut failed, mut passed) = (0, 0);
                    for round in 0..ROUNDS {
                        ward.passive.failed("a", "reason");
                        failed += 1;
                        let Some(trial) = ward.passive.trial() else { continue };
                        assert_eq!(under_way.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                        under_way.fetch_sub(1, Ordering::SeqCst);
                        if round % 3 == 0 {
                            trial.failed("reason");
                            failed += 1;
                        } else {
                            trial.passed();
                            passed += 1;
                        }
                    }
                    (failed, passed)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (failed, passed) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    let conduct = &ward.passive.conducts()[0];
    assert_eq!(conduct.failures, failed);
    assert!(passed > 100, "{passed} trials");
    let is_out = conduct.ejected.is_some();
    assert_eq!(is_out, ward.healths[0].is_ejected());
    assert_eq!(ward.passive.changes.count() - before, 2 * passed + u64::from(is_out), "out and in again");
}

#[test]
fn a_drained_server_is_not_tried() {
    let ward = Ward::new(3, 50);
    ward.eject("a", 0.0);
    ward.healths[0].set_drained(true);
    assert_eq!(ward.passive.state().try_one(ward.at(31.0)), None);
    ward.healths[0].set_drained(false);
    assert_eq!(ward.passive.state().try_one(ward.at(40.0)).as_deref(), Some("a"));
}
