//! Rules of the protocol that can be left out, to see whether the simulator notices.
//!
//! Each rule that looks like detail and is not has a name here, and the one place that keeps it asks [`left_out`]. Outside of the
//! feature `mutants` (tests only) the answer is a constant `false`, and the compiler removes the question.

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mutant {
    /// I5: a proposal is made only when k of the new S hold everything committed.
    ShrinkWithoutHolding,
    /// "Committed" never goes back: it is a high-water mark.
    CommittedGoesBack,
    /// I4: a Promote keeps the replaced rules until `Activated`.
    ForgetKeptRules,
    /// I9: a position's epoch is that of the last EPOCH record held, not what a handshake said.
    EpochByHandshake,
    /// A member of S loads a full synchronisation beside its old data, and reports that position until the swap.
    LoadInPlace,
    /// I5: with a proposal open, both rules acknowledge.
    AckByNewRuleOnly,
    /// I5: with a proposal open, both rules grant the lease.
    LeaseByNewRuleOnly,
    /// A primary that stopped for a switchover goes on only behind a committed `SwitchAbort`.
    ResumeOnItsOwn,
    /// I4: the promise of the primary itself is a complete fence set.
    PrimaryPromiseIsNothing,
    /// I7b: the grants of the fenced members have run out before the new primary serves.
    ActivateBeforeGrantsEnd,
    /// I7b: a full grant term if the previous epoch has no `Activated`.
    NoFullTermWithoutActivated,
    /// I7c: k of S hold the EPOCH record before the new primary serves.
    ServeBeforeHeld,
    /// k = 0: a primary serves only once it has seen its epoch to be the latest.
    ServeAloneUnconfirmed,
    /// I3: k, not k - 1.
    AckOneShort,
    /// I4: epoch before offset when the winner is chosen.
    ChooseByOffset,
    /// A restarted node is another member.
    IgnoreIncarnation,
    /// I6: replies need a lease.
    NoLease,
    /// I2: a fenced member acknowledges no more.
    AckAfterPromise,
    /// Positions and acknowledgements lie on unit boundaries.
    SplitUnits,
    /// A node that discards what it acknowledged takes a new incarnation.
    KeepIncarnationEmpty,
    /// I3: reads wait for what they have seen, too.
    DirtyReads,
    /// I4: Promote only with a complete fence set.
    PromoteWithoutFence,
    /// The position of a promise is read after the promise is published.
    PositionBeforePromise,
    /// I6: the lease is compared with a clock reading taken after the request was read.
    LeaseByOldClock,
    /// I2, I6: a member that promised grants nothing to an earlier epoch.
    GrantAfterPromise,
    /// I6: a grant counts from the sending of its heartbeat, not from its arrival.
    LeaseFromArrival,
    /// I9: an offset counts for an epoch only if that epoch's record is held.
    AckOfAnyEpoch,
    /// I5: until (e, v) has moved only the same entry is proposed again.
    ProposeAnother,
    /// A primary that was started again in its old life never goes on with its epoch.
    ResumeInSameLife,
    /// A promoted node knows the sessions of the stream that it holds.
    SessionsNotReplicated,
    /// A full synchronisation carries the sessions.
    SnapshotWithoutSessions,
    /// A node that comes back with its files has the sessions in them.
    FilesWithoutSessions,
    /// SESSION's answer is a reply: it waits until all that it tells of is committed.
    SessionUngated,
    /// A session's older link is closed before SESSION is answered, and no number runs twice.
    OldSocketRuns,
    /// What is settled is a set, not everything up to a last number.
    LastNumberOnly,
    /// The floor is the lowest number whose reply is not here, not what was sent last.
    FloorTooEarly,
    /// A reply that executing the effect does not yield stands in the stream.
    ReplyNotCarried,
    /// A settled write without effect is in the stream before the next effect of its session.
    NoEffectUnsaid,
    /// What a node changes by itself is nobody's number.
    OwnUnitsCount,
    /// A read is not sent again once a later write of its client is known to have run.
    ReadBehindWrite,
    /// A proxy that was started again begins other sessions.
    ProxyGoesOn,
    /// A snapshot says whose number the next unit is.
    SnapshotWithoutTurn,
    /// What is sent again is sent in the order in which it was sent first.
    SendAgainOutOfOrder,
}

/// All of them.
pub const ALL: &[Mutant] = &[
    Mutant::ShrinkWithoutHolding,
    Mutant::CommittedGoesBack,
    Mutant::ForgetKeptRules,
    Mutant::EpochByHandshake,
    Mutant::LoadInPlace,
    Mutant::AckByNewRuleOnly,
    Mutant::LeaseByNewRuleOnly,
    Mutant::ResumeOnItsOwn,
    Mutant::PrimaryPromiseIsNothing,
    Mutant::ActivateBeforeGrantsEnd,
    Mutant::NoFullTermWithoutActivated,
    Mutant::ServeBeforeHeld,
    Mutant::ServeAloneUnconfirmed,
    Mutant::AckOneShort,
    Mutant::ChooseByOffset,
    Mutant::IgnoreIncarnation,
    Mutant::NoLease,
    Mutant::AckAfterPromise,
    Mutant::SplitUnits,
    Mutant::KeepIncarnationEmpty,
    Mutant::DirtyReads,
    Mutant::PromoteWithoutFence,
    Mutant::PositionBeforePromise,
    Mutant::LeaseByOldClock,
    Mutant::GrantAfterPromise,
    Mutant::LeaseFromArrival,
    Mutant::AckOfAnyEpoch,
    Mutant::ProposeAnother,
    Mutant::ResumeInSameLife,
    Mutant::SessionsNotReplicated,
    Mutant::SnapshotWithoutSessions,
    Mutant::FilesWithoutSessions,
    Mutant::SessionUngated,
    Mutant::OldSocketRuns,
    Mutant::LastNumberOnly,
    Mutant::FloorTooEarly,
    Mutant::ReplyNotCarried,
    Mutant::NoEffectUnsaid,
    Mutant::OwnUnitsCount,
    Mutant::ReadBehindWrite,
    Mutant::ProxyGoesOn,
    Mutant::SnapshotWithoutTurn,
    Mutant::SendAgainOutOfOrder,
];

#[cfg(feature = "mutants")]
thread_local! {
    static LEFT_OUT: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Leaves a rule out on this thread, until it is called again.
#[cfg(feature = "mutants")]
pub fn leave_out(mutant: Option<Mutant>) {
    LEFT_OUT.set(mutant);
}

/// Whether the rule is left out.
#[inline]
pub fn left_out(mutant: Mutant) -> bool {
    #[cfg(feature = "mutants")]
    return LEFT_OUT.get() == Some(mutant);
    #[cfg(not(feature = "mutants"))]
    {
        let _ = mutant;
        false
    }
}
