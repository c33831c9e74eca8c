//! The headless commands on a simulated fleet, in memory, under a paused clock: a wave applied,
//! status, denials, rolled back; refusals with every reason; a rollback with the rest of the world gone.

use std::time::Duration;

use crate::support::{self, Paper};
use clap::Parser as _;
use sluice::{
    cli::{
        apply,
        args::{Change, Cli, Command},
        ask::Asker,
        change::Changing,
        denials, discover,
        exit::Exit,
        print::Printer,
        review_gate, rollback,
        session::Session,
        status,
    },
    cockpit::plan::PolicyFiles,
    engine::Engine,
    sim::fleet::{people::Person, running::Fleet, workspace},
    workspace::root::{self, Place, Workspace},
};

/// What a run of the program left behind.
struct Ran {
    exit: Exit,
    out: String,
    said: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// The workspace that the demo brings.
fn authored(fleet: &Fleet) -> Workspace {
    let folder = tempfile::tempdir().expect("a folder");
    workspace::write(fleet, folder.path()).expect("it is written");
    let place = Place { root: folder.path().to_owned(), only: Vec::new() };
    let mut read = root::read(&place).expect("the demo's workspace is valid");
    assert_eq!(read.notices, [], "and has nothing to notice");
    support::lenient(&mut read.fleet, &mut read.files);
    read
}

/// Runs `sluice` with these words; answers that a person would type come last.
async fn sluice(engine: Engine, words: &str, answers: &[&str]) -> Ran {
    let cli =
        Cli::try_parse_from(["sluice"].into_iter().chain(words.split(' '))).expect("a valid command line");
    let (out, said) = (Paper::default(), Paper::default());
    let mut printer = Printer::new(out.clone(), said.clone());
    let mut session = Session::new(engine);
    let is_named = !cli.global.contexts.is_empty();
    let mut asker = Asker::Given(answers.iter().map(|answer| (*answer).to_owned()).collect());
    let mut ask_less = Asker::Yes;
    let exit = match cli.command.as_ref().expect("a subcommand") {
        Command::Status(args) => status::run(&mut session, args, &mut printer).await,
        Command::Denials(args) => denials::run(&mut session, args, &mut printer).await,
        Command::Apply(args) => {
            let asker = if args.change.yes { &mut ask_less } else { &mut asker };
            apply::run(changing(&mut session, &args.change, asker, &mut printer, is_named), args).await
        }
        Command::Advance(args) => {
            let asker = if args.change.yes { &mut ask_less } else { &mut asker };
            apply::advance(changing(&mut session, &args.change, asker, &mut printer, is_named), args).await
        }
        Command::Revert(args) => {
            let asker = if args.change.yes { &mut ask_less } else { &mut asker };
            apply::revert(changing(&mut session, &args.change, asker, &mut printer, is_named), args).await
        }
        Command::Rollback(args) => {
            let asker = if args.change.yes { &mut ask_less } else { &mut asker };
            rollback::run(changing(&mut session, &args.change, asker, &mut printer, is_named), args).await
        }
        Command::Discover(args) => discover::in_session(&mut session, &cli.global, args, &mut printer).await,
        Command::Review(args) => {
            review_gate::in_session(&mut session, &args.command, &mut asker, &mut printer).await
        }
        other => panic!("{other:?} needs more than an engine"),
    };
    drop(printer);
    Ran { exit, out: out.text(), said: said.text() }
}

fn changing<'c, 'p>(
    session: &'c mut Session,
    change: &'c Change,
    asker: &'c mut Asker,
    printer: &'c mut Printer<'p>,
    is_named: bool,
) -> Changing<'c, 'p> {
    Changing { session, change, asker, printer, is_named, only: Vec::new() }
}

/// An engine that looks at one cluster of the fleet only.
fn only(fleet: &Fleet, read: &Workspace, cluster: &str) -> Engine {
    let mut plan = read.fleet.clone();
    root::subset(&mut plan, &[cluster.to_owned()]).expect("it is there");
    support::engine(fleet, Person::Lead, plan, read.files.clone())
}

fn live(fleet: &Fleet, cluster: &str, ns: &str) -> Vec<String> {
    let member = fleet.cluster(cluster).expect("it is there");
    let all = member.server().objects("networking.k8s.io/v1", "NetworkPolicy");
    all.iter()
        .filter(|object| object["metadata"]["namespace"] == ns)
        .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

fn first_of(fleet: &Fleet, environment: &str) -> String {
    let member = fleet.clusters().iter().find(|member| member.spec().environment.as_str() == environment);
    member.expect("one of each").name().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_applied_seen_and_taken_back() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let words = |command: &str| format!("{command} --cluster {cluster} -n shop --direction egress -o json");

    let dry = sluice(only(&fleet, &read, &cluster), &words("apply --dry-run"), &[]).await;
    assert_eq!(dry.exit, Exit::Done, "{}{}", dry.out, dry.said);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0], "a dry run writes nothing");
    let headline = dry.json()["previews"][0]["headline"].as_str().expect("a text").to_owned();
    assert!(headline.contains("become isolated in egress"), "{headline}");

