//! The sending end in virtual time: alone, and against a model of a replica that is cut at every step.

use super::*;
use crate::Epoch;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules() -> Rules {
    Rules {
        ping_period: seconds(10),
        timeout: seconds(60),
        backlog_ttl: Some(seconds(3600)),
        replicas_min: 0,
        lag_seconds_max: 10,
        waiting: Limit { hard_bytes: 1000, soft_bytes: 500, soft_time: seconds(5) },
    }
}

fn history(number: u8) -> HistoryId {
    HistoryId::from_random([number; 20])
}

fn lineage() -> Lineage {
    Lineage::new(history(1), Epoch(0), Offset(0))
}

const LINK: LinkId = LinkId(7);

fn name(port: u16) -> Option<Name> {
    Some(Name { ip: [127, 0, 0, 1].into(), port })
}

/// A primary whose stream is at 100, all of it kept.
fn primary(rules: Rules) -> Primary {
    let mut primary = Primary::new(rules);
    primary.grew(Offset(100), Duration::ZERO);
    primary
}

fn attach(primary: &mut Primary, link: LinkId, port: u16, held: u64, now: Duration) -> Vec<Effect> {
    let wanted = Wanted::Rest { history: history(1), held: Offset(held) };
    attach_as(primary, link, name(port), Acks::EverySecond, wanted, now)
}

fn attach_as(
    primary: &mut Primary,
    link: LinkId,
    name: Option<Name>,
    acks: Acks,
    wanted: Wanted,
    now: Duration,
) -> Vec<Effect> {
    let backlog = Some(Range { first: Offset(20), end: primary.end });
    let event =
        Event::Attached { link, name, acks, counts: Counts::Yes, wanted, lineage: &lineage(), backlog };
    primary.on(event, now)
}

#[test]
fn a_replica_goes_on_where_it_stopped_or_is_sent_everything() {
    let check = |wanted, expected: Effect| {
        let mut primary = primary(rules());
        let effects = attach_as(&mut primary, LINK, None, Acks::EverySecond, wanted, seconds(1));
        assert_eq!(effects, [expected]);
    };
    let rest = |number, held| Wanted::Rest { history: history(number), held: Offset(held) };
    let everything = |because| Effect::Synchronise { link: LINK, because };
    check(rest(1, 100), Effect::Resume { link: LINK, from: Offset(100) });
    check(rest(1, 20), Effect::Resume { link: LINK, from: Offset(20) });
    check(rest(1, 19), everything(Some(Refusal::Missed { first: Offset(20) })));
    check(rest(1, 101), everything(Some(Refusal::Ahead { end: Offset(100) })));
    check(rest(2, 50), everything(Some(Refusal::OtherHistory)));
    check(Wanted::Everything, everything(None));
}

#[test]
fn a_full_synchronisation_goes_from_waiting_over_sending_to_online() {
    let mut primary = primary(rules());
    attach_as(&mut primary, LINK, None, Acks::EverySecond, Wanted::Everything, seconds(1));
    assert_eq!(primary.needed_from(), Offset(100), "nothing is kept for one that waits");
    // No walk was free: it is said again.
    assert_eq!(primary.tick(seconds(2)), [Effect::Synchronise { link: LINK, because: None }]);
    primary.on(Event::Begun { link: LINK, at: Offset(100), filed: true }, seconds(3));
    assert_eq!(primary.tick(seconds(4)), [Effect::KeepAlive { link: LINK }]);
    primary.grew(Offset(150), seconds(4));
    assert_eq!(primary.needed_from(), Offset(100));
    primary.on(Event::Moved { link: LINK }, seconds(5));
    assert_eq!(primary.tick(seconds(5)), []);
    primary.on(Event::Sent { link: LINK, awaits_ack: true }, seconds(6));
    assert_eq!(primary.replicas()[0].stage, Stage::Loading);
    assert_eq!(primary.holders(Offset(0)), 0);
    primary.on(Event::Acked { link: LINK, offset: Offset(100) }, seconds(7));
    assert_eq!(primary.replicas()[0].stage, Stage::Online);
    assert_eq!((primary.holders(Offset(100)), primary.holders(Offset(101))), (1, 0));
}

