//! Raw peers and a gateway in process, for tests.
#![forbid(unsafe_code)]
