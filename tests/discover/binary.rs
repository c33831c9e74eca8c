//! The built binary from files to paper: what it prints, what it writes, what it refuses, and how
//! it ends. No cluster is needed.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::dnstap::wire::{Dns, Event, START, STOP, TYPE, control, data};

use super::{
    lines::{answer, flow, put},
    week::at,
};

/// A machine of its own, with a workspace and a week of flows.
struct Machine {
    home: tempfile::TempDir,
}

const FORWARDED: &str = r#""verdict":"FORWARDED""#;
const DENIED: &str = r#""verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED""#;
const POD: &str = "cart-6d4b9c7f5b-x2x4z";
const FLEET: &str = "\
clusters:
- {name: prod-eu, context: eks-eu, environment: production}
- {name: prod-us, context: eks-us, environment: production}
namespaces: {exclude: [hidden]}
";

impl Machine {
    fn new() -> Self {
        let machine = Self { home: tempfile::tempdir().expect("a folder") };
        put(machine.path(), "sluice.yaml", FLEET.as_bytes());
        put(machine.path(), "flows.json", week().as_bytes());
        machine
    }

    fn path(&self) -> &Path {
        self.home.path()
    }

    /// Exit code and everything said, with this machine's folder left out.
    fn said(&self, args: &str) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .arg("discover")
            .args(args.split_whitespace())
            .env_clear()
            .env("HOME", self.path())
            .env("TZ", "UTC")
            .current_dir(self.path())
            .stdin(Stdio::null())
            .output()
            .expect("it starts");
        let text = format!(
            "exit {}\n{}{}",
            output.status.code().expect("an exit code"),
            String::from_utf8(output.stdout).expect("UTF-8"),
            String::from_utf8(output.stderr).expect("UTF-8"),
        );
        text.replace(&*self.path().to_string_lossy(), "HOME")
    }

    fn document(&self) -> String {
        fs::read_to_string(self.path().join(DOCUMENT)).expect("it was written")
    }

    fn companion(&self) -> String {
        fs::read_to_string(self.path().join(COMPANION)).expect("it was written")
    }

    fn edit(&self, from: &str, to: &str) {
        let text = self.document();
        assert!(text.contains(from), "{from}");
        put(self.path(), DOCUMENT, text.replace(from, to).as_bytes());
    }
}

const DOCUMENT: &str = "network-policies/discovery/shop.md";
const COMPANION: &str = "network-policies/discovery/shop.edges.jsonl";
const WRITE: &str =
    "--cluster prod-eu --flows hubble-json:flows.json --from 2026-03-02 --to 2026-03-09 --write";

