//! From a long run that ended in a disagreement to the few requests that lead there.
//!
//! Parts of the history are left out, larger ones first, as long as its last request still gets different answers from
//! two empty servers. Where that does not work (chance or a clock is involved, a server is gone), the end of the history
//! has to do.

use std::time::{Duration, Instant};

use super::question::{Client, Question, show};
use super::run::{Pair, Run};

/// How long is looked for a shorter way.
const SEARCH: Duration = Duration::from_secs(20);

/// Requests that are shown of a way that could not be shortened.
const SHOWN_MAX: usize = 30;

/// The requests that lead to the disagreement about the last of `history`, as text.
pub(super) fn shortest(pair: &Pair, history: &[Question]) -> String {
    let Some((last, before)) = history.split_last() else { return String::new() };
    if !differs(pair, before, last) {
        let tail = &history[history.len().saturating_sub(SHOWN_MAX)..];
        return format!("It does not happen again on empty servers. The last requests:\n{}", lines(tail));
    }
    let deadline = Instant::now() + SEARCH;
    let mut kept = before.to_vec();
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 && Instant::now() < deadline {
        let mut at = 0;
        while at < kept.len() && Instant::now() < deadline {
            let end = (at + piece).min(kept.len());
            let without = [&kept[..at], &kept[end..]].concat();
            if differs(pair, &without, last) {
                kept = without;
            } else {
                at = end;
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    kept.push(last.clone());
    format!("This is enough to see it on empty servers:\n{}", lines(&kept))
}

fn differs(pair: &Pair, before: &[Question], last: &Question) -> bool {
    let mut run = Run::new(pair, String::new());
    for question in before {
        if run.ask(std::slice::from_ref(question)).is_err() {
            return false;
        }
    }
    run.ask(std::slice::from_ref(last)).is_ok_and(|answers| !answers[0].agree)
}

fn lines(questions: &[Question]) -> String {
    let line = |question: &Question| {
        let other = if question.by == Client::Other { "(second connection) " } else { "" };
        format!("  {other}{}", show(&question.words))
    };
    questions.iter().map(line).collect::<Vec<_>>().join("\n")
}
