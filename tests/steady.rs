//! Steady state and its papers. What the two Kyverno policies assert is evaluated in their own languages, by libraries
//! that know nothing of sluice; and the check of a simulated fleet says what is there and what not.

use std::{sync::Arc, time::Duration};

use cel::{Context, Program, Value as Cel, extractors::This};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};
use serde_json::{Value, json};
use sluice::{
    cockpit::{open_ends::open_ends, plan::PolicyFiles, steady, world::World},
    documents::{
        self,
        notes::{self, Kind, Notes},
        runbook::Runbook,
    },
    domain::{
        flow::Direction,
        names::NsName,
        steady::{Generation, Word},
    },
    sim::fleet::{
        faults::Fault, kyverno::Kyverno, people::Person, running::Fleet, scenario::Scenario, workspace,
    },
    tui::{Input, Model, Options, Theme, draw, settle, update},
    workspace::root::{self, Place},
};

use crate::support;

fn ns(name: &str) -> NsName {
    NsName::parse(name).expect("a name")
}

fn policy(generation: &Generation, direction: Direction) -> String {
    let scope = steady::Scope {
        reached: ["billing", "shop", "true"].map(ns).to_vec(),
        exempt: vec![(ns("kube-system"), "left out by sluice.yaml".into())],
    };
    documents::kyverno::policy(generation, direction, &scope).expect("there is something to assert")
}

fn validating() -> Generation {
    Generation::Validating("v1".into())
}

#[test]
fn policies_as_people_review_them() {
    insta::assert_snapshot!("validatingpolicy.yaml", policy(&validating(), Direction::Egress));
    insta::assert_snapshot!("clusterpolicy.yaml", policy(&Generation::Legacy, Direction::Ingress));
    let nothing = steady::Scope::default();
    assert_eq!(documents::kyverno::policy(&validating(), Direction::Egress, &nothing), None);
    let none = documents::kyverno::policy(&Generation::Absent, Direction::Egress, &nothing);
    assert_eq!(none, None);
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).expect("YAML")
}

/// By CEL, with Kyverno's `resource.List` answering from these objects.
fn by_cel(text: &str, denies: &Value) -> bool {
    let policy = yaml(text);
    let expression = policy["spec"]["validations"][0]["expression"].as_str().expect("an expression");
    let program = Program::compile(expression).expect("it is CEL");
    let mut context = Context::default();
    let list = json!({ "items": denies });
    let list = cel::to_value(list).expect("plain data");
    context
        .add_function(
            "List",
            move |This(_): This<Cel>, api: Arc<String>, plural: Arc<String>, ns: Arc<String>| {
                let asked = (api.as_str(), plural.as_str(), ns.as_str());
                assert_eq!(asked, ("networking.k8s.io/v1", "networkpolicies", "shop"));
                list.clone()
            },
        )
        .expect("no such function yet");
    context.add_variable("resource", cel::to_value(json!({})).expect("plain data")).expect("declared");
    let object = json!({ "metadata": { "name": "shop" } });
    context.add_variable("object", cel::to_value(object).expect("plain data")).expect("declared");
    program.execute(&context).expect("it has a value") == Cel::Bool(true)
}

/// By JMESPath, on what the API server would list.
fn by_jmespath(text: &str, denies: &Value) -> bool {
    let policy = yaml(text);
    let query = policy["spec"]["rules"][0]["context"][0]["apiCall"]["jmesPath"].as_str().expect("a query");
    let found = jmespath::compile(query).expect("it is JMESPath").search(json!({ "items": denies }));
    let condition = &policy["spec"]["rules"][0]["validate"]["deny"]["conditions"]["any"][0];
    assert_eq!(condition["operator"], "NotEquals");
    found.expect("it has a value").as_number() == condition["value"].as_f64()
}

