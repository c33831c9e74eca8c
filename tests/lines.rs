//! The built program by lines, as a pipe, a cron job or a screen reader meets it: a script on standard
//! input, lines on standard output, an exit code. The fleet is served by a process of its own; the
//! user's own file lies where `sluice info` says.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::support::terminal::{Fleet, SLUICE};

/// One line of it is wrong; the rest must hold.
const PREFERENCES: &str = "\
start = \"mine\"
colour = \"blue\"
[keys]
rollback = \"ctrl-b\"
page-up = []
apply = \"@\"
[[views]]
name = \"mine\"
page = \"fleet\"
filter = \"ns:/^shop$/\"
";

/// Nothing of it comes or goes by the clock on the wall: its shop has no CronJob.
const TWO: &str = "\
name = \"two\"
[[cluster]]
name = \"east\"
environment = \"staging\"
cni = \"cilium\"
nodes = 2
namespaces = [\"shop=search\", \"data\"]
[[cluster]]
name = \"west\"
state = true
environment = \"production\"
cni = \"cilium\"
nodes = 2
namespaces = [\"shop=search\", \"data\"]
";

/// Gates are open, for they are not what this is about: no evidence is asked for, all of an environment
/// is one wave, and of the namespace it is known that nothing flagged is opened.
const OPEN: &str = "\
baseline: 0d
waves:
  egress: {staging: [rest], production: [rest], atMostPercent: 100}
  ingress: {staging: [rest], production: [rest], atMostPercent: 100}
";
const NOTHING_FLAGGED: &str = r#"{"schema":"sluice.edges/1","namespace":"shop","clusters":[{"cluster":"east","from":"2026-01-05T00:00:00Z","to":"2026-01-12T00:00:00Z","generatedAt":"2026-01-12T00:05:00Z","edges":0,"readiness":"ready","credited":[],"gaps":[],"doubts":[],"cronJobs":[],"withoutTraffic":[],"remarks":[]}]}"#;

/// What a session left behind.
struct Said {
    lines: Vec<String>,
    errors: String,
    exit: Option<i32>,
}

impl Said {
    fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Do these words come in this order, each on a line of its own? `…` stands for anything.
    fn in_order(&self, wanted: &[&str]) {
        let mut lines = self.lines.iter();
        for words in wanted {
            assert!(
                lines.any(|line| comes(line, words)),
                "{words:?} does not come where it should:\n{}",
                self.text()
            );
        }
    }
}

fn comes(line: &str, words: &str) -> bool {
    let mut left = Some(line);
    words
        .split('…')
        .for_each(|part| left = left.and_then(|left| left.split_once(part)).map(|(_, after)| after));
    left.is_some()
}

struct Machine {
    home: TempDir,
    fleet: Fleet,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let demo = home.path().join("demo");
        let two = home.path().join("two.toml");
        fs::write(&two, TWO).expect("written");
        let (two, folder) = (two.to_string_lossy(), demo.to_string_lossy());
        let fleet = Fleet::serve(&["--scenario", &two, "--directory", &folder]);
        let fleet_file = fs::read_to_string(demo.join("sluice.yaml")).expect("the demo's own");
        fs::write(demo.join("sluice.yaml"), format!("{fleet_file}\n{OPEN}")).expect("written");
        let documents = demo.join("network-policies/discovery");
        fs::create_dir_all(&documents).expect("a folder");
        fs::write(documents.join("shop.md"), "").expect("written");
        fs::write(documents.join("shop.edges.jsonl"), format!("{NOTHING_FLAGGED}\n")).expect("written");
        Self { home, fleet }
    }

    fn run(&self, args: &[&str], input: Stdio) -> Said {
        let mut command = Command::new(SLUICE);
        command.args(args).env_clear().current_dir(self.home.path().join("demo"));
        command.env("HOME", self.home.path()).env("KUBECONFIG", &self.fleet.kubeconfig).env("TZ", "UTC");
        let output = command.stdin(input).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said {
            lines: text(output.stdout).lines().map(str::to_owned).collect(),
            errors: text(output.stderr),
            exit: output.status.code(),
        }
    }

    /// All of the script is there at once, and then nothing more.
    fn session(&self, script: &str) -> Said {
        let file = self.home.path().join("script");
        fs::write(&file, script).expect("written");
        let said = self.run(&["--plain"], File::open(&file).expect("readable").into());
        assert!(!said.text().contains('\u{1b}'), "an escape sequence: {:?}", said.text());
        said
    }

    /// How many of our policies are live, as `2/3`, as `sluice status` has it.
    fn live(&self, direction: &str) -> String {
        let said =
            self.run(&["status", "--context", "east", "-o", "json", "--deadline", "2m"], Stdio::null());
        let status: serde_json::Value = serde_json::from_str(&said.text()).expect("JSON");
        let namespaces = status["clusters"][0]["namespaces"].as_array().expect("a list");
        let shop = namespaces.iter().find(|one| one["name"] == "shop").expect("shop");
        let policies = shop[direction]["policies"].as_array().expect("a list");
        format!("{}/{}", policies.iter().filter(|one| one["live"] == true).count(), policies.len())
    }
}

fn prefer(home: &Path) {
    let folder = home.join(".config/sluice");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("preferences.toml"), PREFERENCES).expect("written");
}

