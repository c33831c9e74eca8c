//! One review in full, all that a decision needs: what is asked for and why it is flagged, who goes
//! there, what an approval would let pass, what uses the grant, who decided what, who may not decide.
//! What was not read is said to be unknown, never shown as empty.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        gate::Usage,
        reviews::{Dossier, OpensRow, ReviewRow, SeenRow},
        world::World,
    },
    domain::{
        fleet::Environment,
        grant::{Decision, Standing},
        names::Text,
    },
};

use super::{
    super::{
        model::{Model, Settings},
        offer,
        reviews::{self, headline},
        theme::{Role, Theme},
        widgets::{Align, Pen, count, fit, plural, put},
    },
    frame::{Areas, Pane, band},
    reviews::state,
};

type Lines = Vec<(Role, String)>;

/// Two panes stand side by side from here on.
const WIDE: u16 = 110;

pub fn draw(world: &World, model: &Model, name: &Text, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let area = Rect { height: 1, ..areas.body };
    let Some(dossier) = model.team.reviews.dossier(name) else {
        let (role, text) =
            state(world).unwrap_or_else(|| (Role::Warn, format!("there is no review {name} (any more)")));
        put(buf, area, &pen.line(format!(" {text}; esc goes back"), role));
        return;
    };
    let row = &dossier.row;
    let (word, role) = band(environment(world, row));
    let words = format!(" {word}  {}", headline(&row.grant));
    put(buf, area, &pen.line(fit(&pen.hide(words), usize::from(area.width), Align::Left), role));
}

/// One production cluster makes it production.
fn environment(world: &World, row: &ReviewRow) -> Environment {
    let targets: Vec<_> = row
        .clusters
        .iter()
        .filter_map(|one| one.name.clone())
        .map(|cluster| crate::domain::rollout::Target {
            cluster,
            ns: row.grant.ns.clone(),
            direction: row.grant.direction,
        })
        .collect();
    offer::environment(world, &targets)
}

/// The text of the page.
pub fn panes(world: &World, model: &Model, name: &Text, pen: &Pen<'_>, areas: &Areas) -> Vec<Pane> {
    let Some(dossier) = model.team.reviews.dossier(name) else { return Vec::new() };
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    let pane = |title: &str, text, area| Pane { title: title.to_owned(), text, area, scrolls: true };
    let (asks, shows) = (what(world, pen, dossier), evidence(pen, dossier));
    if area.width < WIDE {
        let mut text = asks;
        text.extend(shows);
        return vec![pane(&format!("review {name}"), text, area)];
    }
    let left = area.width / 2;
    vec![
        pane(&format!("review {name}"), asks, Rect { width: left - 1, ..area }),
        pane(
            "what it opens, and who uses it",
            shows,
            Rect { x: area.x + left, width: area.width - left, ..area },
        ),
    ]
}

/// The dossier as a message.
pub fn message(world: &World, settings: &Settings, dossier: &Dossier) -> String {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let mut out = vec![format!("review {}: {}", dossier.row.name, headline(&dossier.row.grant))];
    let lines = what(world, &pen, dossier).into_iter().chain(evidence(&pen, dossier));
    out.extend(lines.map(|(_, line)| line));
    out.join("\n")
}

/// The question, without what has to be looked up.
pub fn asked(world: &World, pen: &Pen<'_>, row: &ReviewRow) -> Lines {
    let mut out: Lines =
        row.findings.iter().map(|finding| (Role::Denied, format!("flagged: {finding}"))).collect();
    if out.is_empty() {
        out.push((Role::Unknown, "nothing was known against it when it was asked for".to_owned()));
    }
    out.push((
        Role::Text,
        format!("{} for {}, {}", headline(&row.grant), row.grant.selector, asked_until(pen, row)),
    ));
    out.push((
        Role::Text,
        format!("asked by {} {}: {}", row.requested_by, pen.ago(Some(row.created)), reviews::purpose(row)),
    ));
    out.extend(standings(world, pen, row));
    out
}