/// What Kyverno's own libraries say of the policies as they are written here: see the head of the file.
#[test]
fn the_policies_say_what_kyverno_s_own_libraries_said_of_them() {
    let recorded = include_str!("kyverno/recorded.jsonl");
    let mut lines = recorded.lines().filter(|line| !line.starts_with('#')).map(yaml);
    let asked = lines.next().expect("what was asked");
    let (new, old) =
        (policy(&validating(), Direction::Egress), policy(&Generation::Legacy, Direction::Egress));
    let spec = &yaml(&new)["spec"];
    let texts = |all: &Value| -> Vec<String> {
        let all = all.as_array().expect("a list").iter();
        all.map(|one| one["expression"].as_str().expect("an expression").to_owned()).collect()
    };
    let again = "the policy is another than the recorded one: record it again, as the file's head says";
    assert_eq!(json!(texts(&spec["matchConditions"])), asked["conditions"], "{again}");
    assert_eq!(json!(texts(&spec["validations"])), asked["validations"], "{again}");
    let query = &yaml(&old)["spec"]["rules"][0]["context"][0]["apiCall"]["jmesPath"];
    assert_eq!(*query, asked["jmesPath"], "{again}");
    let mut seen = std::collections::BTreeMap::new();
    for case in lines {
        let (name, said) = (&case["case"], case["validatingPolicy"].as_str().expect("a word"));
        *seen.entry(said.to_owned()).or_insert(0) += 1;
        if said == "skip" {
            continue;
        }
        let is_pass = said == "pass";
        assert_eq!(by_cel(&new, &case["denies"]), is_pass, "{name}");
        assert_eq!(by_jmespath(&old, &case["denies"]), is_pass, "{name}");
        assert_eq!(case["jmesPath"], json!(u8::from(is_pass)), "{name}");
    }
    let counts: Vec<_> = seen.iter().map(|(word, count)| format!("{word} {count}")).collect();
    assert_eq!(counts, ["fail 10", "pass 5", "skip 2"]);
}

/// `name`, then the spec of one NetworkPolicy; the verdict is the same in both languages.
#[test]
fn the_shape_is_asserted_and_not_only_the_name() {
    let deny = json!({ "podSelector": {}, "policyTypes": ["Egress"] });
    let cases = [
        ("default-deny-egress", deny.clone(), true),
        ("default-deny-egress", json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [] }), true),
        ("default-deny-egress", json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }), true),
        (
            "default-deny-egress",
            json!({ "podSelector": { "matchLabels": {} }, "policyTypes": ["Egress"] }),
            true,
        ),
        // The valve open, as a rollback leaves it for a moment.
        (
            "default-deny-egress",
            json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [{}] }),
            false,
        ),
        ("default-deny-egress", json!({ "podSelector": {}, "policyTypes": ["Ingress"] }), false),
        ("default-deny-egress", json!({ "podSelector": {} }), false),
        (
            "default-deny-egress",
            json!({ "podSelector": { "matchLabels": { "app": "web" } }, "policyTypes": ["Egress"] }),
            false,
        ),
        (
            "default-deny-egress",
            json!({
                "podSelector": { "matchExpressions": [{ "key": "app", "operator": "Exists" }] },
                "policyTypes": ["Egress"],
            }),
            false,
        ),
        ("default-deny-Egress", deny.clone(), false),
        ("deny-all", deny, false),
    ];
    for (name, spec, expected) in cases {
        let other =
            json!({ "metadata": { "name": "allow-dns" }, "spec": { "podSelector": {}, "egress": [{}] } });
        let denies = json!([other, { "metadata": { "name": name }, "spec": spec }]);
        let (new, old) =
            (policy(&validating(), Direction::Egress), policy(&Generation::Legacy, Direction::Egress));
        assert_eq!(by_cel(&new, &denies), expected, "CEL: {denies}");
        assert_eq!(by_jmespath(&old, &denies), expected, "JMESPath: {denies}");
    }
    let nothing = json!([]);
    assert!(!by_cel(&policy(&validating(), Direction::Egress), &nothing));
    assert!(!by_jmespath(&policy(&Generation::Legacy, Direction::Egress), &nothing));
}

fn is_read(world: &World) -> bool {
    world.shared().is_live()
        && world.clusters().all(|one| one.is_complete() && one.cni.is_some() && one.looked.kyverno.is_some())
}

