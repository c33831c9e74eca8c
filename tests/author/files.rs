//! The built binary and files that people wrote: what they wrote is never lost, and what cannot be
//! read is told with file and line. No cluster is needed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

/// A machine of its own, with a workspace in which shop of prod-eu has evidence.
struct Machine {
    home: tempfile::TempDir,
}

const FLEET: &str = "\
clusters:
- {name: prod-eu, context: eks-eu, environment: production}
";
const FACTS: &str = "\
schema: sluice.facts/1
clusters:
- cluster: prod-eu
  cni: {kind: Calico, version: v3.30.1}
  resolver:
    pods: {namespace: kube-system, labels: {k8s-app: kube-dns}, ports: [53], ready: 2}
    service: [10.96.0.10]
  apiServer: {endpoints: ['10.0.0.1:6443'], service: ['10.96.0.1:443']}
  nodes: [10.0.0.1, 10.0.0.2]
  podNetworks: [10.244.0.0/16]
  workloads:
  - {namespace: shop, kind: Deployment, name: cart, labels: {app: cart}}
";
const FOLDER: &str = "network-policies/prod-eu/shop";

fn edge(peer: &str, name: &str) -> String {
    format!(
        r#"{{"cluster":"prod-eu","namespace":"shop","workload":{{"kind":"Deployment","name":"cart"}},"direction":"egress","peer":{{"address":"{peer}"}},"name":"{name}","protocol":"TCP","port":443,"outcome":"allowed","flows":12,"first":"2026-03-02T09:15:04Z","last":"2026-03-08T10:00:00Z","hours":[492345,492490],"fresh":12}}
"#
    )
}

impl Machine {
    fn new() -> Self {
        let machine = Self { home: tempfile::tempdir().expect("a folder") };
        machine.put("sluice.yaml", FLEET);
        machine.put("facts.yaml", FACTS);
        machine.evidence(&[("203.0.113.80", "api.payments.example")]);
        machine
    }

    fn evidence(&self, edges: &[(&str, &str)]) {
        let header = format!(
            r#"{{"schema":"sluice.edges/1","namespace":"shop","clusters":[{{"cluster":"prod-eu","from":"2026-03-02T00:00:00Z","to":"2026-03-09T00:00:00Z","edges":{}}}]}}"#,
            edges.len()
        );
        let lines: String = edges.iter().map(|(peer, name)| edge(peer, name)).collect();
        self.put("network-policies/discovery/shop.edges.jsonl", &format!("{header}\n{lines}"));
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.home.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join(FOLDER).join(name))
            .unwrap_or_else(|_| "not there".to_owned())
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let old = self.read(name);
        assert!(old.contains(from), "{old}");
        self.put(&format!("{FOLDER}/{name}"), &old.replacen(from, to, 1));
    }

    /// Exit code and everything said.
    fn said(&self, args: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["author", "--offline"])
            .args(args.split_whitespace())
            .env_clear()
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let out = String::from_utf8(output.stdout).expect("UTF-8");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        let text = format!("exit {}\n{out}{said}", output.status.code().expect("an exit code"));
        text.replace(&*self.home.path().to_string_lossy(), "HOME")
    }

    fn egress(&self) -> String {
        self.said("-n shop --direction egress --facts facts.yaml")
    }

    fn files(&self) -> Vec<String> {
        let folder = self.home.path().join(FOLDER);
        let entries = fs::read_dir(Path::new(&folder)).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_set_is_written_once_and_then_stays_the_same() {
    let machine = Machine::new();
    insta::assert_snapshot!(machine.said("-n shop --direction egress --facts facts.yaml --dry-run"));
    assert!(machine.files().is_empty());
    assert!(machine.egress().starts_with("exit 0\nprod-eu/shop egress: written\n"));
    let names = ["default-deny-egress.yaml", "egress-allowlist.yaml", "egress-baseline-allow.yaml"];
    assert_eq!(machine.files(), names);
    let before = names.map(|name| machine.read(name));
    assert_eq!(machine.egress(), "exit 0\nprod-eu/shop egress: unchanged\n1 unchanged.\n");
    machine.evidence(&[("203.0.113.80", "api.payments.example"), ("203.0.113.81", "api.payments.example")]);
    insta::assert_snapshot!("changed-1", machine.egress());
    assert_ne!(before, names.map(|name| machine.read(name)));
}

#[test]
fn what_a_person_wrote_into_a_file_is_refused_with_its_line_and_taken_over_on_request() {
    let machine = Machine::new();
    machine.egress();
    let rule = "  egress:\n  - to:\n    - ipBlock: {cidr: 198.51.100.0/24}\n    ports: [{port: 8443}]\n";
    machine.edit("egress-allowlist.yaml", "  egress:\n", rule);
    machine.evidence(&[("203.0.113.90", "api.payments.example")]);
    let edited = machine.read("egress-allowlist.yaml");
    insta::assert_snapshot!("edited-1", machine.egress());
    assert_eq!(machine.read("egress-allowlist.yaml"), edited);
    assert!(machine.read("egress-baseline-allow.yaml").contains("NTP"), "the rest of the set is as it was");
    insta::assert_snapshot!(
        "edited-2",
        machine.said("-n shop --direction egress --facts facts.yaml --adopt")
    );
    insta::assert_snapshot!("edited-3", machine.read("egress-allowlist.extra.yaml"));
    // From then on it survives every regeneration.
    machine.evidence(&[("203.0.113.91", "api.payments.example")]);
    machine.egress();
    let text = machine.read("egress-allowlist.yaml");
    assert!(text.contains("198.51.100.0/24") && text.contains("203.0.113.91/32"), "{text}");
}

#[test]
fn files_of_others_are_told_with_file_and_line_and_never_overwritten() {
    let foreign = "\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: egress-allowlist, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: []
";
    let machine = Machine::new();
    machine.put(&format!("{FOLDER}/mine.yaml"), "a: 1\n");
    let mut everything = String::new();
    for (name, text) in [
        ("egress-allowlist.yaml", foreign),
        ("egress-allowlist.yaml", "a: [\n"),
        ("egress-baseline-allow.yaml", "kind: NetworkPolicy\n---\nkind: NetworkPolicy\n"),
        ("egress-baseline-allow.yaml", "kind: ConfigMap\n"),
        ("egress-allowlist.extra.yaml", "rules:\n- to: []\n"),
        ("egress-allowlist-fqdn.yaml", "kind: ConfigMap\n"),
    ] {
        let path = machine.home.path().join(FOLDER).join(name);
        machine.put(&format!("{FOLDER}/{name}"), text);
        let said = machine.egress();
        let told: Vec<_> = said.lines().filter(|line| line.starts_with("    network-policies/")).collect();
        assert!(said.starts_with("exit 3\n"), "{said}");
        everything.push_str(&format!("{}\n\n", told.join("\n")));
        assert_eq!(machine.read(name), text);
        fs::remove_file(path).expect("removed");
        assert_eq!(machine.files(), ["mine.yaml"]);
    }
    insta::assert_snapshot!("others", everything);
}

#[test]
fn a_file_that_says_the_same_is_left_to_who_wrote_it() {
    let machine = Machine::new();
    let valve = "\
# ours since 2019
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny-egress, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress]}
";
    machine.put(&format!("{FOLDER}/default-deny-egress.yaml"), valve);
    let said = machine.egress();
    assert!(said.contains("kept      network-policies/prod-eu/shop/default-deny-egress.yaml"), "{said}");
    assert!(said.starts_with("exit 0\n"), "{said}");
    assert_eq!(machine.read("default-deny-egress.yaml"), valve);
}

