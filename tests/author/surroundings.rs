//! Facts as a simulated API server tells them, and what a person may not read.

use sluice::{
    domain::{author::facts::Facts, names::ClusterName},
    k8s::{connect::Access, surroundings},
    sim::{
        api::faults::{Denial, Faults},
        fleet::{people::Person, running::Member},
    },
    workspace::facts,
};

use crate::support;

async fn said(member: &Member) -> String {
    let access = Access::Client(support::client(member, Person::Viewer));
    let (facts, troubles) = surroundings::read(&access).await;
    let mut out = format!("{}\n", surroundings::words(&facts));
    troubles.iter().for_each(|trouble| out.push_str(&format!("{trouble}\n")));
    out
}

fn denial(resource: &str) -> Denial {
    Denial {
        user: "viewer".to_owned(),
        verb: "list".to_owned(),
        resource: resource.to_owned(),
        namespace: String::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn facts_are_read_part_by_part() {
    let fleet = support::fleet("two", 1);
    let member = fleet.clusters().first().expect("a cluster");
    insta::assert_snapshot!("facts-1", said(member).await);
    let server = member.server();
    server.set_faults(Faults { denials: vec![denial("nodes"), denial("daemonsets")], ..Faults::default() });
    insta::assert_snapshot!("facts-2", said(member).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_read_survives_a_facts_file() {
    let fleet = support::fleet("two", 1);
    for member in fleet.clusters() {
        let access = Access::Client(support::client(member, Person::Lead));
        let (read, _) = surroundings::read(&access).await;
        let name = ClusterName::parse(member.name()).expect("a name");
        let text = facts::to_text(&facts::All::from([(name.clone(), read.clone())]));
        let back = facts::parse("facts.yaml", &text).expect("readable");
        let plain = |facts: &Facts| Facts { cni: None, ..facts.clone() };
        assert_eq!(plain(&back[&name]), plain(&read), "{text}");
        assert_eq!(back[&name].kind(), read.kind());
        assert_eq!(back[&name].honours_end_port(), read.honours_end_port());
    }
}
