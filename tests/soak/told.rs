//! What single facts do to one rollout: restarts, pauses, heartbeats, denials that people close, what
//! others wrote, and what its page shows.

use chrono::{Offset, TimeDelta, Utc};
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Baseline, Change, ClusterFact, Fact, Link, SourceState},
        rows::{self, Phase},
        shared::{Observer, SharedFact},
        world::World,
    },
    domain::{
        coverage::CronJob,
        denial::Class,
        edge::{Edge, EdgeKey, Peer, Window},
        evidence::{Cause, Evidence},
        fleet::{Cni, CniKind, Enforcement, Environment},
        flow::{Direction, Protocol},
        hold::{DenialKey, Subject, Waiver},
        journal::{Act, Entry, Hash},
        names::{NsName, Text, Workload},
        policy::{PolicyDigest, PolicyKind, Rule, Spec},
        probe,
        resolver::DnsPath,
        rollout::{Applied, Kept, Record, Stamp, Target},
        sighting::Outcome,
        soak::Verdict,
        source::SourceKind,
    },
};

use super::scene::{Scene, Told, at, east, flow, node, pod, policies, policy, shop, target};

/// Two hours, a sign a minute.
fn lives(scene: &mut Scene, nodes: &[&str], minutes: std::ops::Range<i64>) {
    for minute in minutes {
        scene.at(minute * 60 + 60).tell(ClusterFact::Answered);
        for name in nodes {
            scene.heard(name, minute * 60, minute * 60 + 60);
        }
    }
}

fn needed(scene: &mut Scene, minutes: i64) {
    let mut plan = scene.world.plan().clone();
    plan.settings.soak.needed = TimeDelta::minutes(minutes);
    scene.world.absorb(Fact::Fleet(plan));
    scene.world.settle();
}

fn causes(scene: &Scene) -> Vec<&'static str> {
    scene.row().restarts.iter().map(|restart| restart.cause.as_str()).collect()
}

fn shared(scene: &mut Scene, fact: SharedFact) {
    scene.world.absorb(Fact::Shared(fact));
    scene.world.settle();
}

fn kept<T>(name: &str, value: T) -> Kept<T> {
    Kept { name: Text::new(name), version: Text::new("1"), created: at(0), value }
}

fn judged(scene: &Scene) -> (i64, i64) {
    let row = scene.row();
    (row.judged.credited, row.judged.wall)
}

#[test]
fn each_cause_of_the_table_restarts() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    lives(&mut scene, &["a"], 0..10);
    assert_eq!(judged(&scene), (10, 10));
    let foreign = policy("theirs", &Rule("{}".into()), false);
    let key = foreign.key.clone();
    scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(foreign)));
    assert_eq!((judged(&scene), causes(&scene)), ((0, 0), vec!["digest changed"]));
    lives(&mut scene, &["a"], 10..15);
    assert_eq!(judged(&scene), (5, 5));
    scene.cni("1.17.0");
    assert_eq!(judged(&scene), (0, 0));
    let direct = |mode: &str| match mode {
        "direct" => DnsPath::Direct { evidence: Text::new("x") },
        "cache" => DnsPath::NodeCache { evidence: Text::new("x") },
        _ => DnsPath::Unknown { evidence: Text::new("x") },
    };
    // The first word, and an unknown one, are no change.
    for mode in ["direct", "unknown", "direct", "cache"] {
        scene.tell(ClusterFact::Dns(direct(mode)));
    }
    let met = ClusterFact::Met { uid: Some(Text::new("uid-2")), version: Text::new("1"), kinds: Vec::new() };
    scene.tell(met);
    scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Gone(key)));
    scene.at(16 * 60);
    // Nothing is believed of bytes while the lists of the new session are not read.
    assert_eq!(causes(&scene), ["digest changed", "CNI changed", "DNS mode changed", "another cluster"]);
    scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
    assert!(scene.row_of(&target()).is_none(), "its set is gone");
    scene
        .at(20 * 60)
        .tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(super::scene::policies())));
    assert_eq!(causes(&scene).last(), Some(&"policy missing"));
    assert_eq!(scene.row().restarts.last().expect("one").why.as_str(), "the set was gone for 4m");
}

