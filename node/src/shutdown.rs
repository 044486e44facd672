//! How a node ends: what is saved before, and when it may not end at all.
//!
//! Asked by SHUTDOWN, or by a signal as `shutdown-on-sigterm` and `shutdown-on-sigint` have it. With save points, or if it was
//! asked for, everything is saved first; where that fails the node goes on, because it is all there is of the data, unless
//! it is to end whatever happens. Then clients have the replies to what they have sent; if that changed anything, it is
//! saved once more.
//!
//! While the log has no base yet it cannot be loaded, and what was written to it would be lost: then, too, the node goes on.
//!
//! An end under way cannot be aborted: between asking and ending nothing is waited for.

use slotway_config::Key;
use slotway_resp::Request;

use crate::{node::Node, persistence::save::run};

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
}

/// What SHUTDOWN asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    End(Wish),
    /// Not to end after all.
    Abort,
}

/// The node goes on: what was to be saved is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CannotSave;

/// `SHUTDOWN [NOSAVE|SAVE] [NOW] [FORCE] [ABORT]`; None: a syntax error. No replica is waited for, so all ends are NOW.
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
            Cause::Abandoned => return Wish { saving: Saving::AsConfigured, force: true },
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
            ("now", _) => {}
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

/// Saves what is to be saved. The node may end if that is done.
pub(crate) fn prepare(node: &mut Node, wish: Wish) -> Result<(), CannotSave> {
    if node.persistence.log.is_starting() {
        tracing::error!(
            "the first base of the append-only log is not written yet: without it the log is nothing"
        );
        if !wish.force {
            return Err(CannotSave);
        }
    }
    run::cancel(node);
    let saves = wish.saves(node);
    if saves && let Err(error) = run::save_now(node) {
        let file = run::target(node);
        tracing::error!(file = %file.display(), %error, "cannot save before the end; the file before it stays");
        if !wish.force {
            return Err(CannotSave);
        }
    }
    // Who asked for the end takes it for done when its connection closes, and may end the process by force.
    node.persistence.log.sync();
    node.saves_at_end = saves;
    Ok(())
}

/// Behind the last request: saves what was changed since [`prepare`].
pub(crate) fn finish(node: &mut Node) {
    if node.saves_at_end
        && node.keyspace.stats.changes > 0
        && let Err(error) = run::save_now(node)
    {
        tracing::error!(%error, "cannot save what clients changed while the node was ending");
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
        let end = |saving, force| Some(Asked::End(Wish { saving, force }));
        check("SHUTDOWN", end(Saving::AsConfigured, false));
        check("SHUTDOWN save", end(Saving::Always, false));
        check("SHUTDOWN nosave NOW force", end(Saving::Never, true));
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
        assert_eq!(Wish::of_words("nosave force"), Wish { saving: Saving::Never, force: true });
        assert_eq!(Wish::of_words("now save"), Wish { saving: Saving::Always, force: false });
    }
}
