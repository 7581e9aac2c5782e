//! Which server of a pool gets the next handshake.

mod key;
mod load;
mod ring;
mod sticky;

use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use http::header::HeaderMap;

use self::load::Load;
use self::ring::Ring;
use self::sticky::Sticky;
use super::Server;
use super::asker::Asker;
use super::hash::{fnv1, stable};
use crate::spec::load_balance::{LoadBalance, Policy as PolicySpec};
use crate::spec::types::HashKey;
use crate::tunnel::Counts;

/// Chooses among the servers of a pool, which it knows by their places in the pool's list.
#[derive(Debug)]
pub(super) struct Balancer {
    policy: Policy,
    /// Comes before the policy.
    sticky: Option<Sticky>,
    /// Counted over all workers.
    turn: AtomicUsize,
    /// The tunnels of every server.
    live: Counts,
    /// Of every server, above 0.
    weights: Vec<u32>,
    lineup: ArcSwap<Lineup>,
}

/// How the first choice is made.
#[derive(Debug)]
enum Policy {
    RoundRobin,
    Random,
    WeightedRandom,
    /// By a hash, modulo the number of servers.
    Hash(HashKey),
    LeastConnections,
    PowerOfTwo,
    ConsistentHash(HashKey, Ring),
}

/// The servers that may be chosen now.
#[derive(Debug)]
struct Lineup {
    /// Their places, rising.
    places: Vec<usize>,
    /// The places of the others.
    left_out: Vec<usize>,
    /// For each of `places`, the sum of the weights up to and with it.
    sums: Vec<u64>,
    /// The weight of every server of the pool, in hundredths of its own; 0 for those that are left out.
    weights: Vec<u32>,
    /// The greatest of these.
    heaviest: u32,
    /// Some do not get their whole share yet.
    is_rising: bool,
}

/// The whole share of a server, in hundredths.
const WHOLE: u32 = 100;

/// So often another server is looked for in the place of one that is not to get its whole share yet.
const DRAWS: usize = 8;

impl Balancer {
    /// All of `servers` may be chosen.
    pub(super) fn new(spec: &LoadBalance, servers: &[Server]) -> Self {
        // A server without a weight has the same as the others of its pool: none of them has one.
        let weights: Vec<_> = servers.iter().map(|server| server.weight().max(1)).collect();
        let ring = || Ring::new(servers.iter().map(Server::name).zip(weights.iter().copied()));
        let live = servers.iter().map(|server| server.account().count().clone()).collect();
        let sticky = spec.sticky_session.as_ref().and_then(|spec| Sticky::new(spec, servers, ring));
        Balancer { sticky, ..Balancer::over(policy(spec, ring), live, weights) }
    }

    fn over(policy: Policy, live: Counts, weights: Vec<u32>) -> Self {
        let lineup = ArcSwap::from_pointee(Lineup::new(&weights, |_| WHOLE));
        Balancer { policy, sticky: None, turn: AtomicUsize::new(0), live, weights, lineup }
    }

    /// From now on the server at a place gets so many hundredths of its share; one with 0 is not chosen.
    pub(super) fn set_shares(&self, share: impl Fn(usize) -> u32) {
        // Where two threads bring news at once, the later one looks again.
        self.lineup.rcu(|_| Lineup::new(&self.weights, &share));
    }

    /// Whether some get less than their whole share.
    pub(super) fn is_rising(&self) -> bool {
        self.lineup.load().is_rising
    }

    /// The place of the server to ask, after those at `tried` were asked in vain. `None` if no other may be chosen.
    pub(super) fn choose(&self, asker: Asker<'_>, tried: &[usize]) -> Option<usize> {
        let lineup = &self.lineup.load();
        let may = |place| lineup.has(place) && !tried.contains(&place);
        if let Some(place) = self.sticky.as_ref().and_then(|sticky| sticky.place(&asker.head.headers, may)) {
            return Some(place);
        }
        match &self.policy {
            Policy::LeastConnections => self.least(lineup, tried),
            Policy::ConsistentHash(key, ring) => match key::value(key, asker) {
                Some(value) => self.on_ring(ring, stable(&value), lineup, tried),
                None => self.first_or_next(asker, lineup, tried),
            },
            _ => self.first_or_next(asker, lineup, tried),
        }
    }

    /// Whether the client of this request has a server that it is to come back to, and that may be chosen.
    pub(super) fn is_pinned(&self, asker: Asker<'_>) -> bool {
        let Some(sticky) = &self.sticky else { return false };
        let lineup = &self.lineup.load();
        sticky.is_at_home(&asker.head.headers, |place| lineup.has(place))
    }

    /// Has a client come back to the server at `place`, if the user wants that, by the answer with these `headers`.
    pub(super) fn pin(&self, place: usize, secure: bool, headers: &mut HeaderMap) {
        if let Some(sticky) = &self.sticky {
            sticky.pin(place, secure, headers);
        }
    }

    /// For policies that have no say in what comes after the first choice: then servers follow in order.
    fn first_or_next(&self, asker: Asker<'_>, lineup: &Lineup, tried: &[usize]) -> Option<usize> {
        match tried.last() {
            Some(last) => lineup.after(*last).find(|place| !tried.contains(place)),
            None if lineup.is_rising && self.policy.ignores_weights() => self.admitted(asker, lineup),
            None => lineup.places.get(self.first(asker, lineup)).copied(),
        }
    }

