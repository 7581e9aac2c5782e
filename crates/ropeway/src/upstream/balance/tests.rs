//! Where each policy sends requests, and what a choice costs.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Request, request};

use super::*;
use crate::tunnel::{Account, Claim, Count, policy};

/// A balancer over servers of these weights, and what counts their tunnels.
struct Servers {
    balancer: Balancer,
    accounts: Vec<Arc<Account>>,
    head: request::Parts,
}

impl Servers {
    fn new(weights: &[u32], policy: impl FnOnce(Ring) -> Policy) -> Self {
        Servers::counted(Count::row(weights.len()), weights, policy)
    }

    fn counted(
        counts: impl Iterator<Item = Count>,
        weights: &[u32],
        policy: impl FnOnce(Ring) -> Policy,
    ) -> Self {
        let rules = policy::Policy::any();
        let names: Vec<_> = (0..weights.len()).map(|number| format!("ws://10.0.0.1:{number}")).collect();
        let accounts = names.iter().zip(counts);
        let accounts = accounts.map(|(name, count)| Arc::new(Account::new("", name, &rules, count)));
        let accounts: Vec<_> = accounts.collect();
        let live = accounts.iter().map(|account| account.count().clone()).collect();
        let weights: Vec<_> = weights.iter().map(|weight| *weight.max(&1)).collect();
        let ring = Ring::new(names.iter().map(|name| &**name).zip(weights.iter().copied()));
        let (head, ()) = Request::new(()).into_parts();
        Servers { balancer: Balancer::over(policy(ring), live, weights), accounts, head }
    }

    fn equal(count: usize, policy: impl FnOnce(Ring) -> Policy) -> Self {
        Servers::new(&vec![0; count], policy)
    }

    fn set_usable(&self, is_usable: impl Fn(usize) -> bool) {
        self.balancer.set_shares(|place| if is_usable(place) { WHOLE } else { 0 });
    }

    fn choose(&self, address: impl Into<IpAddr>, tried: &[usize]) -> Option<usize> {
        self.balancer.choose(Asker { address: address.into(), head: &self.head }, tried)
    }

    fn pick(&self) -> usize {
        self.choose(Ipv4Addr::LOCALHOST, &[]).unwrap()
    }

    /// Begins a tunnel there.
    fn claim(&self, place: usize) -> Claim {
        Claim::new(self.accounts[place].clone())
    }

    /// Begins so many tunnels, each where the policy sends it.
    fn burst(&self, count: usize) -> Vec<Claim> {
        (0..count).map(|_| self.claim(self.pick())).collect()
    }

    fn live(&self) -> Vec<u32> {
        self.accounts.iter().map(|account| account.live()).collect()
    }

    /// How often each server is chosen in so many choices, as shares.
    fn shares(&self, choices: u32) -> Vec<f64> {
        let mut hits = vec![0_u32; self.accounts.len()];
        for number in 0..choices {
            hits[self.choose(Ipv4Addr::from_bits(number), &[]).unwrap()] += 1;
        }
        hits.iter().map(|hits| f64::from(*hits) / f64::from(choices)).collect()
    }
}

type Make = fn(Ring) -> Policy;

fn by_address(ring: Ring) -> Policy {
    Policy::ConsistentHash(HashKey::Ip, ring)
}

fn assert_near(found: &[f64], expected: &[f64], within: f64) {
    for (found, expected) in found.iter().zip(expected) {
        assert!((found / expected - 1.0).abs() < within, "{found} and not {expected}");
    }
}

#[test]
fn turns_go_round_among_the_usable() {
    let servers = Servers::equal(4, |_| Policy::RoundRobin);
    let picks = |count| (0..count).map(|_| servers.pick()).collect::<Vec<_>>();
    assert_eq!(picks(6), [0, 1, 2, 3, 0, 1]);
    servers.set_usable(|place| place != 1);
    assert_eq!(picks(6), [0, 2, 3, 0, 2, 3]);
    servers.set_usable(|_| true);
    assert_eq!(picks(4), [0, 1, 2, 3]);
}

