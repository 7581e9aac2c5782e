//! From documents to objects in force.

pub mod load;
