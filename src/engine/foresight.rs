//! What a previewed apply would have denied in the recorded week: the collector's edges, as
//! far as the cockpit has them, against one look at the cluster. Asks and never writes; what cannot be
//! told says why.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use crate::{
    cockpit::{
        orders::{Preview, Target},
        ports::Link,
        world::World,
    },
    domain::{
        coverage::Readiness,
        edge::{Edge, EdgeKey, Window},
        names::Text,
        predict::{
            prediction::Prediction,
            replay::{self, Recorded, Wanted},
        },
    },
    k8s::{connect::Access, snapshot},
};

/// How long a preview waits for the collector's edges.
const PATIENCE: Duration = Duration::from_secs(5);
const UNTOLD: &str = "while its collector has not told its edges: preview again";

/// What was recorded of a namespace.
pub(super) struct Past {
    window: Window,
    edges: Vec<(EdgeKey, Edge)>,
    doubts: Vec<Text>,
}

/// Is there nothing to wait for: the namespace's edges were told, or nobody is there to tell them?
pub(super) fn is_settled(world: &World, target: &Target) -> bool {
    let known = world.discoveries();
    let link = known.collected(&target.cluster).map(|collected| &collected.state.link);
    match link {
        None | Some(Link::None(_) | Link::Broken(_)) => true,
        Some(Link::Connecting) => false,
        Some(Link::Live) => {
            let opened = known.opened(&target.cluster, &target.ns);
            opened.is_some_and(|opened| !opened.is_waiting())
                && !known.is_due(&target.cluster, &target.ns, world.now())
        }
    }
}

/// What the world knows of the week, or why it knows nothing.
pub(super) fn told(world: &World, target: &Target) -> Result<Past, Text> {
    let known = world.discoveries();
    let answer = known.opened(&target.cluster, &target.ns).and_then(|opened| opened.answer.as_ref());
    let Some(answer) = answer else {
        return Err(match known.collected(&target.cluster).map(|collected| &collected.state.link) {
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
    match known.judged(&target.cluster, &target.ns).map(|judged| &judged.coverage.readiness) {
        None => doubts.push(Text::new("how complete the recording is is not known")),
        Some(Readiness::Ready) => {}
        Some(Readiness::NotYet { .. }) => doubts.push(Text::new("the recording is too short")),
        Some(Readiness::Blocked { why }) => doubts.extend(why.iter().cloned()),
    }
    Ok(Past { window: baseline.window, edges: baseline.edges.clone(), doubts })
}

/// The prediction for exactly what the preview shows, or why there is none. Waits for the past.
pub(super) async fn predict(
    access: &Access,
    preview: &Preview,
    past: oneshot::Receiver<Result<Past, Text>>,
) -> Result<Box<Prediction>, Text> {
    if !preview.refusals.is_empty() {
        return Err(Text::new("for what the server refuses"));
    }
    let past = match timeout(PATIENCE, past).await {
        Ok(Ok(past)) => past?,
        Ok(Err(_)) | Err(_) => return Err(Text::new(UNTOLD)),
    };
    let target = preview.target.clone();
    let seen = snapshot::look(access, target.cluster.as_str(), snapshot::Need::Checks)
        .await
        .map_err(|trouble| Text::from(format!("because of this: {trouble}")))?;
    let set = preview.set.clone();
    let work = tokio::task::spawn_blocking(move || {
        let wanted = Wanted { ns: &target.ns, direction: target.direction, set: &set };
        let recorded = Recorded { window: past.window, edges: &past.edges, doubts: past.doubts };
        Box::new(replay::predict(&seen.cluster, wanted, recorded))
    });
    work.await.map_err(|stopped| Text::from(format!("because of a fault of sluice ({stopped})")))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;
    use crate::{
        cockpit::{
            gates,
            ports::{Baseline, Change, ClusterFact, Fact},
            shared::SharedFact,
        },
        documents::fixture::{kept, record},
        documents::tests::{cluster, now, preview, target, world},
        domain::{eval::plugin::Plugin, names::NsName, policy::PolicyDigest},
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
        let it = replay::predict(&gathering.done().0, wanted, recorded);
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
        let gates = |world: &World, why: &str| {
            let preview = Preview { prediction: Err(Text::new(why)), ..preview() };
            gates::predicted(world, &preview).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        collector(&mut world, Link::Live);
        let kept = kept("shop", 1, record(&world));
        world.absorb(Fact::Shared(SharedFact::Records(Change::Reset(vec![kept]))));
        assert_eq!(
            gates(&world, UNTOLD),
            [format!("the prediction for prod-eu/shop egress: unknown {UNTOLD}")]
        );
        collector(&mut world, Link::None(Text::new("none runs there")));
        assert_eq!(gates(&world, "before discovery"), Vec::<String>::new());
    }
}