#[test]
fn pings_go_out_while_somebody_is_attached_and_this_node_leads() {
    let mut primary = primary(rules());
    assert_eq!(primary.wake_at(), None);
    attach(&mut primary, LINK, 1, 100, seconds(5));
    assert_eq!(primary.tick(seconds(14)), []);
    assert_eq!(primary.tick(seconds(15)), [Effect::Ping]);
    assert_eq!(primary.tick(seconds(16)), []);
    primary.on(Event::Leads(false), seconds(16));
    assert_eq!(primary.tick(seconds(40)), [], "its primary's pings are passed on");
    primary.on(Event::Gone { link: LINK }, seconds(40));
    assert_eq!(primary.wake_at(), None);
}

#[test]
fn a_silent_link_is_cut_once_and_counts_no_more() {
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 1, 100, seconds(0));
    primary.on(Event::Acked { link: LINK, offset: Offset(100) }, seconds(10));
    assert!(!primary.tick(seconds(70)).contains(&Effect::Cut { link: LINK, why: Cut::Silent }));
    assert!(primary.tick(seconds(72)).contains(&Effect::Cut { link: LINK, why: Cut::Silent }));
    assert_eq!(primary.holders(Offset(0)), 0);
    assert_eq!(primary.tick(seconds(73)), []);
    // An old replica that says nothing by its nature stays.
    attach_as(&mut primary, LinkId(8), None, Acks::Never, Wanted::Everything, seconds(73));
    primary.on(Event::Sent { link: LinkId(8), awaits_ack: false }, seconds(74));
    assert!(!primary.tick(seconds(200)).iter().any(|effect| matches!(effect, Effect::Cut { .. })));
}

#[test]
fn a_replica_that_takes_too_little_is_cut_at_the_hard_limit_or_after_the_soft_ones_time() {
    let cut = |waiting_bytes| [Effect::Cut { link: LINK, why: Cut::TooSlow { waiting_bytes } }];
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 1, 100, seconds(0));
    assert_eq!(primary.grew(Offset(1100), seconds(0)), []);
    primary.took(LINK, Offset(1100));
    assert_eq!(primary.grew(Offset(1700), seconds(1)), [], "above the soft limit");
    assert_eq!(primary.grew(Offset(1700), seconds(6)), []);
    assert_eq!(
        primary.tick(seconds(7)),
        cut(600),
        "for longer than its time, whether anything is written or not"
    );

    let mut primary = self::primary(rules());
    attach(&mut primary, LINK, 1, 100, seconds(0));
    assert_eq!(primary.grew(Offset(1101), seconds(0)), cut(1001));
    assert_eq!(primary.grew(Offset(1200), seconds(0)), [], "once");
    assert_eq!(primary.needed_from(), Offset(1200), "nothing is kept for it any more");
}

#[test]
fn a_wait_ends_when_enough_replicas_hold_it_or_its_time_is_over() {
    let waiter = WaiterId(3);
    let waits = |replicas, patience| Event::Waits { waiter, replicas, offset: Offset(100), patience };
    let answer = |replicas| Effect::Answer { waiter, replicas };

    let mut primary = primary(rules());
    assert_eq!(primary.on(waits(0, None), seconds(0)), [answer(0)]);
    attach(&mut primary, LINK, 1, 60, seconds(0));
    attach(&mut primary, LinkId(8), 2, 100, seconds(0));
    assert_eq!(primary.on(waits(1, None), seconds(0)), [Effect::AskForAcks, answer(1)]);
    assert_eq!(primary.on(waits(2, None), seconds(0)), [Effect::AskForAcks]);
    assert_eq!(primary.on(Event::Acked { link: LINK, offset: Offset(99) }, seconds(1)), []);
    assert_eq!(primary.on(Event::Acked { link: LINK, offset: Offset(100) }, seconds(1)), [answer(2)]);

    assert_eq!(primary.tick(seconds(1)), []);
    // Three there are not: the time decides, and wakes for it.
    assert_eq!(primary.on(waits(3, Some(Duration::from_millis(300))), seconds(1)), []);
    assert_eq!(primary.wake_at(), Some(seconds(1) + Duration::from_millis(300)));
    assert_eq!(primary.tick(Duration::from_millis(1299)), []);
    assert_eq!(primary.tick(Duration::from_millis(1300)), [answer(2)]);

    // A client that goes is not answered, and a node that stops answers all.
    primary.on(waits(3, None), seconds(2));
    primary.on(Event::Leaves { waiter }, seconds(2));
    assert_eq!(primary.waits(), 0);
    primary.on(waits(3, None), seconds(2));
    assert_eq!(primary.give_up_waits(), [answer(2)]);
}

