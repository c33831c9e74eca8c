//! A document from its first writing to its monthly review: compared with what a collector holds now,
//! written with every note kept, and never over what somebody changed meanwhile.

use std::{fs, sync::Arc};

use chrono::TimeDelta;
use tempfile::TempDir;

use super::*;
use crate::{
    cockpit::{
        decide::{Command, decide},
        ports::Effect,
    },
    documents::{
        discovery::companion,
        tests::{cluster, now, ns, world},
    },
    domain::{
        edge::Window,
        renewal::{Cover, summary},
    },
};

const AT: &str = "2026-10-13T12:00:00Z";

fn line(name: &str, port: u16) -> String {
    format!(
        r#"{{"cluster":"prod-eu","namespace":"pay","workload":{{"kind":"Deployment","name":"web"}},"direction":"egress","peer":{{"address":"203.0.113.7"}},"name":"{name}","fresh":5,"protocol":"TCP","port":{port},"outcome":"allowed","flows":5,"first":"2026-10-08T08:00:00Z","last":"2026-10-08T08:30:00Z","hours":[497624]}}"#
    )
}

fn header(edges: usize) -> String {
    format!(
        r#"{{"schema":"sluice.edges/1","namespace":"pay","clusters":[{{"cluster":"prod-eu","from":"2026-10-06T12:00:00Z","to":"{AT}","generatedAt":"{AT}","edges":{edges},"readiness":"ready","credited":[],"gaps":[],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}}]}}"#
    )
}

/// A workspace with the document of pay as it was written 41 days ago, and a note in it.
fn workspace() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let text = format!("{}\n{}\n{}\n", header(2), line("api.example", 443), line("old.example", 443));
    let (found, bad) = companion::from_text(&text).expect("a companion");
    assert_eq!(bad, []);
    let drawn = Drawn { notes: &Notes::new(), due: None, generated: AT.parse().expect("a time") };
    let (document, edges) = papers::texts(&Rules::default(), &found, drawn, &Everywhere::default());
    let noted = document.replacen(
        "<!-- end of notes namespace -->",
        "Ours since 2024.\n<!-- end of notes namespace -->",
        1,
    );
    discovery::write(root.path(), &discovery::companion_path(root.path(), &ns("pay")), &edges)
        .expect("written");
    discovery::write(root.path(), &discovery::document_path(root.path(), &ns("pay")), &noted)
        .expect("written");
    root
}

fn told(root: &TempDir) -> World {
    let mut world = world();
    let files = papers::files(root.path(), now().date_naive());
    world.absorb(Fact::Document(DocumentFact::Read(files)));
    world.settle();
    world
}

/// What the collector holds now: one destination as it was, one on another port, one new.
fn baseline() -> Baseline {
    let edges = [("api.example", 443), ("api.example", 8443), ("hooks.example", 443)];
    let at = now() - TimeDelta::hours(30);
    let edges = edges.map(|(name, port)| {
        let (_, key, mut edge) = crate::edges::from_companion_line(&line(name, port)).expect("an edge");
        (edge.first, edge.last) = (at, at + TimeDelta::minutes(20));
        edge.hours = [crate::domain::edge::hour_of(at)].into_iter().collect();
        (key, edge)
    });
    let window = Window { from: now() - TimeDelta::days(8), to: now() };
    Baseline { ns: ns("pay"), window, edges: edges.to_vec(), left_out: 0, trouble: None }
}

fn question(world: &World) -> Question {
    let orders =
        decide(world, &Command::Compare(ns("pay"), Some(Text::new("ann")))).expect("it may be asked");
    match orders.effects.into_iter().next() {
        Some(Effect::Compare(question)) => *question,
        other => panic!("{other:?}"),
    }
}

async fn compared(root: &TempDir, world: &World, answer: Option<Baseline>) -> Compared {
    let start = Instant::now();
    let mut look = Look::begin(question(world), start);
    assert!(!look.is_over(start));
    if let Some(answer) = answer {
        let foreign = Baseline { ns: ns("old"), ..answer.clone() };
        assert!(!look.take(&cluster("prod-eu"), &foreign) && !look.take(&cluster("far"), &answer));
        assert!(look.take(&cluster("prod-eu"), &answer) && !look.take(&cluster("prod-eu"), &answer));
        assert!(look.is_over(start));
    }
    let reach: Reach = Arc::new(|_| -> Access { unreachable!("no default deny of ours is live in pay") });
    let (sender, mut facts) = mpsc::channel(4);
    look.compare(world, root.path().to_owned(), &reach, sender);
    match facts.recv().await {
        Some(Fact::Document(DocumentFact::Compared(compared))) => (*compared).clone(),
        other => panic!("{other:?}"),
    }
}