/// While nobody knows which cluster answers nothing is credited; the same one goes on where it stood, and
/// another one begins anew.
#[test]
fn a_cluster_that_does_not_say_which_one_it_is_pauses_and_goes_on() {
    for (next, credited, restarts) in [("uid-1", 15, vec![]), ("uid-2", 5, vec!["another cluster"])] {
        let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
        lives(&mut scene, &["a"], 0..10);
        let met = |uid: Option<&str>| ClusterFact::Met {
            uid: uid.map(Text::new),
            version: Text::new("1"),
            kinds: Vec::new(),
        };
        let lists = |scene: &mut Scene| {
            let policies = Change::Reset(super::scene::policies());
            scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, policies));
            scene.runs(&["a"]);
        };
        scene.tell(met(None));
        lists(&mut scene);
        lives(&mut scene, &["a"], 10..15);
        assert_eq!((judged(&scene).0, causes(&scene)), (10, vec![]));
        scene.tell(met(Some(next)));
        lists(&mut scene);
        assert_eq!(causes(&scene), restarts);
        lives(&mut scene, &["a"], 15..20);
        assert_eq!(judged(&scene).0, credited, "{next}");
    }
}

/// Egress of the row goes on whatever is changed for ingress beside it, or in a policy that says something of
/// both; a rule of its own in that policy restarts it.
#[test]
fn rules_of_the_other_direction_do_not_restart_the_clock() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let both = |name: &str, out: Option<&str>, into: &str| {
        let rules = |raw: &str| vec![Rule(raw.into())];
        let mut policy = policy(name, &Rule("{}".into()), false);
        policy.canonical = format!("{out:?} {into}").into();
        if let Spec::Network { egress, ingress, .. } = &mut policy.spec {
            (*egress, *ingress) = (out.map(rules), Some(rules(into)));
        }
        policy
    };
    let put = |scene: &mut Scene, policy| {
        scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(policy)));
    };
    lives(&mut scene, &["a"], 0..5);
    put(&mut scene, both("their-ingress", None, "{\"from\":[1]}"));
    put(&mut scene, both("their-ingress", None, "{\"from\":[2]}"));
    assert_eq!((judged(&scene), causes(&scene)), ((5, 5), vec![]));
    put(&mut scene, both("theirs", Some("{\"to\":[1]}"), "{\"from\":[1]}"));
    assert_eq!(causes(&scene), ["digest changed"]);
    lives(&mut scene, &["a"], 5..10);
    put(&mut scene, both("theirs", Some("{\"to\":[1]}"), "{\"from\":[2]}"));
    assert_eq!((judged(&scene), causes(&scene)), ((5, 5), vec!["digest changed"]));
    put(&mut scene, both("theirs", Some("{\"to\":[2]}"), "{\"from\":[2]}"));
    assert_eq!(causes(&scene), ["digest changed", "digest changed"]);
}

#[test]
fn a_version_that_cannot_be_read_just_now_is_no_change_and_an_unsure_judge_pauses() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    lives(&mut scene, &["a"], 0..5);
    let cni = |version: Option<&str>, enforcement| {
        ClusterFact::Cni(Cni {
            kind: CniKind::Cilium,
            version: version.map(Text::new),
            enforcement,
            evidence: Text::new("its agents are not ready"),
        })
    };
    scene.tell(cni(None, Enforcement::Enforces));
    scene.tell(cni(Some("1.16.0"), Enforcement::Unknown));
    lives(&mut scene, &["a"], 5..9);
    scene.tell(cni(Some("1.16.0"), Enforcement::Enforces));
    lives(&mut scene, &["a"], 9..12);
    assert_eq!((judged(&scene), causes(&scene)), ((8, 12), Vec::new()));
    let pauses = scene.row().judged.pauses;
    let said: Vec<_> =
        pauses.iter().map(|pause| (pause.cause, pause.spans.minutes(), pause.why.as_str())).collect();
    assert_eq!(said, [(Cause::JudgeGone, 4, "its agents are not ready")]);
}