/// One line a default deny that must be there.
fn told(world: &World) -> Vec<String> {
    let line = |check: &steady::Check| {
        let why = check.own.why().or(check.kyverno.why()).map_or(String::new(), |why| format!(" ({why})"));
        format!("{}: {}, Kyverno {}{why}", check.target, check.own.as_str(), check.kyverno.as_str())
    };
    steady::checks(world).iter().map(line).collect()
}

/// Two clusters after their waves, one of either generation of Kyverno.
const AFTER_A_WAVE: &str = r#"
name = "after-a-wave"

[[cluster]]
name = "lab"
environment = "staging"
cni = "cilium"
nodes = 1
state = true
kyverno = "validating"
namespaces = ["web", "data=web", "api=web"]

[[cluster]]
name = "old"
environment = "staging"
cni = "calico"
nodes = 1
kyverno = "legacy"
namespaces = ["web"]

[[past.row]]
cluster = "lab"
namespaces = ["web"]
wave = 1
applied_hours_ago = 150

[[past.row]]
cluster = "lab"
namespaces = ["data", "api"]
wave = 2
applied_hours_ago = 90

[[past.row]]
cluster = "old"
namespaces = ["web"]
wave = 1
applied_hours_ago = 100

[[pattern]]
name = "web"
owner = "team-web"
contact = "web-oncall"
workloads = [{ name = "front", ports = ["http 8080"] }]
"#;

fn after_a_wave(text: &str) -> (Fleet, tempfile::TempDir, sluice::engine::Engine) {
    let scenario = Scenario::parse("after-a-wave", text).expect("a scenario");
    let fleet = support::fleet_of(&scenario, 1);
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(&fleet, folder.path()).expect("it is written");
    let place = Place { root: folder.path().to_owned(), only: Vec::new() };
    let read = root::read(&place).expect("the workspace is valid");
    let engine = support::engine(&fleet, Person::Lead, read.fleet, read.files);
    (fleet, folder, engine)
}

#[tokio::test(start_paused = true)]
async fn what_kyverno_says_stands_beside_what_the_watch_shows() {
    let (fleet, _folder, mut engine) = after_a_wave(AFTER_A_WAVE);
    support::run_until(&mut engine, "everything is read", Duration::from_secs(60), is_read).await;
    support::run_for(&mut engine, Duration::from_secs(400)).await;
    let before = [
        "lab/api egress: pass, Kyverno pass",
        "lab/data egress: pass, Kyverno pass",
        "lab/web egress: pass, Kyverno pass",
        "old/web egress: pass, Kyverno pass",
    ];
    assert_eq!(told(engine.world()), before);
    insta::assert_snapshot!(
        "kyverno-check.txt",
        documents::kyverno::text(&steady::checks(engine.world()), engine.world().now())
    );

    // Somebody deletes one: the watch shows it at once, Kyverno an hour later.
    let server = fleet.cluster("lab").expect("it is there").server();
    server.unseed("networking.k8s.io/v1", "NetworkPolicy", "data", "default-deny-egress");
    support::run_for(&mut engine, Duration::from_secs(10)).await;
    let gone = "lab/data egress: fail, Kyverno pass (default-deny-egress is not there)";
    assert_eq!(told(engine.world()).first().map(String::as_str), Some(gone));
    support::run_for(&mut engine, Duration::from_secs(3600)).await;
    let gone = "lab/data egress: fail, Kyverno fail (default-deny-egress is not there)";
    assert_eq!(told(engine.world()).first().map(String::as_str), Some(gone));
    let checks = steady::checks(engine.world());
    let json: Value = serde_json::from_str(&documents::kyverno::json(&checks[..1])).expect("JSON");
    assert_eq!(json[0]["kyverno_why"], "default-deny-egress is not there, or it lets something pass.");

    // A namespace that nobody planned for comes up, and no later wave is open any more.
    server.seed_namespace("fresh");
    support::run_for(&mut engine, Duration::from_secs(10)).await;
    let fresh = "lab/fresh egress: fail, Kyverno unknown (default-deny-egress is not there)";
    assert!(told(engine.world()).contains(&fresh.to_owned()), "{:?}", told(engine.world()));

    // Its policy is taken away: what the old report says is no word on now.
    server.unseed("policies.kyverno.io/v1", "ValidatingPolicy", "", "sluice-default-deny-egress");
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    let unknown = "lab/web egress: pass, Kyverno unknown (policy sluice-default-deny-egress is not there)";
    assert!(told(engine.world()).contains(&unknown.to_owned()), "{:?}", told(engine.world()));

    // The cluster dies: what was seen last is no word on now.
    fleet.fault("old", Fault::Dead);
    support::run_for(&mut engine, Duration::from_secs(180)).await;
    let lines = told(engine.world());
    let dead = lines.iter().find(|line| line.starts_with("old/web"));
    assert!(dead.is_some_and(|line| line.starts_with("old/web egress: unknown")), "{lines:?}");
}