#[test]
fn chances_are_equal_or_by_weight() {
    let random = Servers::equal(4, |_| Policy::Random).shares(100_000);
    assert_near(&random, &[0.25; 4], 0.05);
    let servers = Servers::new(&[1, 3, 4], |_| Policy::WeightedRandom);
    assert_near(&servers.shares(100_000), &[0.125, 0.375, 0.5], 0.05);
    servers.set_usable(|place| place != 2);
    let shares = servers.shares(100_000);
    assert_eq!(shares[2], 0.0);
    assert_near(&shares, &[0.25, 0.75], 0.05);
}

#[test]
fn hashes_are_taken_modulo_the_usable() {
    let (here, there) = (Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 168, 1, 1));
    let servers = Servers::equal(10, |_| Policy::Hash(HashKey::Ip));
    // 171769816 and 1957403386
    assert_eq!([here, there].map(|ip| servers.choose(ip, &[])), [Some(6), Some(6)]);
    servers.set_usable(|place| place > 1);
    // Modulo 8 they are 0 and 2, behind the two that are left out.
    assert_eq!([here, there].map(|ip| servers.choose(ip, &[])), [Some(2), Some(4)]);
    let keyless = Servers::equal(10, |_| Policy::Hash(HashKey::Header("x-user".parse().unwrap())));
    assert_eq!([0; 3].map(|_| keyless.pick()), [2_166_136_261_usize % 10; 3], "the hash of nothing");
}

#[test]
fn policies_without_a_say_fail_over_in_order() {
    let policies: [Make; 4] =
        [|_| Policy::RoundRobin, |_| Policy::Random, |_| Policy::PowerOfTwo, |_| Policy::Hash(HashKey::Ip)];
    for policy in policies {
        let servers = Servers::equal(5, policy);
        servers.set_usable(|place| place != 3);
        let first = servers.pick();
        let mut tried = vec![first];
        while let Some(next) = servers.choose(Ipv4Addr::LOCALHOST, &tried) {
            tried.push(next);
        }
        let mut expected = [0, 1, 2, 4];
        while expected[0] != first {
            expected.rotate_left(1);
        }
        assert_eq!(tried, expected, "{:?}", servers.balancer.policy);
    }
}

#[test]
fn every_policy_tries_each_usable_server_once_and_then_none() {
    let policies: [Make; 6] = [
        |_| Policy::RoundRobin,
        |_| Policy::WeightedRandom,
        |_| Policy::Hash(HashKey::Ip),
        |_| Policy::LeastConnections,
        |_| Policy::PowerOfTwo,
        by_address,
    ];
    for policy in policies {
        let servers = Servers::equal(6, policy);
        let _claims = [servers.claim(0), servers.claim(0), servers.claim(4)];
        for usable in [6, 2, 1, 0] {
            servers.set_usable(|place| place < usable);
            let mut tried = Vec::new();
            while let Some(next) = servers.choose(Ipv4Addr::LOCALHOST, &tried) {
                assert!(!tried.contains(&next) && next < usable);
                tried.push(next);
            }
            assert_eq!(tried.len(), usable, "{:?}", servers.balancer.policy);
        }
    }
}

#[test]
fn least_connections_evens_out() {
    let servers = Servers::equal(5, |_| Policy::LeastConnections);
    let mut claims = servers.burst(20);
    assert_eq!(servers.live(), [4; 5], "a burst spreads");
    claims.retain(|claim| claim.server != "ws://10.0.0.1:2");
    assert_eq!(servers.live(), [4, 4, 0, 4, 4]);
    let more = servers.burst(4);
    assert!(more.iter().all(|claim| claim.server == "ws://10.0.0.1:2"));
    assert_eq!(servers.live(), [4; 5]);
    drop((claims, more));
    assert_eq!(servers.live(), [0; 5]);
    let picks: Vec<_> = (0..10).map(|_| servers.pick()).collect();
    assert!((0..5).all(|place| picks.iter().filter(|pick| **pick == place).count() == 2), "{picks:?}");
}

