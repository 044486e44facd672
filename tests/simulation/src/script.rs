//! Scripted starts: the deep traces of the protocol's findings, which chance would meet once in millions of runs.
//!
//! A script brings a cluster to where the rule in question is all that stands between it and a loss, and lets it go on from there. With every
//! rule in force nothing is broken and all heals.

use std::time::Duration;

use slotway_cluster::{
    Entry, Epoch,
    control::entry::How,
    mutants::{self, Mutant},
    pulse::wire::Part,
};

use crate::{
    clients::{Answer, Call, Client, OpId},
    group::SHARD,
    net::{End, Side},
    plan::Plan,
    run::{self, Ending},
    stream::{COUNTERS, REGISTERS},
    weather::Fault,
    world::{Happening, World},
};

/// A way to bring a cluster into trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// F5: the only member that holds a write needs everything anew, and then the primary dies.
    MemberReloads,
    /// F7: the decision about a switchover is late, and the stopped primary might lose patience.
    LateSwitchover,
    /// F18: two failovers so close to each other that the first never served, while the old primary still has its lease.
    TwoFailovers,
    /// F4: a member that was away holds more bytes of an older epoch.
    LongerAndOlder,
}

pub const ALL: &[Script] =
    &[Script::MemberReloads, Script::LateSwitchover, Script::TwoFailovers, Script::LongerAndOlder];

/// Long enough for everything that a script waits for.
const PATIENCE: Duration = Duration::from_secs(5);

fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

/// Plays a script, then heals, and judges. With `mutant` a rule is left out.
pub fn play(script: Script, seed: u64, mutant: Option<Mutant>, trace: bool) -> Ending {
    mutants::leave_out(mutant);
    let (nodes, proxies) = match script {
        Script::MemberReloads | Script::LateSwitchover => (3, 1),
        Script::TwoFailovers => (3, 3),
        Script::LongerAndOlder => (4, 1),
    };
    let mut plan = Plan::calm(seed, nodes, proxies);
    if script == Script::MemberReloads {
        (plan.backlog_bytes, plan.transfer_max) = (1, Duration::from_secs(4));
    }
    // With sessions what was lost with the longer log is written again.
    plan.has_sessions = script != Script::LongerAndOlder;
    let mut world = run::found(plan, trace);
    for proxy in 0..proxies {
        world.clients.push(Client { proxy, think: Duration::from_secs(3600) });
    }
    world.settle(nodes - 1);
    match script {
        Script::MemberReloads => world.member_reloads(),
        Script::LateSwitchover => world.late_switchover(),
        Script::TwoFailovers => world.two_failovers(),
        Script::LongerAndOlder => world.longer_and_older(),
    }
    for client in 0..world.clients.len() {
        world.clients[client].think = ms(20);
        world.plan_in(ms(1), Happening::Ask { client });
    }
    world.plan_in(Duration::ZERO, Happening::Heal);
    let ending = run::finish(world);
    mutants::leave_out(None);
    ending
}

impl World {
    fn member_reloads(&mut self) {
        let (first, second, third) = (End::Node(0), End::Node(1), End::Node(2));
        self.net.cut_both(first, second);
        self.write_and_wait(0);
        // The next write never reaches the third, whose connection breaks then.
        self.net.cut_both(first, third);
        self.write(0);
        self.pass(ms(5));
        let link = self.nodes[2].process.as_ref().and_then(|process| process.upstream.as_ref());
        if let Some(conn) = link.map(|link| link.conn) {
            self.close(conn, Side::Caller);
            self.close(conn, Side::Callee);
        }
        if let Some(process) = self.process(2) {
            process.upstream = None;
        }
        self.net.cuts.clear();
        self.net.cut_both(first, second);
        self.pass(ms(40));
        self.crash_node(0);
        self.fail_over();
        self.wait_for("the next epoch", |world| world.epoch() == Epoch(2));
    }

