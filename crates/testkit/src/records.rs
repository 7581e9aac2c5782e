//! The log lines of tunnels, and of servers' health.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::eventually;

/// The fields of one log line.
pub type Record = BTreeMap<String, String>;

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// The lines at close of all tunnels that have ended so far on the gateway's server called `name`.
pub fn records(name: &str) -> Vec<Record> {
    lines(name, "tunnel closed")
}

/// The lines of their openings.
pub fn opened(name: &str) -> Vec<Record> {
    lines(name, "tunnel open")
}

fn lines(name: &str, message: &str) -> Vec<Record> {
    let route = format!("{name}/");
    let all = RECORDS.lock().unwrap();
    let found = all.iter().filter(|record| record["message"] == message);
    found.filter(|record| record["route"].starts_with(&route)).cloned().collect()
}

/// The line at close of the one tunnel that there was on the server called `name`.
pub fn record(name: &str) -> Record {
    let records =
        eventually("the end of the tunnel", || Some(records(name)).filter(|found| !found.is_empty()));
    assert_eq!(records.len(), 1, "{records:#?}");
    records[0].clone()
}

/// The lines of the health of servers of the pipeline `NAME-ws` so far, where `name` is that of the gateway's server.
pub fn verdicts(name: &str) -> Vec<Record> {
    let pipeline = format!("{name}-ws/");
    let all = RECORDS.lock().unwrap();
    let verdicts = all.iter().filter(|record| record["message"].ends_with(" well"));
    verdicts.filter(|record| record["pool"].starts_with(&pipeline)).cloned().collect()
}

pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(registry().with(Collect)).unwrap());
}

/// Keeps what is logged of tunnels and of health.
struct Collect;

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if ["ropeway::tunnel", "ropeway::health"].contains(&event.metadata().target()) {
            let mut fields = Fields::default();
            event.record(&mut fields);
            RECORDS.lock().unwrap().push(fields.0);
        }
    }
}

#[derive(Default)]
struct Fields(Record);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
