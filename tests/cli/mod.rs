//! The built binary from outside: help texts as goldens, usage errors, what bad input is answered
//! with, exit codes, a reader that leaves. No cluster is needed.

mod live;
mod predict;

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// A machine of its own: an empty home, no kubeconfig, no variables of the real one.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
        command.args(args).env_clear().env("HOME", self.path()).env("TZ", "UTC").current_dir(self.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it starts")
    }

    /// Exit code and everything said, with this machine's folder left out.
    fn said(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let text = format!(
            "exit {}\n{}{}",
            output.status.code().expect("an exit code"),
            String::from_utf8(output.stdout).expect("UTF-8"),
            String::from_utf8(output.stderr).expect("UTF-8"),
        );
        text.replace(&self.path().to_string_lossy().into_owned(), "HOME")
    }
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: u, user: {token: secret-token}}]
contexts:
- {name: one, context: {cluster: c, user: u}}
- {name: two, context: {cluster: c, user: u}}
";

/// Every command's help, found by the definition itself.
#[test]
fn help_texts() {
    let machine = Machine::new();
    let mut root = <sluice::cli::args::Cli as clap::CommandFactory>::command();
    root.build();
    let mut names = vec![String::new()];
    let mut open: Vec<(String, &clap::Command)> = vec![(String::new(), &root)];
    while let Some((above, tree)) = open.pop() {
        for child in tree.get_subcommands().filter(|child| child.get_name() != "help") {
            let name = format!("{above} {}", child.get_name()).trim().to_owned();
            names.push(name.clone());
            open.push((name, child));
        }
    }
    assert!(names.len() > 35, "{names:?}");
    for name in names {
        let args: Vec<&str> = name.split_whitespace().chain(["--help"]).collect();
        let golden = if name.is_empty() { "help".to_owned() } else { name.replace(' ', "-") };
        insta::assert_snapshot!(golden, machine.said(&args));
    }
}

/// The manual page is made of the same definition.
#[test]
fn the_manual_page() {
    let machine = Machine::new();
    insta::assert_snapshot!("manual", machine.said(&["man"]));
}

/// Manifests stand in for a cluster, and what they mean is in the exit code.
#[test]
fn manifests_are_pre_flighted_without_a_cluster() {
    let machine = Machine::new();
    let put = |folder: &str, containers: &str| {
        machine.put(
            &format!("{folder}/kube-flannel.yaml"),
            &format!(
                "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: kube-flannel-ds, namespace: kube-flannel}}\n\
                 spec: {{template: {{spec: {{containers: [{containers}]}}}}}}\n"
            ),
        );
    };
    put("alone", "{name: kube-flannel, image: 'ghcr.io/flannel-io/flannel:v0.27.4'}");
    let alone = machine.said(&["preflight", "--manifests", "alone"]);
    assert!(alone.starts_with("exit 3\nmanifests: rollout and discovery stopped ("), "{alone}");
    insta::assert_snapshot!("preflight-flannel", alone);
    machine.put("broken/a.yaml", "kind: [\n");
    machine.put("broken/notes.txt", "kind: [\n");
    let broken = machine.said(&["preflight", "--manifests", "broken", "-o", "json"]);
    assert!(broken.starts_with("exit 4\n{\n  \"clusters\""), "{broken}");
    assert!(broken.contains("HOME/broken/a.yaml") || broken.contains("broken/a.yaml: line"), "{broken}");
    let absent = machine.said(&["preflight", "--manifests", "absent"]);
    assert!(absent.starts_with("exit 2\nabsent: it cannot be read ("), "{absent}");
    // One bad file of a folder costs itself only; of what was named nothing may be missing.
    put("mixed", "{name: kube-flannel}");
    fs::write(machine.path().join("mixed/binary.yaml"), [0x00, 0xff, 0xfe]).expect("a file");
    machine.put("mixed/comments.yaml", "---\n# Source: chart/templates/empty.yaml\n---\n---\n");
    let mixed = machine.path().join("mixed");
    std::os::unix::fs::symlink(&mixed, mixed.join("again")).expect("a link");
    let mixed = machine.said(&["preflight", "--manifests", "mixed"]);
    assert!(mixed.starts_with("exit 4\nmanifests: "), "{mixed}");
    assert!(mixed.contains("mixed/binary.yaml: it is no text in UTF-8. Leave it out"), "{mixed}");
    let agents = |said: &str| said.matches("DaemonSet kube-flannel/kube-flannel-ds: container").count();
    assert_eq!(agents(&mixed), agents(&alone), "each file is read once: {mixed}");
    let named = machine.said(&["preflight", "--manifests", "mixed/binary.yaml"]);
    assert!(named.starts_with("exit 2\nmixed/binary.yaml: it is no text in UTF-8."), "{named}");
    machine.put("empty/readme.txt", "nothing");
    let empty = machine.said(&["preflight", "--manifests", "empty"]);
    assert!(empty.starts_with("exit 2\nNo Kubernetes object is in these files."), "{empty}");
    let endless = machine.said(&["preflight", "--manifests", "/dev/zero"]);
    assert!(endless.starts_with("exit 2\n/dev/zero: it is larger than 64 MiB."), "{endless}");
    machine.put(".kube/config", KUBECONFIG);
    let down = machine.said(&["preflight", "--context", "one"]);
    assert!(down.starts_with("exit 1\none: unknown\n  "), "{down}");
}

