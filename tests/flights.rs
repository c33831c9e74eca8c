//! Pre-flights of the simulated fleet, in memory, under a paused clock: thirteen clusters side by side
//! as the command prints them, and what they stop in a running cockpit.

mod support;

use std::{io, time::Duration};

use clap::Parser as _;
use sluice::{
    cli::{
        args::{Cli, Command},
        exit::Exit,
        preflight,
        print::Printer,
    },
    cockpit::{
        decide,
        plan::{ClusterEntry, PolicyFiles},
        preflight as flown,
    },
    domain::{flow::Direction, names::NsName, rollout::Target},
    k8s::connect::Access,
    sim::fleet::{people::Person, running::Fleet},
};
use support::Paper;

async fn run(fleet: &Fleet, words: &str) -> (Exit, String) {
    let cli = Cli::try_parse_from(["sluice", "preflight"].into_iter().chain(words.split_whitespace()));
    let Some(Command::Preflight(args)) = cli.expect("a valid command line").command else {
        panic!("another command")
    };
    let out = Paper::default();
    let mut printer = Printer::new(out.clone(), io::sink());
    let members = fleet.clone();
    let reach = move |entry: &ClusterEntry| {
        let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
        Access::Client(support::client(member, Person::Lead))
    };
    let clusters = support::fleet_file(fleet).clusters;
    let exit = preflight::run(&clusters, &reach, &args, &mut printer).await;
    drop(printer);
    (exit, out.text())
}

#[tokio::test(start_paused = true)]
async fn thirteen_clusters_are_looked_at_side_by_side() {
    let fleet = support::fleet("demo", 1);
    let began = tokio::time::Instant::now();
    let (exit, text) = run(&fleet, "").await;
    assert_eq!(fleet.clusters().len(), 13);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    // The demo's flannel cluster enforces nothing.
    assert_eq!(exit, Exit::Refused);
    let heads: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ') && !line.is_empty()).collect();
    assert_eq!(heads.len(), 13);
    let first = text.split("\n\n").next().unwrap_or_default();
    insta::assert_snapshot!("demo", format!("{}\n\n{first}", heads.join("\n")));
    let (again, json) = run(&fleet, "-o json").await;
    assert_eq!(again, exit);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["clusters"].as_array().map(Vec::len), Some(13));
    assert_eq!(json["clusters"][0]["checks"].as_array().map(Vec::len), Some(19));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_enforced_is_blocked_in_the_cockpit_and_nothing_else_is() {
    let fleet = support::fleet("demo", 1);
    let plan = support::fleet_file(&fleet);
    let mut engine = support::engine(&fleet, Person::Lead, plan, PolicyFiles::default());
    support::run_until(&mut engine, "each cluster has its pre-flight", Duration::from_secs(60), |world| {
        world.clusters().all(|cluster| cluster.looked.preflight.is_some())
    })
    .await;
    let world = engine.world();
    let stopped: Vec<String> = world
        .clusters()
        .filter(|cluster| flown::stops_rollout(cluster).next().is_some())
        .map(|cluster| cluster.name.to_string())
        .collect();
    let flannel: Vec<String> = world
        .clusters()
        .filter(|cluster| cluster.enforcement() == sluice::domain::fleet::Enforcement::DoesNot)
        .map(|cluster| cluster.name.to_string())
        .collect();
    assert_eq!(stopped, flannel);
    assert!(!stopped.is_empty());
    let cluster = world.clusters().find(|cluster| cluster.name.as_str() == stopped[0]).expect("it is there");
    let target = Target {
        cluster: cluster.name.clone(),
        ns: NsName::parse("default").expect("a name"),
        direction: Direction::Egress,
    };
    let said: Vec<String> = decide::apply_reasons(world, &target).iter().map(ToString::to_string).collect();
    let name = &cluster.name;
    let wanted = format!(
        "pre-flight of {name}, engine fail: flannel connects pods and nothing beside it enforces: NetworkPolicies are accepted and ignored. See `sluice preflight --cluster {name}`"
    );
    assert!(said.contains(&wanted), "{said:#?}");
}
