//! Where in its primary's stream a snapshot on disk was made, so that a replica that is started again goes on from there.
//!
//! The facts stand in the file's head under Redis's names. Only a snapshot has them: an append-only file goes on behind its base,
//! and does not say how far.

use slotway_cluster::{
    Database, Epoch, Position,
    replication::{HistoryId, Lineage, Offset, replica::Point},
    slot::DATABASES,
};
use slotway_config::Key;

use super::role::lineage_of;
use crate::{membership::LedBy, node::Node, persistence::loading::read::Facts};

const STREAM_DATABASE: &str = "repl-stream-db";
const HISTORY: &str = "repl-id";
const OFFSET: &str = "repl-offset";
/// Of a node that takes orders, in whichever part: its position in its shard's stream.
const POSITION: &str = "slotway-position";
/// The names of the stream as JSON, with their epochs.
pub(crate) const LINEAGE: &str = "slotway-lineage";

/// The place as a file says it; of a primary nothing is said.
#[derive(Debug, Default)]
pub(crate) struct Place(Vec<(&'static str, String)>);

impl Place {
    fn new(Point { history, offset }: Point, database: Database) -> Place {
        let database = database.0.to_string();
        Place(vec![(STREAM_DATABASE, database), (HISTORY, history.to_string()), (OFFSET, offset.to_string())])
    }

    pub(crate) fn facts(&self) -> Vec<(&str, &[u8])> {
        self.0.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
    }
}

/// The position that a file tells.
pub(crate) fn position(facts: &Facts) -> Option<Position> {
    let (epoch, offset) = std::str::from_utf8(facts.get(POSITION)?).ok()?.split_once(':')?;
    Some(Position { epoch: Epoch(epoch.parse().ok()?), offset: Offset(offset.parse().ok()?) })
}

/// None: a fact is missing, or makes no sense.
fn read(facts: &Facts) -> Option<(Point, Database)> {
    let number = |name| std::str::from_utf8(facts.get(name)?).ok()?.parse::<u64>().ok();
    let history = HistoryId::parse(facts.get(HISTORY)?)?;
    let offset = Offset(number(OFFSET)?);
    let database = u8::try_from(number(STREAM_DATABASE)?).ok().filter(|&number| number < DATABASES)?;
    Some((Point { history, offset }, Database(database)))
}

impl Node {
    /// What the node holds now, in the words of a file.
    pub(crate) fn place_in_stream(&self) -> Place {
        let mut place = match self.following.primary() {
            Some(_) => {
                // The data are those behind all that was executed, also of the turn that runs.
                let (history, offset) = (self.replication.lineage.present(), self.coming_offset());
                Place::new(Point { history, offset }, self.following.database())
            }
            None => Place::default(),
        };
        place.0.extend(self.position_in_stream().map(|position| (POSITION, position.to_string())));
        place
    }

    /// How much of its shard's stream is held behind all that was executed; None: the node takes no orders.
    pub(crate) fn position_in_stream(&self) -> Option<Position> {
        let adopted = self.membership.adopted()?;
        let offset = self.coming_offset();
        let epoch = self.replication.lineage.epoch_at(offset);
        (adopted.led_by == LedBy::Orders).then_some(Position { epoch, offset })
    }

    /// The data are loaded: if they say where they are in the stream of the primary, they are continued.
    pub(crate) fn resume_stream(&mut self) {
        if self.following.primary().is_none() || self.settings.flag(Key::Appendonly) {
            return;
        }
        if let Some((point, database)) = read(&self.persistence.loaded.facts) {
            self.start_at(lineage_of(point.history, point.offset, None), point.offset);
            self.following.selected(database);
            tracing::info!(history = %point.history, offset = %point.offset, "the snapshot says where it is in the stream");
        }
    }

    /// The node stands where it stood when it ended.
    pub(crate) fn stand_at(&mut self, lineage: Lineage, position: Position, database: Database) {
        self.start_at(lineage, position.offset);
        self.following.selected(database);
    }
}
