//! What policies would do to the recorded week: the edges that a collector, or the workspace's document
//! in its place, told, against one look at the cluster. For a previewed apply and for whoever only
//! reads. Asks and never writes; what cannot be told says why.

use std::time::Duration;

use chrono::TimeDelta;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    cockpit::{
        discoveries::{Answer, Discoveries},
        discovery::Judged,
        foresights::{DryRun, Foretold, Question, Teller},
        orders::{Preview, Target},
        ports::{Document, Link},
        world::World,
    },
    documents::{discovery::page::Evidence, predict as words},
    domain::{
        coverage::Readiness,
        edge::{Edge, EdgeKey, Window},
        flow::Direction,
        names::Text,
        policy::PolicyDigest,
        predict::{
            families::{self, Closing},
            prediction::Prediction,
            replay::{self, Recorded, Wanted},
        },
        time::{Timestamp, age, span},
        valve::Set,
    },
    k8s::{
        connect::Access,
        snapshot::{self, Snapshot},
        write,
    },
};

/// How long a preview waits for the collector's edges.
const PATIENCE: Duration = Duration::from_secs(5);
const UNTOLD: &str = "while its collector has not told its edges: preview again";
/// A document that ends longer ago says so.
const OLD: TimeDelta = TimeDelta::days(1);

/// What was recorded of a namespace.
pub(super) struct Past {
    teller: Teller,
    window: Window,
    edges: Vec<(EdgeKey, Edge)>,
    doubts: Vec<Text>,
    uncovered: Vec<Text>,
}

/// Is there nothing to wait for: the namespace's edges were told, or nobody is there to tell them?
pub(super) fn is_settled(world: &World, target: &Target) -> bool {
    let known = world.discoveries();
    let link = known.collected(&target.cluster).map(|collected| &collected.state.link);
    let is_told = || {
        let opened = known.opened(&target.cluster, &target.ns);
        opened.is_some_and(|opened| !opened.is_waiting())
            && !known.is_due(&target.cluster, &target.ns, world.now())
    };
    match link {
        None => true,
        Some(Link::None(_) | Link::Broken(_)) => {
            !known.rests_on_document(&target.cluster, &target.ns) || is_told()
        }
        Some(Link::Connecting) => false,
        Some(Link::Live) => is_told(),
    }
}

/// What the world knows of the week, or why it knows nothing.
pub(super) fn told(world: &World, target: &Target) -> Result<Past, Text> {
    let known = world.discoveries();
    let link = known.collected(&target.cluster).map(|collected| &collected.state.link);
    let answer = known.opened(&target.cluster, &target.ns).and_then(|opened| opened.answer.as_ref());
    let Some(answer) = answer else {
        return Err(match link {
            None | Some(Link::None(_)) => Text::new("before discovery"),
            Some(Link::Broken(trouble)) => Text::from(format!("while its collector is away ({trouble})")),
            Some(Link::Connecting | Link::Live) => Text::new(UNTOLD),
        });
    };
    let baseline = &answer.baseline;
    let mut doubts = Vec::new();
    if baseline.left_out > 0 {
        doubts
            .push(Text::from(format!("{} edges did not fit into the collector's answer", baseline.left_out)));
    }
    doubts.extend(baseline.trouble.iter().map(|trouble| Text::from(trouble.to_string())));
    let (teller, uncovered) = match &answer.document {
        Some(document) => {
            doubts.extend(document.doubts(target.direction).iter().cloned());
            // It could know better, so what the document says is not the last word.
            if let Some(Link::Broken(trouble)) = link {
                doubts.push(Text::from(format!("the collector is away ({trouble})")));
            }
            (Teller::Document(document.clone()), of_document(document, baseline.window, world.now()))
        }
        None => {
            let judged = known.judged(&target.cluster, &target.ns);
            doubts.extend(doubts_of(judged, target.direction));
            let uncovered = judged.map(|judged| uncovered(known, target, judged)).unwrap_or_default();
            (Teller::Collector { at: answer.at }, uncovered)
        }
    };
    Ok(Past { teller, window: baseline.window, edges: edges(answer), doubts, uncovered })
}

fn edges(answer: &Answer) -> Vec<(EdgeKey, Edge)> {
    answer.baseline.edges.clone()
}

fn doubts_of(judged: Option<&Judged>, direction: Direction) -> Vec<Text> {
    match judged.map(|judged| judged.coverage.readiness(direction)) {
        None => vec![Text::new("how complete the recording is is not known")],
        Some(Readiness::Ready) => Vec::new(),
        Some(Readiness::NotYet { .. }) => vec![Text::new("the recording is too short")],
        Some(Readiness::Blocked { why }) => why.clone(),
    }
}