    let applied = sluice(only(&fleet, &read, &cluster), &words("apply --yes"), &[]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
    let set = ["default-deny-egress", "egress-allowlist", "egress-baseline-allow"];
    assert_eq!(live(&fleet, &cluster, "shop"), set);
    let report = applied.json();
    let calls = report["orders"][0]["calls"].as_array().expect("a list");
    assert_eq!(calls.first().expect("some")["verb"], "open");
    assert_eq!(calls.last().expect("some")["verb"], "tighten");

    let again = sluice(only(&fleet, &read, &cluster), &words("apply --yes"), &[]).await;
    assert_eq!((again.exit, again.json()["orders"].as_array().map(Vec::len)), (Exit::Done, Some(0)));

    let back = sluice(only(&fleet, &read, &cluster), &words("rollback --yes"), &[]).await;
    assert_eq!(back.exit, Exit::Done, "{}{}", back.out, back.said);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0]);
    assert_eq!(back.json()["orders"][0]["outcome"]["isolation"]["isolated"], 0);
}

/// No collector, no week asked for, and applied once: an update that forgets the resolver is stopped by name.
#[tokio::test(start_paused = true)]
async fn an_update_without_a_rule_for_dns_is_refused_where_nothing_was_recorded() {
    let fleet = support::fleet("two", 1);
    let mut read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let words = format!("apply --cluster {cluster} -n shop --direction egress --yes -o json");
    let applied = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
    let found = read.files.sets.iter_mut().find(|((on, ns, direction), _)| {
        (on.as_str(), ns.as_str(), direction.as_str()) == (&*cluster, "shop", "egress")
    });
    let (_, shop) = found.expect("it is authored");
    let manifest = shop.manifests.get_mut("egress-baseline-allow").expect("it has one");
    let mut forgetful: serde_json::Value = serde_json::from_str(&manifest.to_string()).expect("JSON");
    let rules = forgetful["spec"]["egress"].as_array_mut().expect("a list");
    let before = rules.len();
    // Pods among themselves would let lookups pass too: only the time is left.
    rules.retain(|rule| rule["ports"][0]["port"] == 123);
    assert!(rules.len() == 1 && before > 1, "{forgetful}");
    *manifest = forgetful.to_string().into();
    let policy = sluice::manifest::policy(&forgetful).expect("a policy");
    shop.set.insert("egress-baseline-allow", policy);
    let again = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(again.exit, Exit::Refused, "{}{}", again.out, again.said);
    let reasons = again.json()["refusals"].to_string();
    assert!(reasons.contains("shop egress: dns-reachable: "), "{reasons}");
}

