//! How a node ends: what is waited for and saved before, and when it may not end at all.
//!
//! Asked by SHUTDOWN, or by a signal as `shutdown-on-sigterm` and `shutdown-on-sigint` have it. First replicas that lag may
//! catch up, for `shutdown-timeout` at most, while writes wait. Then, with save points or if it was asked for, everything is
//! saved, and the log is on the disk; where that fails, or the disk does not answer in that time, the node goes on, because it
//! is all there is of the data, unless it is to end whatever happens. Then clients have the replies to what they have sent; if
//! that changed anything, it is saved once more.
//!
//! While the log has no base yet it cannot be loaded, and what was written to it would be lost: then, too, the node goes on.
//!
//! Until the node has begun to take its leave of clients, `SHUTDOWN ABORT` has it go on. What is decided stands here, what is
//! done in [`run`].

use std::rc::Rc;

use slotway_config::Key;
use slotway_resp::Request;
use tokio::sync::Notify;

use crate::{call::Millis, client::Client, node::Node};

pub(crate) mod run;

/// Who wants the node to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// SIGTERM, and whatever else is as friendly.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// Nobody waits for it any more: it ends even if it cannot save.
    Abandoned,
}

/// What is saved before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Saving {
    /// Everything, if there are save points.
    #[default]
    AsConfigured,
    Always,
    Never,
}

/// How somebody wants the node to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    saving: Saving,
    /// End, whatever fails.
    force: bool,
    /// Replicas are not waited for.
    now: bool,
}