/// Until when it was asked for. What was decided may end earlier, and is said where it stands.
fn asked_until(pen: &Pen<'_>, row: &ReviewRow) -> String {
    let is_open = row.clusters.iter().all(|one| one.standing == Standing::Open);
    let word = if is_open { "until" } else { "asked until" };
    format!("{word} {}", pen.both_ways(row.grant.expires))
}

fn standings(world: &World, pen: &Pen<'_>, row: &ReviewRow) -> Lines {
    let now = super::super::form::now(world);
    let role = |standing: &Standing| match standing {
        Standing::Open => Role::Warn,
        Standing::Approved { .. } => Role::Good,
        Standing::SelfApproved(_) => Role::Bad,
        Standing::TimeUnknown => Role::Unknown,
        Standing::Rejected(_) | Standing::Revoked(_) | Standing::Expired(_) | Standing::OtherCluster => {
            Role::Dim
        }
    };
    row.clusters
        .iter()
        .map(|one| {
            let stands = match &one.standing {
                Standing::Approved { until } => format!("approved until {}", pen.both_ways(*until)),
                other => reviews::standing(other, now),
            };
            (role(&one.standing), format!("{}: {stands}", reviews::name(one)))
        })
        .collect()
}

/// What is asked for, where it stands, who decided and who may.
fn what(world: &World, pen: &Pen<'_>, dossier: &Dossier) -> Lines {
    let row = &dossier.row;
    let mut out: Lines = vec![(Role::Title, "why it is flagged".to_owned())];
    out.extend(row.findings.iter().map(|finding| (Role::Denied, finding.to_string())));
    if row.findings.is_empty() {
        out.push((Role::Unknown, "nothing was known against it when it was asked for".to_owned()));
    }
    out.push((Role::Title, "what is asked for".to_owned()));
    out.push((Role::Text, headline(&row.grant)));
    out.push((Role::Text, format!("for {}, {}", row.grant.selector, asked_until(pen, row))));
    out.push((Role::Text, format!("purpose: {}", reviews::purpose(row))));
    out.push((Role::Text, format!("asked by {} {}", row.requested_by, pen.both(row.created))));
    out.push((Role::Title, "where it stands".to_owned()));
    out.extend(standings(world, pen, row));
    out.push((Role::Title, "decisions".to_owned()));
    out.extend(dossier.decisions.iter().map(|one| decision(world, pen, one)));
    if dossier.decisions.is_empty() {
        out.push((Role::Dim, "nobody decided yet".to_owned()));
    }
    out.push((Role::Title, "who may decide".to_owned()));
    let not: Vec<_> = dossier.not_by.iter().map(Text::as_str).collect();
    out.push((Role::Text, format!("not {}: whoever asks does not decide", not.join(", "))));
    if dossier.against_you.is_empty() {
        out.push((Role::Good, "you may: A approves, X rejects, V revokes".to_owned()));
    }
    out.extend(dossier.against_you.iter().map(|reason| (Role::Warn, format!("you may not: {reason}"))));
    out
}

fn decision(world: &World, pen: &Pen<'_>, one: &Decision) -> (Role, String) {
    let name = |uid: &Text| {
        let known = world.clusters().find(|cluster| cluster.uid.as_ref() == Some(uid));
        known.map_or_else(|| format!("unknown cluster {uid}"), |cluster| cluster.name.to_string())
    };
    let clusters: Vec<_> = one.clusters.iter().map(name).collect();
    let ticket = one.ticket.as_ref().map_or_else(String::new, |ticket| format!(" [{ticket}]"));
    let until = one.expires.map_or_else(String::new, |until| format!(", until {}", pen.both_ways(until)));
    let words = format!(
        "{} by {} {} for {}{until}: {}{ticket}",
        one.verdict.as_str(),
        one.stamp.by,
        pen.both(one.stamp.at),
        clusters.join(", "),
        one.reason
    );
    (Role::Text, words)
}