/// The typed word: `yes` in staging, the namespace's name in production, and nothing on anything else.
#[tokio::test(start_paused = true)]
async fn production_takes_the_namespaces_name() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "production");
    support::exclude(&fleet, &first_of(&fleet, "staging"));
    let words = format!("apply --cluster {cluster} -n shop --direction egress");
    let refused = sluice(only(&fleet, &read, &cluster), &words, &["yes"]).await;
    assert_eq!(refused.exit, Exit::Failed);
    assert!(refused.said.contains("*** PRODUCTION ***"), "{}", refused.said);
    assert!(refused.said.contains("Not confirmed: nothing was written."), "{}", refused.said);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0]);
    let applied = sluice(only(&fleet, &read, &cluster), &words, &["shop"]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
}

#[tokio::test(start_paused = true)]
async fn both_directions_authored_have_to_be_told_apart() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let words = format!("apply --cluster {cluster} -n shop --yes");
    let ran = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(ran.exit, Exit::Usage);
    assert!(ran.said.contains("add --direction egress"), "{}", ran.said);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_prints_every_reason_and_ends_in_3() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let mut plan = read.fleet.clone();
    plan.path = None;
    root::subset(&mut plan, std::slice::from_ref(&cluster)).expect("it is there");
    let engine = support::engine(&fleet, Person::Viewer, plan, PolicyFiles::default());
    let words = format!("apply --cluster {cluster} -n nowhere --direction egress --yes -o json");
    let ran = sluice(engine, &words, &[]).await;
    assert_eq!(ran.exit, Exit::Refused, "{}{}", ran.out, ran.said);
    let report = ran.json();
    let reasons = report["refusals"][0]["reasons"].as_array().expect("a list");
    let codes: Vec<_> = reasons.iter().filter_map(|reason| reason["code"].as_str()).collect();
    // Nobody asked what may be done in a namespace that no file names.
    assert_eq!(codes, ["no-workspace", "unknown-namespace", "not-authored"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_of_a_namespace_that_is_not_there_is_no_success() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let words = format!("rollback --cluster {cluster} -n shpo --yes");
    let ran = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.out.contains("has no namespace shpo"), "{}", ran.out);
}

/// Law 6: no workspace, no other cluster, no relay.
#[tokio::test(start_paused = true)]
async fn a_rollback_needs_the_targets_api_server_only() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let (cluster, other) = (first_of(&fleet, "production"), first_of(&fleet, "staging"));
    let apply = format!("apply --cluster {cluster} -n shop --direction egress --yes");
    let applied = sluice(only(&fleet, &read, &cluster), &apply, &[]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
    fleet.fault(&other, sluice::sim::fleet::faults::Fault::Dead);
    let contexts: Vec<_> = fleet.clusters().iter().map(|member| member.name().to_owned()).collect();
    let mut plan = root::stand_in(contexts.iter().map(String::as_str)).fleet;
    root::subset(&mut plan, std::slice::from_ref(&cluster)).expect("it is there");
    let engine = support::engine(&fleet, Person::OnCall, plan, PolicyFiles::default());
    let ran = sluice(engine, &format!("rollback --cluster {cluster} --all-namespaces"), &["yes"]).await;
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.out, ran.said);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0]);
}

/// Applied by the lead, in each of these clusters and namespaces.
async fn applied(fleet: &Fleet, read: &Workspace, rows: &[(&str, &str)]) {
    for (cluster, ns) in rows {
        let words = format!("apply --cluster {cluster} -n {ns} --direction egress --yes");
        let ran = sluice(only(fleet, read, cluster), &words, &[]).await;
        assert_eq!(ran.exit, Exit::Done, "{}{}", ran.out, ran.said);
        assert_eq!(live(fleet, cluster, ns).len(), 3);
    }
}

