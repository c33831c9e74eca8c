//! Shadow before enforcement, on a simulated fleet in memory, under a paused clock: policies staged on
//! Calico with the bytes of the real ones, what they would deny, taken away by rollback and by the apply;
//! refused elsewhere; and a rollback that no staged object hinders.

use std::{path::Path, time::Duration};

use crate::support::{self, Paper};
use clap::Parser as _;
use serde_json::Value;
use sluice::{
    cli::{
        apply,
        args::{Cli, Command},
        ask::Asker,
        change::Changing,
        exit::Exit,
        print::Printer,
        rollback,
        session::Session,
    },
    documents::status,
    engine::Engine,
    sim::{
        api::faults::{Denial, Faults},
        fleet::{
            people::Person,
            running::{Fleet, Options},
            scenario::Scenario,
            workspace,
        },
    },
    workspace::root::{self, Place, Workspace},
};
use tempfile::TempDir;

const FLEET: &str = "name = 'shadow'
[[cluster]]
name = 'east'
state = true
environment = 'staging'
cni = 'calico-operator'
nodes = 2
namespaces = ['shop', 'payments']
[[cluster]]
name = 'north'
environment = 'staging'
cni = 'cilium'
nodes = 2
namespaces = ['shop']
[[cluster]]
name = 'south'
environment = 'staging'
cni = 'flannel'
nodes = 2
namespaces = ['shop']
[[cluster]]
name = 'west'
environment = 'staging'
cni = 'calico'
nodes = 2
namespaces = ['shop']
";

/// Allows nothing: whatever the workloads talk to outside would be denied.
const NOTHING: &str = "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: egress-allowlist
  namespace: shop
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress: []
";

struct Scene {
    fleet: Fleet,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scenario = Scenario::parse("shadow", FLEET).expect("a scenario");
        let fleet = Fleet::new(&scenario, Options { seed: 5, speed: 1.0, start: support::start() });
        let folder = tempfile::tempdir().expect("a folder");
        workspace::write(&fleet, folder.path()).expect("it is written");
        let scene = Self { fleet, folder };
        scene.allow("east", NOTHING);
        scene
    }

    /// Writes the allow list of `shop`.
    fn allow(&self, cluster: &str, text: &str) {
        let path = format!("network-policies/{cluster}/shop/egress-allowlist.yaml");
        std::fs::write(self.folder.path().join(path), text).expect("written");
    }

    fn read(&self) -> Workspace {
        read(self.folder.path())
    }

    fn engine(&self, cluster: &str) -> Engine {
        let read = self.read();
        let mut plan = read.fleet;
        root::subset(&mut plan, &[cluster.to_owned()]).expect("it is there");
        support::engine(&self.fleet, Person::Lead, plan, read.files)
    }

    /// Runs `sluice` on one cluster; answers that a person would type come last.
    async fn sluice(&self, cluster: &str, words: &str, answers: &[&str]) -> Ran {
        let words = format!("sluice {words} --cluster {cluster} -n shop --direction egress");
        let cli = Cli::try_parse_from(words.split(' ')).expect("a valid command line");
        let (out, said) = (Paper::default(), Paper::default());
        let mut printer = Printer::new(out.clone(), said.clone());
        let mut session = Session::new(self.engine(cluster));
        let mut asker = Asker::Given(answers.iter().map(|answer| (*answer).to_owned()).collect());
        let exit = match cli.command.as_ref().expect("a subcommand") {
            Command::Apply(args) => {
                let changing = Changing {
                    session: &mut session,
                    change: &args.change,
                    asker: &mut asker,
                    printer: &mut printer,
                    is_named: true,
                    only: Vec::new(),
                };
                apply::run(changing, args).await
            }
            Command::Rollback(args) => {
                let changing = Changing {
                    session: &mut session,
                    change: &args.change,
                    asker: &mut asker,
                    printer: &mut printer,
                    is_named: true,
                    only: Vec::new(),
                };
                rollback::run(changing, args).await
            }
            other => panic!("{other:?} is not of these tests"),
        };
        drop(printer);
        Ran { exit, out: out.text(), said: said.text() }
    }

    /// The specs of what a cluster holds in `shop`, by name.
    fn specs(&self, cluster: &str, api_version: &str, kind: &str) -> Vec<(String, Value)> {
        let all = self.fleet.cluster(cluster).expect("it is there").server().objects(api_version, kind);
        let of_shop = all.iter().filter(|object| object["metadata"]["namespace"] == "shop");
        let mut out: Vec<_> = of_shop
            .map(|object| {
                (object["metadata"]["name"].as_str().expect("a name").to_owned(), object["spec"].clone())
            })
            .collect();
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    fn staged(&self) -> Vec<(String, Value)> {
        self.specs("east", "projectcalico.org/v3", "StagedKubernetesNetworkPolicy")
    }

    fn enforced(&self) -> Vec<(String, Value)> {
        self.specs("east", "networking.k8s.io/v1", "NetworkPolicy")
    }

    /// Takes a right away from the lead.
    fn forbid(&self, verb: &str) {
        let denial = Denial {
            user: "lead".to_owned(),
            verb: verb.to_owned(),
            resource: "stagedkubernetesnetworkpolicies".to_owned(),
            namespace: String::new(),
        };
        let faults = Faults { denials: vec![denial], ..Faults::default() };
        self.fleet.cluster("east").expect("it is there").server().set_faults(faults);
    }
}