/// Counts that do not stand side by side are found all the same.
#[test]
fn least_connections_evens_out_whatever_became_of_the_pool() {
    let row = || Count::row(7).collect::<Vec<_>>();
    let (one, other) = (row(), row());
    let mixed = [&one[4], &one[5], &other[0], &one[0], &one[1], &one[2], &other[6], &other[2]];
    let servers = Servers::counted(mixed.into_iter().cloned(), &[0; 8], |_| Policy::LeastConnections);
    let _claims = servers.burst(8 * 100);
    assert_eq!(servers.live(), [100; 8]);
    for place in 0..8 {
        let _claims: Vec<_> =
            (0..8).filter(|other| *other != place).map(|place| servers.claim(place)).collect();
        assert_eq!(servers.pick(), place);
    }
    assert_eq!(Servers::equal(0, |_| Policy::LeastConnections).choose(Ipv4Addr::LOCALHOST, &[]), None);
}

#[test]
fn least_connections_goes_by_weight_and_by_what_is_usable() {
    let servers = Servers::new(&[1, 2, 5], |_| Policy::LeastConnections);
    let claims = servers.burst(80);
    assert_eq!(servers.live(), [10, 20, 50]);
    servers.set_usable(|place| place != 2);
    let more = servers.burst(30);
    assert_eq!(servers.live(), [20, 40, 50]);
    drop((claims, more));
    servers.set_usable(|_| true);
    // A server that refuses has the fewest tunnels, and is not asked twice.
    let _claims = [servers.claim(0), servers.claim(1)];
    assert_eq!(servers.pick(), 2);
    assert_eq!(servers.choose(Ipv4Addr::LOCALHOST, &[2]), Some(1), "1/2 and not 1/1");
}

#[test]
fn power_of_two_takes_the_less_loaded() {
    let servers = Servers::equal(3, |_| Policy::PowerOfTwo);
    let _claims = [servers.claim(1), servers.claim(2), servers.claim(2)];
    let shares = servers.shares(30_000);
    assert_eq!(shares[2], 0.0, "the most loaded of three is the less loaded of no two");
    assert_near(&shares, &[2.0 / 3.0, 1.0 / 3.0], 0.05);
    let even = Servers::equal(3, |_| Policy::PowerOfTwo);
    assert_near(&even.shares(30_000), &[1.0 / 3.0; 3], 0.05);
    let one = Servers::equal(1, |_| Policy::PowerOfTwo);
    assert_eq!(one.pick(), 0);
}

#[test]
fn consistent_hash_spreads_keys_by_weight() {
    for count in [2, 3, 10, 50] {
        let servers = Servers::equal(count, by_address);
        assert_near(&servers.shares(100_000), &vec![1.0 / count as f64; count], 0.15);
    }
    let servers = Servers::new(&[50, 100, 50], by_address);
    assert_near(&servers.shares(100_000), &[0.25, 0.5, 0.25], 0.15);
}

#[test]
fn a_server_more_takes_its_share_and_nothing_else_moves() {
    const KEYS: u32 = 20_000;
    for count in [1, 2, 3, 4, 5, 10, 30, 100] {
        let places = |count| {
            let servers = Servers::equal(count, by_address);
            (0..KEYS).map(|key| servers.choose(Ipv4Addr::from_bits(key), &[]).unwrap()).collect::<Vec<_>>()
        };
        let (before, after) = (places(count), places(count + 1));
        let moved: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
        let share = moved.len() as f64 / f64::from(KEYS);
        assert!(share <= 1.0 / (count + 1) as f64 + 0.02, "{share} for {count} and one more");
        assert!(moved.iter().all(|(_, after)| **after == count), "all that moves goes to the new server");
    }
}

