//! What a previewed apply would have denied in the recorded week: the collector's edges, as
//! far as the cockpit has them, against one look at the cluster. Asks and never writes; what cannot be
//! told says why.

use crate::{
    cockpit::{
        orders::{Preview, Target},
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

/// What was recorded of a namespace.
pub(super) struct Past {
    window: Window,
    edges: Vec<(EdgeKey, Edge)>,
    doubts: Vec<Text>,
}

/// What the world knows of the week; `None`: nothing.
pub(super) fn told(world: &World, target: &Target) -> Option<Past> {
    let known = world.discoveries();
    let baseline = &known.opened(&target.cluster, &target.ns)?.answer.as_ref()?.baseline;
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
    Some(Past { window: baseline.window, edges: baseline.edges.clone(), doubts })
}

/// The prediction for exactly what the preview shows, or why there is none.
pub(super) async fn predict(
    access: &Access,
    preview: &Preview,
    past: Option<Past>,
) -> Result<Box<Prediction>, Text> {
    let Some(past) = past else { return Err(Text::new("before discovery")) };
    if !preview.refusals.is_empty() {
        return Err(Text::new("for what the server refuses"));
    }
    let target = preview.target.clone();
    let seen = snapshot::look(access, target.cluster.as_str())
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
