//! What an earlier start left in the directory: on which ports its children listened, and which proxies belong to the control group.
//!
//! The problem: proxies that decide together find each other by addresses that their log holds. If all of them came back elsewhere, no
//! two would meet, and nothing would be decided any more. So where a port may be any free one it is the one of before; and flags that
//! would move too many at once are refused before anything starts.
//!
//! Nor may two groups decide about the same nodes: proxies of before a `ctl recover` are refused beside the one that it was run on.
//!
//! A group begins once. The first proxy begins it only where no other proxy has a place in one: if only its own directory was lost, it
//! asks the others for a place, for a second group would decide about the same nodes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::bail;
use slotway_cluster::ProxyId;
use slotway_control::group;

use super::{
    board::{self, UpFile},
    child_dir,
    plan::{Plan, ProxyPlan, Use},
};

/// In a node's directory: whom it takes orders of.
const NODE_FILE: &str = "node.json";

#[derive(Debug, Default)]
pub(super) struct Kept {
    file: Option<UpFile>,
    /// Proxies that belong to a group, and to which; None: the file that says so is not readable.
    seated: BTreeMap<ProxyId, Option<u64>>,
    /// A node that takes a group's orders.
    led_node: Option<String>,
}

impl Kept {
    /// A file that cannot be read leaves nothing: it is replaced.
    pub(super) fn read(dir: &Path) -> Kept {
        let text = fs::read(board::path_in(dir)).ok();
        let file: Option<UpFile> = text.and_then(|text| serde_json::from_slice(&text).ok());
        let (mut seated, mut led_node) = (BTreeMap::new(), None);
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(id) = entry.file_name().into_string() else { continue };
            let own = child_dir(dir, &id);
            if group::is_known_in(&own) {
                seated.insert(ProxyId(id), group::generation_in(&own));
            } else if takes_orders(&own.join(NODE_FILE)) {
                led_node = Some(id);
            }
        }
        Kept { file, seated, led_node }
    }

    /// Where the child of this name listened for this use.
    pub(super) fn port(&self, id: &str, what: Use) -> Option<u16> {
        let file = self.file.as_ref()?;
        let proxy = file.proxies.iter().find(|row| row.id.0 == id);
        let of_proxy = proxy.and_then(|row| match what {
            Use::Clients => Some(row.port),
            Use::Admin => row.admin_port,
            Use::Sentinel => row.sentinel_port,
            Use::Control => Some(row.control_port),
            Use::Pulse => None,
        });
        let node = file.nodes.iter().find(|row| row.id.0 == id);
        let of_node = node.and_then(|row| match what {
            Use::Clients => Some(row.port),
            Use::Admin => Some(row.admin_port),
            Use::Pulse => Some(row.pulse_port),
            Use::Sentinel | Use::Control => None,
        });
        // 0: written by a version that did not note it.
        of_proxy.or(of_node).filter(|&port| port != 0)
    }

    /// Those whom a proxy asks for a place in the group; none: it begins one, or goes on alone.
    pub(super) fn mates_of<'p>(
        &self,
        proxy: &ProxyPlan,
        plan: &'p Plan,
    ) -> impl Iterator<Item = &'p ProxyPlan> {
        let own = proxy.id.clone();
        let begins = plan.proxies.first().is_some_and(|first| first.id == own)
            && self.seated.keys().all(|seated| *seated == own);
        plan.proxies.iter().filter(move |mate| !begins && mate.id != own)
    }

    /// Whether a group can come together by this plan; the error says what to do.
    pub(super) fn judge(&self, plan: &Plan) -> anyhow::Result<()> {
        if let (true, Some(node)) = (self.seated.is_empty(), &self.led_node) {
            bail!(
                "this directory holds nodes that a control group led ({node}), and the directories of its proxies are lost: a new group \
                 would not know who may lead. Put one proxy's directory back and run slotway ctl recover on it, or choose another --dir"
            );
        }
        let mates = self.mates(plan)?;
        let was = |id: &ProxyId| {
            let mut rows = self.file.iter().flat_map(|file| &file.proxies);
            rows.find(|row| row.id == *id).map(|row| row.control_port)
        };
        // Where the last start is not told of, the flags are all there is to go by.
        let is_there = |id: &&&ProxyId| {
            let planned = plan.proxies.iter().find(|proxy| proxy.id == ***id);
            planned.is_some_and(|proxy| was(id).is_none_or(|port| port == proxy.control_port))
        };
        let found = mates.iter().filter(is_there).count();
        // Also those that the last start left out.
        if mates.len() > 1 && found * 2 <= mates.len() {
            let place = |id: &&ProxyId| was(id).map_or(id.to_string(), |port| format!("{id} at {port}"));
            let places: Vec<String> = mates.iter().map(place).collect();
            bail!(
                "the proxies of this directory decide together and find each other by their control ports ({}): more than half of them \
                 must be started there, and {found} would be. Use the same --port and --proxies as before; for proxies that are gone for \
                 good there is slotway ctl recover",
                places.join(", ")
            );
        }
        Ok(())
    }

    /// Who decides together with those that the plan starts; the error names those who belong to another group.
    fn mates(&self, plan: &Plan) -> anyhow::Result<BTreeSet<&ProxyId>> {
        let of_plan = plan.proxies.iter().filter_map(|proxy| self.seated.get(&proxy.id).copied().flatten());
        let generations: BTreeSet<u64> = of_plan.collect();
        if generations.len() > 1 {
            let ids: Vec<&str> = self.seated.keys().map(|id| id.0.as_str()).collect();
            bail!(
                "the directories of {} belong to different control groups, which must not decide about the same nodes: leave that of \
                 the proxy that slotway ctl recover was run on, and remove those of the others, which join anew",
                ids.join(", ")
            );
        }
        let is_mate =
            |of: &Option<u64>| of.is_none_or(|of| generations.is_empty() || generations.contains(&of));
        Ok(self.seated.iter().filter(|(_, of)| is_mate(of)).map(|(id, _)| id).collect())
    }
}

