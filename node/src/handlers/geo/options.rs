//! What a search is asked for: the options of GEOSEARCH, GEORADIUS and their sisters.
//!
//! The key is looked at before the options are read, because FROMMEMBER needs it, and a key that is not there is an
//! empty answer only if the options are right.

use slotway_resp::Request;

use super::area::{Area, Shape};
use super::geohash::place_of;
use super::{Point, read_point, read_unit};
use crate::call::Refusal;
use crate::handlers::arguments::{SYNTAX, integer, is};
use crate::handlers::double::double_or;
use crate::keyspace::seed::Seed;
use crate::keyspace::sorted_set::SortedSet;

const NO_MEMBER: &str = "ERR could not decode requested zset member";
const RADIUS: &str = "ERR need numeric radius";
const RADIUS_NEGATIVE: &str = "ERR radius cannot be negative";
const WIDTH: &str = "ERR need numeric width";
const HEIGHT: &str = "ERR need numeric height";
const BOX_NEGATIVE: &str = "ERR height or width cannot be negative";
const COUNT: &str = "ERR COUNT must be > 0";
const ANY: &str = "ERR the ANY argument requires COUNT argument";

/// The six commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Search {
    Radius,
    RadiusReadOnly,
    RadiusByMember,
    RadiusByMemberReadOnly,
    Area,
    AreaStored,
}

/// Where the centre of the area was taken from.
#[derive(Clone, Copy)]
enum Centre {
    /// Not said yet.
    Open,
    Point(Point),
    /// A member. None: there is no key to look it up in.
    Member(Option<Point>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sorting {
    None,
    /// The nearest first.
    Rising,
    Falling,
}

/// What stands beside a member in the reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct With {
    pub(super) distance: bool,
    pub(super) hash: bool,
    pub(super) point: bool,
}

/// What a stored result has as its scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    Hash,
    Distance,
}

pub(super) struct Options<'a> {
    /// None: there is no key, so nothing will be found.
    pub(super) area: Option<Area>,
    /// Meters.
    pub(super) unit: f64,
    pub(super) with: With,
    pub(super) sorting: Sorting,
    /// How many are wanted.
    pub(super) count: Option<usize>,
    /// The first ones found will do.
    pub(super) any: bool,
    /// The key of the result.
    pub(super) destination: Option<&'a [u8]>,
    pub(super) stored: Stored,
}

/// Reads a request's options one after the other.
struct Reader<'a, 's> {
    search: Search,
    set: Option<SortedSet<'s>>,
    seed: Seed,
    centre: Centre,
    shape: Option<Shape>,
    options: Options<'a>,
}

impl Search {
    fn has_area_options(self) -> bool {
        matches!(self, Search::Area | Search::AreaStored)
    }

    fn may_store(self) -> bool {
        matches!(self, Search::Radius | Search::RadiusByMember)
    }

    /// The word with the key to search.
    pub(super) fn key_word(self) -> usize {
        if self == Search::AreaStored { 2 } else { 1 }
    }
}

pub(super) fn parse<'a>(
    request: Request<'a>,
    search: Search,
    set: Option<SortedSet<'_>>,
    seed: Seed,
) -> Result<Options<'a>, Refusal> {
    let options = Options {
        area: None,
        unit: 1.0,
        with: With::default(),
        sorting: Sorting::None,
        count: None,
        any: false,
        destination: (search == Search::AreaStored).then(|| request.word(1)),
        stored: Stored::Hash,
    };
    let mut reader = Reader { search, set, seed, centre: Centre::Open, shape: None, options };
    let rest = reader.read_fixed(request)?;
    let mut at = 0;
    while at < rest.len() {
        at += reader.read_option(rest.skip(at))?;
    }
    reader.finish(request)
}

