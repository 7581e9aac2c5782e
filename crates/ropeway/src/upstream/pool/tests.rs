//! Who is chosen while servers come into use and go out of it, and what is kept where a pool changes.

use std::net::Ipv4Addr;
use std::thread;

use http::{Request, request};

use super::*;
use crate::spec::health_check::HealthCheck;
use crate::spec::{Reader, Source};
use crate::tunnel::Claim;
use crate::upstream::health::Thresholds;

const RULES: &str = "healthCheck: {ws: {}}\npassive: {failures: 1, eject: 1ns}\n";

fn spec(servers: &[u16], more: &str) -> PoolSpec {
    let servers: String = servers.iter().map(|port| format!("- url: ws://10.0.0.1:{port}\n")).collect();
    let reader = Reader::new(&[Source::new("pool.yaml", format!("servers:\n{servers}{more}"))]);
    let read = reader.read_some(&reader.documents()[0]).unwrap();
    let faults = reader.finish();
    assert!(!faults.has_errors(), "{}", faults.render(false));
    read
}

/// In force at once.
fn pool(servers: &[u16], more: &str, previous: Option<&Arc<Pool>>) -> Arc<Pool> {
    let pool = Pool::new(&spec(servers, more), "pool", &Dialler::new(Vec::new()), previous);
    pool.take_over(&Registries::new(Vec::new()));
    pool
}

impl Pool {
    fn thresholds(&self) -> Thresholds {
        let check: &HealthCheck = self.spec.health_check.as_ref().unwrap();
        Thresholds::new(check)
    }

    fn check(&self, place: usize, is_well: bool) {
        let result = if is_well { Ok(Duration::ZERO) } else { Err("wrong".into()) };
        self.servers[place].health().note(result, self.thresholds());
    }

    /// Where a handshake goes first.
    fn first(&self, head: &request::Parts) -> Option<usize> {
        self.look_who_is_usable();
        self.balancer.choose(Asker { address: Ipv4Addr::LOCALHOST.into(), head }, &[])
    }

    /// All that can be chosen.
    fn chosen(&self) -> Vec<usize> {
        let (head, ()) = Request::new(()).into_parts();
        let asker = Asker { address: Ipv4Addr::LOCALHOST.into(), head: &head };
        self.look_who_is_usable();
        let mut chosen = Vec::new();
        while let Some(next) = self.balancer.choose(asker, &chosen) {
            chosen.push(next);
        }
        chosen.sort_unstable();
        chosen
    }

    fn shares(&self) -> Vec<u32> {
        let slow_start = self.spec.load_balance.slow_start.unwrap().get();
        self.servers.iter().map(|server| server.health().share(slow_start)).collect()
    }
}

#[test]
fn all_generations_of_a_pool_see_who_is_usable() {
    let one = pool(&[1, 2, 3], RULES, None);
    let other = pool(&[1, 2, 3], &format!("{RULES}maxRetries: 1\n"), Some(&one));
    let expect = |expected: &[usize]| assert_eq!([one.chosen(), other.chosen()], [expected, expected]);
    expect(&[0, 1, 2]);
    one.check(0, false);
    expect(&[1, 2]);
    other.passive.failed("ws://10.0.0.1:2", "reason");
    expect(&[2]);
    other.check(0, true);
    expect(&[0, 2]);
    let trial = || one.passive.trial();
    let began = std::time::Instant::now();
    let trial = std::iter::repeat_with(trial).find(Option::is_some).flatten().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    trial.passed();
    expect(&[0, 1, 2]);
}

/// A server that is not checked any more was never found unwell; one that cannot be ejected any more is not.
#[test]
fn what_nobody_would_take_back_is_forgotten() {
    let before = pool(&[1, 2, 3], RULES, None);
    before.check(0, false);
    before.passive.failed("ws://10.0.0.1:2", "reason");
    assert_eq!(before.chosen(), [2]);
    let unchecked = pool(&[1, 2, 3], "passive: {failures: 1}", Some(&before));
    assert_eq!(unchecked.chosen(), [0, 2]);
    let neither = pool(&[1, 2, 3], "", Some(&unchecked));
    assert_eq!(neither.chosen(), [0, 1, 2]);
}

