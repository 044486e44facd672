//! A snapshot read and written without a server around it.

use std::io;

use slotway_cluster::{Database, Placement};

use crate::{
    call::Millis,
    keyspace::{Keyspace, Settings, load::Record},
    rdb::{
        Form,
        read::{Item, Reader},
        write,
    },
};

/// Keys that were read and are not yet in a keyspace.
pub struct Loading {
    keyspace: Keyspace,
    records: Vec<Record>,
}

const NOW: Millis = Millis(1_700_000_000_000);

impl Default for Loading {
    fn default() -> Self {
        let keyspace = Keyspace::new(Placement::default(), *b"a keyspace alone", Settings::default());
        Loading { keyspace, records: Vec::new() }
    }
}

impl Loading {
    /// Reads a file to its end and builds its entries: what a helper thread does. Returns how many there are.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(&mut self, file: impl io::Read) -> io::Result<usize> {
        let mut reader = Reader::new(file, self.keyspace.seed(), self.keyspace.settings);
        while let Some(item) = reader.next().map_err(io::Error::other)? {
            if let Item::Key(record) = item {
                self.records.push(record);
            }
        }
        Ok(self.records.len())
    }

    /// Writes what was read: records only. Returns how many bytes they are.
    pub fn write(&self) -> usize {
        let (mut out, mut bytes) = (Vec::new(), 0);
        let form = Form::new(&self.keyspace.settings, NOW);
        for record in &self.records {
            write::record(&mut out, &record.entry, form);
            bytes += out.len();
            out.clear();
        }
        bytes
    }

    /// Inserts what was read: what the keyspace's thread does. Returns how many keys there are.
    pub fn insert(&mut self) -> u64 {
        for record in self.records.drain(..) {
            assert!(self.keyspace.load(record, NOW).is_ok(), "a snapshot has a key once");
        }
        self.keyspace.len(Database(0))
    }
}