/// `openreports.enabled` of Kyverno's chart: another group, another word for the message.
#[tokio::test(start_paused = true)]
async fn reports_of_either_api_are_read() {
    let text = AFTER_A_WAVE.replace("\"validating\"", "\"open-reports\"");
    let (fleet, _folder, mut engine) = after_a_wave(&text);
    support::run_until(&mut engine, "everything is read", Duration::from_secs(60), is_read).await;
    let server = fleet.cluster("lab").expect("it is there").server();
    assert_eq!(server.objects("openreports.io/v1alpha1", "ClusterReport").len(), 3);
    assert_eq!(server.objects("wgpolicyk8s.io/v1alpha2", "ClusterPolicyReport").len(), 0);
    support::run_for(&mut engine, Duration::from_secs(400)).await;
    assert!(told(engine.world()).iter().all(|line| line.ends_with("pass, Kyverno pass")));
    server.unseed("networking.k8s.io/v1", "NetworkPolicy", "data", "default-deny-egress");
    support::run_for(&mut engine, Duration::from_secs(3600)).await;
    let checks = steady::checks(engine.world());
    let why = "default-deny-egress is not there, or it lets something pass.";
    assert_eq!(checks[0].kyverno, Word::Fail(why.into()));
}

/// A report outlives what it is about: a namespace that was deleted, and a policy of the same name.
#[tokio::test(start_paused = true)]
async fn a_report_on_what_was_there_before_is_no_word_on_what_is_there_now() {
    let (fleet, _folder, mut engine) = after_a_wave(AFTER_A_WAVE);
    support::run_until(&mut engine, "everything is read", Duration::from_secs(60), is_read).await;
    support::run_for(&mut engine, Duration::from_secs(400)).await;
    let line = |world: &World, of: &str| told(world).into_iter().find(|line| line.starts_with(of));
    assert_eq!(line(engine.world(), "lab/data").as_deref(), Some("lab/data egress: pass, Kyverno pass"));

    let server = fleet.cluster("lab").expect("it is there").server();
    for name in ["default-deny-egress", "egress-baseline-allow", "egress-allowlist"] {
        server.unseed("networking.k8s.io/v1", "NetworkPolicy", "data", name);
    }
    server.unseed("v1", "Namespace", "", "data");
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    assert_eq!(line(engine.world(), "lab/data"), None, "it is gone, and its report is still there");
    server.seed_namespace("data");
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    let check = steady::checks(engine.world()).into_iter().find(|one| one.target.ns == ns("data"));
    let check = check.expect("it must be closed by now");
    assert_eq!(check.own, Word::Fail("default-deny-egress is not there".into()));
    assert_eq!(check.kyverno, Word::Unknown("no report yet".into()));

    // Somebody takes the policy away and applies it anew: nothing was scanned for that one.
    server.unseed("policies.kyverno.io/v1", "ValidatingPolicy", "", "sluice-default-deny-egress");
    server.seed(Kyverno::Validating.policy("egress", &["web", "data", "api"]));
    support::run_for(&mut engine, Duration::from_secs(600)).await;
    let older = "lab/web egress: pass, Kyverno unknown (its last report is older than policy \
                 sluice-default-deny-egress)";
    assert_eq!(line(engine.world(), "lab/web").as_deref(), Some(older));
    support::run_for(&mut engine, Duration::from_secs(3600)).await;
    assert_eq!(line(engine.world(), "lab/web").as_deref(), Some("lab/web egress: pass, Kyverno pass"));
}

