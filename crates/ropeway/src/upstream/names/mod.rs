//! The addresses of servers that are given by name.
//!
//! ```text
//! Names::addresses   what is known and still holds; else waits for the thread `names` to look it up
//! Looker::look       asks the name server, once for all who wait for one name
//! Known::note        keeps the answer as long as its records say, and an old one when there is no new one
//! ```

mod sockets;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::sockets::Here;
use crate::lifecycle::Lifecycle;

/// How long at least an answer holds, whatever its records say, and how long it is until the next try where there was
/// none: so often at most a name is looked up.
const HOLDS: Duration = Duration::from_secs(1);

/// How long an answer goes on being used that cannot be renewed.
const OLD: Duration = Duration::from_secs(3600);

/// How long a new answer is waited for where there is an old one.
const PATIENCE: Duration = Duration::from_millis(500);

/// Looks names up, for all workers. Its clones share what they know.
#[derive(Clone)]
pub struct Names(Arc<Shared>);

struct Shared {
    /// Instead of the system's, if there are any.
    servers: Vec<SocketAddr>,
    known: Arc<Book>,
    /// To the thread, which begins with the first question and ends with the last clone. One that could not begin, or
    /// has ended by a fault, is replaced with the next question.
    ask: Mutex<Option<mpsc::UnboundedSender<Question>>>,
}

type Addresses = Arc<[IpAddr]>;
/// Names come from the configuration only: that bounds their number.
type Book = Mutex<HashMap<Box<str>, Entry>>;

/// A name to look up, and the ones to tell that it was.
struct Question {
    name: Box<str>,
    done: watch::Sender<()>,
}

/// What is known of a name.
#[derive(Default)]
struct Entry {
    known: Option<Known>,
    /// Tells when there is news, while it is looked up.
    looking: Option<watch::Receiver<()>>,
}

#[derive(Clone, Debug)]
struct Known {
    answer: Result<Addresses, Arc<str>>,
    /// When to look again.
    until: Instant,
    /// Until when the name server said that it holds.
    valid: Instant,
}

/// Why there are no addresses.
enum Nothing {
    /// The name server says that there are none.
    Unknown,
    /// The name server did not say anything of use.
    NoAnswer(String),
}

impl Names {
    /// Asks `servers`, or the system's name servers if there are none. `/etc/hosts` comes first either way.
    pub fn new(servers: Vec<SocketAddr>) -> Self {
        Names(Arc::new(Shared { servers, known: Arc::default(), ask: Mutex::default() }))
    }

    /// The addresses of `name`, as its name server orders them.
    ///
    /// # Errors
    /// It has none, or no name server says so.
    ///
    /// Cancel safe: dropped, the look-up goes on for others.
    pub async fn addresses(&self, name: &str) -> io::Result<Addresses> {
        let mut news = match self.now(name)? {
            Now::Known(addresses) => return Ok(addresses),
            Now::Looking(news) => news,
        };
        // An error says that the thread is gone; then there is nothing new, which is found below.
        let _ = news.changed().await;
        let book = lock(&self.0.known);
        let known = book.get(name).and_then(|entry| entry.known.clone());
        known.map_or_else(|| Err(io::Error::other("names cannot be looked up")), Known::result)
    }

    fn now(&self, name: &str) -> io::Result<Now> {
        let mut book = lock(&self.0.known);
        if !book.contains_key(name) {
            book.insert(name.into(), Entry::default());
        }
        let Some(entry) = book.get_mut(name) else { return Err(io::Error::other("no room for a name")) };
        if let Some(known) = entry.known.as_ref().filter(|known| known.until > Instant::now()) {
            return known.clone().result().map(Now::Known);
        }
        // A look-up without an end has nobody left who could tell of it.
        let looking = entry.looking.take_if(|looking| looking.has_changed().is_ok());
        let looking = looking.unwrap_or_else(|| self.begin(name));
        entry.looking = Some(looking.clone());
        Ok(Now::Looking(looking))
    }

    fn begin(&self, name: &str) -> watch::Receiver<()> {
        let (done, news) = watch::channel(());
        let mut ask = self.0.ask.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = match &mut *ask {
            Some(ask) if !ask.is_closed() => ask,
            other => other.insert(start(&self.0)),
        };
        // Without the thread, `done` is dropped here, and who waits hears of that.
        let _ = ask.send(Question { name: name.into(), done });
        news
    }
}

enum Now {
    Known(Addresses),
    Looking(watch::Receiver<()>),
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("servers", &self.0.servers).finish_non_exhaustive()
    }
}

/// Starts the thread that asks name servers.
fn start(shared: &Shared) -> mpsc::UnboundedSender<Question> {
    let (ask, questions) = mpsc::unbounded_channel();
    let (servers, known) = (shared.servers.clone(), shared.known.clone());
    let run = move || {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        match runtime {
            Ok(runtime) => runtime.block_on(serve(servers, known, questions)),
            Err(error) => tracing::error!(%error, "names of servers cannot be looked up"),
        }
    };
    if let Err(error) = thread::Builder::new().name("names".into()).spawn(run) {
        tracing::error!(%error, "names of servers cannot be looked up");
    }
    ask
}

async fn serve(servers: Vec<SocketAddr>, known: Arc<Book>, mut questions: mpsc::UnboundedReceiver<Question>) {
    let lifecycle = Lifecycle::new(&CancellationToken::new());
    let resolver = match resolver(&servers, Here(lifecycle.clone())) {
        Ok(resolver) => Arc::new(resolver),
        Err(error) => return tracing::error!(%error, "names of servers cannot be looked up"),
    };
    while let Some(Question { name, done }) = questions.recv().await {
        lifecycle.spawn(look(resolver.clone(), known.clone(), name, done));
    }
}

