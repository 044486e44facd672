//! The reply of CLUSTER INFO: whether the node that answers believes its cluster to be whole.
//!
//! A node says `ok` only while it reaches most primaries and, unless told otherwise, every slot has an owner. That makes
//! one answer good enough to begin with.

use super::BadReply;

/// `cluster_state`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ok,
    Fail,
}

/// What CLUSTER INFO says, of all its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterState {
    pub state: State,
    /// The greatest epoch the node has heard of: of two nodes, who knows more.
    pub current_epoch: u64,
}

pub fn parse(text: &str) -> Result<ClusterState, BadReply> {
    let field = |name: &str| {
        text.lines()
            .filter_map(|line| line.trim_end().split_once(':'))
            .find_map(|(field, value)| (field == name).then_some(value))
    };
    let state = match field("cluster_state") {
        Some("ok") => State::Ok,
        Some("fail") => State::Fail,
        Some(other) => return Err(BadReply::new(format_args!("CLUSTER INFO: a state of {other:.20}"))),
        None => return Err(BadReply::new("CLUSTER INFO: no cluster_state")),
    };
    let current_epoch = field("cluster_current_epoch").and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Ok(ClusterState { state, current_epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_epoch_are_found_among_other_fields() {
        let text = "cluster_state:ok\r\ncluster_slots_assigned:16384\r\nnew:1\r\ncluster_current_epoch:6\r\n";
        assert_eq!(parse(text), Ok(ClusterState { state: State::Ok, current_epoch: 6 }));
        assert_eq!(parse("cluster_state:fail\n").unwrap().state, State::Fail);
        assert!(parse("cluster_state:fine").is_err());
        assert!(parse("redis_version:7").is_err());
        assert!(parse("").is_err());
    }
}