#[test]
fn a_probe_that_must_be_denied_is_a_sign_until_the_next_one_comes_in_time() {
    let mut scene = Scene::new(SourceKind::Unknown, &["a"]);
    needed(&mut scene, 60);
    let probe = |scene: &mut Scene, secs: i64, denied| {
        scene.at(secs).tell(ClusterFact::Answered);
        let fact = ClusterFact::Probed {
            ns: shop(),
            direction: Direction::Egress,
            node: node("a"),
            at: at(secs),
            outcome: if denied { probe::Outcome::Denied } else { probe::Outcome::GotThrough },
        };
        scene.tell(fact);
    };
    // Signs of the source do not count here: it could not say what it lost.
    lives(&mut scene, &["a"], 0..10);
    assert_eq!(judged(&scene).0, 0);
    let withheld = scene.row().judged.verdict;
    assert!(matches!(withheld, Verdict::Withheld { .. }), "{withheld:?}");
    for secs in [630, 930, 1_230] {
        probe(&mut scene, secs, true);
    }
    assert_eq!(scene.credit(), (11..20).collect::<Vec<_>>());
    // Six and a half minutes late proves itself, and nothing before it.
    probe(&mut scene, 1_620, true);
    probe(&mut scene, 1_920, true);
    assert_eq!(scene.credit(), (11..20).chain(27..32).collect::<Vec<_>>());
    probe(&mut scene, 2_220, false);
    probe(&mut scene, 2_280, true);
    assert_eq!(scene.credit().len(), 14, "one that got through proves nothing, and cuts");
    let row = scene.row();
    assert_eq!((row.judged.proved, row.judged.in_force), (1, 1));
    assert!(
        row.judged.pauses.iter().all(|pause| pause.cause == Cause::NoHeartbeat),
        "{:?}",
        row.judged.pauses
    );
}

fn probe(scene: &mut Scene, secs: i64, outcome: probe::Outcome) {
    scene.tell(ClusterFact::Probed {
        ns: shop(),
        direction: Direction::Egress,
        node: node("a"),
        at: at(secs),
        outcome,
    });
}

#[test]
fn a_quiet_row_becomes_clean_by_a_probe_and_only_by_one_that_was_denied() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    needed(&mut scene, 10);
    lives(&mut scene, &["a"], 0..12);
    let reasons = |scene: &Scene| scene.row().reasons();
    let quiet = [
        "accepted, not yet seen in force on a",
        "nothing was judged at all: needs a probe, a trigger or a waiver",
    ];
    assert_eq!(reasons(&scene), quiet);
    probe(&mut scene, 720, probe::Outcome::Unknown("Unschedulable: no room".into()));
    assert_eq!(reasons(&scene), quiet, "what did not run shows nothing");
    let lines = scene.row().lines(at(720), Utc.fix());
    assert!(lines.contains(&"the probe shows nothing on a: Unschedulable: no room".to_owned()), "{lines:?}");
    probe(&mut scene, 720, probe::Outcome::Denied);
    assert_eq!(reasons(&scene), [""; 0]);
    assert!(scene.row().judged.verdict.is_clean() && scene.row().unproved.is_empty());
    probe(&mut scene, 725, probe::Outcome::GotThrough);
    assert_eq!(reasons(&scene), ["the probe got through on a: not enforced there", quiet[1]][..1]);
    assert!(!scene.row().judged.verdict.is_clean());
}

