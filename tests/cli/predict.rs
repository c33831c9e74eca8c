//! `sluice predict` from files: text, JSON, exit codes, and bad input named with its file and line.

use super::{Machine, shop};

const FLEET: &str = "clusters:\n- {name: east, environment: staging}\n- {name: west, environment: staging}\n";

const HEADER: &str = r#"{"schema":"sluice.edges/1","namespace":"shop","clusters":[{"cluster":"east","from":"2026-11-16T00:00:00Z","to":"2026-11-23T00:00:00Z","generatedAt":"2026-11-23T00:05:00Z","edges":3,"readiness":"ready","credited":[],"gaps":[{"from":"2026-11-18T10:00:00Z","to":"2026-11-18T10:20:00Z","node":null,"lost":null,"why":"the agent restarted"}],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}]}"#;

/// An edge of cart-0 on the last day.
fn edge(peer: &str, port: u16, protocol: &str) -> String {
    format!(
        r#"{{"cluster":"east","namespace":"shop","workload":{{"kind":"Pod","name":"cart-0"}},"direction":"egress","peer":{peer},"protocol":"{protocol}","port":{port},"outcome":"allowed","flows":12,"first":"2026-11-17T08:00:00Z","last":"2026-11-22T21:30:00Z","hours":[498560,498571]}}"#
    )
}

fn workspace(machine: &Machine, allowlist: &str, edges: &[String]) {
    shop(machine);
    machine.put("shop/dns.yaml", RESOLVER);
    let path = |file: &str| format!("network-policies/east/shop/{file}");
    machine.put("sluice.yaml", FLEET);
    machine.put(
        &path("default-deny-egress.yaml"),
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny-egress}
spec: {podSelector: {}, policyTypes: [Egress]}
",
    );
    machine.put(
        &path("egress-allowlist.yaml"),
        &format!(
            "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: egress-allowlist}}
spec:
  podSelector: {{}}
  policyTypes: [Egress]
  egress:
{allowlist}"
        ),
    );
    let lines: Vec<&str> = std::iter::once(HEADER).chain(edges.iter().map(String::as_str)).collect();
    machine.put("network-policies/discovery/shop.edges.jsonl", &(lines.join("\n") + "\n"));
}

const RESOLVER: &str = "apiVersion: v1
kind: Namespace
metadata: {name: kube-system}
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec:
  clusterIP: 10.96.0.10
  selector: {k8s-app: kube-dns}
  ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
---
apiVersion: v1
kind: Pod
metadata: {name: coredns-0, namespace: kube-system, labels: {k8s-app: kube-dns}}
spec: {dnsPolicy: Default, containers: [{name: coredns}]}
status: {phase: Running, podIP: 10.244.9.9}
";

const LOOKUPS: &str = "  - to: [{namespaceSelector: {}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53}]
";

const GATEWAY: &str = "  - to: [{ipBlock: {cidr: 203.0.113.0/25}}]
    ports: [{port: 443}]
  - to: [{podSelector: {matchLabels: {app: databse}}}]
    ports: [{port: 5432}]
";

fn recorded() -> Vec<String> {
    vec![
        edge(r#"{"address":"203.0.113.7"}"#, 443, "TCP"),
        edge(r#"{"address":"10.96.0.10"}"#, 53, "UDP"),
        edge(r#"{"pods":{"namespace":"shop","workload":{"kind":"Pod","name":"db-0"}}}"#, 5432, "TCP"),
    ]
}

const ARGS: [&str; 7] = ["predict", "--cluster", "east", "-n", "shop", "--manifests", "shop"];

#[test]
fn what_would_be_denied_is_printed_with_its_evidence() {
    let machine = Machine::new();
    workspace(&machine, GATEWAY, &recorded());
    let mut said = format!("$ sluice {}\n{}\n", ARGS.join(" "), machine.said(&ARGS));
    let json: Vec<&str> = ARGS.into_iter().chain(["--direction", "egress", "-o", "json"]).collect();
    said.push_str(&format!("$ sluice {}\n{}\n", json.join(" "), machine.said(&json)));
    insta::assert_snapshot!("predict-output", said);
}

#[test]
fn the_exit_code_is_the_verdict() {
    let code = |allowlist: &str, edges: &[String]| {
        let machine = Machine::new();
        workspace(&machine, allowlist, edges);
        machine.run(&ARGS).status.code()
    };
    let gateway = &recorded()[..1];
    let with_lookups = format!("{GATEWAY}{LOOKUPS}");
    assert_eq!(code(&with_lookups, gateway), Some(0));
    assert_eq!(code(GATEWAY, gateway), Some(3), "nothing recorded would be denied, and DNS was forgotten");
    assert_eq!(code(&with_lookups, &recorded()), Some(3));
    let gone = edge(r#"{"pods":{"namespace":"pay","workload":{"kind":"","name":"gw"}}}"#, 443, "TCP");
    assert_eq!(
        code(&with_lookups, std::slice::from_ref(&gone)),
        Some(4),
        "nobody knows the labels of who is gone"
    );
    assert_eq!(code(GATEWAY, &[recorded()[2].clone(), gone]), Some(3), "what is known is worse");
}

#[test]
fn bad_input_is_named_with_file_and_line() {
    let mut said = String::new();
    let mut ask = |machine: &Machine, args: &[&str], exit: &str| {
        let answer = machine.said(args);
        assert!(answer.starts_with(exit), "{args:?}: {answer}");
        said.push_str(&format!("$ sluice {}\n{answer}\n", args.join(" ")));
    };
    let machine = Machine::new();
    ask(&machine, &ARGS, "exit 2\n");
    workspace(&machine, "  - to: [{ipBlock: {cidr: 203.0.113.0/24\n", &recorded());
    ask(&machine, &ARGS, "exit 1\n");
    workspace(&machine, GATEWAY, &["{\"cluster\": \"east\", \"flows\": 1}".to_owned()]);
    ask(&machine, &ARGS, "exit 1\n");
    ask(&machine, &["predict", "-n", "shop", "--manifests", "shop"], "exit 2\n");
    ask(&machine, &["predict", "--cluster", "west", "-n", "shop", "--manifests", "shop"], "exit 1\n");
    ask(&machine, &["predict", "--cluster", "east", "-n", "pay", "--manifests", "shop"], "exit 1\n");
    ask(&machine, &["predict", "--cluster", "east", "-n", "shop", "--manifests", "absent"], "exit 1\n");
    std::fs::remove_file(machine.path().join("network-policies/discovery/shop.edges.jsonl")).expect("there");
    ask(&machine, &ARGS, "exit 1\n");
    insta::assert_snapshot!("predict-bad", said);
}
