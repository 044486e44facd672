//! Lists: pushing, popping, moving, looking from both ends.

use super::Group;
use crate::differential::question::Compare::Bytes;
use crate::differential::source::{Row, Source};

pub const GROUP: Group = Group { name: "lists", grammar: GRAMMAR, words, chosen: CHOSEN };

const GRAMMAR: &[Row] = &[
    (9, Bytes, "(LPUSH|RPUSH) <list> <element> <element>* <element>*"),
    (2, Bytes, "(LPUSH|RPUSH) <list> <many>"),
    (3, Bytes, "(LPUSHX|RPUSHX) <list> <element> <element>*"),
    (4, Bytes, "(LPOP|RPOP) <list> [<times>]"),
    (2, Bytes, "LLEN <list>"),
    (4, Bytes, "LINDEX <list> <position>"),
    (5, Bytes, "LRANGE <list> <position> <position>"),
    (4, Bytes, "LSET <list> <position> <element>"),
    (4, Bytes, "LINSERT <list> (BEFORE|AFTER|BEFORE|AFTER|x) <element> <element>"),
    (4, Bytes, "LREM <list> <times> <element>"),
    (3, Bytes, "LTRIM <list> <position> <position>"),
    (6, Bytes, "LPOS <list> <element> [<posopt>] [<posopt>] [<posopt>]"),
    (5, Bytes, "LMOVE <list> <list> <end> <end>"),
    (1, Bytes, "LMOVE l1 l1 <end> <end>"),
    (3, Bytes, "RPOPLPUSH <list> <list>"),
    (4, Bytes, "LMPOP <numkeys> <list> [<list>] [<list>] <end> [COUNT <times>]"),
    (1, Bytes, "LMPOP 2 <list> <list> <end> COUNT <times> [COUNT 1|x]"),
    (1, Bytes, "(RENAME|COPY) <list> <list>"),
    (1, Bytes, "(DEL|TYPE|OBJECT ENCODING) <list>"),
    (
        1,
        Bytes,
        "(LPUSH|RPUSH|LPUSHX|RPUSHX|LPOP|RPOP|LLEN|LINDEX|LRANGE|LSET|LINSERT|LREM|LTRIM|LPOS|LMOVE|RPOPLPUSH|LMPOP) <list>* \
         <times>*",
    ),
];

const SMALL: &[&str] = &["a", "b", "c", "1", "-1", "300", "70000", "5000000000", "01", ""];

fn words(source: &mut Source, name: &str) -> Option<Vec<Vec<u8>>> {
    Some(match name {
        "element" => match source.below(4) {
            0 => vec![source.value()],
            _ => source.one_of(SMALL),
        },
        // Some of these make a packed list into chunks, and some many chunks.
        "many" => {
            let (count, len) = (1 + source.index(40), source.index(400));
            let mut element = |number: usize| match source.below(3) {
                0 => number.to_string().into_bytes(),
                _ => vec![b'a' + u8::try_from(number % 3).expect("below 3"); len],
            };
            (0..count).map(&mut element).collect()
        }
        "end" => source.one_of(&["LEFT", "RIGHT", "LEFT", "RIGHT", "LEFT", "RIGHT", "left", "x"]),
        "position" => match source.below(3) {
            0 => source.expand("<index>"),
            _ => {
                let number = source.below(80);
                vec![
                    if source.below(2) == 0 { format!("{number}") } else { format!("-{number}") }
                        .into_bytes(),
                ]
            }
        },
        "times" => source.rule_of(&["0", "1", "2", "3", "-1", "-2", "20", "<count>"]),
        "posopt" => source.rule_of(&[
            "RANK <times>",
            "COUNT <times>",
            "COUNT 0",
            "MAXLEN <times>",
            "MAXLEN 10",
            "RANK -1",
            "x 1",
            "RANK",
        ]),
        "numkeys" => source.one_of(&["1", "1", "2", "2", "3", "0", "-1", "x", "100", "9223372036854775807"]),
        _ => return None,
    })
}