#[test]
fn without_a_source_a_probe_proves_and_credits_nothing() {
    let mut scene = Scene::new(SourceKind::Unknown, &["a"]);
    needed(&mut scene, 60);
    scene.tell(ClusterFact::Source(SourceState {
        kind: SourceKind::Unknown,
        name: Text::new("none"),
        link: Link::None(Text::new("flow logs are not read")),
        history_from: None,
        lag: None,
        nodes_connected: None,
        nodes_unavailable: None,
        malformed: 0,
        repeats: 0,
    }));
    for secs in (0..=1_200).step_by(300) {
        scene.at(secs).tell(ClusterFact::Answered);
        probe(&mut scene, secs, probe::Outcome::Denied);
    }
    let row = scene.row();
    assert_eq!((row.judged.proved, row.judged.credited), (1, 0));
    assert!(row.rests.as_str().starts_with("nothing: flow logs are not read; "), "{}", row.rests);
    let said = "no source tells flows here: it cannot soak, only an override passes it";
    assert_eq!(row.reasons(), [said]);
}

/// What voided credit must stay known for as long as somebody could join that credit again.
#[test]
fn a_namespace_that_is_known_to_be_gone_is_forgotten_unless_the_team_keeps_evidence_of_it() {
    for (has_evidence, is_away, expected) in [
        (false, false, vec![]),
        (true, false, vec!["policy missing"]),
        // Whether it is gone cannot be known.
        (false, true, vec!["policy missing"]),
    ] {
        let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
        lives(&mut scene, &["a"], 0..5);
        if has_evidence {
            let evidence = scene.world.soaks().evidence(&target(), &scene.world).expect("it is live");
            shared(&mut scene, SharedFact::Evidence(Change::Reset(vec![kept("e", evidence)])));
        }
        scene.at(310).tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Reset(Vec::new())));
        scene.tell(ClusterFact::Pods(Change::Reset(Vec::new())));
        if is_away {
            scene.told(&Told::Away, &mut Vec::new());
        } else {
            scene.tell(ClusterFact::Namespaces(Change::Gone(shop())));
        }
        scene.at(2 * 3_600);
        if is_away {
            scene.told(&Told::Away, &mut Vec::new());
        } else {
            scene.tell(ClusterFact::Answered);
        }
        scene.at(3 * 3_600).told(&Told::Back, &mut vec!["a"]);
        assert_eq!(causes(&scene), expected, "evidence {has_evidence}, away {is_away}");
        assert_eq!(scene.row().judged.credited, 0);
    }
}

#[test]
fn a_waiver_makes_a_denial_expected_until_it_expires() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    needed(&mut scene, 10);
    scene.at(30).tell(ClusterFact::Flows(vec![flow(20, "a", "api.example.", true)]));
    lives(&mut scene, &["a"], 0..12);
    let reasons = |scene: &Scene| scene.row().reasons();
    let open = "1 hurting group is open: waive it, reject it in review, or write new bytes";
    assert_eq!(reasons(&scene), [open]);
    let key = DenialKey {
        workload: Some(Workload::new("Deployment", "cart")),
        destination: Text::new("api.example"),
        port: 443,
        protocol: Protocol::Tcp,
    };
    let waiver = Waiver {
        target: target(),
        uid: Some(Text::new("uid-1")),
        subject: Subject::Denial(key),
        reason: Text::new("known"),
        stamp: Stamp { by: Text::new("lead"), at: at(0) },
        expires: at(20 * 60),
    };
    shared(&mut scene, SharedFact::Waivers(Change::Reset(vec![kept("w", waiver)])));
    assert_eq!(reasons(&scene), [open], "the state cluster's clock is not known yet");
    shared(&mut scene, SharedFact::Clock(at(12 * 60)));
    scene.at(13 * 60).tell(ClusterFact::Answered);
    assert_eq!(reasons(&scene), [""; 0]);
    assert!(scene.row().judged.verdict.is_clean());
    let class = |scene: &Scene| scene.world.denials().groups().next().expect("one").class;
    assert_eq!((class(&scene), phase(&scene)), (Class::Expected, Phase::Steady));
    scene.at(21 * 60).tell(ClusterFact::Answered);
    assert_eq!((reasons(&scene), class(&scene)), (vec![open.to_owned()], Class::Hurting));
    assert_eq!(phase(&scene), Phase::Soaking);
    // New bytes close it for good.
    scene.cni("1.16.0");
    let foreign = policy("theirs", &Rule("{}".into()), false);
    scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(foreign)));
    assert!(scene.row().judged.open.is_empty());
}