fn takes_orders(path: &Path) -> bool {
    let value = fs::read(path).ok().and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    value.is_some_and(|value| value["led_by"] == "orders")
}

#[cfg(test)]
mod tests {
    use super::{
        super::{board::Board, plan::tests::plan},
        *,
    };

    const THREE: [(&str, &str); 4] = [("shards", "1"), ("replicas", "0"), ("proxies", "3"), ("port", "7100")];

    /// A directory in which three proxies were started and these belong to a group.
    fn used(seated: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Board::new(dir.path(), "abc", &plan(&THREE)).write().unwrap();
        for id in ["p1", "p2", "p3", "n1"] {
            fs::create_dir(dir.path().join(id)).unwrap();
        }
        for id in seated {
            fs::write(dir.path().join(id).join("group.json"), "{}").unwrap();
        }
        dir
    }

    fn mates(kept: &Kept, number: usize) -> Vec<String> {
        let plan = plan(&THREE);
        kept.mates_of(&plan.proxies[number - 1], &plan).map(|mate| mate.id.0.clone()).collect()
    }

    #[test]
    fn the_first_proxy_begins_the_group_and_everybody_else_asks_all_others() {
        let kept = Kept::read(used(&[]).path());
        assert!(mates(&kept, 1).is_empty());
        assert_eq!((mates(&kept, 2), mates(&kept, 3)), (ids(&["p1", "p3"]), ids(&["p1", "p2"])));
        // It began one, and nobody has joined yet: its log may still be empty.
        assert!(mates(&Kept::read(used(&["p1"]).path()), 1).is_empty());
    }

    fn ids(ids: &[&str]) -> Vec<String> {
        ids.iter().map(|&id| id.to_owned()).collect()
    }

    #[test]
    fn a_first_proxy_whose_directory_was_lost_asks_the_others_and_begins_no_second_group() {
        let kept = Kept::read(used(&["p2", "p3"]).path());
        assert_eq!(mates(&kept, 1), ["p2", "p3"]);
        kept.judge(&plan(&THREE)).unwrap();
    }