impl<'a> Reader<'a, '_> {
    /// The words in front of the options; returns the options.
    fn read_fixed(&mut self, request: Request<'a>) -> Result<Request<'a>, Refusal> {
        match self.search {
            Search::Radius | Search::RadiusReadOnly => {
                self.centre = Centre::Point(read_point(request.word(2), request.word(3))?);
                self.read_circle(request.skip(4))?;
                Ok(request.skip(6))
            }
            Search::RadiusByMember | Search::RadiusByMemberReadOnly => {
                self.read_member(request.word(2))?;
                if self.set.is_some() {
                    // Without a key Redis does not look at the radius.
                    self.read_circle(request.skip(3))?;
                }
                Ok(request.skip(5))
            }
            Search::Area | Search::AreaStored => Ok(request.skip(self.search.key_word() + 1)),
        }
    }

    /// Reads the first option; returns how many words it has.
    fn read_option(&mut self, words: Request<'a>) -> Result<usize, Refusal> {
        let (word, following) = (words.word(0), words.len() - 1);
        let options = &mut self.options;
        match word {
            _ if is(word, "WITHDIST") => options.with.distance = true,
            _ if is(word, "WITHHASH") => options.with.hash = true,
            _ if is(word, "WITHCOORD") => options.with.point = true,
            _ if is(word, "ANY") => options.any = true,
            _ if is(word, "ASC") => options.sorting = Sorting::Rising,
            _ if is(word, "DESC") => options.sorting = Sorting::Falling,
            _ if is(word, "COUNT") && following >= 1 => {
                let count = integer(words.word(1))?;
                let count = usize::try_from(count).ok().filter(|&count| count > 0);
                options.count = Some(count.ok_or(Refusal::Borrowed(COUNT))?);
                return Ok(2);
            }
            _ if self.search.may_store()
                && following >= 1
                && (is(word, "STORE") || is(word, "STOREDIST")) =>
            {
                options.destination = Some(words.word(1));
                options.stored = if is(word, "STORE") { Stored::Hash } else { Stored::Distance };
                return Ok(2);
            }
            _ if self.search == Search::AreaStored && is(word, "STOREDIST") => {
                options.stored = Stored::Distance;
            }
            _ if self.search.has_area_options() => return self.read_area(words),
            _ => return Err(SYNTAX),
        }
        Ok(1)
    }

    /// FROMMEMBER, FROMLONLAT, BYRADIUS or BYBOX: again, but not one in place of the other.
    fn read_area(&mut self, words: Request<'a>) -> Result<usize, Refusal> {
        let (word, following) = (words.word(0), words.len() - 1);
        let from_point = matches!(self.centre, Centre::Point(_));
        let from_member = matches!(self.centre, Centre::Member(_));
        let (by_circle, by_box) = match self.shape {
            Some(Shape::Circle { .. }) => (true, false),
            Some(Shape::Box { .. }) => (false, true),
            None => (false, false),
        };
        match word {
            _ if is(word, "FROMMEMBER") && following >= 1 && !from_point => {
                self.read_member(words.word(1))?;
                Ok(2)
            }
            _ if is(word, "FROMLONLAT") && following >= 2 && !from_member => {
                self.centre = Centre::Point(read_point(words.word(1), words.word(2))?);
                Ok(3)
            }
            _ if is(word, "BYRADIUS") && following >= 2 && !by_box => {
                self.read_circle(words.skip(1))?;
                Ok(3)
            }
            _ if is(word, "BYBOX") && following >= 3 && !by_circle => {
                self.read_box(words.skip(1))?;
                Ok(4)
            }
            _ => Err(SYNTAX),
        }
    }

    fn read_member(&mut self, member: &[u8]) -> Result<(), Refusal> {
        let place = match self.set {
            Some(set) => {
                let score = set.score(&self.seed, member).ok_or(Refusal::Borrowed(NO_MEMBER))?;
                Some(place_of(score))
            }
            None => None,
        };
        self.centre = Centre::Member(place);
        Ok(())
    }

    /// A radius and its unit.
    fn read_circle(&mut self, words: Request<'_>) -> Result<(), Refusal> {
        let radius = double_or(words.word(0), RADIUS)?;
        if radius < 0.0 {
            return Err(RADIUS_NEGATIVE.into());
        }
        self.options.unit = read_unit(words.word(1))?;
        self.shape = Some(Shape::Circle { radius: radius * self.options.unit });
        Ok(())
    }

    /// Width, height and their unit.
    fn read_box(&mut self, words: Request<'_>) -> Result<(), Refusal> {
        let (width, height) = (double_or(words.word(0), WIDTH)?, double_or(words.word(1), HEIGHT)?);
        if width < 0.0 || height < 0.0 {
            return Err(BOX_NEGATIVE.into());
        }
        let unit = read_unit(words.word(2))?;
        self.options.unit = unit;
        self.shape = Some(Shape::Box { width: width * unit, height: height * unit });
        Ok(())
    }

    fn finish(mut self, request: Request<'_>) -> Result<Options<'a>, Refusal> {
        if self.options.destination.is_some() && self.options.with != With::default() {
            let stores = if self.search == Search::AreaStored {
                "GEOSEARCHSTORE"
            } else {
                "STORE option in GEORADIUS"
            };
            return Err(format!(
                "ERR {stores} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )
            .into());
        }
        if self.search.has_area_options() {
            let command = String::from_utf8_lossy(request.word(0));
            if matches!(self.centre, Centre::Open) {
                let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for";
                return Err(format!("{text} {command}").into());
            }
            if self.shape.is_none() {
                let text = "ERR exactly one of BYRADIUS and BYBOX can be specified for";
                return Err(format!("{text} {command}").into());
            }
        }
        if self.options.any && self.options.count.is_none() {
            return Err(ANY.into());
        }
        let centre = match self.centre {
            Centre::Point(point) | Centre::Member(Some(point)) => Some(point),
            Centre::Open | Centre::Member(None) => None,
        };
        self.options.area = centre.zip(self.shape).map(|(centre, shape)| Area { centre, shape });
        Ok(self.options)
    }
}
