//! Which sections and fields INFO has, and in which order.

use slotway_commands::info::{self, Asked, SECTIONS};

use crate::server::Server;
use crate::text;

/// Section titles and field names of a text.
fn outline(text: &str) -> Vec<(String, Vec<String>)> {
    let mut sections: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix("# "), sections.last_mut()) {
            (Some(title), _) => sections.push((title.to_owned(), Vec::new())),
            (None, Some((_, fields))) => {
                fields.push(line.split_once(':').map_or(line, |(name, _)| name).to_owned());
            }
            (None, None) => panic!("a field before any section: {line}"),
        }
    }
    sections
}

fn ask(server: &mut Server, words: &str) -> String {
    text(&server.ask(&words.split(' ').collect::<Vec<_>>()))
}

#[test]
fn every_section_and_field_of_redis_has_a_row_and_stands_in_its_order() {
    let mut server = Server::start();
    ask(&mut server, "set k v ex 1000");
    for words in ["info", "info all", "info everything", "info default", "info CPU keyspace nope"] {
        let theirs = outline(&ask(&mut server, words));
        let asked = words.split(' ').skip(1).map(str::as_bytes);
        let titles: Vec<&str> = info::selected(asked).iter().map(|section| section.title).collect();
        assert_eq!(titles, theirs.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(), "{words}");
        for (title, fields) in theirs {
            let section = SECTIONS.iter().find(|section| section.title == title).expect("a section");
            let place = |name: &String| {
                let exact = section.fields.iter().position(|field| field.name == name);
                exact.or_else(|| section.fields.iter().position(|field| field.covers(name)))
            };
            let places: Vec<usize> = fields.iter().map(|name| place(name).expect(name)).collect();
            assert!(places.is_sorted(), "{title}: {fields:?}");
        }
    }
}

/// One node's text, merged with nothing, loses what only a proxy can say and keeps the rest to the letter.
#[test]
fn one_text_merges_to_itself() {
    let mut server = Server::start();
    ask(&mut server, "set k v ex 1000");
    let theirs = ask(&mut server, "info all");
    let kept = |name: &str| {
        let field = SECTIONS.iter().flat_map(|section| section.fields).find(|field| field.name == name);
        !matches!(field.map(|field| field.rule), Some(info::Rule::Own | info::Rule::LeftOut))
    };
    let theirs_kept: Vec<&str> =
        theirs.lines().filter(|line| kept(line.split(':').next().unwrap())).collect();
    let merged = info::merge(&[&theirs], &|_| None);
    for (ours, theirs) in merged.lines().zip(theirs_kept.iter().copied()) {
        let derived = ours.contains("_ratio:") || ours.contains("_perc:") || ours.contains("cmdstat_");
        assert!(ours == theirs || derived, "{ours} {theirs}");
    }
    assert_eq!(merged.lines().count(), theirs_kept.len());
    assert!(SECTIONS.iter().any(|section| section.asked == Asked::WithAll));
}
