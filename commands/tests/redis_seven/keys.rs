//! Which keys COMMAND GETKEYS and GETKEYSANDFLAGS find.

use slotway_commands::describe::{self, Answer, Scope};
use slotway_commands::row::Group;
use slotway_commands::{keys, lookup, table};
use slotway_resp::request::OwnedRequest;

use crate::server::Server;
use crate::{VERSIONS, is_changed, is_newer, ours};

/// Every form in which keys stand, and what is not quite one: a request per line.
const FORMS: &str = "\
set k v
set k v get
set k v ex 1 GET
set get get
get k
mget a b c
mset a 1 b 2
mset a 1 b
msetnx a 1
del a b
lcs a b
bitop and d a b c
bitfield k get u8 0
bitfield k set u8 0 1
bitfield k overflow sat get u8 0
bitfield k get u8 0 incrby u8 0 1
bitfield k
bitfield k get
bitfield_ro k get u8 0
blpop a b 0
blmove a b left right 0
blmpop 0 2 a b left
blmpop 0 3 a b left
lmpop 1 a left
lmpop 0 a left
lmpop x a left
zunionstore d 2 a b
zunionstore d 2 a
zunionstore d 0 a
zunionstore d -1 a
zunionstore d 1 a weights 1
zunion 2 a b
zinter 1 a
zdiff 1 a withscores
zdiffstore d 1 a
sintercard 2 a b limit 1
zintercard 1 a
zmpop 1 a min
bzmpop 0 2 a b min
eval s 2 a b c
eval s 0
eval s 0 a
eval s 9 a
eval s -1
eval_ro s 1 a
evalsha s 1 a
fcall f 2 a b
fcall_ro f 0
xread streams a b 0 0
xread streams a b 0
xread count 1 block 0 streams a 0
xread count 1 streams
xread count 1 a 0
xreadgroup group g c streams k >
xreadgroup group streams c streams k >
xreadgroup group g c count 1 noack streams a b > >
xgroup create k g 0
xinfo stream k
xinfo help
xadd k * a b
sort k
sort k store d
sort k by store get x store d
sort k limit 0 1 store d
sort k store a store b
sort k store
sort k get store
sort k limit store d
sort_ro k by x
georadius k 0 0 1 m
georadius k 0 0 1 m store d
georadius k 0 0 1 m storedist d
georadius k 0 0 1 m store
georadius k 0 0 1 m count 1 store d
georadius_ro k 0 0 1 m
georadiusbymember k m 1 m store d
georadiusbymember k m 1 m
georadiusbymember k m 1 store d
geosearchstore d s frommember m
migrate h 1 k 0 1
migrate h 1 k 0 1 copy
migrate h 1 k 0 1 keys a
migrate h 1 k 0 1 auth keys keys a
migrate h 1 k 0 1 replace
memory usage k
object encoding k
object help
object nope
debug object k
pfcount a b
pfmerge d a b
pfdebug x k
rename a b
copy a b
smove a b m
watch a b
spublish c m
ssubscribe a b
publish c m
ping x
config get x
config nope x
nope x
get a b
mset a
zadd k 1 m
zrangestore d s 0 1
restore k 0 x
dump k
touch a b
client kill a
command getkeys get
shutdown x
xautoclaim k g c 0 0
xclaim k g c 0 1";

/// Compares COMMAND GETKEYS and GETKEYSANDFLAGS of many requests, sent as one pipeline.
fn check_keys(server: &mut Server, requests: &[Vec<String>]) {
    let forms = [("getkeys", Answer::Keys), ("getkeysandflags", Answer::KeysAndFlags)];
    for version in VERSIONS {
        server.speak(version);
        for (subcommand, answer) in forms {
            for batch in requests.chunks(200) {
                for words in batch {
                    let front = ["command".to_owned(), subcommand.to_owned()];
                    server.send(&[&front[..], words].concat());
                }
                for words in batch {
                    let theirs = server.receive();
                    let request = OwnedRequest::new(words);
                    let ours =
                        ours(|out| describe::getkeys(request.view(), Scope::Known, answer, version, out));
                    assert_eq!(ours, theirs, "{subcommand} {words:?} {version:?}");
                }
            }
        }
    }
}

