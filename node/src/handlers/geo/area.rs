//! The area of a search, and the cells of the map that cover it.
//!
//! Cells are chosen so large that the one with the centre and its eight neighbours cover the area. Results that are not
//! sorted come cell by cell, so which cells are asked, and in which order, is part of what clients see.

use super::Point;
use super::distance::{EARTH_RADIUS, degrees, distance, distance_north, radians};
use super::geohash::{Cell, Corners, Direction, Map, STEPS_MAX};

/// Half the earth's way around on a Mercator map, in meters.
const MERCATOR_MAX: f64 = 20_037_726.37;

/// Meters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Shape {
    Circle { radius: f64 },
    Box { width: f64, height: f64 },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub(super) centre: Point,
    pub(super) shape: Shape,
}

/// The neighbours, in the order in which they are asked.
const NEIGHBOURS: [Direction; 8] = [(0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];

impl Area {
    /// How far a place in the area is from its centre; None: it is not in the area.
    pub(super) fn distance(&self, place: Point) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => Some(distance(self.centre, place)).filter(|meters| *meters <= radius),
            Shape::Box { width, height } => {
                let across = Point { longitude: self.centre.longitude, ..place };
                let is_inside = distance_north(place, self.centre) <= height / 2.0
                    && distance(place, across) <= width / 2.0;
                is_inside.then(|| distance(self.centre, place))
            }
        }
    }

    /// The cells to search, in order.
    pub(super) fn cells(&self) -> Vec<Cell> {
        let bounds = self.bounds();
        let mut steps = self.steps();
        let cell_of = |steps| Cell::of(self.centre, steps, Map::Mercator);
        if steps > 1 && !covers(cell_of(steps), bounds) {
            steps -= 1;
        }
        let centre = cell_of(steps);
        let mut cells = vec![centre];
        for direction in NEIGHBOURS {
            let neighbour = centre.neighbour(direction);
            // With huge areas neighbours may be the same.
            if (steps < 2 || is_needed(centre, direction, bounds)) && !repeats(&cells, neighbour) {
                cells.push(neighbour);
            }
        }
        cells
    }

    /// About how many steps cells have of which three by three cover the area.
    fn steps(&self) -> u32 {
        let mut radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        if radius == 0.0 {
            return STEPS_MAX;
        }
        let mut steps = 1i32;
        while radius < MERCATOR_MAX {
            radius *= 2.0;
            steps += 1;
        }
        // One for the half that the centre may lie from its cell's edge, and one for safety; towards the poles a cell
        // covers fewer meters.
        steps -= 2;
        let latitude = self.centre.latitude.abs();
        steps -= i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        u32::try_from(steps).unwrap_or(0).clamp(1, STEPS_MAX)
    }

    /// The box around the area, in degrees. Its width is that of the end nearer to the pole.
    fn bounds(&self) -> Corners {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Point { longitude, latitude } = self.centre;
        let north = degrees(height / EARTH_RADIUS);
        let pole_end = if latitude < 0.0 { latitude - north } else { latitude + north };
        let east = degrees(width / EARTH_RADIUS / radians(pole_end).cos());
        Corners {
            south_west: Point { longitude: longitude - east, latitude: latitude - north },
            north_east: Point { longitude: longitude + east, latitude: latitude + north },
        }
    }
}

/// Whether the cell and its neighbours reach as far as the bounds on every side.
fn covers(centre: Cell, bounds: Corners) -> bool {
    let corners = |direction| centre.neighbour(direction).corners();
    corners((0, 1)).north_east.latitude >= bounds.north_east.latitude
        && corners((0, -1)).south_west.latitude <= bounds.south_west.latitude
        && corners((1, 0)).north_east.longitude >= bounds.north_east.longitude
        && corners((-1, 0)).south_west.longitude <= bounds.south_west.longitude
}

/// Whether the area reaches over the cell's edge on the sides where this neighbour lies.
fn is_needed(centre: Cell, (east, north): Direction, bounds: Corners) -> bool {
    let Corners { south_west, north_east } = centre.corners();
    let reaches_east = match east {
        1.. => north_east.longitude <= bounds.north_east.longitude,
        0 => true,
        _ => south_west.longitude >= bounds.south_west.longitude,
    };
    let reaches_north = match north {
        1.. => north_east.latitude <= bounds.north_east.latitude,
        0 => true,
        _ => south_west.latitude >= bounds.south_west.latitude,
    };
    reaches_east && reaches_north
}

/// Redis compares a neighbour with the one asked before it, unless that was the centre.
fn repeats(cells: &[Cell], neighbour: Cell) -> bool {
    cells.len() > 1 && cells.last() == Some(&neighbour)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(longitude: f64, latitude: f64, shape: Shape) -> Area {
        Area { centre: Point { longitude, latitude }, shape }
    }

    #[test]
    fn away_from_the_poles_every_place_within_lies_in_one_of_the_cells() {
        for latitude in [0.0, 37.0, -60.0, 70.0] {
            for meters in [1.0, 250.0, 10_000.0, 700_000.0] {
                let area = area(15.0, latitude, Shape::Circle { radius: meters });
                let cells = area.cells();
                let Corners { south_west, north_east } = area.bounds();
                for step in 0..=20u8 {
                    let part = f64::from(step) / 20.0;
                    let along = |from: f64, to: f64| from + (to - from) * part;
                    let latitude = along(south_west.latitude, north_east.latitude).clamp(-85.0, 85.0);
                    let longitude = along(south_west.longitude, north_east.longitude);
                    let place = Point { longitude, latitude };
                    if area.distance(place).is_some() {
                        let score = Cell::of(place, STEPS_MAX, Map::Mercator).score();
                        let found = cells.iter().any(|cell| {
                            let (from, to) = cell.scores();
                            (from..to).contains(&score)
                        });
                        assert!(found, "{place:?} {meters} m around {latitude}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_box_is_as_wide_at_the_place_as_it_was_asked_for() {
        let area = area(15.0, 37.0, Shape::Box { width: 400_000.0, height: 400_000.0 });
        let at = |longitude, latitude| area.distance(Point { longitude, latitude }).is_some();
        assert!(at(15.0, 37.0) && at(17.2, 37.0) && at(15.0, 38.7) && at(17.0, 38.5));
        assert!(!at(17.4, 37.0) && !at(15.0, 39.0));
    }

    #[test]
    fn the_whole_earth_is_searched_once() {
        let area = area(15.0, 37.0, Shape::Circle { radius: f64::INFINITY });
        let cells = area.cells();
        assert!(cells.iter().all(|cell| cell.steps == 1) && cells.len() >= 4);
    }
}