fn read(root: &TempDir) -> String {
    fs::read_to_string(discovery::document_path(root.path(), &ns("pay"))).expect("there")
}

#[tokio::test(start_paused = true)]
async fn a_document_is_renewed_from_what_the_collector_holds_now() {
    let root = workspace();
    let mut world = told(&root);
    let due = |world: &World| {
        let rows = monthly::documents(world).expect("read");
        rows.iter().map(|row| format!("{} {}", row.ns, row.standing.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(due(&world), ["pay due"]);
    let compared = compared(&root, &world, Some(baseline())).await;
    let [part] = compared.parts.as_slice() else { panic!("{compared:?}") };
    let newer = part.now.as_ref().expect("it was read");
    assert_eq!(newer.destinations, 3);
    let said: Vec<_> =
        newer.changes.iter().map(|one| format!("{}: {}", one.title, one.differences[0])).collect();
    assert_eq!(said, ["api.example: ports + 8443/TCP", "hooks.example: new", "old.example: gone"]);
    assert_eq!(summary(&newer.changes), "3 differences: 1 new, 1 gone, 1 changed");
    assert!(newer.changes[..2].iter().all(|one| one.cover == Some(Cover::NotIsolated)));
    assert!(!newer.doubts.is_empty(), "84 of 168 hours were watched, so gone may be unseen");
    let prepared = compared.prepared.expect("it can be written");
    assert_eq!((prepared.notes, prepared.lines), (1, 3));
    let said = write(root.path(), &prepared, true).expect("written");
    assert!(said.as_str().contains("git checkout -- network-policies/discovery/pay.md"), "{said}");
    let text = read(&root);
    for kept in
        ["Ours since 2024.", "Reviewed: 2026-11-23 by ann", "| Last review | 2026-11-23 |", "hooks.example"]
    {
        assert!(text.contains(kept), "{kept} is missing in {text}");
    }
    assert!(!text.contains("old.example"));
    world.absorb(Fact::Document(DocumentFact::Read(papers::files(root.path(), now().date_naive()))));
    assert_eq!(due(&world), ["pay current"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_that_somebody_wrote_meanwhile_is_lost() {
    let root = workspace();
    let world = told(&root);
    let compared_ = compared(&root, &world, Some(baseline())).await;
    let prepared = compared_.prepared.expect("it can be written");
    let path = discovery::document_path(root.path(), &ns("pay"));
    let noted = read(&root).replacen("Ours since 2024.", "Ours since 2024, says Bo.", 1);
    fs::write(&path, &noted).expect("written");
    let why = write(root.path(), &prepared, true).expect_err("it is another file by now");
    assert!(why.to_string().contains("changed since it was compared"), "{why}");
    assert_eq!(read(&root), noted);
    // An edit outside the places for notes.
    fs::write(&path, noted.replacen("# Discovery of", "# My discovery of", 1)).expect("written");
    let edited = compared(&root, &world, Some(baseline())).await;
    let why = edited.prepared.expect_err("it would be lost").to_string();
    assert!(why.contains("it was edited outside its notes"), "{why}");
    assert_eq!(edited.parts.len(), 1, "what changed is told all the same");
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_does_not_answer_leaves_its_part_as_it_is() {
    let root = workspace();
    let world = told(&root);
    let start = Instant::now();
    let look = Look::begin(question(&world), start);
    assert!(!look.is_over(start + PATIENCE - Duration::from_millis(1)) && look.is_over(start + PATIENCE));
    let silent = compared(&root, &world, None).await;
    let why = silent.parts[0].now.as_ref().expect_err("nobody answered");
    assert_eq!(why.as_str(), "its collector did not answer within 1m");
    assert!(silent.prepared.is_err());
    let failed = Baseline {
        trouble: Some(Trouble::new("collector of prod-eu", "it broke off", "Ask again.")),
        ..baseline()
    };
    let broken = compared(&root, &world, Some(failed)).await;
    let why = broken.parts[0].now.as_ref().expect_err("it broke off").to_string();
    assert!(why.contains("it broke off"), "{why}");
}