/// Law 6: whoever has the right by a RoleBinding takes that namespace back, and is told by the server
/// where they have none.
#[tokio::test(start_paused = true)]
async fn who_is_on_call_for_one_namespace_takes_it_back_and_no_other() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    applied(&fleet, &read, &[(&cluster, "shop"), (&cluster, "payments")]).await;
    let engine = || {
        let mut plan = read.fleet.clone();
        root::subset(&mut plan, std::slice::from_ref(&cluster)).expect("it is there");
        support::engine(&fleet, Person::ShopOnCall, plan, read.files.clone())
    };
    let words = |ns: &str| format!("rollback --cluster {cluster} -n {ns} --direction egress");

    let back = sluice(engine(), &words("shop"), &["yes"]).await;
    assert_eq!(back.exit, Exit::Done, "{}{}", back.out, back.said);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0]);

    let refused = sluice(engine(), &words("payments"), &["yes"]).await;
    assert_eq!(refused.exit, Exit::Failed, "{}{}", refused.out, refused.said);
    let server = "networkpolicies.networking.k8s.io \"default-deny-egress\" is forbidden: User \"shop-oncall\" cannot patch resource";
    assert!(refused.out.contains(server), "{}", refused.out);
    assert_eq!(live(&fleet, &cluster, "payments").len(), 3);
}

/// Laws 6 and 7: what can be taken back is, and the rest is reported.
#[tokio::test(start_paused = true)]
async fn a_dead_cluster_keeps_no_other_one_from_being_taken_back() {
    for (which, left) in [("-n shop", "orders"), ("--all-namespaces", "troubles")] {
        let fleet = support::fleet("two", 1);
        let read = authored(&fleet);
        let (alive, dead) = (first_of(&fleet, "staging"), first_of(&fleet, "production"));
        applied(&fleet, &read, &[(&alive, "shop")]).await;
        fleet.fault(&dead, sluice::sim::fleet::faults::Fault::Dead);
        let words = format!("rollback --cluster {alive} --cluster {dead} {which} --yes -o json");
        let ran = sluice(whole(&fleet, &read), &words, &[]).await;
        assert_eq!(ran.exit, Exit::Partial, "{}{}", ran.out, ran.said);
        assert_eq!(live(&fleet, &alive, "shop"), [""; 0], "{which}");
        let report = ran.json();
        assert_eq!(report["result"], "done in part");
        let told = report[left].as_array().expect("a list").iter();
        let of_dead = told.filter(|told| told.to_string().contains(&dead)).count();
        assert!(of_dead > 0, "{which}: {}", ran.out);
    }
}

/// A namespace that one of the clusters has not keeps the others' from nothing, and is no success.
#[tokio::test(start_paused = true)]
async fn a_mistyped_namespace_beside_another_is_refused_alone() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    applied(&fleet, &read, &[(&cluster, "shop")]).await;
    let words = format!("rollback --cluster {cluster} -n shpo -n shop --direction egress --yes");
    let ran = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(ran.exit, Exit::Partial, "{}{}", ran.out, ran.said);
    assert!(ran.out.contains("has no namespace shpo"), "{}", ran.out);
    assert_eq!(live(&fleet, &cluster, "shop"), [""; 0]);
}

/// Law 7: a dead cluster is a row with its reason, and the others are whole.
#[tokio::test(start_paused = true)]
async fn status_shows_the_living_whole_and_the_dead_with_a_reason() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let dead = first_of(&fleet, "production");
    fleet.fault(&dead, sluice::sim::fleet::faults::Fault::Dead);
    let engine = support::engine(&fleet, Person::Lead, read.fleet.clone(), read.files.clone());
    let ran = sluice(engine, "status -o json --deadline 60s", &[]).await;
    assert_eq!(ran.exit, Exit::Partial, "{}", ran.said);
    let report = ran.json();
    for cluster in report["clusters"].as_array().expect("a list") {
        let is_dead = cluster["name"] == dead.as_str();
        assert_eq!(cluster["health"]["state"], if is_dead { "down" } else { "up" }, "{cluster}");
        assert_eq!(cluster["health"]["reason"].is_string(), is_dead);
        assert_eq!(cluster["denials_per_minute"].is_null(), is_dead, "unknown is no zero");
        let namespaces = cluster["namespaces"].as_array().expect("a list");
        assert_eq!(namespaces.is_empty(), is_dead);
    }
}