/// Every hour an answer and two connections; one raw address; one attempt that was denied.
fn week() -> String {
    let mut out = String::new();
    let mut line = |line: String| out.push_str(&format!("{line}\n"));
    for hour in 0..168 {
        line(answer(at(0, hour), POD, "api.payments.example", "203.0.113.80"));
        line(flow(at(0, hour), POD, "203.0.113.80", 443));
        line(flow(at(0, hour), POD, "203.0.113.80", 443));
    }
    line(flow(at(2, 3), POD, "169.254.169.254", 80));
    let denied = flow(at(2, 4), POD, "198.51.100.9", 25).replace(FORWARDED, DENIED);
    line(denied.replace(r#"{"type":4,"sub_type":3}"#, r#"{"type":1,"sub_type":133}"#));
    out
}

#[test]
fn a_week_is_printed_in_each_form() {
    let machine = Machine::new();
    let flags = "--cluster eks-eu --flows hubble-json:flows.json --from 2026-03-02 --to 2026-03-09";
    insta::assert_snapshot!("binary.json", machine.said(&format!("{flags} -o json")));
    insta::assert_snapshot!("binary.txt", machine.said(flags));
    let denied = machine.said(&format!("{flags} -o json --denied -n shop"));
    assert!(denied.contains("198.51.100.9") && denied.contains(r#""outcome":"denied""#), "{denied}");
    let nobody = machine.said(&format!("{flags} -n empty"));
    assert!(nobody.contains("prod-eu/empty") && nobody.contains("No destinations were seen"), "{nobody}");
    let markdown = machine.said(&format!("{flags} -o md"));
    assert!(markdown.starts_with("exit 0\n<!-- sluice discovery 1, generated "), "{markdown}");
    let guessed = machine.said("--cluster prod-eu --flows flows.json -o json");
    assert_eq!(guessed.lines().count(), 3, "{guessed}");
}

/// Where NodeLocal DNSCache asks in the pods' place, CoreDNS hears the nodes only.
#[test]
fn answers_that_no_pod_asked_for_are_told() {
    let machine = Machine::new();
    let node = Some(vec![192, 168, 7, 11]);
    let asked = |n: u64| {
        let name = format!("api-{n}.payments.example");
        let message = Dns::asked(&name).record("A", &name, "203.0.113.80", 30).bytes();
        let event = Event::new(at(0, 0).timestamp() as u64 + n, message);
        data(&Event { client: node.clone(), ..event }.bytes())
    };
    let frames: Vec<u8> = (0..150).flat_map(asked).collect();
    put(machine.path(), "frames", &[control(START, &[TYPE]), frames, control(STOP, &[])].concat());
    let said = machine.said("--cluster prod-eu -n shop --flows hubble-json:flows.json --dns dnstap:frames");
    // The 168 answers of the flow file were to the pod itself.
    assert!(!said.contains("note"), "{said}");
    put(machine.path(), "bare.json", format!("{}\n", flow(at(0, 0), POD, "203.0.113.80", 443)).as_bytes());
    let said = machine.said("--cluster prod-eu -n shop --flows hubble-json:bare.json --dns dnstap:frames");
    let note = "  note  answers: the clients of 150 of 150 are addresses of no pod and no node that is known, so those \
                names cannot be given to pods\n";
    assert!(said.contains(note) && said.contains("203.0.113.80"), "{said}");
}

#[test]
fn documents_are_written_and_written_again() {
    let machine = Machine::new();
    let said = machine.said(WRITE);
    assert_eq!(said, format!("exit 0\n{DOCUMENT}: written, with 3 edges in {COMPANION}\n"));
    let (first, companion) = (machine.document(), machine.companion());
    assert_eq!(machine.said(WRITE), format!("exit 0\n{DOCUMENT}: nothing changed\n"));
    assert_eq!((machine.document(), machine.companion()), (first, companion));
    machine.edit("Decision: none yet", "Decision: Ann allows it.");
    let other = WRITE.replace("prod-eu", "prod-us");
    assert!(machine.said(&other).starts_with("exit 0\n"), "{other}");
    let both = machine.document();
    assert!(both.contains("## Cluster `prod-eu`") && both.contains("## Cluster `prod-us`"), "{both}");
    assert_eq!(both.matches("Decision: Ann allows it.").count(), 1);
    assert_eq!(machine.companion().lines().count(), 7);
    machine.said(WRITE);
    assert!(machine.document().contains("## Cluster `prod-us`"), "the other cluster stays");
}

#[test]
fn nothing_of_a_persons_is_lost() {
    let machine = Machine::new();
    machine.said(WRITE);
    let whole = machine.document();
    let mut all = String::new();
    let mut refused = |what: &str, flags: &str| {
        let before = machine.document();
        let said = machine.said(&format!("{WRITE}{flags}"));
        assert!(said.starts_with("exit 1\n"), "{what}: {said}");
        assert_eq!(machine.document(), before, "{what}");
        all.push_str(&format!("{what}: {said}"));
    };
    machine.edit("### Coverage", "Ask Bo about this.\n\n### Coverage");
    refused("an edit outside the notes", "");
    put(machine.path(), DOCUMENT, whole.replacen("<!-- end of notes", "<!-- the end of notes", 1).as_bytes());
    refused("a broken marker", " --force");
    put(machine.path(), DOCUMENT, b"# Our own list\n");
    refused("a document of others", " --force");
    put(machine.path(), DOCUMENT, whole.as_bytes());
    let companion = machine.companion();
    put(machine.path(), COMPANION, format!("{companion}half a l").as_bytes());
    refused("a broken companion", "");
    fs::remove_file(machine.path().join(COMPANION)).expect("it is there");
    refused("no companion", "");
    insta::assert_snapshot!("refused", all);
    put(machine.path(), COMPANION, companion.as_bytes());
    machine.edit("### Coverage", "Ask Bo about this.\n\n### Coverage");
    assert!(machine.said(&format!("{WRITE} --force")).starts_with("exit 0\n"));
    assert!(!machine.document().contains("Ask Bo"));
}

#[test]
fn how_it_ends_says_what_happened() {
    let machine = Machine::new();
    put(machine.path(), "half.json", &week().as_bytes()[..week().len() - 30]);
    put(machine.path(), "flows:with:colons.json", week().as_bytes());
    let mut all = String::new();
    for args in [
        "--flows hubble-json:flows.json",
        "--cluster a --cluster b --flows hubble-json:flows.json",
        "--cluster a",
        "--cluster a --flows hubble:flows.json",
        "--cluster a --flows hubble-json:flows.json --from tomorrow",
        "--cluster a --flows hubble-json:flows.json --from 2026-03-09 --to 2026-03-02",
        "--cluster a --flows hubble-json:flows.json --force",
        "--cluster a --flows hubble-json:flows.json --write",
        "--cluster a --flows hubble-json:missing.json -o json",
        "--cluster a --flows hubble-json:half.json missing.json -o json",
        "--cluster a --flows hubble-json:- -o json",
        "--cluster a --flows flows:with:colons.json -o json -n other",
    ] {
        all.push_str(&format!("$ sluice discover {args}\n{}\n", machine.said(args)));
    }
    insta::assert_snapshot!("ends", all);
}
