//! Geohashes: the two halvings of the map, by longitude and by latitude, as bits in turn.
//!
//! The first bit says whether a place lies in the eastern half, the second whether in the northern half of that, and so
//! on. With 26 steps that is 52 bits, which a double holds exactly: the score of a place. Cells of fewer steps are prefixes,
//! and so ranges of scores.

use super::{LATITUDE_MAX, LONGITUDE_MAX, Point};

/// Halvings of each coordinate in a score.
pub(super) const STEPS_MAX: u32 = 26;

/// The bits of longitudes, every second one from the second; the others are those of latitudes.
const EAST_BITS: u64 = 0xAAAA_AAAA_AAAA_AAAA;
const NORTH_BITS: u64 = 0x5555_5555_5555_5555;

/// A cell of the map: the places whose bits begin so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) bits: u64,
    pub(super) steps: u32,
}

/// The corners of a cell, or of any other area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Corners {
    pub(super) south_west: Point,
    pub(super) north_east: Point,
}

/// The latitudes that the bits divide: up to the poles in the geohashes that people exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Map {
    Mercator,
    Whole,
}

impl Map {
    fn latitude_max(self) -> f64 {
        match self {
            Map::Mercator => LATITUDE_MAX,
            Map::Whole => 90.0,
        }
    }
}

/// Which way a neighbour lies, in cells: to the east and to the north, each -1, 0 or 1.
pub(super) type Direction = (i8, i8);

impl Cell {
    /// The cell of a point that is on the map.
    pub(super) fn of(point: Point, steps: u32, map: Map) -> Cell {
        let north = share(point.latitude, map.latitude_max(), steps);
        let east = share(point.longitude, LONGITUDE_MAX, steps);
        Cell { bits: interleave(north) | interleave(east) << 1, steps }
    }

    /// The score of a place, and the cell of all its bits.
    pub(super) fn of_score(score: f64) -> Cell {
        Cell { bits: bits_of_score(score), steps: STEPS_MAX }
    }

    pub(super) fn corners(self) -> Corners {
        let (north, east) = (deinterleave(self.bits), deinterleave(self.bits >> 1));
        let at = |number: u32, max: f64| -max + f64::from(number) / cells(self.steps) * (2.0 * max);
        let point =
            |north, east| Point { longitude: at(east, LONGITUDE_MAX), latitude: at(north, LATITUDE_MAX) };
        Corners {
            south_west: point(north, east),
            north_east: point(north.wrapping_add(1), east.wrapping_add(1)),
        }
    }

    /// The cell beside this one; around the edges of the map it goes on.
    pub(super) fn neighbour(self, (east, north): Direction) -> Cell {
        let mask = u64::MAX >> (64 - 2 * self.steps);
        let moved = |bits: u64, own: u64, way: i8| {
            // With the other coordinate's bits set a carry runs through them.
            let others = !own & mask;
            let (bits, step) = (bits & own, others + 1);
            let moved = match way {
                0 => bits,
                1.. => bits.wrapping_add(step),
                _ => (bits | others).wrapping_sub(step),
            };
            moved & own & if way == 0 { u64::MAX } else { mask }
        };
        let bits = moved(self.bits, EAST_BITS, east) | moved(self.bits, NORTH_BITS, north);
        Cell { bits, ..self }
    }

    /// The scores of the cell's places: from this one to below the other.
    pub(super) fn scores(self) -> (f64, f64) {
        let score = |bits: u64| number(bits << (2 * (STEPS_MAX - self.steps)));
        (score(self.bits), score(self.bits.wrapping_add(1)))
    }

    /// Its number.
    pub(super) fn bits(self) -> u64 {
        self.bits
    }

    /// As a score.
    pub(super) fn score(self) -> f64 {
        number(self.bits)
    }
}

/// The place that a score means: the middle of its cell.
pub(super) fn place_of(score: f64) -> Point {
    let Corners { south_west, north_east } = Cell::of_score(score).corners();
    let middle = |one: f64, other: f64, max: f64| f64::midpoint(one, other).clamp(-max, max);
    Point {
        longitude: middle(south_west.longitude, north_east.longitude, LONGITUDE_MAX),
        latitude: middle(south_west.latitude, north_east.latitude, LATITUDE_MAX),
    }
}

/// The eleven letters that people exchange. The last one would need three more bits than there are: it is always 0.
pub(super) fn letters(point: Point) -> [u8; 11] {
    const LETTERS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = Cell::of(point, STEPS_MAX, Map::Whole).bits;
    let mut letters = [LETTERS[0]; 11];
    for (nth, letter) in letters.iter_mut().take(10).enumerate() {
        let five = (bits >> (52 - 5 * (nth + 1))) & 0x1F;
        *letter = LETTERS[usize::try_from(five).expect("five bits")];
    }
    letters
}

