//! One `sluice watch` a cluster, as past one machine: each holds the Lease of its own cluster and writes
//! its evidence to the state cluster. One is killed: what nobody saw counts for nothing, what a standby
//! saw counts once, and the other clusters notice nothing. Simulated fleet, in memory, paused clock.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    process::{Child, Command as Process, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use crate::support::{self, run_for, start, terminal};
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use clap::Parser as _;
use serde_json::{Value, json};
use sluice::{
    cli::{
        args::{Cli, Command},
        print::Printer,
        session::Session,
        watch,
    },
    cockpit::{plan::PolicyFiles, settings::StatePlace},
    domain::{
        evidence::Evidence,
        flow::Direction,
        names::{ClusterName, NsName},
        rollout::Target,
        spans::{Spans, minute_of},
    },
    engine::{Claims, Clock, Engine, Setup, Soaks},
    k8s::{
        connect::Access,
        lease::Role,
        shared::{evidence, rollout},
    },
    sim::fleet::{people::Person, running::Fleet, scenario::Scenario},
    workspace::root,
};
use tokio::{
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Instant, sleep, sleep_until},
};

const CLUSTERS: [&str; 3] = ["east", "west", "south"];
const MINUTE: Duration = Duration::from_secs(60);

fn scenario() -> String {
    let cluster = |name: &str| {
        format!(
            "[[cluster]]\nname = \"{name}\"\nenvironment = \"production\"\ncni = \"cilium\"\nnodes = 1\n\
             rate = 0.2\nstate = {}\nnamespaces = [\"shop\", \"data\"]\n",
            name == "east"
        )
    };
    format!("name = \"three\"\n{}", CLUSTERS.map(cluster).concat())
}

fn fleet() -> Fleet {
    let fleet = support::fleet_of(&Scenario::parse("three", &scenario()).expect("a scenario"), 1);
    let everything = json!([{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }]);
    for member in fleet.clusters() {
        for (name, egress) in [
            ("default-deny-egress", json!([])),
            ("egress-baseline-allow", everything.clone()),
            ("egress-allowlist", everything.clone()),
        ] {
            member.server().seed(json!({
                "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                "metadata": { "name": name, "namespace": "shop" },
                "spec": { "podSelector": {}, "policyTypes": ["Egress"], "egress": egress },
            }));
        }
    }
    fleet
}

struct Site {
    fleet: Fleet,
    began: Instant,
}

impl Site {
    fn new() -> Self {
        Self { fleet: fleet(), began: Instant::now() }
    }

    fn now(&self) -> DateTime<Utc> {
        start() + self.began.elapsed()
    }

    async fn until(&self, minute: u32) {
        sleep_until(self.began + MINUTE * minute).await;
    }

    /// The program, looking at these clusters only; none named: at all.
    fn engine(&self, person: Person, only: &[&str]) -> Engine {
        let mut plan = support::fleet_file(&self.fleet);
        let state = ClusterName::parse("east").expect("a name");
        plan.settings.state =
            Some(StatePlace { cluster: state, ns: NsName::parse("sluice").expect("a name") });
        let only: Vec<_> = only.iter().map(|&name| name.to_owned()).collect();
        root::subset(&mut plan, &only).expect("they are there");
        let members = self.fleet.clone();
        Engine::start(Setup {
            fleet: plan,
            files: PolicyFiles::default(),
            notices: Vec::new(),
            reach: Arc::new(move |entry| {
                let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
                Access::Client(support::client(member, person))
            }),
            clock: Clock::simulated(self.now(), 1.0),
            zone: FixedOffset::east_opt(0).expect("in range"),
            read_only: false,
            follow_flows: true,
            workspace: None,
            records: None,
            notify: None,
        })
    }

    /// `sluice watch --context CLUSTER`. Aborting it is SIGKILL: nothing is written or given back.
    fn watcher(&self, cluster: &str) -> JoinHandle<()> {
        let engine = self.engine(Person::Lead, &[cluster]);
        spawn_local(async move {
            let cli = Cli::try_parse_from(["sluice", "watch"]).expect("a command line");
            let Some(Command::Watch(args)) = &cli.command else { panic!("a watch") };
            let mut printer = Printer::new(io::sink(), io::sink());
            let mut session = Session::new(engine);
            watch::run_until(&mut session, args, &mut printer, std::future::pending()).await;
        })
    }

    fn state(&self, kind: (&str, &str)) -> Vec<Value> {
        let objects = self.fleet.cluster("east").expect("it is there").server().objects(kind.0, kind.1);
        objects.iter().map(|object| Value::clone(object)).collect()
    }