/// Where somebody looks: the fleet page, the open ends, `sluice status`.
fn places(world: &World) -> [String; 3] {
    let mut model = Model::new(Options { theme: "mono", ascii: false, size: (120, 40) });
    settle(&mut model, world);
    // Unfolds the first cluster.
    update(&mut model, world, Input::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)));
    let mut terminal = Terminal::new(TestBackend::new(120, 40)).expect("in memory");
    let theme = Theme::load("mono").expect("a theme");
    terminal.draw(|frame| draw(world, &model, &theme, frame)).expect("a frame");
    let buffer = terminal.backend().buffer();
    let lines = buffer.content.chunks(usize::from(buffer.area.width));
    let lines = lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>() + "\n");
    let ends = open_ends(world);
    [
        lines.collect(),
        documents::open_ends::text(ends.as_deref(), world.now()),
        documents::status::text(world),
    ]
}

/// By the watch alone: nobody reloads, restarts or asks for it.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_comes_after_its_wave_is_told_everywhere_and_goes_with_the_namespace() {
    let (fleet, _folder, mut engine) = after_a_wave(AFTER_A_WAVE);
    support::run_until(&mut engine, "everything is read", Duration::from_secs(60), is_read).await;
    support::run_for(&mut engine, Duration::from_secs(10)).await;
    let of = |world: &World, place: usize| -> Vec<String> {
        let text = &places(world)[place];
        let lines = text.lines().filter(|line| line.contains("fresh"));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    assert!((0..3).all(|place| of(engine.world(), place).is_empty()));

    let server = fleet.cluster("lab").expect("it is there").server();
    server.seed_namespace("fresh");
    support::run_for(&mut engine, Duration::from_secs(10)).await;
    let fleet_page = of(engine.world(), 0);
    assert!(fleet_page.iter().any(|line| line.contains("missing")), "{fleet_page:?}");
    let ends = of(engine.world(), 1);
    let missing = "missing lab/fresh egress - now - - default-deny-egress is not there; Kyverno: unknown, policy \
                   sluice-default-deny-egress does not name this namespace";
    assert_eq!(ends, [missing], "ingress was not reached");
    let status = of(engine.world(), 2);
    let why = "default-deny-egress is not there, and the rollout has reached this namespace";
    assert!(status.len() == 1 && status[0].contains(why), "{status:?}");

    server.unseed("v1", "Namespace", "", "fresh");
    support::run_for(&mut engine, Duration::from_secs(10)).await;
    assert!((0..3).all(|place| of(engine.world(), place).is_empty()));
}

/// The fleet of the example file.
fn example() -> sluice::cockpit::plan::FleetFile {
    let text = include_str!("../assets/sluice.example.yaml");
    sluice::workspace::fleet_file::parse("sluice.yaml", text).expect("the example is valid").fleet
}

fn runbook(notes: &Notes, secs: i64) -> String {
    documents::runbook::text(&Runbook {
        fleet: &example(),
        files: &PolicyFiles::default(),
        notes,
        due: None,
        generated: chrono::DateTime::from_timestamp(secs, 0).expect("valid"),
    })
}

#[test]
fn the_runbook_as_people_read_it() {
    insta::assert_snapshot!("runbook.md", runbook(&Notes::new(), 1_772_409_600));
}

#[test]
fn a_runbook_written_again_keeps_what_people_wrote() {
    let first = runbook(&Notes::new(), 1_772_409_600);
    let written = first.replacen("Reviewed: not yet\n", "Reviewed: 2026-03-02 by Ann\n", 1);
    let old = notes::read(Kind::Runbook, &written).expect("ours");
    assert!(!old.is_edited, "only notes were written");
    let again = runbook(&old.notes, 1_775_001_600);
    assert!(again.contains("Reviewed: 2026-03-02 by Ann"));
    assert!(again.contains("| Next review due | 2026-04-02 (monthly) |"), "{again}");
    let edited = first.replacen("delete networkpolicy egress-baseline-allow", "delete networkpolicy", 1);
    assert!(notes::read(Kind::Runbook, &edited).expect("ours").is_edited, "a command was changed");
    assert!(notes::read(Kind::Discovery, &first).is_err(), "it is no discovery document");
}