/// A namespace with a forgotten destination, half a minute after its egress was closed.
async fn with_denials() -> (Fleet, Workspace, String) {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let cluster = first_of(&fleet, "staging");
    let words = format!("apply --cluster {cluster} -n shop --direction egress --yes");
    let applied = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
    tokio::time::sleep(Duration::from_secs(30)).await;
    (fleet, read, cluster)
}

fn lines(ran: &Ran) -> Vec<serde_json::Value> {
    ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(start_paused = true)]
async fn denials_come_with_the_health_of_their_sources() {
    let (fleet, read, cluster) = with_denials().await;
    let ran = sluice(only(&fleet, &read, &cluster), "denials --for 1m -o json", &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.out, ran.said);
    let lines = lines(&ran);
    assert!(lines.iter().any(|line| line["type"] == "group" && line["namespace"] == "shop"), "{}", ran.out);
    let source = lines.iter().find(|line| line["type"] == "source").expect("each source is told");
    assert_eq!(source["link"], "live");
    assert!(source["history_from"].is_string() && source["lost"].is_u64(), "{source}");
}

#[tokio::test(start_paused = true)]
async fn followed_denials_come_one_by_one() {
    let (fleet, read, cluster) = with_denials().await;
    let words = "denials --follow --for 1m -o json -n shop";
    let ran = sluice(only(&fleet, &read, &cluster), words, &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.out, ran.said);
    let denials = lines(&ran).into_iter().filter(|line| line["type"] == "denial");
    assert!(denials.clone().count() > 1, "{}", ran.out);
    assert!(denials.clone().all(|line| line["namespace"] == "shop" && line["owner"] == "team-shop"));
    assert!(ran.said.contains("live, history from"), "{}", ran.said);
}

/// Without files the cluster's collector is asked; one that does not answer is said, with what to do.
#[tokio::test(start_paused = true)]
async fn a_discovery_says_that_the_collector_does_not_answer() {
    let fleet = support::fleet("demo", 1);
    let read = authored(&fleet);
    let cluster = "prod-eu-central".to_owned();
    let words = format!("discover --cluster {cluster} -n shop -o json");
    let ran = sluice(only(&fleet, &read, &cluster), &words, &[]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failed, ""));
    let named = ran.said.contains("collector") && ran.said.contains("prod-eu-central");
    assert!(named, "{}", ran.said);
}

/// The whole fleet, and whichever rows of its present wave may go.
fn whole(fleet: &Fleet, read: &Workspace) -> Engine {
    support::engine(fleet, Person::Lead, read.fleet.clone(), read.files.clone())
}

#[tokio::test(start_paused = true)]
async fn advance_applies_what_may_go_of_the_present_wave_and_then_says_what_is_waited_for() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let set = ["default-deny-egress", "egress-allowlist", "egress-baseline-allow"];
    let namespaces = ["data", "payments", "shop"];

    let dry = sluice(whole(&fleet, &read), "advance --dry-run -o json", &[]).await;
    assert_eq!(dry.exit, Exit::Done, "{}{}", dry.out, dry.said);
    assert_eq!(dry.json()["previews"].as_array().map(Vec::len), Some(3), "{}", dry.out);
    for ns in namespaces {
        assert_eq!(live(&fleet, "east", ns), [""; 0], "a dry run writes nothing");
    }

    let applied = sluice(whole(&fleet, &read), "advance --yes -o json", &[]).await;
    assert_eq!(applied.exit, Exit::Done, "{}{}", applied.out, applied.said);
    let report = applied.json();
    let orders = report["orders"].as_array().expect("a list");
    let mut done: Vec<_> = orders
        .iter()
        .map(|order| {
            assert_eq!((&order["kind"], &order["outcome"]["state"]), (&"apply".into(), &"done".into()));
            order["target"]["namespace"].as_str().expect("a name")
        })
        .collect();
    done.sort_unstable();
    assert_eq!(done, namespaces);
    for ns in namespaces {
        assert_eq!(live(&fleet, "east", ns), set);
        assert_eq!(live(&fleet, "west", ns), [""; 0], "production is of a later wave");
    }

    let again = sluice(whole(&fleet, &read), "advance --yes -o json", &[]).await;
    assert_eq!(again.exit, Exit::Refused, "{}{}", again.out, again.said);
    let reasons = again.json()["refusals"][0]["reasons"].to_string();
    assert!(reasons.contains("wave-soaks"), "{reasons}");
    assert_eq!(again.json()["orders"].as_array().map(Vec::len), Some(0));
}