const CHOSEN: &str = r#"
    SET text abc
    RPUSH q a b c
    LPOP q x
    LPOP q -1
    LPOP q 0
    LPOP q 1 2
    RPOP q 9223372036854775808
    LPOP absent
    LPOP absent 0
    LPOP absent 1
    LPOP absent -1
    LPOP text 0
    RPOP text
    LMPOP 1 absent LEFT
    LMPOP 2 absent q RIGHT COUNT 2
    LMPOP 2 text q LEFT
    LMPOP 1 q LEFT COUNT 0
    LMPOP 1 q LEFT COUNT -1
    LMPOP 1 q LEFT COUNT x
    LMPOP 1 q LEFT COUNT
    LMPOP 1 q MIDDLE
    LMPOP 0 q LEFT
    LMPOP x q LEFT
    LMPOP 5 q LEFT
    LMPOP 9223372036854775807 q LEFT
    LMPOP 1 q RIGHT COUNT 9223372036854775807
    EXISTS q
    RPUSH one a
    RPOPLPUSH one one
    LMOVE one one LEFT RIGHT
    LMOVE one text LEFT RIGHT
    LMOVE text one LEFT RIGHT
    LMOVE absent text LEFT RIGHT
    RPOPLPUSH absent text
    LMOVE one other LEFT LEFT
    EXISTS one
    LRANGE other 0 -1
    LMOVE other one LEFT x
    LMOVE other one x LEFT
    RPUSH p a b c 1 2 3 c c
    LPOS p c RANK 0
    LPOS p c RANK -9223372036854775808
    LPOS p c RANK -9223372036854775807
    LPOS p c RANK x
    LPOS p c COUNT -1
    LPOS p c COUNT x
    LPOS p c MAXLEN -1
    LPOS p c RANK -1 COUNT 2 MAXLEN 3
    LPOS p c RANK 2 COUNT 0
    LPOS p 3
    LPOS p x
    LPOS p x COUNT 1
    LPOS absent x
    LPOS absent x COUNT 1
    LPOS absent x RANK 0
    LPOS text x
    LPOS p c COUNT 1 COUNT 2
    LPOS p c RANK
    LINDEX absent x
    LINDEX p x
    LINDEX p 9223372036854775807
    LINDEX p -9223372036854775808
    LRANGE absent x y
    LRANGE text x y
    LRANGE p 1 x
    LRANGE p 9223372036854775807 -9223372036854775808
    LRANGE p -9223372036854775808 9223372036854775807
    LSET absent x v
    LSET p x v
    LSET p 8 v
    LSET p -9 v
    LSET p -8 v
    LSET text 0 v
    LINSERT p NEAR a b
    LINSERT absent NEAR a b
    LINSERT absent AFTER a b
    LINSERT p AFTER zz b
    LINSERT p BEFORE v first
    LINSERT p AFTER c last
    LREM p -2 c
    LREM p x c
    LREM absent 0 c
    LREM p -9223372036854775808 1
    LREM p 9223372036854775807 2
    LRANGE p 0 -1
    LTRIM p x 1
    LTRIM p 1 -2
    LTRIM p 5 3
    EXISTS p
    LTRIM absent 0 0
    LTRIM text 0 0
    3000: RPUSH big element:#
    LLEN big
    OBJECT ENCODING big
    LINDEX big 1500
    LINDEX big -1
    LRANGE big 1490 1510
    LRANGE big -3 -1
    LRANGE big 0 -1
    LSET big 1500 x**9000
    LINDEX big 1500
    LINDEX big 1501
    LINSERT big BEFORE element:700 x**8000
    LINSERT big AFTER element:700 y**8193
    LRANGE big 698 704
    LPOS big element:2999
    LPOS big element:0 RANK -1
    LREM big 0 element:1234
    100: LINSERT big BEFORE element:800 before#
    100: LSET big -# new#
    LRANGE big 0 -1
    LTRIM big 100 -100
    LLEN big
    LPOP big 50
    RPOP big 50
    2500: LREM big 1 element:#
    LRANGE big 0 -1
    9000: LPUSH small #
    LRANGE small 4000 4020
    LREM small -3 77
    9000: RPOPLPUSH small next
    LRANGE next 0 10
    LLEN next
    LPUSH huge z**70000 z**300000 z**16377 z**16378
    LPUSH huge z**2097150
    LINDEX huge -1
    LINDEX huge 1
    LRANGE huge 2 -1
    RPOP huge
    LPOP huge 2
    COPY small copy
    LRANGE copy 0 20
"#;