#[test]
fn nobody_is_asked_for_acks_who_sends_them_anyway() {
    let mut primary = primary(rules());
    let rest = Wanted::Rest { history: history(1), held: Offset(50) };
    attach_as(&mut primary, LINK, None, Acks::EveryRead, rest, seconds(0));
    let waits = Event::Waits { waiter: WaiterId(1), replicas: 1, offset: Offset(100), patience: None };
    assert_eq!(primary.on(waits, seconds(0)), []);
}

#[test]
fn two_links_of_one_replica_count_once_and_two_replicas_of_one_address_twice() {
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 6380, 100, seconds(0));
    // Its connection broke unnoticed, and it is back.
    attach(&mut primary, LinkId(8), 6380, 100, seconds(5));
    assert_eq!(primary.holders(Offset(100)), 1);
    attach(&mut primary, LinkId(9), 6381, 100, seconds(5));
    assert_eq!(primary.holders(Offset(100)), 2);
    // Links that did not say who they are may be anybody.
    for link in [LinkId(10), LinkId(11)] {
        let rest = Wanted::Rest { history: history(1), held: Offset(100) };
        attach_as(&mut primary, link, None, Acks::EverySecond, rest, seconds(5));
    }
    assert_eq!(primary.holders(Offset(100)), 4);
}

#[test]
fn an_ack_of_what_was_never_written_or_goes_back_changes_nothing() {
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 1, 80, seconds(0));
    primary.on(Event::Acked { link: LINK, offset: Offset(u64::MAX) }, seconds(1));
    assert_eq!(primary.replicas()[0].acked, Offset(100));
    primary.on(Event::Acked { link: LINK, offset: Offset(90) }, seconds(1));
    assert_eq!(primary.replicas()[0].acked, Offset(100));
    primary.on(Event::Acked { link: LinkId(99), offset: Offset(90) }, seconds(1));
}

#[test]
fn writes_are_refused_while_too_few_replicas_were_heard_of_lately() {
    let mut primary = primary(Rules { replicas_min: 1, ..rules() });
    assert_eq!(primary.tick(seconds(0)), [Effect::TooFewReplicas(true)]);
    let effects = attach(&mut primary, LINK, 1, 100, seconds(1));
    assert!(effects.contains(&Effect::TooFewReplicas(false)));
    assert!(!primary.tick(seconds(11)).contains(&Effect::TooFewReplicas(true)));
    assert!(primary.tick(seconds(12)).contains(&Effect::TooFewReplicas(true)));
    let acked = Event::Acked { link: LINK, offset: Offset(100) };
    assert_eq!(primary.on(acked, seconds(13)), [Effect::TooFewReplicas(false)]);
    assert_eq!(primary.on(Event::Gone { link: LINK }, seconds(13)), [Effect::TooFewReplicas(true)]);
    assert_eq!(primary.follow(rules(), seconds(13)), [Effect::TooFewReplicas(false)]);
}

#[test]
fn a_backlog_that_nobody_uses_is_freed_after_its_time_but_not_by_a_replica() {
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 1, 100, seconds(0));
    primary.on(Event::Gone { link: LINK }, seconds(100));
    assert_eq!(primary.wake_at(), Some(seconds(3700)));
    assert_eq!(primary.tick(seconds(3699)), []);
    attach(&mut primary, LINK, 1, 100, seconds(3699));
    primary.on(Event::Gone { link: LINK }, seconds(3700));
    primary.on(Event::Leads(false), seconds(3700));
    assert_eq!(primary.wake_at(), None);
    primary.on(Event::Leads(true), seconds(9000));
    assert_eq!(primary.tick(seconds(12_599)), []);
    assert_eq!(primary.tick(seconds(12_600)), [Effect::FreeBacklog]);
    assert_eq!(primary.tick(seconds(99_000)), []);
}

/// A node as seen from the wire: its bytes stand for its data.
struct Sender {
    machine: Primary,
    lineage: Lineage,
    data: Vec<u8>,
    kept: usize,
    links: u64,
}

/// A replica that knows nothing but what came.
#[derive(Default)]
struct Model {
    held: Option<(HistoryId, Vec<u8>)>,
}

impl Sender {
    fn new(number: u8) -> Sender {
        let mut machine = Primary::new(rules());
        machine.grew(Offset(0), Duration::ZERO);
        let lineage = Lineage::new(history(number), Epoch(0), Offset(0));
        Sender { machine, lineage, data: Vec::new(), kept: 10, links: 0 }
    }