fn phase(scene: &Scene) -> Phase {
    let cluster = scene.world.cluster(&east()).expect("it is there");
    rows::rollout_row(&scene.world, cluster, &cluster.namespaces[&shop()], Direction::Egress).phase
}

#[test]
fn what_hurt_stays_in_the_evidence_when_the_list_of_denials_forgets_it() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    scene.at(30).tell(ClusterFact::Flows(vec![flow(10, "a", "first.example", true)]));
    for batch in 0..60 {
        let flows = (0..100).map(|nth| flow(20, "a", &format!("x{batch}-{nth}.example"), true)).collect();
        scene.tell(ClusterFact::Flows(flows));
    }
    assert!(scene.world.denials().forgotten() > 0);
    let evidence = scene.world.soaks().evidence(&target(), &scene.world).expect("live");
    assert_eq!(evidence.groups.len(), Evidence::GROUPS);
    assert!(evidence.groups.iter().any(|group| group.key.destination.as_str() == "first.example"));
    assert!(evidence.more_groups > 0 && evidence.verdicts.denied == 6_001);
}

#[test]
fn after_a_restart_of_sluice_the_clock_goes_on_from_what_was_published_with_a_gap() {
    let mut before = Scene::new(SourceKind::Hubble, &["a"]);
    lives(&mut before, &["a"], 0..30);
    let published = before.world.soaks().evidence(&target(), &before.world).expect("live");

    let mut scene = later(40 * 60, "1.16.0");
    lives(&mut scene, &["a"], 40..50);
    assert_eq!(judged(&scene), (10, 10));
    let stored = SharedFact::Evidence(Change::Reset(vec![kept("e", published.clone())]));
    shared(&mut scene, stored.clone());
    assert_eq!(judged(&scene), (40, 50));
    let pauses = scene.row().judged.pauses;
    assert_eq!(
        pauses.iter().map(|pause| (pause.cause, pause.spans.minutes())).collect::<Vec<_>>(),
        [(Cause::ObserverGone, 10)]
    );

    // What it rests on changed while nobody watched.
    let mut other = later(40 * 60, "1.17.0");
    lives(&mut other, &["a"], 40..50);
    shared(&mut other, stored.clone());
    assert_eq!((judged(&other).0, causes(&other)), (10, vec!["CNI changed"]));

    // Taken back and applied again by commands that ended, as only the journal knows; one that was refused
    // changed nothing.
    let back = |secs: i64, answer: &str| {
        let stamp = Stamp { by: Text::new("oncall"), at: at(secs) };
        let facts = vec![Text::new("cluster uid: uid-1"), Text::new(answer)];
        let object = Text::from(target().to_string());
        let entry = Entry { number: 1, previous: Hash::NOTHING, stamp, act: Act::Rollback, object, facts };
        SharedFact::Journal(Change::Reset(vec![kept("entry-1", entry)]))
    };
    let mut unseen = later(40 * 60, "1.16.0");
    lives(&mut unseen, &["a"], 40..50);
    shared(&mut unseen, stored);
    shared(&mut unseen, back(35 * 60, "answer: refused: HTTP 403"));
    assert_eq!(judged(&unseen), (40, 50));
    shared(&mut unseen, back(35 * 60, "answer: done"));
    assert_eq!((judged(&unseen).0, causes(&unseen)), (10, vec!["policy missing"]));

    // Evidence of other bytes, or of another cluster under that name, is not ours.
    let mut stranger = later(40 * 60, "1.16.0");
    lives(&mut stranger, &["a"], 40..50);
    let rebuilt = Evidence { uid: Text::new("uid-9"), ..published };
    shared(&mut stranger, SharedFact::Evidence(Change::Put(kept("e", rebuilt))));
    assert_eq!(judged(&stranger), (10, 10));
}

