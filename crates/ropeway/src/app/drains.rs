//! Parts of a gateway that are taken out of use by command.

use super::Gateway;
use crate::supervisor::drains::{Drained, Terms, Wish};

impl Gateway {
    /// Takes objects out of use until [`undrain`](Self::undrain), and lets go of their tunnels as `terms` say. Says
    /// how many are left of each.
    ///
    /// # Errors
    /// Names that nothing has, or several objects; nothing has happened then.
    pub fn drain_objects(&mut self, wish: &Wish, terms: Terms) -> Result<Vec<(Drained, usize)>, String> {
        let drained = self.supervisor.drain(wish, terms, &self.workers);
        self.tell();
        drained
    }

    /// Has objects used again; their tunnels that were not told to end yet live on. Says how many are left of each.
    ///
    /// # Errors
    /// Names of what is not drained, or of several objects; nothing has happened then.
    pub fn undrain(&mut self, wish: &Wish) -> Result<Vec<(Drained, usize)>, String> {
        let taken_back = self.supervisor.undrain(wish, &self.workers);
        self.tell();
        taken_back
    }

    /// Tells the log how the drains by command go.
    pub fn watch_drains(&mut self) {
        if self.supervisor.watch_drains(&self.workers.registries()) {
            self.tell();
        }
    }
}