    /// Holder of a cluster's Lease, and how often it changed hands.
    fn lease(&self, cluster: &str) -> (String, u64) {
        let all = self.state(("coordination.k8s.io/v1", "Lease"));
        let name = format!("sluice-observer-{cluster}");
        let lease = all.iter().find(|lease| lease["metadata"]["name"] == name.as_str()).expect("a Lease");
        let holder = lease["spec"]["holderIdentity"].as_str().expect("a holder").to_owned();
        (holder, lease["spec"]["leaseTransitions"].as_u64().expect("a number"))
    }

    fn evidence(&self, cluster: &str) -> Evidence {
        let all = self.state(("sluice.dev/v1alpha1", "Evidence"));
        let all = all.iter().map(|object| evidence::decode(object).expect("we wrote it").value);
        let mut all: Vec<_> = all.filter(|one| one.target == target(cluster)).collect();
        assert_eq!(all.len(), 1, "one object a rollout, whoever writes");
        all.remove(0)
    }

    /// The wave that is recorded of each cluster's rollout.
    fn waves(&self) -> [Option<u32>; 3] {
        let all = self.state(("sluice.dev/v1alpha1", "Rollout"));
        let all: Vec<_> =
            all.iter().map(|object| rollout::decode(object).expect("we wrote it").value).collect();
        CLUSTERS.map(|cluster| {
            let record = all.iter().find(|record| record.target == target(cluster)).expect("it is recorded");
            record.wave
        })
    }

    /// Credited minutes and wall minutes, as somebody reads them who looks now.
    async fn credit(&self) -> [(i64, i64); 3] {
        let mut viewer = self.engine(Person::Viewer, &[]);
        run_for(&mut viewer, MINUTE).await;
        CLUSTERS.map(|cluster| {
            let judged = viewer.world().soaks().judged(&target(cluster), viewer.world()).expect("it soaks");
            (judged.credited, judged.wall)
        })
    }
}

fn target(cluster: &str) -> Target {
    Target {
        cluster: ClusterName::parse(cluster).expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    }
}

/// Which of the minutes from the start on are in there.
fn minutes(spans: &Spans) -> Vec<i64> {
    (0..60).filter(|minute| spans.contains(minute_of(start()) + minute)).collect()
}