    fn end(&self) -> Offset {
        Offset::default().plus(self.data.len())
    }

    fn write(&mut self, bytes: &[u8], now: Duration) {
        self.data.extend_from_slice(bytes);
        self.machine.grew(self.end(), now);
    }

    /// One connection of `model`, which is cut after `steps` messages. Returns how it was let in.
    fn serve(&mut self, model: &mut Model, mut steps: usize, now: Duration) -> Effect {
        self.links += 1;
        let link = LinkId(self.links);
        let wanted = model.held.as_ref().map_or(Wanted::Everything, |(history, data)| Wanted::Rest {
            history: *history,
            held: Offset::default().plus(data.len()),
        });
        let first = Offset::default().plus(self.data.len().saturating_sub(self.kept));
        let backlog = Some(Range { first, end: self.end() });
        let event = Event::Attached {
            link,
            name: name(1),
            acks: Acks::EverySecond,
            counts: Counts::Yes,
            wanted,
            lineage: &self.lineage,
            backlog,
        };
        let verdict = self.machine.on(event, now)[0];
        let mut next = move || steps.checked_sub(1).map(|left| steps = left).is_some();
        let done = self.converse(model, link, verdict, &mut next, now);
        assert!(done.is_none() || self.machine.holders(self.end()) == 1);
        self.machine.on(Event::Gone { link }, now);
        assert_eq!(self.machine.replicas().len(), 0);
        verdict
    }

    /// Message by message, until `next` says that the connection is cut (None) or the replica holds all.
    fn converse(
        &mut self,
        model: &mut Model,
        link: LinkId,
        verdict: Effect,
        next: &mut impl FnMut() -> bool,
        now: Duration,
    ) -> Option<()> {
        if let Effect::Synchronise { .. } = verdict {
            let (at, snapshot) = (self.end(), self.data.clone());
            self.machine.on(Event::Begun { link, at, filed: false }, now);
            self.write(b"!", now);
            next().then_some(())?;
            // Half a snapshot is no data: a replica drops it, and what it held before, too.
            model.held = None;
            next().then_some(())?;
            self.machine.on(Event::Sent { link, awaits_ack: true }, now);
            model.held = Some((self.lineage.present(), snapshot));
            next().then_some(())?;
            self.machine.on(Event::Acked { link, offset: at }, now);
        } else {
            next().then_some(())?;
            // +CONTINUE says by which name the stream is called now.
            model.held.as_mut()?.0 = self.lineage.present();
        }
        loop {
            let sent = self.machine.replicas().iter().find(|replica| replica.link == link)?.sent;
            let from = usize::try_from(sent.0).unwrap();
            if from == self.data.len() {
                return Some(());
            }
            next().then_some(())?;
            let (_, data) = model.held.as_mut()?;
            assert_eq!(data.len(), from, "the stream goes on where the replica is");
            data.push(self.data[from]);
            self.machine.took(link, sent.plus(1));
            next().then_some(())?;
            self.machine.on(Event::Acked { link, offset: sent.plus(1) }, now);
        }
    }
}

#[test]
fn whatever_step_a_link_is_cut_at_the_replica_comes_to_hold_the_same() {
    for first_cut in 0..30 {
        for second_cut in 0..12 {
            let mut sender = Sender::new(1);
            let mut model = Model::default();
            sender.write(b"data", seconds(0));
            sender.serve(&mut model, first_cut, seconds(1));
            sender.write(b" and more", seconds(2));
            sender.serve(&mut model, second_cut, seconds(3));
            sender.write(b" ...", seconds(4));
            sender.serve(&mut model, usize::MAX, seconds(5));
            let (history, data) = model.held.unwrap();
            assert_eq!(history, sender.lineage.present());
            assert_eq!(data, sender.data, "cut at {first_cut} and {second_cut}");
        }
    }
}

