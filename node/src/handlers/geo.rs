//! Places on the earth: members of sorted sets whose scores are geohashes of 52 bits.

mod add;
mod area;
mod distance;
mod geohash;
mod options;
mod read;
mod search;

pub(crate) use add::geoadd;
pub(crate) use read::{geodist, geohash, geopos};
pub(crate) use search::{
    georadius, georadius_ro, georadiusbymember, georadiusbymember_ro, geosearch, geosearchstore,
};

use slotway_resp::{Version, write};

use super::arguments::is;
use super::double::double;
use crate::call::Refusal;

/// Degrees: to the east and to the north.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    longitude: f64,
    latitude: f64,
}

/// Where places may lie: the square of the web's Mercator maps.
const LONGITUDE_MAX: f64 = 180.0;
const LATITUDE_MAX: f64 = 85.051_128_78;

const UNIT: &str = "ERR unsupported unit provided. please use M, KM, FT, MI";

/// Two words: longitude and latitude.
fn read_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, Refusal> {
    let point = Point { longitude: double(longitude)?, latitude: double(latitude)? };
    if point.longitude.abs() <= LONGITUDE_MAX && point.latitude.abs() <= LATITUDE_MAX {
        return Ok(point);
    }
    let Point { longitude, latitude } = point;
    Err(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}").into())
}

/// Meters of a unit.
fn read_unit(word: &[u8]) -> Result<f64, Refusal> {
    const UNITS: [(&str, f64); 4] = [("M", 1.0), ("KM", 1000.0), ("FT", 0.3048), ("MI", 1609.34)];
    let unit = UNITS.iter().find(|(name, _)| is(word, name));
    unit.map(|(_, meters)| *meters).ok_or(Refusal::Borrowed(UNIT))
}

/// An array of both coordinates, each with up to 17 decimals.
fn write_point(out: &mut Vec<u8>, version: Version, point: Point) {
    write::array(out, 2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let text = if text == "-0" { "0" } else { text };
        match version {
            Version::Resp2 => write::bulk(out, text.as_bytes()),
            Version::Resp3 => {
                out.push(b',');
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A bulk in both versions.
fn write_distance(out: &mut Vec<u8>, distance: f64) {
    write::bulk(out, format!("{distance:.4}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_outside_of_the_map_is_named_in_the_refusal() {
        assert!(read_point(b"-180", b"85.05112878").is_ok());
        for (longitude, latitude, text) in [
            ("180.1", "0", "180.100000,0.000000"),
            ("0", "-85.0511288", "0.000000,-85.051129"),
            ("inf", "1e300", &format!("inf,{:.6}", 1e300)),
        ] {
            let refusal = read_point(longitude.as_bytes(), latitude.as_bytes()).unwrap_err();
            assert_eq!(refusal, format!("ERR invalid longitude,latitude pair {text}"));
        }
        assert_eq!(read_point(b"x", b"1e300").unwrap_err(), "ERR value is not a valid float");
    }

    #[test]
    fn coordinates_have_up_to_17_decimals() {
        let mut out = Vec::new();
        write_point(&mut out, Version::Resp3, Point { longitude: 13.361_389_338_970_184, latitude: -0.0 });
        assert_eq!(String::from_utf8(out).unwrap(), "*2\r\n,13.36138933897018433\r\n,0\r\n");
    }
}
