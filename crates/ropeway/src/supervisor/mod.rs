//! Configuration to objects in force.

mod load;

pub use load::{Loaded, Named, Objects, load, sources_from};
