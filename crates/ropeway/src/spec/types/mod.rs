//! Field types that cannot hold a wrong value.
//!
//! Each reads itself from the text that stands in the file and refuses what it is not; so nothing has to be
//! checked again later. Each also knows its JSON Schema, which editors show to the user.

mod access_format;
mod close_code;
mod duration;
mod glob;
mod hash_key;
mod header_text;
mod http;
mod limits;
mod name;
mod network;
mod path_pattern;
mod pattern;
mod pem;
mod place;
mod plain_path;
mod rate;
mod secret;
mod server_url;
mod text;

pub use access_format::{AccessFormat, AccessPart, Placeholder};
pub use close_code::CloseCode;
pub use duration::{DurationError, GoDuration, Timeout, Window};
pub use glob::Glob;
pub use hash_key::HashKey;
pub use header_text::{HeaderText, TextPart, Variable};
pub use http::{FinalStatus, HeaderName, HeaderValue, HttpMethod, StatusCode, StatusCodes, StatusRange};
pub use limits::{BodyLimit, Failures, MessageLimit, Percent, Permil, Port, Positive, Weight};
pub use name::Name;
pub use network::IpRange;
pub use path_pattern::{PathPattern, Rank};
pub use pattern::Pattern;
pub use pem::{CertificateBase64, CertificateFile, CertificateText, KeyBase64, KeyFile, KeyText, TlsName};
pub use place::{FileMode, ListenAddress};
pub use plain_path::{PlainPath, PlainText};
pub use rate::Rate;
pub use secret::Secret;
pub use server_url::{Authority, Host, Scheme, ServerUrl};

pub(crate) use hash_key::FORMS as HASH_KEY_FORMS;
pub(crate) use text::text_type;