/// Reviews are kept in the state cluster: without one there is nothing to list or decide.
#[test]
fn reviews_need_a_state_cluster() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    machine.put("sluice.yaml", "clusters: [{name: one}]\n");
    let said =
        "exit 3\nno state cluster is named: write `state:` into sluice.yaml and run `sluice install` there\n";
    for args in [
        &["review", "list"][..],
        &["review", "show", "r-1", "-o", "json"],
        &["review", "approve", "r-1", "--reason", "known", "--yes"],
        &["review", "ask", "-n", "shop", "--purpose", "orders", "--dry-run"],
    ] {
        assert_eq!(machine.said(args), said, "{args:?}");
    }
}

#[test]
fn usage_errors_end_in_2_and_say_what_to_write() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    let cases: [&[&str]; 17] = [
        &["frobnicate"],
        &["apply"],
        &["apply", "-n", "Shop", "--yes"],
        &["apply", "-n", "shop"],
        &["rollback", "-n", "shop"],
        &["rollback", "--yes"],
        &["rollback", "-n", "shop", "--yes"],
        &["rollback", "-n", "shop", "--direction", "up", "--yes"],
        &["denials", "--for", "5"],
        &["status", "--context", "three"],
        &["demo", "--relay-address", "127.0.0.1"],
        &["plan", "--context", "three"],
        &["hold", "--reason", "x"],
        &["hold", "--fleet", "-n", "shop"],
        &["exclude", "--direction", "egress"],
        &["exclude", "--context", "one", "--until", "tomorrow"],
        &["--mask", "status"],
    ];
    let mut said = String::new();
    for args in cases {
        let answer = machine.said(args);
        assert!(answer.starts_with("exit 2\n"), "{args:?}: {answer}");
        said.push_str(&format!("$ sluice {}\n{answer}\n", args.join(" ")));
    }
    insta::assert_snapshot!("usage", said);
}

#[test]
fn a_kubeconfig_that_cannot_be_used_ends_in_a_sentence() {
    let machine = Machine::new();
    machine.put("broken.yaml", "clusters: [\n");
    machine.put("empty.yaml", "apiVersion: v1\nkind: Config\n");
    let mut said = String::new();
    for path in ["absent.yaml", "broken.yaml", "empty.yaml"] {
        let answer = machine.said(&["status", "--kubeconfig", path]);
        assert!(answer.starts_with("exit 1\n"), "{answer}");
        said.push_str(&format!("$ sluice status --kubeconfig {path}\n{answer}\n"));
    }
    insta::assert_snapshot!("kubeconfig", said);
}

#[test]
fn a_broken_workspace_stops_an_apply_and_no_look() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    machine.put("sluice.yaml", "clusters:\n- name: a\n  context: one\n  environment: prod\n");
    let answer = machine.said(&["apply", "-n", "shop", "--yes"]);
    insta::assert_snapshot!("broken-workspace", answer);
    // The contexts stand in, both are down, and what is wrong with the file is told.
    let answer = machine.said(&["status", "--context", "one", "--deadline", "2m"]);
    assert!(answer.starts_with("exit 1\none  environment unknown  down"), "{answer}");
    assert!(answer.contains("note: HOME/sluice.yaml line 4"), "{answer}");
    let answer = machine.said(&["denials", "--for", "100ms"]);
    assert!(answer.starts_with("exit 1\nDenials are unknown: no flow source is live."), "{answer}");
    assert!(answer.contains("two: none: the cluster is down"), "{answer}");
}