/// What edges and policies say.
fn evidence(pen: &Pen<'_>, dossier: &Dossier) -> Lines {
    let mut out: Lines = vec![(Role::Title, "what an approval lets pass".to_owned())];
    out.extend(dossier.opens.iter().map(opens));
    if dossier.opens.is_empty() {
        out.push((Role::Dim, "no rule of the workspace's policies that were read".to_owned()));
    }
    out.push((Role::Title, "what uses the grant".to_owned()));
    out.extend(usage(&dossier.usage));
    out.push((Role::Title, "who goes there".to_owned()));
    match &dossier.seen {
        None => out.push((
            Role::Unknown,
            "unknown: no edges of it were read; d on the namespace asks its collector".to_owned(),
        )),
        Some(seen) => out.extend(seen_lines(pen, seen)),
    }
    out
}

fn opens(row: &OpensRow) -> (Role, String) {
    let OpensRow { target, policy, opened, standing } = row;
    let (rule, what, ports) = (opened.rule, &opened.what, &opened.ports);
    let role = if *standing == "covered" { Role::Good } else { Role::Warn };
    (
        role,
        format!(
            "{target}: {policy} rule {rule} opens {what} on {ports} to {}; now {standing}",
            opened.selector
        ),
    )
}

/// Who uses a grant, before somebody takes it back.
pub fn usage(usage: &Usage) -> Lines {
    const SHOWN: usize = 8;
    let rollouts = match usage.rollouts.as_slice() {
        [] => (Role::Dim, "no rollout needs it, as far as policies are read".to_owned()),
        all => {
            let names: Vec<_> = all.iter().take(SHOWN).map(ToString::to_string).collect();
            let more = all.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (Role::Warn, format!("{}: {}{more}", plural(all.len(), "rollout"), names.join(", ")))
        }
    };
    let workloads = match &usage.workloads {
        None => (Role::Unknown, "workloads: unknown, not all pods are read".to_owned()),
        Some(all) if all.is_empty() => (Role::Dim, "no workload runs that it is for".to_owned()),
        Some(all) => {
            let names: Vec<_> =
                all.iter().take(SHOWN).map(|(cluster, workload)| format!("{cluster} {workload}")).collect();
            let more = all.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            (Role::Text, format!("{}: {}{more}", plural(all.len(), "workload"), names.join(", ")))
        }
    };
    let flows = match usage.flows_a_day {
        None => (Role::Unknown, "flows a day: unknown, not all edges are read".to_owned()),
        Some(flows) if flows > 0.0 && flows < 1.0 => (Role::Text, "less than 1 flow a day".to_owned()),
        Some(flows) => (Role::Text, format!("{flows:.0} flows a day")),
    };
    vec![rollouts, workloads, flows]
}

fn seen_lines(pen: &Pen<'_>, seen: &SeenRow) -> Lines {
    const SHOWN: usize = 40;
    const NAMED: usize = 12;
    if seen.who.is_empty() {
        return vec![(Role::Dim, "nobody, in the edges that were read".to_owned())];
    }
    let list = |all: Vec<String>| {
        let more = all.len().saturating_sub(NAMED);
        let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if more > 0 { format!("{shown} and {more} more") } else { shown }
    };
    let mut out = Vec::new();
    let names: Vec<_> = seen.names.iter().map(ToString::to_string).collect();
    out.push(match names.is_empty() {
        true => (Role::Unknown, "names: none led there".to_owned()),
        false => (Role::Text, format!("names: {}", list(names))),
    });
    let addresses: Vec<_> = seen.addresses.iter().map(ToString::to_string).collect();
    out.push(match addresses.is_empty() {
        true => (Role::Unknown, "addresses: none told".to_owned()),
        false => (Role::Text, format!("addresses: {}", list(addresses))),
    });
    for who in seen.who.iter().take(SHOWN) {
        let (cluster, workload, port) = (&who.cluster, &who.workload, who.port);
        let words = format!(
            "{cluster} {workload} on {port}, {} flows, since {}, last {}",
            count(who.flows),
            pen.ago(Some(who.first)),
            pen.ago(Some(who.last))
        );
        out.push((Role::Text, words));
    }
    let more = seen.who.len().saturating_sub(SHOWN);
    if more > 0 {
        out.push((Role::Dim, format!("and {more} more")));
    }
    out
}
