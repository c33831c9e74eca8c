//! The team's commands on a simulated fleet with its state cluster, in memory, under a paused clock:
//! holds, reviews by two people, reports, the journal and its copy, a watch that is asked to end.

use std::{path::Path, sync::Arc, time::Duration};

use crate::support::{self, Paper, run_for};
use chrono::FixedOffset;
use clap::Parser as _;
use serde_json::Value;
use sluice::{
    cli::{
        apply,
        args::{Cli, Command},
        ask::Asker,
        change::Changing,
        exit::Exit,
        hold, overrule, plan,
        print::Printer,
        report, review_gate, rollback,
        session::Session,
        waive, watch,
    },
    engine::{Clock, Engine, Records, Setup},
    k8s::connect::Access,
    sim::{
        api::cluster::Cluster,
        fleet::{people::Person, running::Fleet, workspace},
    },
    workspace::root::{self, Place, Workspace},
};

/// A fleet, its workspace, and where acts wait for the journal.
struct Team {
    fleet: Fleet,
    read: Workspace,
    folder: tempfile::TempDir,
    began: tokio::time::Instant,
}

/// What a run of the program left behind.
struct Ran {
    exit: Exit,
    out: String,
    said: String,
}

impl Ran {
    #[track_caller]
    fn done(self) -> String {
        assert_eq!(self.exit, Exit::Done, "{}{}", self.out, self.said);
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        let out = self.done();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// The stable words of what was refused.
    #[track_caller]
    fn refused(self) -> Vec<String> {
        assert_eq!(self.exit, Exit::Refused, "{}{}", self.out, self.said);
        let out: Value = serde_json::from_str(&self.out).expect("JSON");
        let all = out["refusals"].as_array().expect("a list").iter();
        let reasons = all.flat_map(|refusal| refusal["reasons"].as_array().cloned().unwrap_or_default());
        reasons.filter_map(|reason| reason["code"].as_str().map(str::to_owned)).collect()
    }
}

impl Team {
    fn new() -> Self {
        let fleet = support::fleet("two", 1);
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("workspace");
        std::fs::create_dir(&root).expect("a folder");
        workspace::write(&fleet, &root).expect("it is written");
        let place = Place { root, only: Vec::new() };
        let mut read = root::read(&place).expect("the demo's workspace is valid");
        support::lenient(&mut read.fleet, &mut read.files);
        Self { fleet, read, folder, began: tokio::time::Instant::now() }
    }

    /// Each run of the program begins when the one before has ended.
    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        support::start() + self.began.elapsed()
    }

    fn engine(&self, person: Person) -> Engine {
        self.engine_of(person, &[])
    }

    /// One that looks at these clusters only; none named: at all.
    fn engine_of(&self, person: Person, only: &[String]) -> Engine {
        let members = self.fleet.clone();
        let mut plan = self.read.fleet.clone();
        if !only.is_empty() {
            root::subset(&mut plan, only).expect("they are there");
        }
        Engine::start(Setup {
            fleet: plan,
            files: self.read.files.clone(),
            notices: Vec::new(),
            reach: Arc::new(move |entry| {
                let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
                Access::Client(support::client(member, person))
            }),
            clock: Clock::simulated(self.now(), 1.0),
            zone: FixedOffset::east_opt(3600).expect("in range"),
            read_only: false,
            follow_flows: true,
            workspace: None,
            records: Some(Records { folder: self.folder.path().join(person.name()), strays: None }),
            notify: None,
        })
    }