#[tokio::test(start_paused = true)]
async fn what_nobody_saw_after_a_kill_is_a_gap_and_the_others_notice_nothing() {
    LocalSet::new()
        .run_until(async {
            let site = Site::new();
            let mut watchers = CLUSTERS.map(|cluster| site.watcher(cluster));
            site.until(6).await;
            let before = CLUSTERS.map(|cluster| site.lease(cluster));
            assert!(before.iter().all(|(holder, _)| holder.starts_with("watch on ")), "{before:?}");
            assert_eq!(
                before.iter().filter(|one| one.0 == before[1].0).count(),
                1,
                "each has one of its own"
            );

            watchers[1].abort();
            site.until(9).await;
            assert_eq!(site.lease("west"), before[1], "nobody gave it back");
            watchers[1] = site.watcher("west");
            site.until(15).await;

            let after = CLUSTERS.map(|cluster| site.lease(cluster));
            assert_eq!([&after[0], &after[2]], [&before[0], &before[2]]);
            assert!(after[1].0 != before[1].0 && after[1].1 == before[1].1 + 1, "{after:?}");
            // The last write before the kill is at most a minute old, and the new one began at minute 9.
            let west = minutes(&site.evidence("west").looked);
            let gap: Vec<_> = west.iter().filter(|minute| (6..9).contains(*minute)).collect();
            assert_eq!(gap, Vec::<&i64>::new());
            assert!((2..4).chain(11..13).all(|minute| west.contains(&minute)), "{west:?}");
            for cluster in ["east", "south"] {
                let looked = minutes(&site.evidence(cluster).looked);
                assert!((2..13).all(|minute| looked.contains(&minute)), "{cluster}: {looked:?}");
                assert!(site.now() - site.evidence(cluster).until < TimeDelta::seconds(90));
            }
            let [east, west, south] = site.credit().await;
            assert!((11..=16).contains(&east.0) && (11..=16).contains(&south.0), "{east:?} {south:?}");
            // Six minutes and six, without those that begin or end in the middle; three are lost.
            assert!((6..=12).contains(&west.0) && east.0 - west.0 >= 3, "{east:?} {west:?}");
            assert!((14..=16).contains(&west.1), "the wall goes on: {west:?}");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_standby_takes_over_within_a_lease_and_no_minute_is_lost_or_counted_twice() {
    LocalSet::new()
        .run_until(async {
            let site = Site::new();
            let watchers = CLUSTERS.map(|cluster| site.watcher(cluster));
            sleep(Duration::from_secs(20)).await;
            let first = site.lease("west");
            let _standby = site.watcher("west");
            site.until(5).await;
            assert_eq!(site.lease("west"), first, "it waits");

            watchers[1].abort();
            let killed = Instant::now();
            while site.lease("west").0 == first.0 {
                assert!(killed.elapsed() < Duration::from_secs(60), "nobody takes over");
                sleep(Duration::from_secs(1)).await;
            }
            // It was renewed at most ten seconds before it died, and is over 30 s after that.
            let taken = killed.elapsed().as_secs();
            assert!((19..=34).contains(&taken), "{taken} s");
            site.until(11).await;
            assert_eq!(site.lease("west").1, first.1 + 1);

            // Both looked at it all the time: what the first wrote and what the second saw join.
            let looked = minutes(&site.evidence("west").looked);
            assert!((2..9).all(|minute| looked.contains(&minute)), "{looked:?}");
            for (credited, wall) in site.credit().await {
                assert!((7..=12).contains(&credited) && credited <= wall, "{credited} of {wall}");
            }
        })
        .await;
}

/// A watch of one cluster cannot say in which wave of the fleet a row is. Production's waves begin with 3
/// and hold 1, 2, 3, 3, … of nineteen rows (a fifth at most). In each cluster that is data, default,
/// three of kube, and shop; south goes before west by its name, and east last, which is the largest by
/// the state's own namespace. So the sixth row is in wave 5, the twelfth in 7, the eighteenth in 9.
#[tokio::test(start_paused = true)]
async fn a_cockpit_of_the_whole_fleet_writes_the_waves_that_watches_do_not_know() {
    const SOAKS: Soaks = Soaks {
        targets: |world, cluster| {
            world.soaks().targets().filter(|target| target.cluster == *cluster).collect()
        },
        evidence: |world, target| world.soaks().evidence(target, world),
    };
    LocalSet::new()
        .run_until(async {
            let site = Site::new();
            let watchers = CLUSTERS.map(|cluster| site.watcher(cluster));
            site.until(3).await;
            assert_eq!(site.waves(), [None; 3]);
            let mut lead = site.engine(Person::Lead, &[]);
            let claims = Claims {
                role: Some(Role::Cockpit),
                host: "desk".into(),
                nonce: "0".into(),
                ..Claims::default()
            };
            lead.observe(claims, SOAKS);
            run_for(&mut lead, MINUTE * 2).await;
            assert_eq!(site.waves(), [Some(9), Some(7), Some(5)]);
            // The watches write on, and a cockpit that takes over from one leaves it too.
            watchers[1].abort();
            run_for(&mut lead, MINUTE * 4).await;
            assert_eq!(site.waves(), [Some(9), Some(7), Some(5)]);
            assert!(site.lease("west").0.contains("desk"), "{:?}", site.lease("west"));
        })
        .await;
}

/// `sluice watch` as a process, and what it prints.
struct Watch {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watch {
    fn start(served: &terminal::Fleet, workspace: &str, home: &std::path::Path, cluster: &str) -> Self {
        let mut child = Process::new(terminal::SLUICE)
            .args(["watch", "--context", cluster, "--workspace", workspace])
            .env_clear()
            .env("KUBECONFIG", &served.kubeconfig)
            .env("HOME", home)
            .current_dir(home)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok()));
        Self { child, lines }
    }

    /// The next line about who observes its cluster.
    fn observer(&self) -> String {
        loop {
            let line = self.lines.recv_timeout(Duration::from_secs(120)).expect("it says who observes");
            if let Some((_, said)) = line.split_once(" observer ") {
                return said.trim().to_owned();
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Takes as long as a Lease lasts, by the clock on the wall.
#[test]
fn a_process_that_is_killed_is_replaced_by_its_standby_and_another_cluster_says_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("three.toml");
    fs::write(&file, scenario()).expect("written");
    let workspace = home.path().join("three").to_string_lossy().into_owned();
    let served = terminal::Fleet::serve(&["--scenario", &file.to_string_lossy(), "--directory", &workspace]);
    let start = |cluster: &str| Watch::start(&served, &workspace, home.path(), cluster);
    let mut west = start("west");
    let ours = west.observer();
    assert!(ours.starts_with("west: watch on ") && ours.ends_with(" (this process)"), "{ours}");
    let south = start("south");
    assert!(south.observer().ends_with(" (this process)"));
    let standby = start("west");
    let theirs = standby.observer();
    assert!(theirs.starts_with("west: watch on ") && !theirs.ends_with(" (this process)"), "{theirs}");

    // SIGKILL.
    west.child.kill().expect("killed");
    let mut taken = standby.observer();
    if taken == "west: nothing" {
        taken = standby.observer();
    }
    assert_eq!(taken, ours, "by the same host, and now it is this process");
    // A machine that stands still for as long as a Lease lasts loses its own, and takes it again.
    let ours = |line: &String| line.ends_with(" (this process)") || line.ends_with(" south: nothing");
    let more = south.lines.try_iter().filter(|line| line.contains(" observer "));
    let more: Vec<String> = more.filter(|line| !ours(line)).collect();
    assert_eq!(more, Vec::<String>::new(), "nobody else had its Lease");
}
