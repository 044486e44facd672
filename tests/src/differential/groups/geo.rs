//! Places on the earth in sorted sets.
//!
//! Which of several equally distant places COUNT takes is left open (in Redis its way of sorting decides). So only keys
//! that no other group knows (`gc`), with places at random, are asked to count.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "geo", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (10, Bytes, "GEOADD (<own>|<own>|<geo>) <place>+"),
    (3, Bytes, "GEOADD <own> <addopt>* <place>+"),
    (2, Bytes, "GEOADD <geo> <addopt>* <place> <badplace>"),
    (3, Bytes, "GEOADD <edge> <edgeplace>+"),
    (2, Bytes, "ZADD <edge> <oddscore> <name>"),
    (5, Bytes, "GEOPOS <anygeo> <name>+"),
    (4, Bytes, "GEOHASH <anygeo> <name>+"),
    (6, Bytes, "GEODIST <anygeo> <name> <name> [<unit>]"),
    (1, Bytes, "GEODIST <geo> <name> <name> (x|km x)"),
    (14, Bytes, "GEOSEARCH <own> <from> <by> [ASC|DESC] [<few>] <with>*"),
    (4, Bytes, "GEOSEARCH <anygeo> <from> <by> [ASC|DESC] <with>*"),
    (8, Bytes, "GEOSEARCH <edge> <edgefrom> <by> [ASC|DESC] <with>*"),
    (4, Bytes, "GEOSEARCH <anygeo> <odd>+ <odd>*"),
    (3, Bytes, "GEOSEARCH <anygeo> <from> <by> <odd>"),
    (8, Bytes, "GEOSEARCHSTORE <geo> <own> <from> <by> [ASC|DESC] [<few>] [STOREDIST]"),
    (1, Bytes, "GEOSEARCHSTORE <geo> (<geo>|<absent>) <from> <by> [STOREDIST] <odd>"),
    (8, Bytes, "(GEORADIUS|GEORADIUS_RO) <own> <point> <radius> <unit> <with>* [ASC|DESC] [<few>]"),
    (6, Bytes, "(GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO) <own> <name> <radius> <unit> <with>* [<few>]"),
    (3, Bytes, "GEORADIUS <own> <point> <radius> <unit> (STORE|STOREDIST) <geo> [<few>]"),
    (2, Bytes, "GEORADIUSBYMEMBER <geo> <name> <radius> <unit> (STORE|STOREDIST) <geo> [<with>]"),
    (2, Bytes, "(GEORADIUS|GEORADIUS_RO) (<geo>|<absent>) <edgepoint> <radius> <unit> <odd>*"),
    (1, Bytes, "(GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO) (<geo>|<absent>) <name> <radius> <unit> <odd>*"),
    (3, Bytes, "ZRANGE <anygeo> 0 -1 WITHSCORES"),
    (2, Bytes, "ZREM <anygeo> <name>+"),
    (1, Bytes, "DEL <anygeo>"),
    (1, Bytes, "(OBJECT ENCODING|TYPE) <geo>"),
    (
        1,
        Bytes,
        "(GEOADD|GEOPOS|GEODIST|GEOHASH|GEOSEARCH|GEOSEARCHSTORE|GEORADIUS|GEORADIUS_RO|GEORADIUSBYMEMBER) [<geo>]",
    ),
];

const EDGE_POINTS: &[&str] = &[
    "0 0",
    "180 0",
    "-180 0",
    "180 85.05112878",
    "-180 -85.05112878",
    "0 85.05112878",
    "12 -85.05112878",
    "179.999999 66.5",
    "-179.999999 -66.5",
    "10 80.5",
    "-0 -0",
    "1e-7 1e-7",
];
const BAD_POINTS: &[&str] =
    &["181 0", "0 86", "x 1", "1 x", "nan 1", "inf 1", "1 -inf", "1e300 1", " 1 2", "1 85.0512"];
const RADII: &[&str] =
    &["0", "1", "50", "200", "1000", "5000", "20000", "0.5", "1e3", "1e10", "inf", "-1", "x", "nan", ""];
