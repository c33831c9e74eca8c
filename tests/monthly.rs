//! The monthly review of discovery documents on the simulated fleet of the demo: which are due is told
//! by the files of its workspace and by what its clusters have, to the screen's list and to the command.

use std::{path::Path, sync::Arc};

use crate::support::{self, Paper};
use chrono::FixedOffset;
use clap::Parser as _;
use sluice::{
    cli::{
        args::{Cli, Command},
        documents,
        exit::Exit,
        print::Printer,
        session::Session,
    },
    cockpit::plan::ClusterEntry,
    documents::{discovery::companion, notes::Notes},
    domain::{
        discovery::{Everywhere, Rules},
        names::NsName,
    },
    engine::{
        Clock, Engine, Setup,
        papers::{self, Drawn},
    },
    k8s::connect::Access,
    sim::fleet::{companions, people::Person, running::Fleet, scenario::Scenario, workspace},
    workspace::{
        discovery,
        root::{self, Place},
    },
};

fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

/// The documents as the demo writes them from what the simulation left.
fn write_documents(root: &Path) {
    for ns in discovery::namespaces(root) {
        let text = discovery::read(root, &ns).expect("readable").companion.expect("there");
        let (found, bad) = companion::from_text(&text).expect("a companion");
        assert_eq!(bad, [], "{ns}");
        let generated = found.parts.values().map(|part| part.generated).max().expect("a cluster");
        let drawn = Drawn { notes: &Notes::new(), due: None, generated };
        let (document, _) = papers::texts(&Rules::default(), &found, drawn, &Everywhere::default());
        discovery::write(root, &discovery::document_path(root, &ns), &document).expect("written");
    }
}

fn engine(fleet: &Fleet, root: &Path) -> Engine {
    let place = Place { root: root.to_owned(), only: Vec::new() };
    let read = root::read(&place).expect("the demo's workspace is valid");
    let members = fleet.clone();
    Engine::start(Setup {
        fleet: read.fleet,
        files: read.files,
        notices: Vec::new(),
        reach: Arc::new(move |entry: &ClusterEntry| {
            let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
            Access::Client(support::client(member, Person::Viewer))
        }),
        clock: Clock::simulated(support::start(), 1.0),
        zone: FixedOffset::east_opt(0).expect("in range"),
        read_only: false,
        follow_flows: false,
        workspace: Some(place),
        records: None,
        notify: None,
    })
}

async fn run(engine: Engine, words: &str) -> (Exit, String, String) {
    let cli = Cli::try_parse_from(["sluice"].into_iter().chain(words.split(' '))).expect("valid words");
    let (out, said) = (Paper::default(), Paper::default());
    let mut printer = Printer::new(out.clone(), said.clone());
    let Some(Command::Documents(args)) = &cli.command else { panic!("another command") };
    let exit = documents::in_session(&mut Session::new(engine), args, &mut printer).await;
    (exit, out.text(), said.text())
}

#[tokio::test(start_paused = true)]
async fn documents_that_are_due_are_told_with_why() {
    let scenario = Scenario::load("demo").expect("it is there");
    let fleet = support::fleet_of(&scenario, 1);
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("written");
    companions::write(&fleet, folder.path()).expect("written");
    companions::write_old(&fleet, &scenario.past, folder.path()).expect("written");
    write_documents(folder.path());
    let (exit, out, _) = run(engine(&fleet, folder.path()), "documents --due -o json").await;
    assert_eq!(exit, Exit::Refused);
    let rows: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let said = |row: &serde_json::Value| format!("{} {}", row["namespace"], row["standing"]);
    let rows: Vec<_> = rows.as_array().expect("a list").iter().map(said).collect();
    assert_eq!(rows, [r#""loyalty" "vanished""#, r#""reviews" "due""#]);

    // A document that is not there is not called fresh.
    let reviews = ns("reviews");
    std::fs::remove_file(discovery::document_path(folder.path(), &reviews)).expect("it was there");
    let (exit, out, _) = run(engine(&fleet, folder.path()), "documents --due").await;
    assert_eq!(exit, Exit::Refused, "loyalty is still gone");
    let line = out.lines().find(|line| line.contains("no discovery document")).expect("a line");
    assert!(line.contains("`sluice discover "), "{line}");
    assert!(!out.lines().any(|line| line.starts_with("reviews")), "{out}");
}

/// A team that wrote policies by hand and no document: one line, and no clean exit.
#[tokio::test(start_paused = true)]
async fn policies_without_any_document_are_told_in_one_line() {
    let fleet = support::fleet_of(&Scenario::named("two").expect("it is there"), 1);
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("written");
    let (exit, out, _) = run(engine(&fleet, folder.path()), "documents --due").await;
    assert_eq!(exit, Exit::Refused, "{out}");
    let lines: Vec<_> = out.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 2, "{out}");
    let line = "2 clusters: 4 namespaces have no discovery document (east 3, west 4): `sluice discover --cluster \
                CLUSTER --write`";
    assert_eq!(lines[0], line);
    let (_, json, _) = run(engine(&fleet, folder.path()), "documents --due -o json").await;
    let rows: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let rows = rows.as_array().expect("a list");
    assert!(!rows.is_empty() && rows.iter().all(|row| row["standing"] == "unwritten"), "{json}");
}

#[tokio::test(start_paused = true)]
async fn what_no_collector_tells_is_not_written() {
    let scenario = Scenario::load("demo").expect("it is there");
    let fleet = support::fleet_of(&scenario, 1);
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("written");
    companions::write(&fleet, folder.path()).expect("written");
    write_documents(folder.path());
    let shop = ns("shop");
    let before = discovery::read(folder.path(), &shop).expect("readable");
    let words = "documents shop --write --reviewed-by Ann --deadline 5s";
    let (exit, out, said) = run(engine(&fleet, folder.path()), words).await;
    assert_eq!(exit, Exit::Failed, "{out}{said}");
    assert!(out.contains("what changed is not known: no collector answered"), "{out}");
    assert_eq!(discovery::read(folder.path(), &shop).expect("readable"), before);
    let (exit, _, said) = run(engine(&fleet, folder.path()), "documents nothing-like-it").await;
    assert_eq!(exit, Exit::Failed);
    assert!(said.contains("the workspace has no discovery document of nothing-like-it"), "{said}");
}