fn resolver(servers: &[SocketAddr], here: Here) -> Result<Resolver<Here>, NetError> {
    if servers.is_empty() {
        match Resolver::builder(here.clone()) {
            Ok(builder) => return builder.build(),
            // The names in the hosts file need none.
            Err(error) => tracing::warn!(%error, "no name server is known"),
        }
    }
    let servers = servers.iter().map(|server| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
            connection.port = server.port();
            connection
        });
        NameServerConfig::new(server.ip(), true, connections.into())
    });
    let config = ResolverConfig::from_name_servers(servers.collect());
    Resolver::builder_with_config(config, here).build()
}

/// Looks a name up. Who waits is told as soon as there is something to use: at the latest after [`PATIENCE`], if that
/// is an old answer.
async fn look(resolver: Arc<Resolver<Here>>, known: Arc<Book>, name: Box<str>, done: watch::Sender<()>) {
    let mut asking = pin!(ask(&resolver, &name));
    let found = match timeout(PATIENCE, &mut asking).await {
        Ok(found) => found,
        Err(_) => {
            let slow = Nothing::NoAnswer("no answer in time".into());
            if note_if_old(&known, &name, slow) {
                let _ = done.send(());
            }
            asking.await
        }
    };
    let mut book = lock(&known);
    if let Some(entry) = book.get_mut(&name) {
        entry.known = Some(Known::note(entry.known.take(), &name, found));
        entry.looking = None;
    }
    drop(book);
    let _ = done.send(());
}

/// Takes note that there is no answer, if there is an old one to use instead.
fn note_if_old(known: &Book, name: &str, why: Nothing) -> bool {
    let mut book = lock(known);
    let Some(entry) = book.get_mut(name) else { return false };
    let old = entry.known.take_if(|known| known.answer.is_ok());
    let is_old = old.is_some();
    if is_old {
        entry.known = Some(Known::note(old, name, Err(why)));
    }
    is_old
}

async fn ask(resolver: &Resolver<Here>, name: &str) -> Result<(Addresses, Instant), Nothing> {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let addresses: Addresses = found.iter().collect();
            if addresses.is_empty() { Err(Nothing::Unknown) } else { Ok((addresses, found.valid_until())) }
        }
        Err(error) if error.is_nx_domain() || error.is_no_records_found() => Err(Nothing::Unknown),
        Err(error) => Err(Nothing::NoAnswer(error.to_string())),
    }
}

impl Known {
    /// What is known after `found`, where it was `before`.
    fn note(before: Option<Known>, name: &str, found: Result<(Addresses, Instant), Nothing>) -> Known {
        let now = Instant::now();
        let later = now + HOLDS;
        match found {
            Ok((addresses, valid)) => Known { answer: Ok(addresses), until: valid.max(later), valid },
            Err(Nothing::Unknown) => Known {
                answer: Err(format!("there is no address of {name}").into()),
                until: later,
                valid: now,
            },
            Err(Nothing::NoAnswer(why)) => match before.filter(|old| old.is_usable(now)) {
                Some(old) => {
                    tracing::warn!(name, why, "no new addresses: the old ones are used");
                    Known { until: later, ..old }
                }
                None => Known { answer: Err(format!("{name}: {why}").into()), until: later, valid: now },
            },
        }
    }

    fn is_usable(&self, now: Instant) -> bool {
        self.answer.is_ok() && now.saturating_duration_since(self.valid) < OLD
    }

    fn result(self) -> io::Result<Addresses> {
        self.answer.map_err(|why| io::Error::other(why.to_string()))
    }
}

fn lock(book: &Book) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(answer: Result<(), &str>, expired_for: Duration) -> Known {
        let valid = Instant::now().checked_sub(expired_for).unwrap();
        let answer = answer.map(|()| [IpAddr::from([10, 0, 0, 1])].into()).map_err(Into::into);
        Known { answer, until: valid, valid }
    }

    #[test]
    fn an_old_answer_is_used_while_there_is_no_new_one_but_not_for_ever() {
        let silence = || Err(Nothing::NoAnswer("silence".into()));
        let second = Duration::from_secs(1);
        for (before, found, is_ok, name) in [
            (None, silence(), false, "nothing old"),
            (Some(known(Ok(()), second)), silence(), true, "old"),
            (Some(known(Ok(()), OLD + second)), silence(), false, "too old"),
            (Some(known(Err("gone"), second)), silence(), false, "an old fault"),
            (Some(known(Ok(()), second)), Err(Nothing::Unknown), false, "a new answer: there is none"),
        ] {
            let after = Known::note(before, "a.example", found);
            assert_eq!(after.answer.is_ok(), is_ok, "{name}");
            assert!(after.until > Instant::now(), "{name}: not asked again at once");
        }
    }

    /// As it is where no thread could be made, or it has ended by a fault.
    #[tokio::test]
    async fn a_look_up_that_died_is_begun_again() {
        let names = Names::new(Vec::new());
        let dead = || Some(mpsc::unbounded_channel().0);
        for _ in 0..2 {
            *names.0.ask.lock().unwrap() = dead();
            let died = watch::channel(()).1;
            let entry = Entry { known: None, looking: Some(died) };
            lock(&names.0.known).insert("localhost".into(), entry);
            assert!(!names.addresses("localhost").await.unwrap().is_empty());
            lock(&names.0.known).clear();
        }
    }

    #[test]
    fn an_answer_without_a_lifetime_holds_for_a_moment() {
        let now = Instant::now();
        let after = Known::note(None, "a.example", Ok((Arc::from([]), now)));
        assert!(after.until > now && after.until <= Instant::now() + HOLDS);
    }
}