fn read(folder: &Path) -> Workspace {
    let mut read = root::read(&Place { root: folder.to_owned(), only: Vec::new() }).expect("it is valid");
    assert_eq!(read.notices, [], "and has nothing to notice");
    support::lenient(&mut read.fleet, &mut read.files);
    read
}

/// What a run of the program left behind.
struct Ran {
    exit: Exit,
    out: String,
    said: String,
}

impl Ran {
    #[track_caller]
    fn ended(&self, exit: Exit) -> &Self {
        assert_eq!(self.exit, exit, "{}{}", self.out, self.said);
        self
    }
}

const SET: [&str; 3] = ["default-deny-egress", "egress-allowlist", "egress-baseline-allow"];

fn names(specs: &[(String, Value)]) -> Vec<&str> {
    specs.iter().map(|(name, _)| name.as_str()).collect()
}

/// The row of `shop` in the status document.
fn row(engine: &Engine) -> Value {
    let all: Value = serde_json::from_str(&status::json(engine.world())).expect("JSON");
    let rows = all["clusters"][0]["namespaces"].as_array().cloned().unwrap_or_default();
    let shop = rows.iter().find(|row| row["name"] == "shop");
    shop.map_or(Value::Null, |row| row["egress"].clone())
}

#[tokio::test(start_paused = true)]
async fn what_is_staged_has_the_bytes_of_what_is_enforced_later_and_goes_then() {
    let scene = Scene::new();
    let ran = scene.sluice("east", "apply --shadow", &["no"]).await;
    ran.ended(Exit::Failed);
    assert!(scene.staged().is_empty(), "a typed word is needed");

    let ran = scene.sluice("east", "apply --shadow", &["yes"]).await;
    ran.ended(Exit::Done);
    insta::assert_snapshot!("shadow_applied", format!("{}\n{}", ran.said, ran.out));
    let staged = scene.staged();
    assert_eq!(names(&staged), SET);
    assert!(scene.enforced().is_empty(), "nothing is enforced");

    let again = scene.sluice("east", "apply --shadow", &[]).await;
    again.ended(Exit::Done);
    assert!(again.said.contains("Nothing differs from what is staged"), "{}", again.said);

    // A real apply: previewed with what the shadow says of these bytes, it takes the shadow away last.
    let applied = scene.sluice("east", "apply -o json", &["yes"]).await;
    applied.ended(Exit::Done);
    assert!(applied.said.contains("\n  shadow soaked "), "{}", applied.said);
    let report: Value = serde_json::from_str(&applied.out).expect("JSON");
    let calls = report["orders"][0]["calls"].as_array().expect("a list");
    let verbs: Vec<_> = calls.iter().filter_map(|call| call["verb"].as_str()).collect();
    assert_eq!(verbs[verbs.len() - 4..], ["tighten", "unstage", "unstage", "unstage"]);
    assert!(scene.staged().is_empty());
    let bare = staged.into_iter().map(|(name, mut spec)| {
        assert_eq!(spec.as_object_mut().expect("a spec").remove("stagedAction"), Some("Set".into()));
        (name, spec)
    });
    assert_eq!(bare.collect::<Vec<_>>(), scene.enforced(), "the very same specs");
}