/// A run that began later.
fn later(secs: i64, version: &str) -> Scene {
    let mut scene = Scene { world: World::new(at(secs)) };
    let entry = ClusterEntry {
        name: east(),
        context: Text::new("east"),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    scene.world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
    scene.cni(version);
    scene.source(SourceKind::Hubble);
    let mut nodes = vec!["a"];
    scene.told(&super::scene::Told::Back, &mut nodes);
    scene
}

#[test]
fn what_we_published_ourselves_is_not_joined_with_what_it_was_made_from() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let observer = Observer { holder: Text::new("lead@laptop"), renewed: at(0), is_us: true };
    shared(&mut scene, SharedFact::Observer(east(), Some(observer)));
    lives(&mut scene, &["a"], 0..10);
    let published = scene.world.soaks().evidence(&target(), &scene.world).expect("live");
    assert_eq!(published.observer.as_str(), "lead@laptop");
    shared(&mut scene, SharedFact::Evidence(Change::Put(kept("e", published.clone()))));
    // The whole source turns out to have lost something: told late, and taken back.
    let mut nodes = vec!["a"];
    let gap = super::scene::Told::Gap { node: None, from: 120, until: Some(240), lost: true };
    scene.told(&gap, &mut nodes);
    assert_eq!(judged(&scene), (8, 10));
    // The same words by somebody else are joined.
    let theirs = Evidence { observer: Text::new("watch"), ..published };
    shared(&mut scene, SharedFact::Evidence(Change::Put(kept("e", theirs))));
    assert_eq!(judged(&scene), (10, 10));
    assert_eq!(scene.row().joined_words(Utc.fix()).expect("joined"), "watch up to 2026-03-02 00:10 UTC");
}

#[test]
fn the_other_end_of_a_denial_says_by_whom_it_was_caused() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let mut dropped = flow(20, "a", "x", true);
    // Ingress of `pay` drops what `shop` sends.
    let theirs = NsName::parse("pay").expect("a name");
    dropped.direction = Direction::Ingress;
    dropped.destination.ns = Some(theirs.clone());
    dropped.destination.workload = Some(Workload::new("Deployment", "api"));
    scene.at(30).tell(ClusterFact::Flows(vec![dropped.clone(), dropped]));
    let caused = scene.row().caused;
    let by = Target { cluster: east(), ns: theirs, direction: Direction::Ingress };
    let said: Vec<_> = caused
        .iter()
        .map(|row| (&row.by, row.workload.as_ref().map(ToString::to_string), row.count))
        .collect();
    assert_eq!(said, [(&by, Some("cart".to_owned()), 2)]);
    let words = "cart: 2 denied at the other end on 443/TCP, caused by east/pay ingress";
    let lines = scene.row().lines(scene.world.now(), Utc.fix());
    assert!(lines.iter().any(|line| line == words), "{lines:?}");
    assert!(scene.row().judged.open.is_empty(), "the row that drops is the one that is held");
}

