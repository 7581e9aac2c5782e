//! Why a measurement has no figure.

use std::{fmt, io};

/// Why a measurement ended without a figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The user stopped it.
    Interrupted,
    /// The proxy failed, lost or altered something, or the machine cannot do what was asked.
    Failed(String),
}

impl Fault {
    /// A failure in the words of `why`.
    pub(crate) fn new(why: impl Into<String>) -> Fault {
        Fault::Failed(why.into())
    }

    /// Turns an I/O error into a failure that says what was tried: for `map_err`.
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Fault {
        move |error| Fault::Failed(format!("{what}: {error}"))
    }

    /// The same fault with the name of whom it concerns in front.
    pub(crate) fn of(self, whom: impl fmt::Display) -> Fault {
        match self {
            Fault::Interrupted => Fault::Interrupted,
            Fault::Failed(why) => Fault::Failed(format!("{whom}: {why}")),
        }
    }

    /// 130 as a shell has it for an interrupted command, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Fault::Interrupted => 130,
            Fault::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Interrupted => f.write_str("interrupted"),
            Fault::Failed(why) => f.write_str(why),
        }
    }
}