#[test]
fn a_server_that_is_added_later_begins_slowly() {
    let slowly = "loadBalance: {slowStart: 24h}\n";
    let first = pool(&[1, 2], slowly, None);
    assert_eq!(first.shares(), [100, 100]);
    let second = pool(&[1, 2, 3], slowly, Some(&first));
    assert_eq!(second.shares(), [100, 100, 10]);
    // One that has tunnels is known yet when it comes back.
    let _claim = second.servers[0].claim();
    let third = pool(&[2, 3], slowly, Some(&second));
    assert_eq!(third.shares(), [100, 10]);
    let fourth = pool(&[1, 2], slowly, Some(&third));
    assert_eq!((fourth.shares(), fourth.servers[0].live()), (vec![10, 100], 1));
    let picks: Vec<_> = (0..200).filter_map(|_| fourth.first(&Request::new(()).into_parts().0)).collect();
    let rising = picks.iter().filter(|place| **place == 0).count();
    assert!((2..50).contains(&rising), "{rising} of 200");
}

/// The shares of servers rise though nothing else changes.
#[test]
fn a_slow_start_ends() {
    let rules = "healthCheck: {ws: {}}\nloadBalance: {slowStart: 100ms}\n";
    let pool = pool(&[1, 2], rules, None);
    pool.check(0, false);
    pool.check(0, true);
    pool.look_who_is_usable();
    assert!(pool.balancer.is_rising());
    let began = std::time::Instant::now();
    while pool.balancer.is_rising() {
        assert!(began.elapsed() < Duration::from_secs(10));
        pool.look_who_is_usable();
    }
    assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
}

/// Servers fall sick and are well again, are ejected and come back, by thousands, while others take and give back places
/// by two generations of the pool.
#[test]
fn sick_and_well_by_thousands_leave_counts_exact() {
    const CYCLES: usize = 3_000;
    let one = pool(&[1, 2, 3], &format!("{RULES}loadBalance: {{policy: leastConnections}}\n"), None);
    let other = pool(&[1, 2, 3], &format!("{RULES}loadBalance: {{policy: random}}\n"), Some(&one));
    let take = |pool: &Pool| {
        let (head, ()) = Request::new(()).into_parts();
        let mut kept: Vec<Claim> = Vec::new();
        for number in 0..4 * CYCLES {
            let place = pool.first(&head).expect("the third is always usable");
            let claim = pool.servers[place].claim();
            if number % 10 == 0 {
                kept.push(claim);
            }
        }
        kept
    };
    let kept: Vec<Claim> = thread::scope(|scope| {
        let takers = [&one, &other, &one].map(|pool| scope.spawn(move || take(pool)));
        scope.spawn(|| {
            for _ in 0..CYCLES {
                one.check(0, false);
                other.check(0, true);
            }
        });
        scope.spawn(|| {
            for _ in 0..CYCLES {
                one.passive.failed("ws://10.0.0.1:2", "reason");
                if let Some(trial) = other.passive.trial() {
                    trial.passed();
                }
            }
        });
        takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect()
    });
    let live = one.servers.iter().map(Server::live).collect::<Vec<_>>();
    let counted = one.servers.iter().map(|server| {
        kept.iter().filter(|claim| Arc::ptr_eq(claim.account(), server.account())).count() as u32
    });
    assert_eq!(live, counted.collect::<Vec<_>>());
    assert_eq!(live.iter().sum::<u32>() as usize, kept.len());
    drop(kept);
    assert!(one.servers.iter().all(|server| server.live() == 0));
    let conduct = one.passive.conducts().swap_remove(1);
    assert_eq!(conduct.failures, CYCLES as u64);
    assert!(conduct.ejections > 1);
    let expected: &[usize] = if conduct.ejected.is_some() { &[0, 2] } else { &[0, 1, 2] };
    assert_eq!([one.chosen(), other.chosen()], [expected, expected]);
}
