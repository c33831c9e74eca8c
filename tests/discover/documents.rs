//! Goldens of the four forms, and that a regeneration keeps what people wrote.

use chrono::NaiveDate;
use sluice::{
    documents::{
        discovery::{
            companion::{self, Companion, Part},
            json, markdown,
            page::Page,
            text,
        },
        notes::{self, Kind, Notes},
    },
    domain::time::Timestamp,
};

use super::week::{self, at, cluster, shop};

fn document(pages: &[Page], notes: &Notes, due: Option<NaiveDate>, generated: Timestamp) -> String {
    markdown::text(&markdown::Document { ns: &shop(), pages, notes, due, generated })
}

#[test]
fn a_week_as_json_lines() {
    insta::assert_snapshot!("week.json", json::lines(&week::page()));
}

#[test]
fn a_week_as_text() {
    insta::assert_snapshot!("week.txt", text::text(&week::page()));
}

#[test]
fn a_week_as_the_document_people_review() {
    let pages = [week::page()];
    let text = document(&pages, &Notes::new(), None, at(7, 6));
    insta::assert_snapshot!("week.md", text);
    assert_eq!(text, document(&pages, &Notes::new(), None, at(7, 6)), "same input, same bytes");
}

#[test]
fn an_empty_namespace_says_so() {
    let mut page = week::page();
    page.destinations.clear();
    page.evidence.coverage.credited.clear();
    page.evidence.crons = None;
    page.evidence.silent = None;
    assert_eq!(json::lines(&page), "");
    insta::assert_snapshot!("empty.txt", text::text(&page));
}

#[test]
fn a_regeneration_keeps_what_people_wrote() {
    let pages = [week::page()];
    let first = document(&pages, &Notes::new(), None, at(7, 6));
    let written = first
        .replace("Reviewed: not yet", "Reviewed: 2026-03-10 by Ann")
        .replace("Decision: none yet", "Decision: Ann allows it until 2026-09-01.\n\n| a | table |");
    let old = notes::read(Kind::Discovery, &written).expect("ours");
    assert!(!old.is_edited);
    // A week later one suspect is gone, another cluster is new.
    let mut later = week::page();
    later.destinations.retain(|destination| destination.port != 80);
    let mut second = week::page();
    second.cluster = cluster("prod-us");
    let text = document(&[later, second], &old.notes, Some(old.due), at(14, 6));
    let again = notes::read(Kind::Discovery, &text).expect("ours");
    assert_eq!(text.matches("Decision: Ann allows it until 2026-09-01.").count(), 2);
    assert!(text.contains("## Notes on what was not seen this time"), "{text}");
    assert_eq!(again.due.to_string(), "2026-04-10");
    for (id, note) in old.notes.iter().filter(|(_, note)| !note.body.trim().is_empty()) {
        assert_eq!(&again.notes[id].body, &note.body, "{id}");
    }
    let third = document(&pages, &again.notes, Some(again.due), at(21, 6));
    assert!(!third.contains("not seen this time"), "it came back, and its notes with it");
}

#[test]
fn a_companion_survives_both_ways() {
    let part = Part {
        window: week::window(),
        generated: at(7, 6),
        evidence: week::evidence(),
        edges: vec![week::edge()],
    };
    let parts = [(cluster("prod-eu"), part.clone()), (cluster("prod \"us\""), part)].into();
    let whole = Companion { ns: shop(), parts };
    let text = companion::to_text(&whole);
    insta::assert_snapshot!("week.edges.jsonl", text);
    assert_eq!(companion::from_text(&text), Ok((whole, Vec::new())));
    let broken = text.replacen("\"egress\"", "\"out\"", 1) + "{\n{\"cluster\":\"nowhere\"}\n";
    let (read, bad) = companion::from_text(&broken).expect("the header is whole");
    assert_eq!(read.parts.values().map(|part| part.edges.len()).sum::<usize>(), 1);
    let said: Vec<_> = bad.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!("broken.edges.jsonl", said.join("\n"));
    let said = companion::from_text("{}\n").expect_err("no header").to_string();
    assert!(said.starts_with("line 1: it is no header ("), "{said}");
}