/// The server does not take one row's bytes, which nobody knows before the preview.
#[tokio::test(start_paused = true)]
async fn a_row_that_is_refused_does_not_keep_the_others_of_its_wave_from_going() {
    let fleet = support::fleet("two", 1);
    let mut read = authored(&fleet);
    let bad = read.files.sets.iter_mut().find(|((cluster, ns, direction), _)| {
        (cluster.as_str(), ns.as_str(), direction.as_str()) == ("east", "payments", "egress")
    });
    let (_, authored) = bad.expect("it is authored");
    let manifest = authored.manifests.get_mut("egress-allowlist").expect("it has one");
    let wrong = manifest.to_string().replacen("\"port\":443", "\"port\":70000", 1);
    assert_ne!(manifest.to_string(), wrong);
    *manifest = wrong.into();
    let ran = sluice(whole(&fleet, &read), "advance --yes -o json", &[]).await;
    assert_eq!(ran.exit, Exit::Partial, "{}{}", ran.out, ran.said);
    assert_eq!(live(&fleet, "east", "payments"), [""; 0]);
    assert_eq!((live(&fleet, "east", "shop").len(), live(&fleet, "east", "data").len()), (3, 3));
    assert!(ran.out.contains("70000"), "{}", ran.out);
}

/// Nobody read what payments talks to, so its owner gate cannot be judged: the others go all the same.
#[tokio::test(start_paused = true)]
async fn a_row_without_evidence_is_not_asked_for_and_says_so_once_the_others_are_live() {
    let fleet = support::fleet("two", 1);
    let mut read = authored(&fleet);
    let flagged = read.files.flagged.as_mut().expect("documents");
    flagged.retain(|(_, ns), _| ns.as_str() != "payments");
    let ran = sluice(whole(&fleet, &read), "advance --yes -o json", &[]).await;
    assert_eq!(ran.exit, Exit::Done, "{}{}", ran.out, ran.said);
    assert_eq!(live(&fleet, "east", "payments"), [""; 0]);
    assert_eq!(live(&fleet, "east", "shop").len(), 3);
    let again = sluice(whole(&fleet, &read), "advance --yes -o json", &[]).await;
    assert_eq!(again.exit, Exit::Refused, "{}{}", again.out, again.said);
    let refusals = again.json()["refusals"].to_string();
    assert!(refusals.contains("no evidence of east/payments is read"), "{refusals}");
}

#[tokio::test(start_paused = true)]
async fn advance_asks_for_every_row_and_a_no_leaves_everything() {
    let fleet = support::fleet("two", 1);
    let read = authored(&fleet);
    let ran = sluice(whole(&fleet, &read), "advance", &["yes", "no"]).await;
    assert_eq!(ran.exit, Exit::Failed, "{}{}", ran.out, ran.said);
    assert!(ran.said.contains("Not confirmed: nothing was written."), "{}", ran.said);
    assert_eq!(live(&fleet, "east", "shop"), [""; 0]);
}
