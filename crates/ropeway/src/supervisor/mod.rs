//! From documents to objects in force.

pub mod build;
pub mod load;
mod routes;