#[tokio::test(start_paused = true)]
async fn what_it_would_deny_is_told_beside_the_row_and_rollback_takes_it_away() {
    let scene = Scene::new();
    let mut engine = scene.engine("east");
    support::run_until(&mut engine, "Goldmane is heard", Duration::from_secs(60), |world| {
        world.clusters().all(|cluster| world.source(&cluster.name).is_some_and(|source| source.is_live()))
    })
    .await;
    scene.sluice("east", "apply --shadow", &["yes"]).await.ended(Exit::Done);
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    let shop = row(&engine);
    let would = shop["shadow"]["would_deny"].as_u64().expect("a number");
    assert!(would > 0, "{shop:#}");
    assert_eq!((shop["phase"].as_str(), shop["standing"].as_str()), (Some("authored"), Some("-")));
    assert_eq!((&shop["soak"], shop["isolation"]["isolated"].as_u64()), (&Value::Null, Some(0)));
    let groups = engine.world().denials().would().filter(|group| group.key.ns.as_str() == "shop").count();
    assert_eq!(would, groups as u64);
    let text = status::text(engine.world());
    let line = text.lines().find(|line| line.contains("shadow since")).expect("a line").trim();
    assert!(line.contains(&format!(", would deny {groups} groups; nothing is enforced by it")), "{line}");

    let back = scene.sluice("east", "rollback", &["yes"]).await;
    back.ended(Exit::Done);
    assert!(scene.staged().is_empty());
    assert!(back.said.contains("staged: goes too"), "{}", back.said);
    support::run_for(&mut engine, Duration::from_secs(5)).await;
    assert_eq!(row(&engine)["shadow"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn an_apply_of_other_bytes_says_that_the_shadow_was_not_for_them() {
    let scene = Scene::new();
    scene.sluice("east", "apply --shadow", &["yes"]).await.ended(Exit::Done);
    let other = NOTHING.replace("egress: []", "egress:\n    - to: [{ ipBlock: { cidr: 192.0.2.0/24 } }]");
    scene.allow("east", &other);
    let dry = scene.sluice("east", "apply --dry-run", &[]).await;
    dry.ended(Exit::Done);
    assert!(dry.out.contains("\n  its shadow was for other bytes ("), "{}", dry.out);
    // Staged again, only what changed is created anew.
    let again = scene.sluice("east", "apply --shadow -o json", &["yes"]).await;
    again.ended(Exit::Done);
    let report: Value = serde_json::from_str(&again.out).expect("JSON");
    let calls = report["orders"][0]["calls"].as_array().expect("a list");
    let calls: Vec<_> = calls.iter().map(|call| (call["verb"].as_str(), call["policy"].as_str())).collect();
    assert_eq!(
        calls,
        [(Some("unstage"), Some("egress-allowlist")), (Some("stage"), Some("egress-allowlist"))]
    );
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_shadow_it_is_refused_with_the_reason() {
    let scene = Scene::new();
    let mut said = String::new();
    for cluster in ["north", "south", "west"] {
        let ran = scene.sluice(cluster, "apply --shadow", &["yes"]).await;
        ran.ended(Exit::Refused);
        said.push_str(&ran.out);
        assert!(scene.specs(cluster, "networking.k8s.io/v1", "NetworkPolicy").is_empty());
    }
    insta::assert_snapshot!("shadow_refused", said);
}

const AUDITED: &str = "name = 'audited'
[[cluster]]
name = 'east'
state = true
environment = 'staging'
cni = 'cilium'
nodes = 2
namespaces = ['shop']
agent = { audit = true }
";

/// Cilium has its shadow by the mode of its agents: what is live is judged, and nothing is dropped. sluice
/// says how to come there, counts what would be denied apart, credits nothing, and takes it back as ever.
#[tokio::test(start_paused = true)]
async fn what_cilium_only_audits_is_a_shadow_of_what_is_live() {
    let scenario = Scenario::parse("audited", AUDITED).expect("a scenario");
    let fleet = Fleet::new(&scenario, Options { seed: 5, speed: 1.0, start: support::start() });
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("it is written");
    let scene = Scene { fleet, folder };
    scene.allow("east", NOTHING);
    let plain = scene.sluice("east", "apply", &["yes"]).await;
    plain.ended(Exit::Refused);
    let off = "policy-audit-mode=true): put that right first, as its pre-flight says";
    assert!(plain.out.contains(off), "{}", plain.out);
    let ran = scene.sluice("east", "apply --shadow", &["yes"]).await;
    ran.ended(Exit::Refused);
    assert!(scene.enforced().is_empty());
    insta::assert_snapshot!("shadow_audited", ran.out);

    // As kubectl would, by the command that was said.
    for name in SET {
        let path = format!("network-policies/east/shop/{name}.yaml");
        let text = std::fs::read_to_string(scene.folder.path().join(path)).expect("it is there");
        let policy = serde_yaml::from_str(&text).expect("YAML");
        scene.fleet.cluster("east").expect("it is there").server().seed(policy);
    }
    let mut engine = scene.engine("east");
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    let shop = row(&engine);
    let would = shop["shadow"]["would_deny"].as_u64().expect("a number");
    let world = engine.world();
    let groups = world.denials().would().filter(|group| group.key.ns.as_str() == "shop").count();
    assert!(would > 0 && would == groups as u64, "{shop:#}");
    assert_eq!((world.denials().total(), world.denials().groups().len()), (0, 0), "nothing was denied");
    assert_eq!(shop["shadow"]["of_workspace"], true, "the same bytes");
    let minutes = &shop["soak"]["minutes"];
    assert_eq!((&minutes["credited"], &minutes["wall"]), (&Value::from(0), &Value::from(10)), "{shop:#}");
    assert_eq!(shop["standing"], "accepted", "a verdict that names a policy proves nothing while it audits");
    let text = status::text(world);
    let line = text.lines().find(|line| line.contains("shadow by policy-audit-mode")).expect("a line").trim();
    assert!(line.contains(&format!(", would deny {groups} groups in the ")), "{line}");

    scene.sluice("east", "rollback", &["yes"]).await.ended(Exit::Done);
    assert!(scene.enforced().is_empty());
    support::run_for(&mut engine, Duration::from_secs(5)).await;
    assert_eq!(row(&engine)["shadow"], Value::Null);
}

/// Law 6: nothing about staged objects hinders a rollback of what is enforced.
#[tokio::test(start_paused = true)]
async fn a_rollback_opens_whatever_becomes_of_what_is_staged() {
    for verb in ["delete", "list"] {
        let scene = Scene::new();
        scene.sluice("east", "apply", &["yes"]).await.ended(Exit::Done);
        let other = NOTHING.replace("egress: []", "egress:\n    - to: [{ ipBlock: { cidr: 192.0.2.0/24 } }]");
        scene.allow("east", &other);
        scene.sluice("east", "apply --shadow", &["yes"]).await.ended(Exit::Done);
        assert_eq!((scene.enforced().len(), scene.staged().len()), (3, 3));
        scene.forbid(verb);
        let back = scene.sluice("east", "rollback", &["yes"]).await;
        assert!(scene.enforced().is_empty(), "{verb}: {}", back.out);
        assert_eq!(scene.staged().len(), 3, "{verb}");
        assert!(back.out.contains("no pod of "), "{verb}: {}", back.out);
        match verb {
            // What is known to be left is said.
            "delete" => {
                back.ended(Exit::Partial);
                assert!(back.out.contains("nothing of it is enforced any more, but it is still staged"));
            }
            _ => {
                back.ended(Exit::Done);
            }
        }
    }
    // A cluster that does not serve the kind at all.
    let scene = Scene::new();
    scene.sluice("west", "apply", &["yes"]).await.ended(Exit::Done);
    scene.sluice("west", "rollback", &["yes"]).await.ended(Exit::Done);
    assert!(scene.specs("west", "networking.k8s.io/v1", "NetworkPolicy").is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_journal_says_who_staged_which_bytes() {
    let scene = Scene::new();
    scene.sluice("east", "apply --shadow", &["yes"]).await.ended(Exit::Done);
    let mut engine = scene.engine("east");
    support::run_until(&mut engine, "the journal is read", Duration::from_secs(60), |world| {
        world.shared().journal().next().is_some()
    })
    .await;
    let entry = &engine.world().shared().journal().next_back().expect("one").value;
    assert_eq!((entry.act.as_str(), entry.object.as_str()), ("shadow", "east/shop egress"));
    let facts: Vec<_> = entry.facts.iter().map(|fact| fact.as_str()).collect();
    assert!(facts.iter().any(|fact| fact.starts_with("digest: sha256:")), "{facts:#?}");
    let commands = facts.iter().filter(|fact| fact.starts_with("command: printf %s ")).count();
    assert_eq!(commands, 3, "{facts:#?}");
}