    /// For policies that take all servers for equal: one that is not to get its whole share yet often cedes its turn.
    fn admitted(&self, asker: Asker<'_>, lineup: &Lineup) -> Option<usize> {
        let draw = || lineup.places.get(self.first(asker, lineup)).copied();
        let is_admitted = |place: usize| fastrand::u32(..self.weights[place] * WHOLE) < lineup.weights[place];
        let mut draws = (0..DRAWS).filter_map(|_| draw());
        draws.find(|place| is_admitted(*place)).or_else(draw)
    }

    /// Where to begin in the lineup.
    fn first(&self, asker: Asker<'_>, lineup: &Lineup) -> usize {
        let count = lineup.places.len().max(1);
        match &self.policy {
            Policy::Random => fastrand::usize(..count),
            Policy::WeightedRandom => lineup.by_weight(fastrand::u64(..lineup.weight().max(1))),
            Policy::Hash(key) => fnv1(&key::value(key, asker).unwrap_or_default()) as usize % count,
            Policy::PowerOfTwo => self.less_loaded_of_two(lineup),
            Policy::RoundRobin | Policy::LeastConnections | Policy::ConsistentHash(..) => self.turn() % count,
        }
    }

    fn turn(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Servers of equal load take turns, so that a burst spreads.
    fn least(&self, lineup: &Lineup, tried: &[usize]) -> Option<usize> {
        let turn = self.turn() % self.weights.len().max(1);
        let (mut least, mut ceiling) = ((Load::FULL, None), u64::MAX);
        for (live, places) in self.live.pieces(turn) {
            for (live, place) in live.iter().zip(places) {
                let live = live.load(Ordering::Relaxed);
                // Most are passed over by one look, without their weight.
                if u64::from(live) >= ceiling {
                    continue;
                }
                let load = Load { live, weight: lineup.weights[*place] };
                if load.is_below(least.0) && !tried.contains(place) {
                    (least, ceiling) = ((load, Some(*place)), load.ceiling(lineup.heaviest));
                }
            }
        }
        least.1
    }

    fn less_loaded_of_two(&self, lineup: &Lineup) -> usize {
        let count = lineup.places.len();
        if count < 2 {
            return 0;
        }
        let one = fastrand::usize(..count);
        let other = (one + fastrand::usize(1..count)) % count;
        let load = |at: usize| self.load(lineup, lineup.places[at]);
        if load(other).is_below(load(one)) { other } else { one }
    }

    /// The first server behind `hash` that has room; if none has, the first.
    fn on_ring(&self, ring: &Ring, hash: u64, lineup: &Lineup, tried: &[usize]) -> Option<usize> {
        let open = || ring.walk(hash).filter(move |place| lineup.has(*place) && !tried.contains(place));
        let live = self.live.sum().saturating_sub(self.live.sum_of(&lineup.left_out));
        let has_room = |place: &usize| self.load(lineup, *place).leaves_room(live, lineup.weight());
        open().find(has_room).or_else(|| open().next())
    }

    fn load(&self, lineup: &Lineup, place: usize) -> Load {
        Load { live: self.live.now_at(place), weight: lineup.weights[place] }
    }
}

impl Policy {
    fn ignores_weights(&self) -> bool {
        matches!(self, Policy::RoundRobin | Policy::Random)
    }
}

/// What is missing in `spec` was reported as an error long ago: there is no pool then.
fn policy(spec: &LoadBalance, ring: impl Fn() -> Ring) -> Policy {
    let hash = |key: Option<HashKey>| key.map_or(Policy::RoundRobin, Policy::Hash);
    match *spec.policy {
        PolicySpec::RoundRobin => Policy::RoundRobin,
        PolicySpec::Random => Policy::Random,
        PolicySpec::WeightedRandom => Policy::WeightedRandom,
        PolicySpec::IpHash => hash(Some(HashKey::Ip)),
        PolicySpec::HeaderHash => hash(spec.header_hash_key.clone().map(HashKey::Header)),
        PolicySpec::CookieHash => hash("cookie".parse().ok().map(HashKey::Header)),
        PolicySpec::LeastConnections => Policy::LeastConnections,
        PolicySpec::PowerOfTwo => Policy::PowerOfTwo,
        PolicySpec::ConsistentHash => {
            let key = spec.key.as_deref().cloned();
            key.map_or(Policy::RoundRobin, |key| Policy::ConsistentHash(key, ring()))
        }
    }
}

impl Lineup {
    fn new(whole: &[u32], share: impl Fn(usize) -> u32) -> Self {
        let weights: Vec<_> = whole.iter().enumerate().map(|(place, weight)| weight * share(place)).collect();
        let is_rising = whole.iter().zip(&weights).any(|(whole, weight)| (1..whole * WHOLE).contains(weight));
        let (places, left_out): (Vec<_>, _) = (0..weights.len()).partition(|place| weights[*place] > 0);
        let mut sum = 0;
        let sums = places.iter().map(|place| {
            sum += u64::from(weights[*place]);
            sum
        });
        let heaviest = weights.iter().copied().max().unwrap_or_default();
        Lineup { sums: sums.collect(), places, left_out, weights, heaviest, is_rising }
    }

    fn has(&self, place: usize) -> bool {
        self.weights[place] > 0
    }

    /// Of all servers together.
    fn weight(&self) -> u64 {
        self.sums.last().copied().unwrap_or_default()
    }

    /// Whose share of the whole weight `hit` lies in.
    fn by_weight(&self, hit: u64) -> usize {
        self.sums.partition_point(|sum| *sum <= hit)
    }

    /// All servers, beginning behind `place`.
    fn after(&self, place: usize) -> impl Iterator<Item = usize> {
        let (before, behind) = self.places.split_at(self.places.partition_point(|other| *other <= place));
        behind.iter().chain(before).copied()
    }
}

#[cfg(test)]
mod tests;
