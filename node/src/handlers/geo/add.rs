//! GEOADD: places as members.

use super::geohash::{Cell, Map, STEPS_MAX};
use super::read_point;
use crate::call::{Call, Done};
use crate::handlers::arguments::{SYNTAX, is};
use crate::handlers::sorted_sets::add::{Better, Counted, Meaning, Members, Options, add_elements};

/// GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]
pub(crate) fn geoadd(call: &mut Call<'_>) -> Done {
    let request = call.request;
    let (mut first, mut nx, mut xx, mut counted) = (2, false, false, Counted::Added);
    for word in request.words().skip(2) {
        match word {
            _ if is(word, "NX") => nx = true,
            _ if is(word, "XX") => xx = true,
            _ if is(word, "CH") => counted = Counted::Changed,
            _ => break,
        }
        first += 1;
    }
    let places = request.skip(first);
    if places.is_empty() || !places.len().is_multiple_of(3) || nx && xx {
        return Err(SYNTAX);
    }
    let members = if nx { Members::New } else { Members::All };
    let members = if xx { Members::Present } else { members };
    let options = Options { members, better: Better::Any, meaning: Meaning::Score, counted };
    let mut cells = Vec::with_capacity(places.len() / 3);
    for nth in 0..places.len() / 3 {
        let point = read_point(places.word(3 * nth), places.word(3 * nth + 1))?;
        cells.push(Cell::of(point, STEPS_MAX, Map::Mercator));
    }
    let before = call.keyspace.stats.changes;
    add_elements(call, options, cells.len(), |nth| (cells[nth].score(), places.word(3 * nth + 2)))?;
    if call.is_fed() && call.keyspace.stats.changes > before {
        tell_scores(call, first, &cells);
    }
    Ok(())
}

/// In the stream it is a ZADD: the places' scores, behind key and options up to word `first`.
fn tell_scores(call: &mut Call<'_>, first: usize, cells: &[Cell]) {
    let request = call.request;
    let digits: Vec<String> = cells.iter().map(|cell| cell.bits().to_string()).collect();
    let members = request.words().skip(first + 2).step_by(3);
    let elements = digits.iter().zip(members).flat_map(|(score, member)| [score.as_bytes(), member]);
    let head = std::iter::once(&b"zadd"[..]).chain(request.words().take(first).skip(1));
    call.tell_words(head.chain(elements));
}