/// Beyond 256 servers each has fewer points than among fewer.
#[test]
fn a_server_more_among_many_moves_little() {
    const KEYS: u32 = 20_000;
    let places = |count| {
        let servers = Servers::equal(count, by_address);
        (0..KEYS).map(|key| servers.choose(Ipv4Addr::from_bits(key), &[]).unwrap()).collect::<Vec<_>>()
    };
    for count in [256, 600] {
        let (before, after) = (places(count), places(count + 1));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let share = moved as f64 / f64::from(KEYS);
        assert!(share <= 1.0 / (count + 1) as f64 + 0.02, "{share} for {count} and one more");
    }
}

#[test]
fn the_keys_of_a_server_that_is_gone_spread_and_come_back() {
    const KEYS: u32 = 10_000;
    let servers = Servers::equal(5, by_address);
    let places =
        || (0..KEYS).map(|key| servers.choose(Ipv4Addr::from_bits(key), &[]).unwrap()).collect::<Vec<_>>();
    let before = places();
    servers.set_usable(|place| place != 3);
    let during = places();
    assert!(before.iter().zip(&during).all(|(before, during)| *before == 3 || before == during));
    for heir in [0, 1, 2, 4] {
        let moved = before.iter().zip(&during).filter(|pair| *pair == (&3, &heir)).count();
        assert!((300..800).contains(&moved), "{moved} of 2000 go to {heir}");
    }
    servers.set_usable(|_| true);
    assert_eq!(places(), before);
}

#[test]
fn consistent_hash_keeps_every_server_within_its_bound() {
    for weights in [&[0; 10][..], &[1, 2, 3, 4]] {
        let servers = Servers::new(weights, by_address);
        let whole: u32 = weights.iter().map(|weight| (*weight).max(1)).sum();
        let mut claims = Vec::new();
        for number in 1..=1000_u32 {
            // One key that everybody asks for, and some others.
            let key = Ipv4Addr::from_bits(if number % 4 == 0 { number } else { 0 });
            claims.push(servers.claim(servers.choose(key, &[]).unwrap()));
            for (live, weight) in servers.live().iter().zip(weights) {
                let share = f64::from(number) * f64::from((*weight).max(1)) / f64::from(whole);
                assert!(
                    f64::from(*live) <= (share * 1.25).ceil(),
                    "{live} of {number}, where {share} is fair"
                );
            }
        }
    }
}

#[test]
fn consistent_hash_without_a_key_takes_turns() {
    let key = HashKey::Cookie("session".into());
    let servers = Servers::equal(3, |ring| Policy::ConsistentHash(key, ring));
    assert_eq!([0; 4].map(|_| servers.pick()), [0, 1, 2, 0]);
}

#[test]
#[ignore = "measures: run it alone, in release"]
fn a_choice_among_a_thousand_servers() {
    let policies: [(&str, Make); 7] = [
        ("roundRobin", |_| Policy::RoundRobin),
        ("random", |_| Policy::Random),
        ("weightedRandom", |_| Policy::WeightedRandom),
        ("ipHash", |_| Policy::Hash(HashKey::Ip)),
        ("leastConnections", |_| Policy::LeastConnections),
        ("powerOfTwo", |_| Policy::PowerOfTwo),
        ("consistentHash", by_address),
    ];
    // As they are in a pool that has always been the same, in one that has lost some servers and has others instead,
    // and in one whose list was shuffled.
    let changed = || {
        let mut counts: Vec<_> = Count::row(1000).collect();
        (0..10).for_each(|number| drop(counts.remove(number * 90)));
        counts.into_iter().chain(Count::row(10)).collect()
    };
    let shuffled = || {
        let mut counts: Vec<_> = Count::row(1000).collect();
        fastrand::Rng::with_seed(1).shuffle(&mut counts);
        counts
    };
    let counts: [(&str, &dyn Fn() -> Vec<Count>); 3] =
        [("", &|| Count::row(1000).collect()), (", changed", &changed), (", shuffled", &shuffled)];
    for ((name, policy), (state, counts)) in
        policies.iter().flat_map(|policy| counts.iter().map(move |counts| (policy, counts)))
    {
        let name = format!("{name}{state}");
        let servers = Servers::counted(counts().into_iter(), &[0; 1000], policy);
        let _claims: Vec<_> = (0..50_000).map(|number| servers.claim(number * 7 % 1000)).collect();
        const CHOICES: u32 = 100_000;
        let began = Instant::now();
        for number in 0..CHOICES {
            std::hint::black_box(servers.choose(Ipv4Addr::from_bits(number), &[]));
        }
        let each = began.elapsed() / CHOICES;
        println!("{name}: {each:?}");
        assert!(each < Duration::from_micros(1), "{name}: {each:?}");
    }
}