const ODD_SCORES: &[&str] =
    &["0", "-1", "1.5", "1e300", "-1e300", "inf", "-inf", "9007199254740991", "4503599627370496"];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    match name {
        "edge" => Some(source.key_named("ge", 2)),
        "anygeo" => Some(source.rule_of(&["<geo>", "<own>", "<edge>"])),
        "own" => {
            let key = format!("gc{}", source.below(3));
            Some(vec![source.spell(key.as_bytes())])
        }
        "name" => Some(match source.below(20) {
            0 => vec![source.value()],
            _ => vec![format!("place{}", source.below(60)).into_bytes()],
        }),
        // Most of them in one region, so that searches find some and leave some out.
        "point" => {
            let (width, height) =
                if source.below(3) == 0 { (359_000_000, 170_000_000) } else { (9_000_000, 6_000_000) };
            let degrees = |number: u64, origin: i64| {
                let millionths = i64::try_from(number).expect("less than 2^63") - origin;
                format!(
                    "{}{}.{:06}",
                    if millionths < 0 { "-" } else { "" },
                    millionths.abs() / 1_000_000,
                    millionths.abs() % 1_000_000
                )
            };
            let (east, north) = (source.below(width), source.below(height));
            let (west, south) =
                if width > 9_000_000 { (179_500_000, 85_000_000) } else { (-10_000_000, -35_000_000) };
            Some(vec![degrees(east, west).into_bytes(), degrees(north, south).into_bytes()])
        }
        "place" => Some(source.rule_of(&["<point> <name>"])),
        "edgepoint" => Some(source.rule_of(EDGE_POINTS)),
        "edgeplace" => Some(source.rule_of(&["<edgepoint> <name>"])),
        "badplace" => {
            let mut words = source.rule_of(BAD_POINTS);
            words.extend(source.rule_of(&["<name>"]));
            Some(words)
        }
        "oddscore" => Some(source.one_of(ODD_SCORES)),
        "addopt" => Some(source.one_of(&["NX", "XX", "CH", "CH", "x"])),
        "unit" => Some(source.one_of(&["m", "km", "KM", "km", "mi", "ft", "x"])),
        "radius" => Some(source.one_of(RADII)),
        "from" => Some(source.rule_of(&["FROMLONLAT <point>", "FROMLONLAT <point>", "FROMMEMBER <name>"])),
        "edgefrom" => {
            Some(source.rule_of(&["FROMLONLAT <edgepoint>", "FROMLONLAT <point>", "FROMMEMBER <name>"]))
        }
        "by" => Some(source.rule_of(&[
            "BYRADIUS <radius> <unit>",
            "BYRADIUS (100|300|700|3000) km",
            "BYBOX <radius> <radius> <unit>",
            "BYBOX (100|400|900|4000) (100|500|2000) km",
        ])),
        "with" => Some(source.one_of(&["WITHDIST", "WITHCOORD", "WITHHASH"])),
        "few" => Some(source.rule_of(&["COUNT <takes>", "COUNT <takes> ANY", "COUNT (1|2|5)"])),
        "takes" => Some(source.one_of(&["1", "2", "3", "10", "1000", "0", "-1", "x"])),
        "odd" => Some(source.rule_of(&[
            "<from>",
            "<by>",
            "ANY",
            "COUNT",
            "STORE",
            "STORE d",
            "STOREDIST",
            "WITHDIST",
            "ASC DESC",
            "FROMLONLAT 1",
            "BYBOX 1 1",
            "x",
        ])),
        _ => None,
    }
}

const CHOSEN: &str = r#"
    GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
    GEODIST Sicily Palermo Catania
    GEODIST Sicily Palermo Catania mi
    GEORADIUS Sicily 15 37 200 km WITHDIST WITHCOORD WITHHASH ASC
    GEORADIUS Sicily 15 37 100 km
    GEOHASH Sicily Palermo Catania nowhere
    GEOPOS Sicily Palermo nowhere
    GEOADD Sicily 12.758489 38.788135 edge1 17.241510 38.788135 edge2
    GEOSEARCH Sicily FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHCOORD WITHDIST
    GEOSEARCH Sicily FROMMEMBER nowhere BYRADIUS 1 km
    GEOSEARCH Sicily BYRADIUS 1 km WITHDIST ASC
    geoSEARCH Sicily FROMMEMBER Palermo WITHDIST ASC DESC
    GEOSEARCH Sicily FROMMEMBER Palermo BYRADIUS 1 km ANY
    GEOSEARCH absent FROMMEMBER x BYRADIUS 1 km
    GEOSEARCH absent FROMMEMBER x BYRADIUS x km
    GEOSEARCHSTORE d absent FROMLONLAT 1 1 BYRADIUS 1 m
    GEOSEARCHSTORE d Sicily FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST
    ZRANGE d 0 -1 WITHSCORES
    GEOSEARCHSTORE d Sicily FROMLONLAT 1 1 BYRADIUS 1 m
    EXISTS d
    GEORADIUS Sicily 15 37 200 km STORE d WITHDIST
    GEORADIUS_RO Sicily 15 37 200 km STORE d
    GEORADIUSBYMEMBER absent x y z
    GEORADIUSBYMEMBER absent x y z STORE d
    GEOADD Sicily NX XX 1 1 a
    GEOADD Sicily NX CH XX
    GEOADD Sicily 181 1 a
    GEOADD Sicily 1 1 a 2
    SET text x
    GEOADD text 1 1 a
    GEOADD text x 1 a
    GEOPOS text a
    GEODIST text a b
    GEODIST text a b x
    GEOSEARCH text FROMLONLAT x 1 BYRADIUS 1 km
    GEORADIUS text x 1 1 km
"#;
