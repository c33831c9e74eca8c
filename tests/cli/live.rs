//! `sluice predict`, `explain` and `author` against a fleet that is served as a real one is: a person
//! who may only read is told the same as one who may write, and nothing is changed.

use std::{
    fs,
    io::{BufRead as _, BufReader, Lines},
    path::PathBuf,
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;

use super::Machine;

const HEADER: &str = r#"{"schema":"sluice.edges/1","namespace":"shop","clusters":[{"cluster":"east","from":"2026-01-05T00:00:00Z","to":"2026-01-12T00:00:00Z","generatedAt":"2026-01-12T00:05:00Z","edges":1,"readiness":"ready","credited":[],"gaps":[],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}]}"#;
const EDGE: &str = r#"{"cluster":"east","namespace":"shop","workload":{"kind":"Deployment","name":"storefront"},"direction":"egress","peer":{"address":"203.0.113.99"},"protocol":"TCP","port":8443,"outcome":"allowed","flows":12,"first":"2026-01-06T08:00:00Z","last":"2026-01-11T21:30:00Z","hours":[491000,491011]}"#;

/// The demo's two clusters, served until this is dropped.
struct Demo {
    child: Child,
    folder: PathBuf,
    /// Open as long as it may print.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    fn start(machine: &Machine) -> Self {
        let mut command = machine.command(&["demo", "--serve", "--scenario", "two", "--directory", "fleet"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let is_up = said.any(|line| line.expect("text").starts_with("# interrupt"));
        assert!(is_up, "it ended before everything was served");
        Self { child, folder: machine.path().join("fleet"), _said: said }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // One that ended already is over as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit code, and everything said.
fn ask(machine: &Machine, demo: &Demo, person: &str, args: &[&str]) -> (i32, String) {
    let mut command = machine.command(args);
    command.current_dir(&demo.folder);
    command.env("KUBECONFIG", demo.folder.join(format!("kubeconfig-{person}.yaml")));
    let output = command.output().expect("it starts");
    let text = [output.stdout, output.stderr].map(|part| String::from_utf8(part).expect("UTF-8")).concat();
    (output.status.code().expect("an exit code"), text)
}

#[test]
fn who_may_only_read_is_told_the_same_as_who_may_write() {
    let machine = Machine::new();
    let demo = Demo::start(&machine);
    let predict = ["predict", "--cluster", "east", "-n", "shop", "--direction", "egress", "-o", "json"];
    let (exit, said) = ask(&machine, &demo, "viewer", &predict);
    assert_eq!(exit, 1, "{said}");
    assert!(said.contains("sluice discover --cluster east -n shop --write"), "{said}");

    machine.put("fleet/network-policies/discovery/shop.edges.jsonl", &format!("{HEADER}\n{EDGE}\n"));
    let allowlist = demo.folder.join("network-policies/east/shop/egress-allowlist.yaml");
    let before = fs::read(&allowlist).expect("the demo's own");
    for person in ["viewer", "security", "lead"] {
        let (exit, said) = ask(&machine, &demo, person, &predict);
        assert_eq!(exit, 3, "{person}: {said}");
        let told: Value = serde_json::from_str(&said).expect("one object");
        assert_eq!((&told["verdict"], &told["edges"]), (&"denied".into(), &1.into()), "{person}");
        let denied = &told["denied"][0];
        assert_eq!(
            (&denied["workload"]["name"], &denied["peer"], &denied["port"], &denied["live"]),
            (&"storefront".into(), &"203.0.113.99".into(), &8443.into(), &"allowed".into())
        );
        assert!(told["clusterUid"].is_string(), "{person}");
        let count = |field: &str| told["isolated"][field].as_u64().expect("a count");
        assert!(count("pods") >= 3, "{said}");
        assert_eq!(count("ipv4") + count("addressUnknown"), count("pods"), "the demo has IPv4 alone");

        let pod = told["isolation"][0]["pod"].as_str().expect("a pod");
        let from = format!("shop/{pod}");
        let explain =
            ["explain", "--cluster", "east", "--from", &from, "--to", "203.0.113.99", "--port", "8443/TCP"];
        let (exit, said) = ask(&machine, &demo, person, &explain);
        assert_eq!(exit, 0, "{person}: {said}");
        assert!(said.contains("no policy isolates it, so all egress passes"), "{said}");

        let author = ["author", "--cluster", "east", "-n", "shop", "--direction", "egress", "--dry-run"];
        let (exit, said) = ask(&machine, &demo, person, &author);
        assert_eq!(exit, 3, "the demo's files were written by hand: {said}");
        assert!(said.contains("203.0.113.99 TCP/8443, of storefront: flagged as unresolved-ip"), "{said}");
    }
    assert_eq!(fs::read(&allowlist).expect("still there"), before, "nothing is written");
}