/// What SHUTDOWN asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    End(Wish),
    /// Not to end after all.
    Abort,
}

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`; None: a syntax error.
pub(crate) fn asked(request: Request<'_>) -> Option<Asked> {
    let mut wish = Wish::default();
    let (mut aborts, mut ends) = (false, false);
    for word in request.words().skip(1) {
        if word.eq_ignore_ascii_case(b"abort") {
            aborts = true;
            continue;
        }
        ends = true;
        wish.add(std::str::from_utf8(word).ok()?)?;
    }
    match (aborts, ends) {
        (true, true) => None,
        (true, false) => Some(Asked::Abort),
        (false, _) => Some(Asked::End(wish)),
    }
}

impl Wish {
    /// That of a signal.
    pub(crate) fn of(cause: Cause, node: &Node) -> Wish {
        let key = match cause {
            Cause::Terminate => Key::ShutdownOnSigterm,
            Cause::Interrupt => Key::ShutdownOnSigint,
            Cause::Abandoned => return Wish { saving: Saving::AsConfigured, force: true, now: true },
        };
        Wish::of_words(&node.settings.show(key))
    }

    /// The words of a setting, which has checked them.
    fn of_words(words: &str) -> Wish {
        let mut wish = Wish::default();
        for word in words.split(' ') {
            let known = wish.add(word);
            debug_assert!(known.is_some() || word == "default", "{word} is no way to end");
        }
        wish
    }

    fn add(&mut self, word: &str) -> Option<()> {
        match (word.to_ascii_lowercase().as_str(), self.saving) {
            ("save", Saving::AsConfigured | Saving::Always) => self.saving = Saving::Always,
            ("nosave", Saving::AsConfigured | Saving::Never) => self.saving = Saving::Never,
            ("force", _) => self.force = true,
            ("now", _) => self.now = true,
            _ => return None,
        }
        Some(())
    }

    fn saves(self, node: &Node) -> bool {
        let wanted = match self.saving {
            Saving::AsConfigured => !node.settings.save_points().is_empty(),
            Saving::Always => true,
            Saving::Never => false,
        };
        // Half of the data must not take the place of the whole.
        wanted && node.persistence.loading.is_none()
    }
}

/// The end that is under way.
struct Ending {
    number: u64,
    wish: Wish,
    /// Who said SHUTDOWN: told if it comes to nothing.
    asked_by: Vec<Rc<Client>>,
    /// When replicas are not waited for any more.
    until: Millis,
}

/// What is asked of the task that ends the node.
#[derive(Default)]
pub(crate) struct Desk {
    present: Option<Ending>,
    /// Ends that were begun.
    count: u64,
    /// Rung when something is asked, and when a replica has come further meanwhile.
    news: Rc<Notify>,
}

impl Desk {
    /// Somebody wants the node to end. Who comes while it is about to shares what becomes of it.
    pub(crate) fn begin(&mut self, wish: Wish, by: Option<Rc<Client>>, until: Millis) {
        self.news.notify_one();
        match &mut self.present {
            Some(ending) => {
                ending.asked_by.extend(by);
                if wish.force && wish.now {
                    ending.wish = wish;
                }
            }
            None => {
                self.count += 1;
                let asked_by = by.into_iter().collect();
                self.present = Some(Ending { number: self.count, wish, asked_by, until });
            }
        }
    }

    /// A replica has come further, or is gone.
    #[inline]
    pub(crate) fn hear_of_replica(&self) {
        if self.present.is_some() {
            self.news.notify_one();
        }
    }

    /// Milliseconds for which replicas may still be waited for. None: the node does not end.
    pub(crate) fn rest_millis(&self, now: Millis) -> Option<u64> {
        self.present.as_ref().map(|ending| ending.until.0.saturating_sub(now.0))
    }

    /// Whether the node ends without waiting for replicas.
    pub(crate) fn is_hasty(&self) -> bool {
        self.present.as_ref().is_some_and(|ending| ending.wish.now)
    }

    /// How the end of this number is wanted. None: it is not wanted any more.
    fn wish(&self, number: u64) -> Option<Wish> {
        self.present.as_ref().filter(|ending| ending.number == number).map(|ending| ending.wish)
    }
}

#[cfg(test)]
mod tests {
    use slotway_resp::{Limits, Parser, write};

    use super::*;

    fn check(line: &str, expected: Option<Asked>) {
        let mut bytes = Vec::new();
        write::request(&mut bytes, &line.split(' ').collect::<Vec<_>>());
        let mut parser = Parser::default();
        let at = parser.next(&bytes, &Limits::CLIENT).unwrap().unwrap();
        assert_eq!(asked(parser.request(&bytes, at)), expected, "{line}");
    }

    #[test]
    fn shutdown_takes_each_word_once_or_more_and_no_contradiction() {
        let end = |saving, force| Some(Asked::End(Wish { saving, force, now: force }));
        check("SHUTDOWN", end(Saving::AsConfigured, false));
        check("SHUTDOWN save", end(Saving::Always, false));
        check("SHUTDOWN nosave NOW force", end(Saving::Never, true));
        let now = Wish { now: true, ..Wish::default() };
        check("SHUTDOWN NOW", Some(Asked::End(now)));
        check("SHUTDOWN NOSAVE NOSAVE", end(Saving::Never, false));
        check("SHUTDOWN SAVE NOSAVE", None);
        check("SHUTDOWN NOSAVE SAVE", None);
        check("SHUTDOWN ABORT", Some(Asked::Abort));
        check("SHUTDOWN ABORT NOW", None);
        check("SHUTDOWN gently", None);
    }

    #[test]
    fn a_signals_setting_says_how_it_ends_the_node() {
        assert_eq!(Wish::of_words("default"), Wish::default());
        assert_eq!(Wish::of_words("nosave force"), Wish { saving: Saving::Never, force: true, now: false });
        assert_eq!(Wish::of_words("now save"), Wish { saving: Saving::Always, force: false, now: true });
    }

    #[test]
    fn who_comes_while_the_node_is_about_to_end_shares_what_becomes_of_it() {
        let (mut desk, now) = (Desk::default(), Millis(1000));
        assert_eq!(desk.rest_millis(now), None);
        desk.begin(Wish::default(), None, Millis(5000));
        assert_eq!(desk.rest_millis(now), Some(4000));
        desk.begin(Wish { now: true, ..Wish::default() }, None, Millis(9000));
        assert_eq!(desk.wish(1), Some(Wish::default()), "as in Redis, a second one changes nothing");
        desk.begin(Wish { force: true, now: true, ..Wish::default() }, None, Millis(9000));
        assert!(desk.is_hasty(), "but an order to end whatever happens does");
        assert_eq!(desk.wish(0), None);
    }
}