#[test]
fn a_first_sluice_yaml_is_written_once() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    fs::create_dir(machine.path().join("work")).expect("a folder");
    let first = machine.said(&["init", "work"]);
    let again = machine.said(&["init", "work"]);
    let read = machine.said(&["status", "--workspace", "work", "--deadline", "2m"]);
    assert!(read.contains("one  environment unknown  down"), "{read}");
    let none = machine.said(&["init", "--context", "three"]);
    insta::assert_snapshot!("init-output", format!("{first}{again}{none}"));
}

/// Nothing may go where nothing is read, and it says so for scripts too.
#[test]
fn a_plan_of_clusters_that_are_down_is_refused() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    machine.put("sluice.yaml", "clusters:\n- {name: a, context: one, environment: staging}\n");
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: default-deny-egress, namespace: shop}\nspec: {podSelector: {}, policyTypes: [Egress]}\n";
    machine.put("network-policies/a/shop/default-deny-egress.yaml", policy);
    let said = machine.said(&["plan", "--deadline", "2m", "--direction", "egress"]);
    assert!(said.starts_with("exit 3\nPlan of "), "{said}");
    assert!(said.contains("egress: 0 may go now, 1 wait"), "{said}");
    assert!(said.contains("- no state cluster is named"), "{said}");
    let said = machine.said(&["hold", "--fleet", "--reason", "x", "--deadline", "2m"]);
    assert_eq!(
        said,
        "exit 3\nhold the fleet is refused:\n  - no state cluster is named: write `state:` into sluice.yaml, then run `sluice install`\n"
    );
}

#[test]
fn info_prints_every_path() {
    let machine = Machine::new();
    machine.put(".kube/config", KUBECONFIG);
    machine.put("sluice.yaml", "clusters:\n- {name: a, context: one, environment: staging}\n");
    // Columns are as wide as this machine's folders.
    let said = machine.said(&["info"]);
    let lines = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    insta::assert_snapshot!("info-output", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn completions_name_the_subcommands() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = machine.run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("rollback"), "{shell}");
    }
}

/// `sluice completions bash | true`: no panic, no complaint.
#[test]
fn a_reader_that_leaves_is_no_error() {
    let machine = Machine::new();
    for args in [&["completions", "bash"][..], &["--help"], &["info"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = machine.command(args).stdout(writer).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
    }
}

/// A shop that may talk to one payment gateway, as files.
fn shop(machine: &Machine) {
    machine.put(
        "shop/cluster.yaml",
        "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: Pod
  metadata: {name: cart-0, namespace: shop, labels: {app: cart}}
  spec: {containers: [{name: cart}]}
  status: {phase: Running, podIP: 10.1.0.1}
- apiVersion: v1
  kind: Pod
  metadata: {name: db-0, namespace: shop, labels: {app: db}}
  spec: {containers: [{name: db}]}
  status: {phase: Running, podIPs: [{ip: 10.1.0.2}]}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: passed-over, namespace: shop}
",
    );
    machine.put(
        "shop/policies/egress.yml",
        "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny-egress, namespace: shop}
spec: {podSelector: {}, policyTypes: [Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: egress-allowlist, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.66/32]}}]
    ports: [{port: 443}]
",
    );
}

#[test]
fn a_connection_is_explained() {
    let machine = Machine::new();
    shop(&machine);
    let mut said = String::new();
    let cases: [(&str, &str, &str, &[&str]); 5] = [
        ("shop/cart-0", "203.0.113.7", "443/TCP", &[]),
        ("shop/cart-0", "203.0.113.66", "443", &["-o", "json"]),
        ("shop/cart-0", "shop/db-0", "5432/TCP", &[]),
        ("shop/cart-0", "203.0.113.7", "ICMP", &[]),
        ("198.51.100.1", "10.1.0.2", "TCP/5432", &["--cni", "cilium", "-o", "json"]),
    ];
    for (from, to, port, more) in cases {
        let mut args = vec!["explain", "--manifests", "shop", "--from", from, "--to", to, "--port", port];
        args.extend(more);
        said.push_str(&format!("$ sluice {}\n{}\n", args.join(" "), machine.said(&args)));
    }
    insta::assert_snapshot!("explain-output", said);
}