#[test]
fn a_rule_of_a_person_that_opens_what_is_flagged_waits_for_its_grant() {
    let machine = Machine::new();
    machine.put(
        &format!("{FOLDER}/egress-allowlist.extra.yaml"),
        "rules:\n- why: old way\n  to: [{ipBlock: {cidr: 169.254.169.254/32}}]\n  ports: [{port: 80}]\n",
    );
    let said = machine.egress();
    assert!(
        said.contains("a rule of yours (network-policies/prod-eu/shop/egress-allowlist.extra.yaml line 2)"),
        "{said}"
    );
    assert!(!machine.read("egress-allowlist.yaml").contains("cidr: 169.254"));
}

#[test]
fn without_facts_or_evidence_it_says_what_is_missing() {
    let machine = Machine::new();
    insta::assert_snapshot!("missing-1", machine.said("-n shop --direction egress --dry-run"));
    insta::assert_snapshot!("missing-2", machine.said("-n nobody --direction ingress"));
    insta::assert_snapshot!("missing-3", machine.said("-n shop --direction egress --facts nowhere.yaml"));
    machine.put("facts.yaml", "schema: sluice.facts/1\nclusters:\n- cluster: prod-eu\n  colour: red\n");
    insta::assert_snapshot!("missing-4", machine.egress());
}

#[test]
fn a_flip_of_harbor_shows_what_it_would_rewrite_and_writes_nothing() {
    let machine = Machine::new();
    machine.put(
        "sluice.yaml",
        &format!("{FLEET}author:\n  harbor:\n  - {{landed: false, names: [harbor.corp.example], networks: [10.20.0.10/32]}}\n"),
    );
    machine.evidence(&[("203.0.113.33", "ghcr.io")]);
    machine.egress();
    let before = machine.read("egress-allowlist.yaml");
    insta::assert_snapshot!(
        "flip-1",
        machine.said("-n shop --direction egress --facts facts.yaml --harbor landed")
    );
    assert_eq!(machine.read("egress-allowlist.yaml"), before);
}

#[test]
fn json_says_the_same() {
    let machine = Machine::new();
    insta::assert_snapshot!(machine.said("-n shop --direction egress --facts facts.yaml -o json"));
}