#[test]
fn a_script_of_lines_previews_confirms_and_takes_back_and_its_end_ends_the_session() {
    let machine = Machine::new();
    // Nothing to read at all: the fleet is printed, and that is all.
    let empty = machine.session("");
    assert_eq!((empty.exit, empty.errors.as_str()), (Some(0), ""), "{}", empty.text());
    empty.in_order(&[
        "sluice, by lines; 2 clusters are asked",
        // A slow machine may have read it in part only.
        "1. …, staging, east",
        "2. …, PRODUCTION, west",
    ]);

    // A preview that nobody confirms changes nothing.
    let looked = machine.session("wait\n/ns:/^shop$/\n2 apply\nno\n\n");
    assert_eq!((looked.exit, looked.errors.as_str()), (Some(0), ""), "{}", looked.text());
    looked.in_order(&[
        "> /ns:/^shop$/",
        "1. …, staging, east",
        "2. shop, ",
        "3. …, PRODUCTION, west",
        "4. shop, ",
        "> 2 apply",
        "the API server is asked what an apply would do (dry run): east/shop egress, east/shop ingress",
        "staging: Apply 1 of 2 rows",
        "its egress goes first",
        "what is run, in this order",
        "kubectl --context",
        "to apply, type yes and return; return alone cancels; Y prints the commands",
        "> no",
        "that is not the word; nothing was changed, the dialog is still open",
        "nothing was changed",
    ]);
    assert_eq!((machine.live("egress"), machine.live("ingress")), ("0/3".into(), "0/2".into()));

    let done =
        machine.session("wait\n/ns:/^shop$/\n2 apply\nyes\nwait\nactivity\nfleet\n2 rollback\nrollback\n");
    assert_eq!((done.exit, done.errors.as_str()), (Some(0), ""), "{}", done.text());
    done.in_order(&[
        "to apply, type yes and return",
        "> yes",
        "apply started",
        "apply #3 east/shop egress: done; 7 of 7 pods are isolated",
        "> activity",
        "tighten default-deny-egress",
        "> 2 rollback",
        "to roll back now, type ctrl-r or rollback again; return alone cancels",
        "> rollback",
        "rollback started",
        // Nothing more is read, what runs is waited for.
        "east/shop ingress: done",
    ]);
    assert_eq!((machine.live("egress"), machine.live("ingress")), ("0/3".into(), "0/2".into()));
}

#[test]
fn the_users_own_file_holds_by_lines_and_what_is_wrong_in_it_is_said_in_a_line() {
    let machine = Machine::new();
    prefer(machine.home.path());
    // The page is the one that was chosen, the keys are the user's own, and what a key of the table was
    // before it was changed is nothing any more.
    let said = machine.session("wait\n2 @\nesc\n2 a\n2 ctrl-b\nesc\nctrl-r\nquit\n");
    assert_eq!((said.exit, said.errors.as_str()), (Some(0), ""), "{}", said.text());
    said.in_order(&[
        "attention: preferences.toml line 2: `colour` is not known and is not read.",
        // The cursor stands on the cluster that answered first.
        "fleet > … filter ns:/^shop$/ 4 rows left, ctrl-u shows all",
        "2. shop, ",
        "> 2 @",
        "the API server is asked what an apply would do (dry run)",
        "> 2 a",
        "not understood: a; ? lists what can be typed",
        "> 2 ctrl-b",
        "to roll back now, type ctrl-b or rollback again",
        "> ctrl-r",
        "not understood: ctrl-r",
        "> quit",
    ]);
    assert_eq!(machine.live("egress"), "0/3");
}