fn of_document(document: &Document, window: Window, now: Timestamp) -> Vec<Text> {
    let since = age(window.to, now);
    let old = (since > OLD).then(|| {
        Text::from(format!(
            "the document's evidence ends {} ago: nothing since is recorded here",
            span(since)
        ))
    });
    old.into_iter().chain(document.uncovered.iter().cloned()).collect()
}

/// The same as a document would say of it.
fn uncovered(known: &Discoveries, target: &Target, judged: &Judged) -> Vec<Text> {
    let coverage = known.collected(&target.cluster).map(|collected| collected.state.coverage.clone());
    let it = &judged.coverage;
    words::uncovered_by(&Evidence {
        coverage: coverage.unwrap_or_default(),
        readiness: it.readiness.clone(),
        ingress: Some(it.ingress.clone()),
        crons: Some(it.crons.clone()),
        silent: Some(it.silent.clone()),
        remarks: Vec::new(),
    })
}

/// The prediction for exactly what the preview shows, or why there is none. Waits for the past, and looks
/// at the cluster also where nobody tells it: checks that block are asked for whatever was recorded.
pub(super) async fn predict(
    access: &Access,
    preview: &mut Preview,
    past: oneshot::Receiver<Result<Past, Text>>,
) {
    if !preview.refusals.is_empty() {
        preview.prediction = Err(Text::new("for what the server refuses"));
        return;
    }
    let past = wait(past).await;
    preview.untold = past.as_ref().err().cloned();
    preview.prediction = match look(access, &preview.target).await {
        Ok(seen) => weigh(seen, preview.target.clone(), preview.set.clone(), past.ok()).await,
        Err(why) => Err(why),
    }
    .map(|(_, told)| told);
}

async fn wait(past: oneshot::Receiver<Result<Past, Text>>) -> Result<Past, Text> {
    match timeout(PATIENCE, past).await {
        Ok(Ok(past)) => past,
        Ok(Err(_)) | Err(_) => Err(Text::new(UNTOLD)),
    }
}

async fn look(access: &Access, target: &Target) -> Result<Snapshot, Text> {
    let looked = snapshot::look(access, target.cluster.as_str(), snapshot::Need::Checks).await;
    looked.map_err(|trouble| Text::from(format!("because of this: {trouble}")))
}

/// Without a past it still tells what changes; nothing is said of rules that nobody used.
async fn weigh(
    seen: Snapshot,
    target: Target,
    set: Set,
    past: Option<Past>,
) -> Result<(Closing, Box<Prediction>), Text> {
    let work = tokio::task::spawn_blocking(move || {
        let wanted = Wanted { ns: &target.ns, direction: target.direction, set: &set };
        let has_past = past.is_some();
        let (window, edges, doubts) = match past {
            Some(past) => (past.window, past.edges, past.doubts),
            None => {
                let never = Window { from: Timestamp::UNIX_EPOCH, to: Timestamp::UNIX_EPOCH };
                (never, Vec::new(), Vec::new())
            }
        };
        let recorded = Recorded { window, edges: &edges, doubts };
        let mut told = Box::new(replay::predict(&seen.cluster, wanted, recorded));
        if !has_past {
            told.unused.clear();
        }
        families::retain_running(&seen.cluster.pods, &mut told.turned);
        (families::closing(&seen.cluster.pods, &told.turned), told)
    });
    work.await.map_err(|stopped| Text::from(format!("because of a fault of sluice ({stopped})")))
}

/// What would come of the workspace's bytes of a row. Changes nothing; the dry run is asked where the
/// operator may.
pub(super) async fn foretell(
    access: &Access,
    question: Question,
    context: &str,
    past: oneshot::Receiver<Result<Past, Text>>,
) -> Foretold {
    let mut out = failed(&question, Text::default());
    let target = question.order.target.clone();
    let mut set = question.order.wanted.clone();
    if question.not_asked.is_none() {
        out.dry_run = match write::dry_run_only(access, &question.order, context).await {
            Ok((answered, refusals)) if refusals.is_empty() => {
                set = answered;
                DryRun::Passed
            }
            Ok((_, refusals)) => DryRun::Refused(refusals),
            Err(trouble) => DryRun::Failed(trouble),
        };
    }
    let past = match wait(past).await {
        Ok(past) => {
            out.teller = Ok(past.teller.clone());
            out.uncovered.clone_from(&past.uncovered);
            Some(past)
        }
        Err(why) => {
            out.teller = Err(why);
            None
        }
    };
    let weighed = match look(access, &target).await {
        Ok(seen) => {
            out.unread.clone_from(&seen.troubles);
            weigh(seen, target, set, past).await
        }
        Err(why) => Err(why),
    };
    match weighed {
        Ok((closing, told)) => (out.closing, out.told) = (closing, Ok(told)),
        Err(why) => out.told = Err(why),
    }
    out
}