    #[test]
    fn where_nodes_were_led_and_every_proxy_is_lost_nothing_is_started() {
        let dir = used(&[]);
        Kept::read(dir.path()).judge(&plan(&THREE)).unwrap();
        fs::write(dir.path().join("n1").join(NODE_FILE), r#"{"led_by":"topology"}"#).unwrap();
        Kept::read(dir.path()).judge(&plan(&THREE)).unwrap();
        fs::write(dir.path().join("n1").join(NODE_FILE), r#"{"led_by":"orders"}"#).unwrap();
        let said = Kept::read(dir.path()).judge(&plan(&THREE)).unwrap_err().to_string();
        assert!(said.contains("ctl recover"), "{said}");
    }

    #[test]
    fn ports_are_known_again_and_a_group_that_could_not_meet_is_refused() {
        let dir = used(&["p1", "p2", "p3"]);
        let kept = Kept::read(dir.path());
        let port = |id, what| kept.port(id, what);
        assert_eq!((port("p2", Use::Clients), port("p2", Use::Control)), (Some(7101), Some(17101)));
        assert_eq!((port("n1", Use::Pulse), port("n1", Use::Control)), (Some(17001), None));
        assert_eq!((port("p9", Use::Clients), port("p1", Use::Pulse)), (None, None));
        kept.judge(&plan(&THREE)).unwrap();
        let check = |flag: (&'static str, &'static str), is_fine: bool| {
            let mut flags = THREE.to_vec();
            flags.retain(|(name, _)| *name != flag.0);
            flags.push(flag);
            assert_eq!(kept.judge(&plan(&flags)).is_ok(), is_fine, "{flag:?}");
        };
        check(("proxies", "2"), true);
        check(("proxies", "1"), false);
        check(("port", "7500"), false);
        // The file is gone: nobody knows better than the flags.
        fs::remove_file(board::path_in(dir.path())).unwrap();
        Kept::read(dir.path()).judge(&plan(&THREE)).unwrap();
        let one = Kept::read(used(&["p1"]).path());
        one.judge(&plan(&[("shards", "1"), ("replicas", "0"), ("port", "7500")])).unwrap();
    }

    /// `id` belongs to the group of this generation.
    fn seat(dir: &Path, id: &str, generation: u64) {
        let identity = serde_json::json!({
            "group": {"cluster_id": "c", "generation": generation}, "proxy": id, "seat": 1, "founder": false,
        });
        fs::write(dir.join(id).join("group.json"), identity.to_string()).unwrap();
    }

    #[test]
    fn proxies_of_two_groups_are_not_started_together_and_the_old_one_is_not_waited_for() {
        let dir = used(&[]);
        seat(dir.path(), "p1", 2);
        seat(dir.path(), "p2", 1);
        seat(dir.path(), "p3", 1);
        let said = Kept::read(dir.path()).judge(&plan(&THREE)).unwrap_err().to_string();
        assert!(said.contains("p1, p2, p3 belong to different control groups"), "{said}");
        let one: Vec<_> = THREE.into_iter().filter(|(name, _)| *name != "proxies").collect();
        Kept::read(dir.path()).judge(&plan(&one)).unwrap();
        for id in ["p2", "p3"] {
            fs::remove_file(dir.path().join(id).join("group.json")).unwrap();
        }
        Kept::read(dir.path()).judge(&plan(&THREE)).unwrap();
    }

    #[test]
    fn proxies_that_the_last_start_left_out_are_counted_too() {
        let dir = used(&["p1", "p2", "p3"]);
        for id in ["p4", "p5"] {
            fs::create_dir(dir.path().join(id)).unwrap();
            fs::write(dir.path().join(id).join("group.json"), "{}").unwrap();
        }
        let kept = Kept::read(dir.path());
        kept.judge(&plan(&THREE)).unwrap();
        let two: Vec<_> = THREE
            .into_iter()
            .map(|(name, value)| (name, if name == "proxies" { "2" } else { value }))
            .collect();
        let said = kept.judge(&plan(&two)).unwrap_err().to_string();
        assert!(said.contains("2 would be"), "{said}");
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "nonsense", r#"{"ready":true,"proxies":7}"#] {
            fs::write(board::path_in(dir.path()), text).unwrap();
            assert_eq!(Kept::read(dir.path()).port("p1", Use::Clients), None, "{text}");
        }
    }
}
