//! A rollout's soak, incidents, recovery and holds in words, as the namespace page and the plan page
//! show them: nothing is called recovered or clean before it is.

use crate::{
    cockpit::{
        commands::CommandId,
        gates,
        orders::{OrderKind, OrderState, Outcome, Target},
        recovery::{Recovery, recovery},
        soaks::SoakRow,
        waves::{holds, record},
        world::World,
    },
    domain::{
        eval,
        hold::HoldKind,
        soak::Verdict,
        time::{Timestamp, age, span},
    },
};

use super::super::{form, theme::Role, widgets::Pen};

type Text = Vec<(Role, String)>;

/// What somebody has to look at: incidents, a rollback that is not over, holds.
pub fn urgent(world: &World, pen: &Pen<'_>, target: &Target) -> Text {
    let mut out: Text = world
        .incidents()
        .of(target)
        .iter()
        .map(|incident| {
            (Role::Bad, format!("incident {}: {}", pen.ago(Some(incident.since)), incident.words()))
        })
        .collect();
    out.extend(recovered(world, target));
    for kind in [HoldKind::Hold, HoldKind::Exclusion] {
        let held = holds(world, target, kind);
        out.extend(held.map(|kept| {
            (Role::Warn, format!("{} ({})", form::hold_words(world, kept), pen.key(CommandId::Release)))
        }));
    }
    out
}

/// How a rollback went on, while nothing was applied since.
fn recovered(world: &World, target: &Target) -> Option<(Role, String)> {
    let at = rolled_back(world, target)?;
    let state = recovery(world, target, at);
    let role = match &state {
        Recovery::Recovered => Role::Good,
        Recovery::Watching { .. } => Role::Warn,
        Recovery::Unknown(_) => Role::Unknown,
        Recovery::Isolated { .. } | Recovery::Denied { .. } | Recovery::NotReady { .. } => Role::Bad,
    };
    let since = span(age(at, world.now()));
    Some((role, format!("rolled back {since} ago; {}", state.words(world.now()))))
}

/// By the team's record, or by what this run did.
fn rolled_back(world: &World, target: &Target) -> Option<Timestamp> {
    let kept = record(world, target).map(|kept| &kept.value);
    let applied = kept.and_then(|record| record.applied.as_ref()).map(|applied| applied.stamp.at);
    let told = kept.and_then(|record| record.rolled_back.as_ref()).map(|back| back.stamp.at);
    let ours = world.orders().latest(target).filter(|order| {
        order.kind == OrderKind::Rollback && matches!(order.state, OrderState::Ended(Outcome::Done { .. }))
    });
    let at = told.max(ours.and_then(|order| order.ended))?;
    applied.is_none_or(|applied| at >= applied).then_some(at)
}

fn role(verdict: &Verdict) -> Role {
    match verdict {
        Verdict::Clean { .. } => Role::Good,
        Verdict::Withheld { .. } => Role::Warn,
        Verdict::Idle | Verdict::NotStarted => Role::Dim,
        Verdict::Soaking { .. } => Role::Text,
    }
}

/// The whole soak.
pub fn text(world: &World, pen: &Pen<'_>, target: &Target, row: &SoakRow) -> Text {
    let mut out = vec![(role(&row.judged.verdict), row.headline(pen.zone))];
    let reasons = row.reasons().len();
    out.extend(row.lines(pen.now, pen.zone).into_iter().enumerate().map(|(nth, line)| {
        let role = match nth {
            0 => Role::Text,
            nth if nth <= reasons => Role::Warn,
            _ => Role::Dim,
        };
        (role, line)
    }));
    out.extend(unseen(pen, row));
    out.push(observer(world, pen, target));
    out
}

/// Who writes the evidence, and how fresh his word is.
fn observer(world: &World, pen: &Pen<'_>, target: &Target) -> (Role, String) {
    match world.shared().observer(&target.cluster) {
        Some(observer) => {
            let us = if observer.is_us { ", this cockpit" } else { "" };
            let renewed = pen.ago(Some(observer.renewed));
            (Role::Dim, format!("observed by {}{us}, renewed {renewed}", observer.holder))
        }
        None if gates::state(world).is_some() => {
            (Role::Unknown, "who observes is unknown: the team's state is away".to_owned())
        }
        None => {
            let words = "nobody observes it: what this cockpit sees is not kept; start `sluice watch`";
            (Role::Warn, words.to_owned())
        }
    }
}

/// Connections that may stand since before the policy, and would not surely pass when they reconnect.
fn unseen(pen: &Pen<'_>, row: &SoakRow) -> Text {
    const SHOWN: usize = 6;
    let line = |unseen: &crate::cockpit::soaks::Unseen| {
        let protocol = unseen.protocol.as_str();
        let last = pen.ago(Some(unseen.last));
        let (role, ours) = match unseen.ours.verdict {
            eval::verdict::Verdict::Denied => (Role::Denied, "would be refused"),
            eval::verdict::Verdict::Unknown | eval::verdict::Verdict::Allowed => (Role::Unknown, "not known"),
        };
        let (workload, destination, port) = (&unseen.workload, &unseen.destination, unseen.port);
        (role, format!("  {workload} {destination} {port}/{protocol}, last {last}: {ours}"))
    };
    let mut out: Text = row.unseen.iter().take(SHOWN).map(line).collect();
    let more = row.unseen.len().saturating_sub(SHOWN) + row.more_unseen;
    out.extend((more > 0).then(|| (Role::Dim, format!("  and {more} more; {}", row.unseen_rests))));
    out
}