#[test]
fn many_connections_are_explained_in_their_order() {
    use std::io::Write as _;
    let machine = Machine::new();
    shop(&machine);
    let input = [
        r#"{"from": "shop/cart-0", "to": "203.0.113.7", "port": 443, "protocol": "TCP"}"#,
        "{\"from\": \"shop/cart-0\"",
        "",
        r#"{"from": "shop/cart-0", "to": "203.0.113.7", "port": 80, "prot": "UDP"}"#,
        r#"{"from": "shop/nobody", "to": "203.0.113.7", "port": 80}"#,
        r#"{"from": "shop/cart-0", "to": "203.0.113.7", "port": 0}"#,
        r#"{"from": "shop/cart-0", "to": "example.com", "port": 80}"#,
        r#"{"from": "shop/cart-0", "to": "203.0.113.7", "port": 80, "protocol": "TPC"}"#,
        "[1]",
        &format!(r#"{{"from": "{}", "to": "203.0.113.7", "port": 80}}"#, "x".repeat(70_000)),
        "{\"from\": \"shop/\u{1b}[2J\", \"to\": \"203.0.113.7\", \"port\": 80}",
        r#"{"from": "203.0.113.7", "to": "shop/db-0", "port": "5432", "protocol": "udp"}"#,
    ];
    let run = |text: &str| {
        let mut child = machine
            .command(&["explain", "--manifests", "shop/cluster.yaml", "shop/policies"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // Answers come while questions go: both pipes are short.
        let mut stdin = child.stdin.take().expect("a pipe");
        let text = text.to_owned();
        let asking = std::thread::spawn(move || stdin.write_all(text.as_bytes()).expect("it reads"));
        let output = child.wait_with_output().expect("it ends");
        asking.join().expect("all is asked");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
    };
    let (code, out) = run(&input.join("\n"));
    assert_eq!(code, Some(4));
    insta::assert_snapshot!("explain-lines", out);
    assert_eq!(run(input[1]).0, Some(1), "no line was a question");
    assert_eq!(run("").0, Some(0));
    let many = format!("{}\n", input[0]).repeat(20_000);
    let (code, out) = run(&many);
    assert_eq!((code, out.lines().count()), (Some(0), 20_000));
}

/// What can be left out is, and is named; what may decide anything ends in an error.
#[test]
fn bad_manifests_are_named_with_file_and_line() {
    let machine = Machine::new();
    shop(&machine);
    machine.put(
        "odd/objects.yaml",
        "# what a person may write
apiVersion: v1
kind: Pod
metadata: {name: Cart, namespace: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: worker-0, namespace: shop, labels: {app: yes, shard: 7}}
status: {podIP: 10.1.0.9}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: shop}
status: {podIP: 10.1.0.300}
---
kind: NetworkPolicy
metadata: {name: no-version, namespace: shop}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: odd, namespace: other}
spec: {podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/40}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: default-deny-egress, namespace: shop}
spec: {podSelector: {}}
",
    );
    machine.put("broken/a.yaml", "a: 1\n---\nkind: [\nb: 2\n");
    machine.put("broken/b.json", "{\"kind\": ");
    machine.put("empty/readme.md", "nothing\n");
    let ask = ["--from", "shop/cart-0", "--to", "203.0.113.7", "--port", "443/TCP"];
    let mut said = String::new();
    let cases: [(&[&str], &str); 6] = [
        (&["shop", "odd"], "exit 4\n"),
        (&["shop", "broken"], "exit 1\n"),
        (&["absent"], "exit 1\n"),
        (&["empty"], "exit 1\n"),
        (&["shop", "--cluster", "one"], "exit 2\n"),
        (&["shop", "--cni", "Cilium"], "exit 2\n"),
    ];
    for (paths, exit) in cases {
        let args: Vec<&str> =
            ["explain", "--manifests"].into_iter().chain(paths.iter().copied()).chain(ask).collect();
        let answer = machine.said(&args);
        assert!(answer.starts_with(exit), "{args:?}: {answer}");
        said.push_str(&format!("$ sluice {}\n{answer}\n", args[..args.len() - ask.len()].join(" ")));
    }
    insta::assert_snapshot!("explain-bad", said);
}