/// How many cells a coordinate is cut into.
#[expect(clippy::cast_precision_loss, reason = "a power of two")]
fn cells(steps: u32) -> f64 {
    (1u64 << steps) as f64
}

/// The number of the cell in which a coordinate between `-max` and `max` lies. The outermost point of all has a cell of
/// its own behind the last one, as in Redis.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^26, cut down on purpose"
)]
fn share(degrees: f64, max: f64, steps: u32) -> u32 {
    ((degrees + max) / (max + max) * cells(steps)) as u32
}

#[expect(clippy::cast_precision_loss, reason = "about 52 bits: a score is a double")]
fn number(bits: u64) -> f64 {
    bits as f64
}

/// A score's bits, as x86-64 converts a double: any sorted set may be asked for places, whatever its scores are.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is out of range is handled apart"
)]
fn bits_of_score(score: f64) -> u64 {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if score >= 2.0 * TWO_TO_63 {
        0
    } else if score >= 0.0 {
        score as u64
    } else if score > -TWO_TO_63 {
        (score as i64) as u64
    } else {
        1 << 63
    }
}

/// Puts a zero in front of every bit.
fn interleave(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in SPREAD.iter().rev() {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Takes every second bit, from the first one on.
fn deinterleave(bits: u64) -> u32 {
    let mut bits = bits & NORTH_BITS;
    for pair in SPREAD.windows(2) {
        bits = (bits | bits >> pair[0].0) & pair[1].1;
    }
    u32::try_from((bits | bits >> SPREAD[4].0) & 0xFFFF_FFFF).expect("32 bits")
}

/// How far bits move in each step of spreading, and which of them are in use after it.
const SPREAD: [(u32, u64); 5] = [
    (1, 0x5555_5555_5555_5555),
    (2, 0x3333_3333_3333_3333),
    (4, 0x0F0F_0F0F_0F0F_0F0F),
    (8, 0x00FF_00FF_00FF_00FF),
    (16, 0x0000_FFFF_0000_FFFF),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PALERMO: Point = Point { longitude: 13.361_389, latitude: 38.115_556 };

    #[test]
    fn bits_stand_in_turn_and_come_apart_again() {
        assert_eq!(interleave(0b1011), 0b0100_0101);
        for number in [0, 1, 0x8000_0000, 0xDEAD_BEEF, u32::MAX] {
            assert_eq!(deinterleave(interleave(number)), number);
            assert_eq!(deinterleave(interleave(number) | !NORTH_BITS), number);
        }
    }

    #[test]
    fn a_place_has_the_score_and_the_letters_that_redis_documents() {
        let cell = Cell::of(PALERMO, STEPS_MAX, Map::Mercator);
        assert_eq!(cell.score(), 3_479_099_956_230_698.0);
        let place = place_of(cell.score());
        assert_eq!(
            format!("{:.17} {:.17}", place.longitude, place.latitude),
            "13.36138933897018433 38.11555639549629859"
        );
        assert_eq!(&letters(place), b"sqc8b49rny0");
    }

    #[test]
    fn neighbours_go_on_around_the_map_and_back() {
        for steps in [1, 2, 13, 26] {
            let cell = Cell::of(PALERMO, steps, Map::Mercator);
            for (east, north) in [(0, 1), (1, 0), (1, 1), (-1, 1), (-1, -1)] {
                assert_eq!(cell.neighbour((east, north)).neighbour((-east, -north)), cell);
            }
            let mut other = cell;
            (0..1u32 << steps.min(13)).for_each(|_| other = other.neighbour((1, 0)));
            assert!(steps > 13 || other == cell, "once around with {steps} steps");
        }
        let east = Cell::of(PALERMO, 26, Map::Mercator).neighbour((1, 0)).corners();
        assert_eq!(
            east.south_west.longitude,
            Cell::of(PALERMO, 26, Map::Mercator).corners().north_east.longitude
        );
    }

    #[test]
    fn scores_that_are_no_places_are_converted_as_on_x86() {
        for (score, bits) in [
            (-1.0, u64::MAX),
            (1e300, 0),
            (f64::INFINITY, 0),
            (f64::NEG_INFINITY, 1 << 63),
            (1.9, 1),
            (9_223_372_036_854_775_808.0, 1 << 63),
        ] {
            assert_eq!(bits_of_score(score), bits, "{score}");
        }
    }
}