/// Nothing could be told.
pub(super) fn failed(question: &Question, why: Text) -> Foretold {
    let order = &question.order;
    Foretold {
        target: order.target.clone(),
        asked: PolicyDigest::of(order.wanted.values()),
        dry_run: DryRun::NotAsked(question.not_asked.clone().unwrap_or_else(|| why.clone())),
        teller: Err(why.clone()),
        uncovered: Vec::new(),
        unread: Vec::new(),
        closing: Closing::default(),
        told: Err(why),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cockpit::{
            gates,
            ports::{Baseline, Change, ClusterFact, Documented, Fact, Trouble},
            shared::SharedFact,
        },
        documents::fixture::{kept, record},
        documents::tests::{cluster, now, preview, target, world},
        domain::{eval::plugin::Plugin, hold::Covers, names::NsName, policy::PolicyDigest},
        flows::baseline::read::bare,
        manifest::cluster::Gathering,
    };

    fn tell(world: &mut World, fact: ClusterFact) {
        world.absorb(Fact::Cluster(cluster("prod-eu"), fact));
        world.settle();
    }

    fn collector(world: &mut World, link: Link) {
        tell(world, ClusterFact::Collector(Box::new(bare(link))));
    }

    /// One whose edges nobody has read.
    fn row() -> Target {
        Target { ns: NsName::parse("unread").expect("a name"), ..target() }
    }

    fn why(world: &World) -> Option<String> {
        told(world, &row()).err().map(|why| why.to_string())
    }

    #[test]
    fn a_preview_waits_for_a_collector_that_lives_and_for_no_other() {
        let mut world = world();
        collector(&mut world, Link::None(Text::new("none runs there")));
        assert!(is_settled(&world, &row()));
        assert_eq!(why(&world).as_deref(), Some("before discovery"));
        collector(&mut world, Link::Connecting);
        assert!(!is_settled(&world, &row()));
        collector(&mut world, Link::Live);
        assert!(!is_settled(&world, &row()), "nobody asked yet");
        tell(&mut world, ClusterFact::Asked(row().ns));
        assert!(!is_settled(&world, &row()), "it was asked");
        assert_eq!(why(&world).as_deref(), Some(UNTOLD));
        let window = Window { from: now() - TimeDelta::days(7), to: now() };
        let baseline = Baseline { ns: row().ns, window, edges: Vec::new(), left_out: 0, trouble: None };
        tell(&mut world, ClusterFact::Baseline(Box::new(baseline)));
        assert!(is_settled(&world, &row()));
        assert_eq!(why(&world), None);
    }

    /// Whatever was recorded: what is forgotten is named.
    #[test]
    fn a_check_that_blocks_stands_against_an_apply_by_its_name() {
        let (world, target) = (world(), target());
        let mut gathering = Gathering::new(Plugin::Calico.traits());
        let metadata = json!({ "namespace": target.ns.as_str(), "name": "cart" });
        gathering.object("test", &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata }));
        let set = preview().set;
        let wanted = Wanted { ns: &target.ns, direction: target.direction, set: &set };
        let window = Window { from: now() - TimeDelta::days(7), to: now() };
        let recorded = Recorded { window, edges: &[], doubts: Vec::new() };
        let (mut cluster, _) = gathering.done();
        cluster.uid = world.cluster(&target.cluster).and_then(|one| one.uid.clone());
        let it = replay::predict(&cluster, wanted, recorded);
        let digest = PolicyDigest::of(set.values());
        let preview = Preview { prediction: Ok(Box::new(it)), digest, ..preview() };
        let said: Vec<_> = gates::predicted(&world, &preview).iter().map(ToString::to_string).collect();
        let dns = "the prediction for prod-eu/shop egress: dns-reachable: unknown: the cluster's resolver: no Service";
        assert!(said.iter().any(|line| line.starts_with(dns)), "{said:#?}");
    }

    /// Unknown is no yes, also where the week is there and only these edges are not.
    #[test]
    fn what_a_collector_could_have_told_stands_against_an_apply() {
        let mut world = world();
        let gates = |world: &World, prediction: Result<Box<Prediction>, Text>, untold: &str| {
            let (refusals, untold) = (Vec::new(), Some(Text::new(untold)));
            let digest = prediction.as_ref().map_or(preview().digest, |it| it.bound.digest);
            let preview = Preview { prediction, digest, refusals, untold, ..preview() };
            let told = gates::predicted(world, &preview);
            told.iter().map(|gate| (gate.to_string(), gate.covers)).collect::<Vec<_>>()
        };
        let looked = |world: &World| {
            let (mut cluster, _) = Gathering::new(Plugin::Calico.traits()).done();
            cluster.uid = world.cluster(&target().cluster).and_then(|one| one.uid.clone());
            let (set, window) = (preview().set, Window { from: now(), to: now() });
            let wanted = Wanted { ns: &target().ns, direction: target().direction, set: &set };
            let mut it =
                replay::predict(&cluster, wanted, Recorded { window, edges: &[], doubts: Vec::new() });
            it.checks.retain(|one| one.name == "dns-reachable");
            Ok(Box::new(it))
        };
        collector(&mut world, Link::Live);
        let kept = kept("shop", 1, record(&world));
        world.absorb(Fact::Shared(SharedFact::Records(Change::Reset(vec![kept]))));
        let untold =
            (format!("the prediction for prod-eu/shop egress: unknown {UNTOLD}"), Some(Covers::Coverage));
        let dns = "the prediction for prod-eu/shop egress: dns-reachable: unknown: the cluster's resolver: no Service \
                   was read that serves lookups in kube-system or openshift-dns. Let sluice list Services, or hand the \
                   resolver's Service and pods in with --manifests.";
        let dns = (dns.to_owned(), None);
        assert_eq!(gates(&world, looked(&world), UNTOLD), [untold, dns.clone()]);
        // Nobody could have told a week: what blocks is asked all the same.
        collector(&mut world, Link::None(Text::new("none runs there")));
        assert_eq!(gates(&world, looked(&world), "before discovery"), [dns]);
        // No look at the cluster: no override covers that.
        let away = "because of this: Pods of prod-eu: HTTP 403. Let sluice list pods.";
        let unseen = "the prediction for prod-eu/shop egress: unknown because of this: Pods of prod-eu: HTTP 403. Let \
                      sluice list pods. Preview again once sluice can look at the cluster";
        let told = gates(&world, Err(Text::new(away)), "before discovery");
        assert_eq!(told, [(unseen.to_owned(), None)]);
    }

    #[test]
    fn a_document_tells_in_place_of_a_collector_and_is_no_last_word_where_one_is_away() {
        let mut world = world();
        world.absorb(Fact::Flagged([((row().cluster, row().ns), Vec::new())].into()));
        collector(&mut world, Link::None(Text::new("none runs there")));
        assert!(!is_settled(&world, &row()), "the document is to be read first");
        tell(&mut world, ClusterFact::Asked(row().ns));
        let to = now() - TimeDelta::days(5);
        let document = Document {
            path: Text::new("network-policies/discovery/unread.edges.jsonl"),
            written: to,
            doubts: Vec::new(),
            ingress_doubts: Vec::new(),
            uncovered: vec![Text::new("CronJob month-end was not seen running")],
        };
        let window = Window { from: to - TimeDelta::days(7), to };
        let baseline = Baseline { ns: row().ns, window, edges: Vec::new(), left_out: 0, trouble: None };
        let documented = Documented { baseline, document: document.clone() };
        tell(&mut world, ClusterFact::Documented(Box::new(documented)));
        assert!(is_settled(&world, &row()));
        let past = told(&world, &row()).expect("told");
        assert_eq!(past.teller, Teller::Document(document));
        assert_eq!(past.doubts, []);
        let uncovered: Vec<_> = past.uncovered.iter().map(Text::as_str).collect();
        assert_eq!(
            uncovered,
            [
                "the document's evidence ends 5d00h ago: nothing since is recorded here",
                "CronJob month-end was not seen running"
            ]
        );
        collector(&mut world, Link::Broken(Trouble::new("prod-eu", "its collector is gone", "Restart it.")));
        let past = told(&world, &row()).expect("told");
        let doubts: Vec<_> = past.doubts.iter().map(Text::as_str).collect();
        assert_eq!(doubts, ["the collector is away (prod-eu: its collector is gone. Restart it.)"]);
    }
}
