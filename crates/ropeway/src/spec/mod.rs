//! What the user wrote: documents, places in them, and types that cannot hold a wrong value.
//!
//! Nothing in here runs. A spec is plain data, read from YAML or JSON by a [`Reader`], which finds everything that
//! is wrong in one go and says where.

mod de;
pub mod departure;
mod diagnostics;
pub mod drain;
mod fields;
mod groups;
pub mod headers;
pub mod health_check;
pub mod http_server;
mod kinds;
pub mod load_balance;
pub mod matcher;
pub mod passive;
pub mod pipeline;
pub mod pool;
pub mod pool_filter;
pub mod proxy_protocol;
mod read_error;
mod reader;
mod render;
mod secrecy;
pub mod server_tls;
mod source;
pub mod suggest;
pub mod template;
pub mod tls;
pub mod tracing;
mod tree;
pub mod types;

pub use diagnostics::{Diagnostic, Diagnostics, Severity, Span};
pub use fields::{NotYet, Raw, Spanned, Untyped};
pub use groups::check_groups;
pub use kinds::{FilterSpec, Header, KindReader, Role, unknown_kind};
pub use reader::{Check, Reader};
pub use secrecy::is_secret_key;
pub use source::Source;
pub use suggest::{closest, help_for};
