//! Certificates and server names → which certificate a handshake gets.
//!
//! Owns: that a name whose certificate cannot be used is refused, and not served another one. Must not know: handshakes.

use std::collections::HashMap;

use postern_model::Snapshot;
use uuid::Uuid;

use super::Cell;
use super::work::Work;
use crate::tls::{Certificates, Pair};

impl Work<'_> {
    pub(super) fn certificates(&mut self, snapshot: &Snapshot) -> Certificates {
        let names: Vec<_> = snapshot.snis.iter().filter_map(|entry| self.now(entry)).collect();
        let mut cells: HashMap<Uuid, Cell<Pair>> = HashMap::new();
        for entry in &snapshot.certificates {
            cells.insert(entry.id, self.cell("certificates", entry, "a certificate", Pair::new));
        }
        let key = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
        let mut by_name: HashMap<String, Cell<Pair>> =
            super::closed::server_names(snapshot).map(|name| (key(name), Cell::Nothing)).collect();
        by_name.extend(names.iter().map(|sni| {
            // A certificate that is not there is a broken one.
            let cell = cells.get(&sni.certificate.id).cloned().unwrap_or(Cell::Nothing);
            (key(&sni.name), cell)
        }));
        Certificates::new(by_name)
    }
}