#[test]
fn destinations_of_the_week_are_seen_again_or_listed() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let edge = |name: &str, last: i64| {
        let key = EdgeKey {
            ns: shop(),
            workload: Workload::new("Deployment", "cart"),
            direction: Direction::Egress,
            peer: Peer::Address("203.0.113.1".parse().expect("an address")),
            name: sluice::domain::edge::DnsName::parse(name),
            protocol: Protocol::Tcp,
            port: 443,
            outcome: Outcome::Allowed,
        };
        let edge = Edge {
            flows: 1,
            first: at(last),
            last: at(last),
            hours: [sluice::domain::edge::hour_of(at(last))].into_iter().collect(),
            fresh: 1,
            stale: 0,
            ambiguous: 0,
            also: Vec::new(),
            chain: Vec::new(),
            ttl_secs: None,
        };
        (key, edge)
    };
    assert_eq!(scene.row().exercised, None, "no week is known");
    scene.at(30).tell(ClusterFact::Flows(vec![flow(20, "a", "API.example.", false)]));
    scene.tell(ClusterFact::Baseline(Box::new(Baseline {
        ns: shop(),
        window: Window { from: at(-604_800), to: at(0) },
        edges: vec![edge("api.example", -60), edge("old.example", -7_200)],
        left_out: 0,
        trouble: None,
    })));
    let row = scene.row();
    assert_eq!(row.exercised, Some((1, 2)));
    let unseen: Vec<_> = row.unseen.iter().map(|one| (one.destination.as_str(), one.last)).collect();
    assert_eq!(unseen, [("old.example", at(-7_200))]);
    scene.tell(ClusterFact::Flows(vec![flow(25, "a", "old.example", false)]));
    scene.at(100).tell(ClusterFact::Answered);
    assert_eq!((scene.row().exercised, scene.row().unseen.len()), (Some((2, 2)), 0));
    // New bytes: what was seen under the old ones is not seen again yet.
    let foreign = policy("theirs", &Rule("{}".into()), false);
    scene.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(foreign)));
    scene.at(200).tell(ClusterFact::Answered);
    assert_eq!((scene.row().exercised, scene.row().unseen.len()), (Some((0, 2)), 2));
}

#[test]
fn a_namespace_of_cron_jobs_needs_every_node_and_every_job() {
    let mut scene = Scene::new(SourceKind::Hubble, &[]);
    needed(&mut scene, 10);
    let cron = |last_run: Option<i64>| CronJob {
        ns: shop(),
        name: Text::new("report"),
        schedule: Text::new("@hourly"),
        zone: None,
        suspended: false,
        last_run: last_run.map(at),
        longest_pause: None,
    };
    lives(&mut scene, &["a", "b"], 0..5);
    assert_eq!(scene.row().judged.verdict, Verdict::Idle);
    scene.tell(ClusterFact::CronJobs(Change::Reset(vec![cron(Some(-60))])));
    lives(&mut scene, &["a", "b"], 5..10);
    lives(&mut scene, &["a"], 10..14);
    lives(&mut scene, &["a", "b"], 14..20);
    assert_eq!(judged(&scene).0, 11, "every node counts, though none runs its pods");
    let mut run = pod("b");
    run.workload = Workload::new("CronJob", "report");
    scene.tell(ClusterFact::Pods(Change::Put(run)));
    let mut ran = flow(1_190, "b", "x", false);
    ran.verdict = sluice::domain::flow::Verdict::Allowed {
        by: vec![sluice::domain::flow::PolicyRef {
            kind: PolicyKind::NetworkPolicy,
            ns: Some(shop()),
            name: super::scene::policies()[2].key.name.clone(),
        }],
    };
    scene.tell(ClusterFact::Flows(vec![ran]));
    assert_eq!(
        scene.row().reasons(),
        ["CronJobs that did not run under these bytes: report; trigger or waive them"]
    );
    scene.tell(ClusterFact::CronJobs(Change::Put(cron(Some(1_190)))));
    assert!(scene.row().judged.verdict.is_clean(), "{:?}", scene.row().reasons());
}

