//! The next thing to do with a row, in a sentence. What is wrong comes first: an order under way, an
//! incident, a probe that got through; only then what its phase asks for.

use crate::{
    cockpit::{
        commands::CommandId,
        gate, gates, kept_clean,
        orders::Target,
        rows::{Nodes, Phase, RolloutRow, Standing},
        world::World,
    },
    domain::{
        denial::{Class, Group},
        gate::Cover,
        names::NodeName,
        soak::Reason,
        time::{age, span},
    },
};

use super::super::{offer, theme::Role, widgets::Pen};

/// The next thing to do with a row.
pub fn next(world: &World, pen: &Pen<'_>, row: &RolloutRow) -> (Role, String) {
    if let Some(order) = row.order.and_then(|id| world.orders().get(id)) {
        let running = span(age(order.since, pen.now));
        let (kind, id, shows) = (order.kind.as_str(), order.id, pen.key(CommandId::Activity));
        let stop = if order.kind.applies() {
            format!(", {} stops it", pen.key(CommandId::Abort))
        } else {
            String::new()
        };
        return (Role::Warn, format!("{kind} {id} runs since {running}: wait; {shows} shows it{stop}"));
    }
    if let Some(words) = wrong(world, pen, row) {
        return (Role::Bad, words);
    }
    let (a, back) = (pen.key(CommandId::Apply), pen.key(CommandId::RollBack));
    let target = std::slice::from_ref(&row.target);
    let apply = |words: &str| match offer::apply_reasons(world, target).first() {
        None => words.to_owned(),
        Some(reason) => format!("apply is off: {reason}"),
    };
    match row.phase {
        Phase::Unknown => (Role::Unknown, "wait until the cluster's lists are read".into()),
        Phase::Excluded => (Role::Dim, "nothing: sluice.yaml leaves it out".into()),
        Phase::Discovery => {
            let words = format!("write its policy files, then {}", pen.key(CommandId::Reload));
            (Role::Text, apply(&words))
        }
        Phase::Authored => {
            let words = gates::egress_first(world, &row.target).map(|gate| gate.reason.to_string());
            (Role::Text, apply(&words.unwrap_or_else(|| format!("{a} previews the apply"))))
        }
        Phase::Partial => (Role::Warn, apply(&format!("{a} completes the set, {back} takes it back"))),
        Phase::RolledBack => match &row.isolation {
            Some(isolation) if isolation.isolated > 0 => {
                (Role::Warn, "pods are still isolated by policies that are not ours: see the page".into())
            }
            Some(_) => {
                (Role::Text, format!("check that it works again; {}", apply(&format!("{a} applies anew"))))
            }
            None => (Role::Unknown, "whether pods are still isolated is unknown".into()),
        },
        Phase::Soaking | Phase::Steady => live(world, pen, row),
    }
}

/// The same while its set is live and closed.
fn live(world: &World, pen: &Pen<'_>, row: &RolloutRow) -> (Role, String) {
    let (a, back) = (pen.key(CommandId::Apply), pen.key(CommandId::RollBack));
    let is_busy = row.denials_per_minute.is_some_and(|rate| rate >= 0.05);
    let denied = is_busy && is_denied(world, &row.target);
    // That it was clean and soaks again is told with the drift; nothing of the set differs by it.
    let soaks_again = usize::from(kept_clean::lost(world, &row.target).is_some());
    let is_steady = row.phase == Phase::Steady;
    match row.standing {
        _ if row.drift.len() > soaks_again => (
            Role::Warn,
            format!("the live set is not the reviewed one: find out who changed it, {a} puts it right"),
        ),
        _ if denied => {
            let denials = pen.key(CommandId::Denials);
            (Role::Denied, format!("flows are denied: enter or {denials} shows which; {back} takes it back"))
        }
        standing
            if row.denials_per_minute.is_none()
                && (is_steady || matches!(standing, Standing::InForce | Standing::OnSome(_))) =>
        {
            let sources = pen.key(CommandId::Sources);
            (Role::Warn, format!("what is denied cannot be seen now: {sources} shows why"))
        }
        _ if is_steady => (Role::Good, "it soaked clean, and is watched on".into()),
        Standing::InForce if is_busy => {
            (Role::Good, "watch it; what is denied is expected: probes, what was waived or rejected".into())
        }
        Standing::InForce => (Role::Good, "watch it; nothing is denied now".into()),
        Standing::OnSome(_) => {
            let words = row.standing.words();
            (
                Role::Warn,
                match row.standing {
                    Standing::OnSome(Nodes::Unknown) => {
                        format!("{words}: wait until it is known which they are")
                    }
                    _ => format!("{words}: wait for a verdict on the others"),
                },
            )
        }
        Standing::Accepted | Standing::None => match row.denials_per_minute {
            None => (Role::Warn, "no flow source: that it is in force cannot be seen here".into()),
            Some(_) => (Role::Warn, "accepted, not yet seen in force: wait for a verdict".into()),
        },
    }
}

