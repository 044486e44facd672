//! Distances on a ball: the formula and the radius that Redis computes with, in the same order.

use super::Point;

/// Meters.
pub(super) const EARTH_RADIUS: f64 = 6_372_797.560_856;

const RADIANS: f64 = std::f64::consts::PI / 180.0;

pub(super) fn radians(degrees: f64) -> f64 {
    degrees * RADIANS
}

pub(super) fn degrees(radians: f64) -> f64 {
    radians / RADIANS
}

/// Meters between two places, by the haversine formula.
pub(super) fn distance(one: Point, other: Point) -> f64 {
    let half = |one: f64, other: f64| ((radians(other) - radians(one)) / 2.0).sin();
    let east = half(one.longitude, other.longitude);
    if east == 0.0 {
        return distance_north(one, other);
    }
    let north = half(one.latitude, other.latitude);
    let both = radians(one.latitude).cos() * radians(other.latitude).cos();
    2.0 * EARTH_RADIUS * (north * north + both * east * east).sqrt().asin()
}

/// Meters between the latitudes of two places.
pub(super) fn distance_north(one: Point, other: Point) -> f64 {
    EARTH_RADIUS * (radians(other.latitude) - radians(one.latitude)).abs()
}