/// Servers of which the last gets so many hundredths of its share.
fn rising(servers: &Servers, share: u32) {
    let last = servers.accounts.len() - 1;
    servers.balancer.set_shares(|place| if place == last { share } else { WHOLE });
}

#[test]
fn a_server_that_rises_gets_its_part_of_a_share() {
    let policies: [Make; 3] = [|_| Policy::RoundRobin, |_| Policy::Random, |_| Policy::WeightedRandom];
    for policy in policies {
        let servers = Servers::equal(3, policy);
        for share in [10, 50, 99] {
            rising(&servers, share);
            let whole = 2.0 + f64::from(share) / 100.0;
            let expected = [1.0 / whole, 1.0 / whole, 1.0 - 2.0 / whole];
            assert_near(&servers.shares(30_000), &expected, 0.15);
        }
        rising(&servers, WHOLE);
        assert_near(&servers.shares(30_000), &[1.0 / 3.0; 3], 0.05);
    }
}

#[test]
fn where_all_rise_all_are_chosen() {
    for count in [1, 3] {
        let servers = Servers::equal(count, |_| Policy::RoundRobin);
        servers.balancer.set_shares(|_| 10);
        assert_near(&servers.shares(30_000), &vec![1.0 / count as f64; count], 0.05);
    }
}

#[test]
fn hashes_do_not_heed_what_rises() {
    let policies: [Make; 2] = [|_| Policy::Hash(HashKey::Ip), by_address];
    for policy in policies {
        let servers = Servers::equal(5, policy);
        let places =
            || (0..1000).map(|key| servers.choose(Ipv4Addr::from_bits(key), &[])).collect::<Vec<_>>();
        let before = places();
        rising(&servers, 10);
        assert_eq!(places(), before, "{:?}", servers.balancer.policy);
    }
}

/// But by its bound consistent hashing keeps the server's tunnels few as well.
#[test]
fn a_bound_is_that_of_the_part() {
    let servers = Servers::equal(3, by_address);
    rising(&servers, 10);
    let _claims: Vec<_> =
        (0..2100).map(|key| servers.claim(servers.choose(Ipv4Addr::from_bits(key), &[]).unwrap())).collect();
    let live = servers.live()[2];
    assert!((100..=126).contains(&live), "{live} of 2100, where 100 are fair");
}

/// It has no tunnels and all others have many: it gets no more at once than its part of a share.
#[test]
fn a_server_that_comes_back_is_not_flooded() {
    for (policy, spare) in [(Policy::LeastConnections, 1), (Policy::PowerOfTwo, 8)] {
        let servers = Servers::equal(3, |_| policy);
        servers.set_usable(|place| place != 2);
        let mut claims = servers.burst(2000);
        assert_eq!(servers.live()[2], 0);
        for share in [10, 20, 50, 80] {
            rising(&servers, share);
            claims.extend(servers.burst(2000));
            let live = servers.live();
            let fair = f64::from(live[0]) * f64::from(share) / 100.0;
            assert!(
                (f64::from(live[2]) - fair).abs() <= f64::from(spare) + fair * 0.02,
                "{live:?} at {share}"
            );
        }
    }
}

/// Without a slow start it does.
#[test]
fn without_a_slow_start_a_server_that_comes_back_gets_everything_until_it_is_even() {
    let servers = Servers::equal(3, |_| Policy::LeastConnections);
    servers.set_usable(|place| place != 2);
    let _claims = servers.burst(2000);
    servers.set_usable(|_| true);
    let _more = servers.burst(1000);
    assert_eq!(servers.live(), [1000; 3]);
}
