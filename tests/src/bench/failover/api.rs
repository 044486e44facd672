//! What a Slotway cluster says of itself: the admin API of whichever proxy answers.

use std::io;

use serde_json::Value;

use super::place::Door;

/// The admin ports of all proxies.
#[derive(Clone, Debug)]
pub struct Api(pub Vec<Door>);

impl Api {
    /// A call to the first proxy that answers it well, or else the last answer.
    ///
    /// # Errors
    /// When no proxy answers.
    pub fn call(&self, method: &str, path: &str) -> io::Result<(u16, Value)> {
        let mut last = Err(io::Error::other("no proxy"));
        for door in &self.0 {
            let answer = door.call(method, path);
            if matches!(answer, Ok((200..300, _))) {
                return answer;
            }
            // An answer, if only a refusal, tells more than a connection that is refused.
            if answer.is_ok() || last.is_err() {
                last = answer;
            }
        }
        last
    }

    /// # Errors
    /// When no proxy answers.
    pub fn get(&self, path: &str) -> io::Result<Value> {
        self.call("GET", path).map(|(_, body)| body)
    }

    /// The first shard's row.
    ///
    /// # Errors
    /// When no proxy answers.
    pub fn shard(&self) -> io::Result<Value> {
        Ok(self.get("/v1/shards")?["shards"][0].clone())
    }

    /// The first shard's primary.
    ///
    /// # Errors
    /// When nobody says so.
    pub fn primary(&self) -> io::Result<String> {
        let shard = self.shard()?;
        let primary = shard["primary"].as_str().map(str::to_owned);
        primary.ok_or_else(|| io::Error::other(format!("no primary: {shard}")))
    }

    /// The proxy that leads the control group.
    ///
    /// # Errors
    /// When nobody says so.
    pub fn leader(&self) -> io::Result<String> {
        let view = self.get("/v1/cluster")?;
        let leader = view["leader"].as_str().map(str::to_owned);
        leader.ok_or_else(|| io::Error::other(format!("nobody leads: {view}")))
    }

    /// The shard's epoch.
    ///
    /// # Errors
    /// When no proxy answers.
    pub fn epoch(&self) -> io::Result<u64> {
        let shard = self.shard()?;
        shard["epoch"].as_u64().ok_or_else(|| io::Error::other(format!("no epoch: {shard}")))
    }

    /// Whether a primary and so many followers are in their places.
    #[must_use]
    pub fn is_whole(&self, followers: usize) -> bool {
        let Ok(shard) = self.shard() else { return false };
        let following = shard["sync_set"].as_array().map_or(0, Vec::len);
        shard["primary"].is_string() && shard["state"] != "failover" && following >= followers
    }

    /// Where the first proxy that takes clients is, of these.
    ///
    /// # Errors
    /// When none does.
    pub fn open_door(doors: &[Door]) -> io::Result<Door> {
        let mut open = doors.iter().filter(|door| door.connect(std::time::Duration::from_secs(1)).is_ok());
        open.next().cloned().ok_or_else(|| io::Error::other("no proxy takes clients"))
    }
}