    /// Runs `sluice` with these words as somebody; words with blanks stand in quotes.
    async fn sluice(&self, person: Person, words: &str) -> Ran {
        let words = words.split('\'').enumerate().flat_map(|(nth, part)| match nth % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        });
        let cli =
            Cli::try_parse_from(["sluice".to_owned()].into_iter().chain(words)).expect("a command line");
        let (out, said) = (Paper::default(), Paper::default());
        let mut printer = Printer::new(out.clone(), said.clone());
        let only = match &cli.command {
            Some(Command::Report(_)) => cli.global.contexts.clone(),
            _ => Vec::new(),
        };
        let mut session = Session::new(self.engine_of(person, &only));
        let (session, printer_ref, global) = (&mut session, &mut printer, &cli.global);
        let exit = match cli.command.as_ref().expect("a subcommand") {
            Command::Hold(args) => hold::hold(session, global, args, printer_ref).await,
            Command::Exclude(args) => hold::exclude(session, global, args, printer_ref).await,
            Command::Release(args) => hold::release(session, args, printer_ref).await,
            Command::Waive(args) => waive::run(session, global, args, printer_ref).await,
            Command::Override(args) => overrule::run(session, global, &args.command, printer_ref).await,
            Command::Plan(args) => plan::run(session, global, args, printer_ref).await,
            Command::Review(args) => {
                review_gate::in_session(session, &args.command, &mut Asker::Yes, printer_ref).await
            }
            Command::Report(args) => report::in_session(session, global, &args.command, printer_ref).await,
            Command::Apply(args) => {
                let only = vec!["east".parse_name()];
                let changing = Changing {
                    session,
                    change: &args.change,
                    asker: &mut Asker::Yes,
                    printer: printer_ref,
                    is_named: true,
                    only,
                };
                apply::run(changing, args).await
            }
            Command::Rollback(args) => {
                let changing = Changing {
                    session,
                    change: &args.change,
                    asker: &mut Asker::Yes,
                    printer: printer_ref,
                    is_named: true,
                    only: vec!["east".parse_name()],
                };
                rollback::run(changing, args).await
            }
            other => panic!("{other:?} is no command of the team"),
        };
        drop(printer);
        Ran { exit, out: out.text(), said: said.text() }
    }

    /// What waits for the journal is written, as the next run of the program does.
    async fn settle(&self, person: Person) {
        run_for(&mut self.engine(person), Duration::from_secs(90)).await;
    }

    fn state(&self) -> &Cluster {
        let member = self.fleet.clusters().iter().find(|member| member.spec().state);
        member.expect("a state cluster").server()
    }

    fn names(&self, kind: &str) -> Vec<String> {
        let all = self.state().objects("sluice.dev/v1alpha1", kind);
        all.iter().filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned)).collect()
    }
}

trait ParseName {
    fn parse_name(&self) -> sluice::domain::names::ClusterName;
}

