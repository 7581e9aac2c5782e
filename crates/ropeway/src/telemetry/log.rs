//! Log lines, on standard error; those of the access log go to standard output.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal, Write};
use std::time::{self, Duration, UNIX_EPOCH};

use clap::ValueEnum;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// More than this does not wait to be written.
const MAX_WAITING: usize = 16 * 1024;

/// The form of log lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

/// Sets up logging for the process. `RUST_LOG` chooses what is logged (default `info`). A second call changes
/// nothing.
pub fn init(format: LogFormat) {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| Output);
    // Somebody set it up before: theirs stays.
    let _ = match format {
        LogFormat::Text if io::stderr().is_terminal() => builder.with_ansi(true).try_init(),
        LogFormat::Text => builder.event_format(PlainText).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
}

thread_local! {
    /// Whether there is anything to flush: asked before every sleep.
    static IS_WAITING: Cell<bool> = const { Cell::new(false) };
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting { gathering: false, lines: Vec::new(), access: Vec::new() })
    };
}

/// From now on the lines of this thread wait for [`flush`]: a thread that has much to say writes it at once.
pub fn gather() {
    WAITING.with_borrow_mut(|waiting| waiting.gathering = true);
}

/// Writes the lines of this thread that wait. To be called whenever the thread is about to wait itself.
pub fn flush() {
    if IS_WAITING.take() {
        WAITING.with_borrow_mut(Waiting::flush);
    }
}

/// Writes a line of the access log.
pub fn access(line: &str) {
    // A thread that has given up its memory serves no requests.
    let _ = WAITING.try_with(|waiting| {
        let mut waiting = waiting.borrow_mut();
        waiting.access.extend_from_slice(line.as_bytes());
        waiting.access.push(b'\n');
        waiting.note();
    });
}

/// Lines of one thread.
struct Waiting {
    gathering: bool,
    lines: Vec<u8>,
    access: Vec<u8>,
}

impl Waiting {
    /// Takes note of a line that was added.
    fn note(&mut self) {
        IS_WAITING.set(true);
        if !self.gathering || self.lines.len() + self.access.len() > MAX_WAITING {
            self.flush();
        }
    }

    fn flush(&mut self) {
        // There is nowhere to tell that nobody can be told.
        if !self.lines.is_empty() {
            let _ = io::stderr().write_all(&self.lines);
            self.lines.clear();
        }
        if !self.access.is_empty() {
            let mut output = io::stdout().lock();
            let _ = output.write_all(&self.access).and_then(|()| output.flush());
            self.access.clear();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Takes a line at a time.
struct Output;

impl Write for Output {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let kept = WAITING.try_with(|waiting| {
            let mut waiting = waiting.borrow_mut();
            waiting.lines.extend_from_slice(line);
            waiting.note();
        });
        // A thread may say something after it has given up its memory.
        kept.map_or_else(|_| io::stderr().write(line), |()| Ok(line.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The library's text without its colours, in a third of the time: two lines are a quarter of what a handshake costs.
struct PlainText;

impl<S, N> FormatEvent<S, N> for PlainText
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write_time(&mut writer)?;
        let metadata = event.metadata();
        writer.write_char(' ')?;
        writer.write_str(match *metadata.level() {
            Level::ERROR => "ERROR ",
            Level::WARN => " WARN ",
            Level::INFO => " INFO ",
            Level::DEBUG => "DEBUG ",
            Level::TRACE => "TRACE ",
        })?;
        writer.write_str(metadata.target())?;
        writer.write_char(':')?;
        let mut fields = Fields { writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        fields.writer.write_char('\n')
    }
}

/// The time in UTC, as the library writes it, which takes long for what stays the same for a second.
fn write_time(writer: &mut Writer<'_>) -> fmt::Result {
    thread_local! {
        static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
    }
    let now = since_epoch();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != now.as_secs() {
            text.clear();
            SystemTime.format_time(&mut Writer::new(text))?;
            if since_epoch().as_secs() != now.as_secs() {
                // Whose second this is cannot be told.
                *second = u64::MAX;
                return writer.write_str(text);
            }
            text.truncate("2026-11-22T22:22:22.".len());
            *second = now.as_secs();
        }
        writer.write_str(text)?;
        // The one stands before the leading zeros.
        let mut digits = itoa::Buffer::new();
        writer.write_str(&digits.format(1_000_000 + now.subsec_micros())[1..])?;
        writer.write_char('Z')
    })
}

fn since_epoch() -> Duration {
    time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Writes fields as `name=value`, and the message as itself.
struct Fields<'a> {
    writer: Writer<'a>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Escaping<'_, '_>) -> fmt::Result) {
        let name = field.name();
        let write = || {
            self.writer.write_char(' ')?;
            if name != "message" {
                self.writer.write_str(name)?;
                self.writer.write_char('=')?;
            }
            value(&mut Escaping(&mut self.writer))
        };
        self.result = self.result.and_then(|()| write());
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.field(field, |output| output.write_str(value));
        } else if is_plain(value) && !value.contains(['"', '\\']) {
            self.field(field, |output| {
                output.0.write_char('"')?;
                output.0.write_str(value)?;
                output.0.write_char('"')
            });
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |output| output.0.write_str(itoa::Buffer::new().format(value)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |output| write!(output, "{value:?}"));
    }
}

/// Keeps what a peer says from looking like a line of the log, or from moving a terminal's cursor.
struct Escaping<'a, 'w>(&'a mut Writer<'w>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text) {
            return self.0.write_str(text);
        }
        for character in text.chars() {
            match character.is_control() {
                true => write!(self.0, "{}", character.escape_default())?,
                false => self.0.write_char(character)?,
            }
        }
        Ok(())
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    /// What is written of the events in `log`, each line without its time.
    fn lines(log: impl FnOnce()) -> Vec<String> {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::TRACE)
            .event_format(PlainText)
            .with_writer(move || writer.clone())
            .finish();
        with_default(subscriber, log);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines().map(|line| line["2026-11-22T22:22:22.222222Z ".len()..].to_owned()).collect()
    }

    #[test]
    fn a_line_has_level_target_message_and_fields() {
        let found = lines(|| {
            tracing::info!(target: "ropeway::tunnel", id = %7, route = "a/0", bytes = 12u64, ok = true, "open");
            tracing::warn!(error = ?Some("x"), "this is {}", "wrong");
        });
        assert_eq!(found[0], r#" INFO ropeway::tunnel: open id=7 route="a/0" bytes=12 ok=true"#);
        assert_eq!(found[1], r#" WARN ropeway::telemetry::log::tests: this is wrong error=Some("x")"#);
    }

    #[test]
    fn nothing_a_peer_says_ends_a_line_or_steers_a_terminal() {
        let hostile = "a\r\n2026 INFO \x1b[2J\u{9b}\0 é\"\\";
        let found = lines(|| tracing::info!(text = hostile, shown = %hostile, "{hostile}"));
        let shown = r#"a\r\n2026 INFO \u{1b}[2J\u{9b}\u{0} é"\"#;
        let quoted = r#""a\r\n2026 INFO \u{1b}[2J\u{9b}\0 é\"\\""#;
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].ends_with(&format!("{shown} text={quoted} shown={shown}")), "{}", found[0]);
    }
}