#[test]
fn a_replica_of_an_overrun_backlog_a_restarted_primary_or_another_past_is_sent_everything() {
    let mut sender = Sender::new(1);
    let mut model = Model::default();
    sender.write(b"data", seconds(0));
    sender.serve(&mut model, usize::MAX, seconds(0));
    sender.write(b"0123456789", seconds(1));
    assert!(matches!(sender.serve(&mut model, usize::MAX, seconds(1)), Effect::Resume { .. }));
    sender.write(b"0123456789.", seconds(2));
    let verdict = sender.serve(&mut model, usize::MAX, seconds(2));
    assert!(matches!(verdict, Effect::Synchronise { because: Some(Refusal::Missed { .. }), .. }));

    // The primary restarts empty: its stream has another name, however long it grows.
    let mut sender = Sender::new(2);
    sender.write(&[b'x'; 100], seconds(3));
    let verdict = sender.serve(&mut model, usize::MAX, seconds(3));
    let because = Some(Refusal::OtherHistory);
    assert!(matches!(verdict, Effect::Synchronise { because: found, .. } if found == because));
    assert_eq!(model.held.as_ref().unwrap().1, sender.data);

    // The replica was promoted elsewhere and went on alone, while this one was promoted from where they parted.
    let common = sender.end();
    sender.lineage.rename(history(3), Epoch(3), common);
    sender.write(b"ours", seconds(4));
    model.held.as_mut().unwrap().1.extend_from_slice(b"theirs");
    let verdict = sender.serve(&mut model, usize::MAX, seconds(4));
    let because = Some(Refusal::Diverged { common });
    assert!(matches!(verdict, Effect::Synchronise { because: found, .. } if found == because));
    assert_eq!(model.held.as_ref().unwrap().1, sender.data);

    // One that stopped before they parted goes on, by the new name.
    sender.lineage.rename(history(4), Epoch(4), sender.end());
    sender.write(b"later", seconds(5));
    assert!(matches!(sender.serve(&mut model, usize::MAX, seconds(5)), Effect::Resume { .. }));
    let (name, data) = model.held.unwrap();
    assert_eq!((name, data), (history(4), sender.data));
}

#[test]
fn of_a_shard_only_members_count_in_wait() {
    let mut primary = primary(rules());
    let wanted = Wanted::Rest { history: history(1), held: Offset(50) };
    for (link, counts) in [(LinkId(1), Counts::No), (LinkId(2), Counts::Yes)] {
        let backlog = Some(Range { first: Offset(20), end: primary.end });
        let (lineage, acks) = (&lineage(), Acks::EveryRead);
        let event = Event::Attached { link, name: None, acks, counts, wanted, lineage, backlog };
        primary.on(event, seconds(1));
        primary.on(Event::Acked { link, offset: primary.end }, seconds(1));
    }
    assert_eq!((primary.replicas().len(), primary.holders(primary.end)), (2, 1));
}

#[test]
fn a_wait_for_disks_ends_when_enough_of_them_have_it_and_breaks_when_there_is_no_log_to_wait_for() {
    let waiter = WaiterId(3);
    let waits = |replicas, is_wanted, patience| {
        let own = Own { mark: 40, is_wanted };
        Event::WaitsForDisks { waiter, replicas, offset: Offset(100), own, patience }
    };
    let answer = |own, replicas| Effect::AnswerOfDisks { waiter, own, replicas };
    let synced = |offset| Event::Synced { link: LINK, offset: Offset(offset) };
    let mut primary = primary(rules());
    attach(&mut primary, LINK, 1, 100, seconds(0));
    primary.grew(Offset(100), seconds(0));

    assert_eq!(primary.on(waits(0, false, None), seconds(0)), [Effect::AskForAcks, answer(false, 0)]);
    assert_eq!(primary.on(waits(0, true, None), seconds(0)), [Effect::AskForAcks, Effect::NoDisk { waiter }]);
    primary.on(Event::OwnDisk(Some(39)), seconds(0));
    assert_eq!(
        primary.on(waits(1, true, None), seconds(0)),
        [Effect::AskForAcks],
        "what it acknowledged is not on its disk"
    );
    assert!(primary.is_own_disk_awaited());
    assert_eq!(primary.on(Event::OwnDisk(Some(40)), seconds(0)), []);
    assert_eq!(primary.on(synced(99), seconds(1)), []);
    assert_eq!(
        primary.on(synced(5000), seconds(1)),
        [answer(true, 1)],
        "and nobody has what was never written"
    );

    primary.on(waits(2, true, Some(Duration::from_millis(300))), seconds(1));
    assert_eq!(primary.tick(Duration::from_millis(1300)), [answer(true, 1)]);
    primary.on(waits(2, true, None), seconds(2));
    assert_eq!(
        primary.on(Event::OwnDisk(None), seconds(2)),
        [Effect::NoDisk { waiter }],
        "it was turned off"
    );
    primary.on(waits(2, false, None), seconds(2));
    assert_eq!(primary.give_up_waits(), [answer(false, 1)]);
    assert!(!primary.is_own_disk_awaited());
}