impl ParseName for str {
    fn parse_name(&self) -> sluice::domain::names::ClusterName {
        sluice::domain::names::ClusterName::parse(self).expect("a name")
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_is_held_waits_and_is_let_go() {
    let team = Team::new();
    let hold = "hold --context east -n shop --direction egress --reason 'the vendor is told' -o json";
    assert_eq!(team.sluice(Person::Viewer, hold).await.refused(), ["no-right"]);
    team.sluice(Person::OnCall, hold).await.done();
    let [name] = team.names("Hold").try_into().expect("one hold");
    assert_eq!(team.sluice(Person::Lead, hold).await.refused(), ["already-held"]);
    let apply = "apply --context east -n shop --direction egress --yes -o json";
    let refused = team.sluice(Person::Lead, apply).await.refused();
    assert_eq!(refused, ["held"]);
    let unknown = team.sluice(Person::Lead, "release hold-x -o json").await.refused();
    assert_eq!(unknown, ["unknown-hold"]);
    team.sluice(Person::Lead, &format!("release {name} -o json")).await.done();
    assert_eq!(team.names("Hold"), [""; 0]);
    team.sluice(Person::Lead, apply).await.done();
}

#[tokio::test(start_paused = true)]
async fn an_exclusion_has_an_end_and_is_the_leads() {
    let team = Team::new();
    let exclude = "exclude --context east -n shop --direction egress --reason 'it moves away' -o json";
    assert_eq!(team.sluice(Person::Lead, exclude).await.refused(), ["no-expiry"]);
    let past = format!("{exclude} --until 2020-01-01");
    assert_eq!(team.sluice(Person::Lead, &past).await.refused(), ["past"]);
    team.sluice(Person::Lead, &format!("{exclude} --for 7d")).await.done();
    assert_eq!(team.names("Exclusion").len(), 1);
    let ends = team.sluice(Person::Viewer, "report open-ends -o json").await.json();
    let said = ends.to_string();
    assert!(said.contains("it moves away") && said.contains("lead"), "{said}");
}

/// Somebody takes it upon himself, with a day on which it ends; a name that is none waives nothing.
#[tokio::test(start_paused = true)]
async fn what_is_waived_has_an_end_and_is_the_leads() {
    let team = Team::new();
    let row = "waive --context east -n shop --direction egress --reason 'it is switched off' -o json";
    let denial =
        format!("{row} --destination api.old.example --port TCP/443 --workload Deployment/cart --until 7d");
    assert_eq!(team.sluice(Person::Viewer, &denial).await.refused(), ["no-right"]);
    let past = format!("{row} --quiet --until 2020-01-01");
    assert_eq!(team.sluice(Person::Lead, &past).await.refused(), ["past"]);
    let mistyped = format!("{row} --cronjob yearly-repport");
    assert_eq!(team.sluice(Person::Lead, &mistyped).await.refused(), ["nothing-to-waive"]);
    let nowhere = denial.replace("-n shop", "-n shoop");
    assert_eq!(team.sluice(Person::Lead, &nowhere).await.refused(), ["unknown-namespace"]);
    assert_eq!(team.names("Waiver"), [""; 0]);
    team.sluice(Person::Lead, &denial).await.done();
    let [waiver] = team.state().objects("sluice.dev/v1alpha1", "Waiver").try_into().expect("one waiver");
    let key = &waiver["spec"]["subject"]["denial"];
    assert_eq!(
        (key["destination"].as_str(), key["port"].as_u64(), key["protocol"].as_str()),
        (Some("api.old.example"), Some(443), Some("TCP")),
        "{waiver}"
    );
    let ends = team.sluice(Person::Viewer, "report open-ends -o json").await.json().to_string();
    assert!(ends.contains("denials of cart to api.old.example:443/TCP"), "{ends}");
}

/// One asks for the bytes that were previewed, another confirms; nobody asks for other bytes.
#[tokio::test(start_paused = true)]
async fn two_people_override_for_the_bytes_of_a_preview() {
    let team = Team::new();
    let apply = "apply --context east -n shop --direction egress --dry-run -o json";
    let preview = team.sluice(Person::Lead, apply).await.json();
    let digest = preview["previews"][0]["digest"].as_str().expect("a digest").to_owned();
    let ask = |digest: &str| {
        format!(
            "override ask --context east -n shop --direction egress --digest {digest} --covers soak,order \
             --reason 'the vendor moves tonight' -o json"
        )
    };
    assert_eq!(team.sluice(Person::Lead, &ask("000000000000")).await.refused(), ["other-bytes"]);
    // Neither the preview is theirs nor the override.
    let viewer = team.sluice(Person::Viewer, &ask(&digest)).await;
    assert!(viewer.refused().iter().all(|code| code == "no-right"));
    team.sluice(Person::Lead, &ask(&digest)).await.done();
    let [name] = team.names("Override").try_into().expect("one override");
    let plan = team.sluice(Person::OnCall, "plan --context east").await.out;
    assert!(plan.contains(&format!("`sluice override confirm {name}`")), "{plan}");
    let confirm = format!("override confirm {name} -o json");
    assert_eq!(team.sluice(Person::Lead, &confirm).await.refused(), ["no-right", "own-override"]);
    let unknown = team.sluice(Person::OnCall, "override confirm over-x -o json").await.refused();
    assert_eq!(unknown, ["unknown-override"]);
    team.sluice(Person::OnCall, &confirm).await.done();
    let plan = team.sluice(Person::Viewer, "plan --context east --direction egress -o json").await.out;
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let rows = plan["directions"][0]["waves"].as_array().expect("waves").iter().flat_map(|wave| {
        wave["rows"].as_array().expect("rows").iter().filter(|row| row["namespace"] == "shop")
    });
    let [row] = rows.collect::<Vec<_>>().try_into().expect("one row");
    let over = &row["overrides"][0];
    assert_eq!(
        (over["digest"].as_str(), over["by"].as_str(), over["confirmed"]["by"].as_str()),
        (Some(digest.as_str()), Some("lead"), Some("oncall")),
        "{row}"
    );
}

const ASK: &str = "review ask -n shop --for east --destination 198.51.100.66/32 --port TCP/4444 \
                   --purpose 'a tunnel for the vendor' --yes -o json";

/// Asked for by one, decided by another; the one who asked may not.
#[tokio::test(start_paused = true)]
async fn two_people_decide_on_a_destination() {
    let team = Team::new();
    team.sluice(Person::Lead, ASK).await.done();
    let [name] = team.names("Review").try_into().expect("one review");
    let list = team.sluice(Person::Viewer, "review list -o json").await.json();
    assert_eq!(
        (list[0]["name"].as_str(), list[0]["requested_by"].as_str()),
        (Some(name.as_str()), Some("lead")),
        "{list}"
    );
    let approve = format!("review approve {name} --reason 'looked at it' --ticket SEC-1 --yes -o json");
    let own = team.sluice(Person::Lead, &approve).await;
    assert_eq!(own.exit, Exit::Refused, "{}{}", own.out, own.said);
    team.sluice(Person::Security, &approve).await.done();
    let shown = team.sluice(Person::OnCall, &format!("review show {name} -o json")).await.json();
    let decided = &shown["decisions"][0];
    assert_eq!(
        (decided["verdict"].as_str(), decided["by"].as_str()),
        (Some("approved"), Some("security")),
        "{shown}"
    );
    let revoke = format!("review revoke {name} --reason 'it was misused' --yes -o json");
    team.sluice(Person::Security, &revoke).await.done();
    let again = team.sluice(Person::Security, &revoke).await;
    assert_eq!(again.exit, Exit::Refused, "{}{}", again.out, again.said);
    // What was taken back is asked for anew, and turned down.
    tokio::time::sleep(Duration::from_secs(5)).await;
    team.sluice(Person::Lead, ASK).await.done();
    let newest = team.names("Review").pop().expect("another one");
    let reject = format!("review reject {newest} --reason 'use the proxy' --yes -o json");
    team.sluice(Person::Security, &reject).await.done();
    let open = team.sluice(Person::Viewer, "review list --open -o json").await.json();
    assert_eq!(open.as_array().map(Vec::len), Some(0), "{open}");
}

/// Watches for so long, and then as after SIGTERM.
async fn watched(team: &Team, time: Duration) -> Ran {
    let (out, said) = (Paper::default(), Paper::default());
    let mut printer = Printer::new(out.clone(), said.clone());
    let mut session = Session::new(team.engine(Person::Lead));
    let cli = Cli::try_parse_from(["sluice", "watch"]).expect("a command line");
    let Some(Command::Watch(args)) = &cli.command else { panic!("a watch") };
    let exit = watch::run_until(&mut session, args, &mut printer, tokio::time::sleep(time)).await;
    drop(printer);
    Ran { exit, out: out.text(), said: said.text() }
}

fn holders(team: &Team) -> Vec<String> {
    let all = team.state().objects("coordination.k8s.io/v1", "Lease");
    all.iter().map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_asked_to_end_writes_its_last_evidence_and_gives_its_leases_back() {
    let team = Team::new();
    let apply = "apply --context east -n shop --direction egress --yes -o json";
    team.sluice(Person::Lead, apply).await.done();
    let ran = watched(&team, Duration::from_secs(630)).await;
    assert!(ran.said.contains("Everything is written."), "{}", ran.said);
    ran.done();
    assert_eq!(holders(&team), ["", ""], "given back");
    let evidence = team.state().objects("sluice.dev/v1alpha1", "Evidence");
    let until = evidence[0]["spec"]["until"].as_str().expect("a time").to_owned();
    let until = until.parse::<chrono::DateTime<chrono::Utc>>().expect("a time");
    let late = (team.now() - until).num_seconds();
    assert!((0..20).contains(&late), "the last evidence is as of {until}, {late} s before the end");
}

#[tokio::test(start_paused = true)]
async fn reports_are_handed_over_and_a_copy_of_the_journal_is_verified() {
    let team = Team::new();
    let words = "--context east -n shop --direction egress";
    team.sluice(Person::Lead, &format!("apply {words} --yes -o json")).await.done();
    watched(&team, Duration::from_secs(600)).await.done();
    let soak = team.sluice(Person::Viewer, &format!("report soak {words}")).await;
    assert!(soak.out.contains("east/shop egress"), "{}{}", soak.out, soak.said);
    let shift = team.sluice(Person::OnCall, "report handover").await;
    assert!(shift.out.contains("east/shop"), "{}{}", shift.out, shift.said);
    let axis = team.sluice(Person::OnCall, &format!("report timeline {words}")).await;
    assert!(axis.out.contains("apply"), "{}{}", axis.out, axis.said);
    team.sluice(Person::OnCall, &format!("rollback {words} --yes -o json")).await.done();
    team.settle(Person::OnCall).await;
    team.settle(Person::Lead).await;
    let journal = team.sluice(Person::Viewer, "report journal -o json").await.done();
    let acts: Vec<String> = journal
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).expect("JSON")["act"].as_str().expect("an act").to_owned()
        })
        .collect();
    assert!(acts.contains(&"apply".to_owned()) && acts.contains(&"rollback".to_owned()), "{acts:?}");
    verified(&team, &journal).await;
}

/// A copy as it was holds; one in which an entry was changed does not, and says which.
async fn verified(team: &Team, journal: &str) {
    let copy = team.folder.path().join("journal.jsonl");
    let check = |text: &str| std::fs::write(&copy, text).expect("written");
    let words = format!("report verify {}", Path::new(&copy).display());
    check(journal);
    team.sluice(Person::Viewer, &words).await.done();
    check(&journal.replacen("east/shop egress", "east/pay egress", 1));
    let tampered = team.sluice(Person::Viewer, &words).await;
    assert_eq!(tampered.exit, Exit::Failed, "{}", tampered.out);
    let line = journal.lines().position(|line| line.contains("east/shop egress")).expect("an entry") + 1;
    assert!(tampered.said.contains(&line.to_string()), "entry {line}: {}", tampered.said);
}