    fn late_switchover(&mut self) {
        self.write_and_wait(0);
        self.switch_to(1);
        self.wait_for("the stop", |world| {
            world.part(0).is_some_and(|part| matches!(part, Part::Stopped { .. }))
        });
        // Nothing that the leader proposes arrives, but for the decision, much later.
        self.net.cuts.insert((End::Proxy(0), End::Group));
        self.net.cut_both(End::Node(0), End::Node(1));
        let shard = &self.group.latest().shards[&SHARD];
        let mut sync: Vec<_> = shard.rule.members().cloned().collect();
        let winner = sync.iter().position(|member| member.node == self.nodes[1].id).map(|at| sync.remove(at));
        let (epoch, version) = (shard.epoch.next(), shard.version);
        let winner = winner.expect("all nodes are members");
        let entry = Entry::Promote { shard: SHARD, epoch, version, winner, sync, how: How::Switchover };
        self.plan_in(ms(1600), Happening::Commit { entry });
        self.write(0);
        self.pass(ms(1700));
    }

    fn two_failovers(&mut self) {
        // The third proxy has its link to the first node, and will not learn of any other primary.
        self.write_and_wait(2);
        self.strike(Fault::StaleProxy(0, 2), Duration::from_secs(2));
        self.fail_over();
        self.wait_for("the second epoch", |world| world.epoch() == Epoch(2));
        self.wait_for("its opening", |world| world.proxies[0].cluster.shards[&SHARD].epoch == Epoch(2));
        self.pass(ms(2));
        self.fail_over();
        self.wait_for("the third epoch", |world| world.epoch() == Epoch(3));
        // Whether or not the new primary serves already.
        self.write(0);
        for _ in 0..40 {
            self.pass(ms(10));
            self.read(2);
        }
    }

    fn longer_and_older(&mut self) {
        self.write_and_wait(0);
        let (first, second) = (End::Node(0), End::Node(1));
        self.net.cut_both(first, End::Node(2));
        self.net.cut_both(first, End::Node(3));
        for _ in 0..30 {
            self.write(0);
        }
        self.pass(ms(30));
        self.crash_node(0);
        let others = [End::Node(2), End::Node(3), End::Proxy(0)];
        others.into_iter().for_each(|other| self.net.cut_both(second, other));
        self.fail_over();
        self.wait_for("the second epoch", |world| world.epoch() == Epoch(2));
        self.write_and_wait(0);
        let Some(primary) = self.primary() else { return };
        self.crash_node(primary);
        self.net.cuts.clear();
        self.fail_over();
        self.wait_for("the third epoch", |world| world.epoch() == Epoch(3));
    }

    // --- what scripts are made of -------------------------------------------------------------------------------------

    fn epoch(&self) -> Epoch {
        self.group.latest().shards[&SHARD].epoch
    }

    fn part(&self, node: usize) -> Option<Part> {
        self.nodes[node].process.as_ref().map(|process| process.part)
    }

    /// Until the first node serves with all others in S.
    fn settle(&mut self, members: usize) {
        self.wait_for("a settled cluster", |world| {
            let shard = &world.group.latest().shards[&SHARD];
            let serves = matches!(world.part(0), Some(Part::Serving { .. }));
            shard.activated && shard.rule.sync.len() == members && serves
        });
        self.pass(ms(200));
    }

    fn pass(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// A script that waits in vain proves nothing.
    fn wait_for(&mut self, what: &str, is_there: impl Fn(&World) -> bool) {
        let until = self.now + PATIENCE;
        while !is_there(self) && self.violation.is_none() {
            assert!(self.now < until, "the script waits in vain for {what}");
            self.pass(Duration::from_micros(200));
        }
    }

    fn write(&mut self, client: usize) -> OpId {
        let now = self.now;
        let op = self.book.invoke(client, now, |id| Call::Set(REGISTERS[0], u64::from(id.0) + 1));
        self.hand_over(client, op);
        op
    }

    fn read(&mut self, client: usize) {
        let now = self.now;
        let op = self.book.invoke(client, now, |_| Call::Get(COUNTERS[0]));
        self.hand_over(client, op);
    }

    fn hand_over(&mut self, client: usize, op: OpId) {
        let proxy = self.clients[client].proxy;
        self.proxies[proxy].held.push_back(op);
        self.plan_in(self.plan.hold, Happening::Expire { op });
        let life = self.proxies[proxy].life;
        self.pump(proxy, life);
    }

    fn write_and_wait(&mut self, client: usize) {
        let op = self.write(client);
        self.wait_for("the answer of a write", |world| {
            matches!(world.book.op(op).answered, Some((_, Answer::Values(_))))
        });
    }
}