/// Both directions of every cluster, whole: what `kubectl delete` leaves isolates.
#[test]
fn the_runbooks_commands_name_the_whole_set_of_each_cluster() {
    let text = runbook(&Notes::new(), 1_772_409_600);
    for context in ["kind-staging-eu", "arn:aws:eks:eu-west-1:111122223333:cluster/prod-eu", "prod-us"] {
        for set in [
            "egress-baseline-allow egress-allowlist default-deny-egress",
            "ingress-allowlist default-deny-ingress",
        ] {
            let command = format!(
                "kubectl --context {context} delete networkpolicy {set} -n NAMESPACE --ignore-not-found"
            );
            assert!(text.contains(&command), "{command}");
        }
    }
}

/// Words of a command as a shell would split it, with single quotes.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(nth, part)| match nth % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// What kubectl would ask for, in its order: one request an object.
fn requests(command: &str) -> Vec<(http::Method, String, String)> {
    let words = words(command);
    let after =
        |flag: &str| words.iter().skip_while(|word| *word != flag).nth(1).cloned().unwrap_or_default();
    assert_eq!((&*words[0], &*words[1], &*words[4]), ("kubectl", "--context", "networkpolicy"), "{command}");
    let names: Vec<_> = words.iter().skip(5).take_while(|word| *word != "-n").collect();
    let (method, body) = match &*words[3] {
        "patch" => (http::Method::PATCH, after("-p")),
        "delete" => (http::Method::DELETE, String::new()),
        other => panic!("{other}: {command}"),
    };
    let ns = after("-n");
    let path = |name| format!("/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies/{name}");
    names.into_iter().map(|name| (method.clone(), path(name), body.clone())).collect()
}

/// At three in the morning, without sluice: the lines of the runbook, as on-call, on a simulated cluster.
/// Wherever they stop, nothing is closed; the other direction and the other namespaces stay as they are.
#[tokio::test(start_paused = true)]
async fn the_runbooks_commands_open_first_and_close_nothing_on_their_way() {
    let (fleet, folder, _engine) = after_a_wave(AFTER_A_WAVE);
    let place = Place { root: folder.path().to_owned(), only: Vec::new() };
    let read = root::read(&place).expect("the workspace is valid");
    let (notes, generated) = (Notes::new(), support::start());
    let (fleet_file, files) = (&read.fleet, &read.files);
    let text =
        documents::runbook::text(&Runbook { fleet: fleet_file, files, notes: &notes, due: None, generated });
    let lines =
        text.lines().filter(|line| line.starts_with("kubectl --context lab ") && line.contains("-egress"));
    let lines: Vec<_> = lines.map(|line| line.replace("NAMESPACE", "data")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");

    let member = fleet.cluster("lab").expect("it is there");
    let client = support::client(member, Person::OnCall);
    let live = |ns: &str| -> Vec<(String, Value)> {
        let all = member.server().policies();
        let ours = all.iter().filter(|policy| policy["metadata"]["namespace"] == ns);
        let name = |policy: &Value| policy["metadata"]["name"].as_str().expect("a name").to_owned();
        ours.map(|policy| (name(policy), policy["spec"]["egress"].clone())).collect()
    };
    let others = (live("web"), live("api"));
    assert_eq!(live("data").len(), 3, "{:?}", live("data"));
    for (method, path, body) in lines.iter().flat_map(|line| requests(line)) {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/merge-patch+json");
        client.request::<Value>(request.body(body.into_bytes()).expect("a request")).await.expect("it may");
        let left = live("data");
        let is_open = left.iter().any(|(name, rules)| name == "default-deny-egress" && *rules == json!([{}]));
        assert!(is_open || left.is_empty(), "closed half-way: {left:?}");
    }
    assert_eq!(live("data"), []);
    assert_eq!((live("web"), live("api")), others);
}