#[test]
fn what_a_page_says_of_a_soak() {
    let mut scene = Scene::new(SourceKind::Hubble, &["a", "b"]);
    lives(&mut scene, &["a", "b"], 0..20);
    lives(&mut scene, &["a"], 20..30);
    lives(&mut scene, &["a", "b"], 30..40);
    scene.tell(ClusterFact::Flows(vec![
        flow(2_000, "a", "api.example.", true),
        flow(2_001, "b", "db.example", false),
    ]));
    let row = scene.row();
    let mut said = row.headline(Utc.fix());
    for line in row.lines(scene.world.now(), Utc.fix()) {
        said.push('\n');
        said.push_str(&line);
    }
    insta::assert_snapshot!(said);
}

/// The same bytes are applied again after a rollback that nobody watched: what an earlier run saw of
/// them is void, because this one saw that they were not live.
#[test]
fn bytes_that_come_back_do_not_bring_their_old_credit_along() {
    let hours = 50 * 3_600;
    let mut before = Scene::new(SourceKind::Hubble, &["a"]);
    before.at(hours).tell(ClusterFact::Answered);
    before.tell(ClusterFact::Heard { node: node("a"), from: at(0), until: at(hours) });
    let old = before.world.soaks().evidence(&target(), &before.world).expect("it is live");
    assert_eq!(before.credit().len(), 3_000);
    let stored = |value| {
        let kept = Kept { name: Text::new("x"), version: Text::new("1"), created: at(hours), value };
        Fact::Shared(SharedFact::Evidence(Change::Reset(vec![kept])))
    };
    // A run that begins while they are live goes on where the other stopped.
    let mut next = Scene::begun(SourceKind::Hubble, &["a"], policies(), hours + 60);
    next.world.absorb(stored(old.clone()));
    assert_eq!(next.credit().len(), 3_000);
    // One that began while they were not does not.
    let mut after = Scene::begun(SourceKind::Hubble, &["a"], Vec::new(), hours + 60);
    after.world.absorb(stored(old));
    after.at(hours + 3_600);
    for policy in policies() {
        after.tell(ClusterFact::Policies(PolicyKind::NetworkPolicy, Change::Put(policy)));
    }
    assert_eq!(after.credit(), [0_i64; 0]);
    let restarts: Vec<_> = after.row().restarts.iter().map(|restart| restart.cause).collect();
    assert_eq!(restarts, [Cause::PolicyMissing]);
}

/// The observer died ten minutes after it wrote for the last time, and nobody looked for ten more.
#[test]
fn what_a_crash_loses_is_a_gap_and_an_apply_in_the_meantime_voids_what_was_before() {
    let mut crashed = Scene::new(SourceKind::Hubble, &["a"]);
    lives(&mut crashed, &["a"], 0..20);
    let written = crashed.world.soaks().evidence(&target(), &crashed.world).expect("it is live");
    lives(&mut crashed, &["a"], 20..30);
    assert_eq!(judged(&crashed), (30, 30), "seen, and not written");

    let mut scene = later(40 * 60, "1.16.0");
    shared(&mut scene, SharedFact::Evidence(Change::Reset(vec![kept("e", written)])));
    lives(&mut scene, &["a"], 40..50);
    assert_eq!(judged(&scene), (30, 50));
    let pauses = scene.row().judged.pauses;
    let said: Vec<_> = pauses.iter().map(|pause| (pause.cause, pause.spans.minutes())).collect();
    assert_eq!(said, [(Cause::ObserverGone, 20)]);

    // Taken back and applied again while nobody looked: the same bytes, and a soak of their own.
    let record = Record {
        target: target(),
        uid: Text::new("uid-1"),
        wave: Some(1),
        applied: Some(Applied {
            digest: PolicyDigest::of(&policies()),
            stamp: Stamp { by: Text::new("ann"), at: at(35 * 60) },
        }),
        clean: None,
        rolled_back: None,
        overridden: false,
    };
    shared(&mut scene, SharedFact::Records(Change::Reset(vec![kept("r", record)])));
    assert_eq!((judged(&scene), causes(&scene)), ((10, 15), vec!["policy missing"]));
}