/// What is live and should not be so: another set than was applied, an opening that nobody grants, a node
/// that does not enforce it.
fn wrong(world: &World, pen: &Pen<'_>, row: &RolloutRow) -> Option<String> {
    let (a, back) = (pen.key(CommandId::Apply), pen.key(CommandId::RollBack));
    if let Some(incident) = world.incidents().of(&row.target).first() {
        let said = incident.said();
        return Some(match &incident.suspend {
            Some(suspend) => format!("incident: {said}: `{suspend}`, then {back} takes it back"),
            None => format!("incident: {said}: {a} puts it right, {back} takes it back"),
        });
    }
    if let Some(incident) = gate::incidents_of(world, &row.target).first() {
        let asks = format!("{} asks for a new one", pen.key(CommandId::AskReview));
        let what = &incident.opening.opened.what;
        let (wrong, next) = match &incident.opening.cover {
            Cover::Expired { review, at } => {
                (format!("the grant of {review} ended {}", pen.ago(Some(*at))), asks)
            }
            Cover::Revoked { review, by } => (format!("{by} revoked {review}"), asks),
            Cover::Rejected { review, by } => (format!("{by} rejected {review}"), asks),
            Cover::Undecided { review } | Cover::SelfApproved { review, .. } => {
                (format!("{what} is live and {review} is not decided"), "security decides".to_owned())
            }
            Cover::None | Cover::OtherCluster { .. } | Cover::Wider { .. } => {
                (format!("{what} is live without a grant"), asks)
            }
            Cover::NamedPort(_) | Cover::NotUnderstood | Cover::Covered { .. } | Cover::Unknown => (
                format!("what {} opens is not understood", incident.opening.policy),
                "write it in another way".to_owned(),
            ),
        };
        return Some(format!("incident: {wrong}: {next}, {back} takes it back"));
    }
    let leaks = |reason: &Reason| match reason {
        Reason::Leaks(nodes) => Some(nodes_words(nodes)),
        _ => None,
    };
    let nodes = row.soak.as_ref()?.judged.verdict.reasons().iter().find_map(leaks)?;
    let why = pen.key(CommandId::Preflight);
    Some(format!("not enforced on {nodes}: a probe got through; {why} says why"))
}

/// `node-1`, or how many more there are.
fn nodes_words(nodes: &[NodeName]) -> String {
    match nodes {
        [] => "a node".to_owned(),
        [one] => one.to_string(),
        [first, more @ ..] => format!("{first} and {} more", more.len()),
    }
}

/// Is anything denied that somebody should look at? Where no group tells, it is.
fn is_denied(world: &World, target: &Target) -> bool {
    let is_ours = |group: &&Group| {
        let key = &group.key;
        (&key.cluster, &key.ns, key.direction) == (&target.cluster, &target.ns, target.direction)
    };
    let mut ours = world.denials().groups().filter(is_ours).peekable();
    ours.peek().is_none() || ours.any(|group| group.class != Class::Expected)
}