#[test]
fn the_keys_of_every_form_are_those_that_redis_finds() {
    let split = |line: &str| line.split(' ').map(str::to_owned).collect();
    let mut requests: Vec<Vec<String>> = FORMS.lines().map(split).collect();
    let empty = "".to_owned();
    for tail in
        ["keys a b", "copy keys a", "auth p keys a", "auth2 u p keys a b", "auth keys keys b", "keys", ""]
    {
        let mut words = ["migrate", "h", "1", "", "0", "1"].map(str::to_owned).to_vec();
        words.extend(tail.split(' ').filter(|word| !word.is_empty()).map(str::to_owned));
        requests.push(words);
    }
    requests.push(vec!["get".to_owned(), empty]);
    check_keys(&mut Server::start(), &requests);
}

/// GEORADIUS with STORE and STOREDIST, or one of them twice: the last one is where the command stores. Redis names
/// the first of each and may miss the key that is written; the table names that key alone.
fn has_two_destinations(words: &[String]) -> bool {
    let is_store =
        |word: &&String| word.eq_ignore_ascii_case("store") || word.eq_ignore_ascii_case("storedist");
    words[0].starts_with("georadius") && words.iter().filter(is_store).count() > 1
}

/// PFMERGE may have no sources. Redis executes it and says all the same that its keys cannot be told.
fn merges_nothing(words: &[String]) -> bool {
    words[0] == "pfmerge" && words.len() == 2
}

#[test]
fn a_merge_of_nothing_has_the_key_of_its_destination() {
    let row = lookup::find(b"pfmerge").expect("a row");
    let request = OwnedRequest::new(["pfmerge", "d"]);
    assert_eq!(keys::positions(row, request.view()).expect("keys").collect::<Vec<_>>(), [1]);
}

#[test]
fn of_two_destinations_georadius_stores_in_the_last() {
    let row = lookup::find(b"georadius").expect("a row");
    for tail in ["store a store b", "store a storedist b", "storedist a store b"] {
        let words = format!("georadius k 0 0 1 m {tail}");
        let request = OwnedRequest::new(words.split(' '));
        let positions: Vec<usize> = keys::positions(row, request.view()).expect("keys").collect();
        assert_eq!(positions, [1, 9], "{tail}");
    }
}

/// Every command with a dozen tails of words that mean something somewhere.
#[test]
fn the_keys_of_generated_requests_are_those_that_redis_finds() {
    const WORDS: [&str; 16] = [
        "a",
        "b",
        "0",
        "1",
        "2",
        "3",
        "STORE",
        "storedist",
        "streams",
        "KEYS",
        "get",
        "by",
        "limit",
        "auth",
        "u8",
        "c",
    ];
    let mut seed: u64 = 0x1234_5678_9abc_def1;
    let mut random = move |below: usize| {
        // xorshift64: any scattering will do, the same one every time.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(below).unwrap()).unwrap()
    };
    let mut requests = Vec::new();
    for row in table::COMMANDS.iter() {
        let (known, changed) = (!is_newer(row.name), is_changed(row.name));
        if row.group == Group::Internal || !known || changed || row.is_container() {
            continue;
        }
        for _ in 0..12 {
            let mut words: Vec<String> = row.name.split('|').map(str::to_owned).collect();
            words.extend((0..random(9)).map(|_| WORDS[random(WORDS.len())].to_owned()));
            if words.len() > 1 || !table::top_level().any(|row| row.name == words[0] && row.arity == -1) {
                requests.push(words);
            }
        }
    }
    requests.retain(|words| words.len() > 1 && !has_two_destinations(words) && !merges_nothing(words));
    assert!(requests.len() > 3000);
    check_keys(&mut Server::start(), &requests);
}
