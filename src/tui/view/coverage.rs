//! What the collected week has seen of a namespace and what not: readiness, hours by node, holes
//! with their reasons, CronJobs, workloads without traffic, names whose addresses change.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        coverage::{CoverageRow, CronRow, coverage_row},
        discovery::{self, Progress},
        world::World,
    },
    domain::{
        coverage::Hole,
        flow::Direction,
        names::{ClusterName, NodeName, NsName},
        readiness::CronSeen,
        time::{Timestamp, span},
    },
};

use super::{
    super::{
        model::Settings,
        theme::{Role, Theme},
        widgets::{Align, Pen, count, fit, plural, put},
    },
    destinations::{banner, readiness, unread},
    frame::{Areas, Pane},
};

type Place<'a> = (&'a ClusterName, &'a NsName);
type Text = Vec<(Role, String)>;

/// Two panes stand side by side from here on.
const WIDE: u16 = 110;

pub fn draw(world: &World, place: Place<'_>, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let band = Rect { height: 1, ..areas.body };
    if world.namespace(place.0, place.1).is_none() {
        let text = format!(" {} has no namespace {} (any more); esc goes back", place.0, place.1);
        put(buf, band, &pen.line(text, Role::Warn));
        return;
    }
    let (_, words) = readiness(&discovery::collection_row(world, place.0, place.1), Direction::Egress);
    banner(world, place, &words, pen, band, buf);
}

/// The text of the page.
pub fn panes(world: &World, place: Place<'_>, pen: &Pen<'_>, areas: &Areas) -> Vec<Pane> {
    let Some(row) = row(world, place) else { return Vec::new() };
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    let pane = |title: &str, text, area| Pane { title: title.to_owned(), text, area, scrolls: true };
    let (watched, missed) = (watched(world, place, pen, &row), missed(world, place, pen, &row));
    if area.width < WIDE {
        let mut text = watched;
        text.extend(missed);
        return vec![pane("coverage", text, area)];
    }
    let left = area.width / 2;
    vec![
        pane("what was watched", watched, Rect { width: left - 1, ..area }),
        pane("what it may have missed", missed, Rect { x: area.x + left, width: area.width - left, ..area }),
    ]
}

/// The page as a message.
pub fn message(world: &World, settings: &Settings, place: Place<'_>) -> Option<String> {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let row = row(world, place)?;
    let mut out = vec![format!("coverage of {}/{}", place.0, place.1)];
    let lines = watched(world, place, &pen, &row).into_iter().chain(missed(world, place, &pen, &row));
    out.extend(lines.map(|(_, line)| line));
    Some(out.join("\n"))
}

fn row(world: &World, (cluster, ns): Place<'_>) -> Option<CoverageRow> {
    let (cluster, ns) = world.cluster(cluster).zip(world.namespace(cluster, ns))?;
    Some(coverage_row(world, cluster, ns))
}

fn watched(world: &World, place: Place<'_>, pen: &Pen<'_>, row: &CoverageRow) -> Text {
    let mut out = Vec::new();
    for direction in Direction::ALL {
        let (role, words) = readiness(&row.collection, direction);
        let (progress, why) = row.collection.of(direction);
        match direction {
            Direction::Egress => out.push((role, words)),
            Direction::Ingress if row.collection.is_alike() => break,
            Direction::Ingress => out.push((role, format!("for ingress {words}"))),
        }
        if matches!(progress, Progress::Blocked { .. }) {
            out.extend(why.iter().map(|why| (Role::Bad, format!("- {why}"))));
        }
    }
    let Some(window) = row.window else {
        out.push(match world.discoveries().collected(place.0) {
            Some(collected) if collected.state.link == crate::cockpit::ports::Link::Live => {
                (Role::Unknown, "the collector has not said yet what it watched".to_owned())
            }
            Some(_) | None => unread(world, place, pen),
        });
        return out;
    };
    let told = pen.ago(row.collection.at);
    out.push((
        Role::Dim,
        format!("window {} to {}, told {told}", day(pen, window.from), day(pen, window.to)),
    ));
    let needed = discovery::WANTED.num_hours() as usize;
    out.push((Role::Title, format!("proved hours, by node; {needed} are needed")));
    out.extend(row.nodes.iter().map(|(node, hours)| node_line(node.as_ref(), *hours, needed)));
    if row.nodes.is_empty() {
        out.push((Role::Unknown, "no node was heard".to_owned()));
    }
    out.push((Role::Title, format!("holes: {}", row.holes.len())));
    out.extend(row.holes.iter().map(|hole| hole_line(pen, hole)));
    if row.holes.is_empty() {
        out.push((Role::Dim, "none were told".to_owned()));
    }
    out
}

/// With the day of the week: jobs run by it.
fn day(pen: &Pen<'_>, at: Timestamp) -> impl std::fmt::Display {
    at.with_timezone(&pen.zone).format("%a %m-%d %H:%M")
}

fn node_line(node: Option<&NodeName>, hours: usize, all: usize) -> (Role, String) {
    const BAR: usize = 20;
    let name = node.map_or("all (the source names no node)", NodeName::as_str);
    // A full bar only for all of them, an empty one only for none.
    let filled = match hours {
        0 => 0,
        some if some >= all => BAR,
        some => (some * BAR / all.max(1)).clamp(1, BAR - 1),
    };
    let bar = format!("{}{}", "█".repeat(filled), "·".repeat(BAR - filled));
    let role = if hours >= all { Role::Text } else { Role::Warn };
    (role, format!("{hours:>4} {bar} {name}"))
}

fn hole_line(pen: &Pen<'_>, hole: &Hole) -> (Role, String) {
    let node = hole.node.as_ref().map_or("all nodes", NodeName::as_str);
    let lost =
        hole.lost.map_or_else(|| "unknown number lost".to_owned(), |lost| format!("{} lost", count(lost)));
    let long = span(hole.to - hole.from);
    (Role::Warn, format!("{} for {long}, {node}, {lost}: {}", day(pen, hole.from), hole.why))
}

fn missed(world: &World, place: Place<'_>, pen: &Pen<'_>, row: &CoverageRow) -> Text {
    let mut out = vec![(Role::Title, "CronJobs".to_owned())];
    match &row.crons {
        None => out.push((Role::Unknown, "? the cluster has not told its CronJobs".to_owned())),
        Some(crons) if crons.is_empty() => out.push((Role::Dim, "there are none".to_owned())),
        Some(crons) => out.extend(crons.iter().flat_map(|cron| cron_lines(pen, cron))),
    }
    out.push((Role::Title, "workloads without traffic".to_owned()));
    match &row.workloads {
        None => out.push((Role::Unknown, format!("? {}", why_unread(world, place)))),
        Some(all) => out.extend(workload_lines(all)),
    }
    out.push((Role::Title, "names whose addresses change".to_owned()));
    match &row.churned {
        None => out.push((Role::Unknown, format!("? {}", why_unread(world, place)))),
        Some(names) if names.is_empty() => out.push((Role::Dim, "none were seen".to_owned())),
        Some(names) => out.extend(names.iter().map(|name| {
            let words = format!(
                "{}: up to {} addresses a day, {} % of its hours brought new ones",
                name.name, name.addresses_a_day, name.new_percent
            );
            (Role::Warn, words)
        })),
    }
    if row.left_out > 0 {
        let words = format!(
            "{} did not fit into the answer and are missing here",
            plural(row.left_out as usize, "edge")
        );
        out.push((Role::Bad, words));
    }
    out
}

fn why_unread(world: &World, (cluster, ns): Place<'_>) -> &'static str {
    match world.discoveries().opened(cluster, ns) {
        Some(opened) if opened.answer.is_some() => "pods are not listed yet",
        Some(_) => "the collector was asked and has not answered yet",
        None => "the collector was not asked for its edges yet",
    }
}

fn cron_lines(pen: &Pen<'_>, row: &CronRow) -> Text {
    let cron = &row.cron;
    let zone = cron.zone.as_ref().map_or_else(String::new, |zone| format!(" {zone}"));
    let role = if row.blocks { Role::Warn } else { Role::Text };
    let suspended = if cron.suspended { ", suspended" } else { "" };
    let last = cron
        .last_run
        .map_or_else(|| "no run is known".to_owned(), |run| format!("last run {}", pen.ago(Some(run))));
    let seen = match (row.seen, cron.longest_pause) {
        (None, _) => ", in the window: ?".to_owned(),
        (Some(CronSeen::Ran), _) => ", in the window".to_owned(),
        (Some(CronSeen::NotInside), _) if cron.last_run.is_none() => String::new(),
        (Some(CronSeen::NotInside), _) => ", not in the window".to_owned(),
        (Some(CronSeen::InHole), _) => ", in a stretch that was not seen".to_owned(),
        (Some(CronSeen::Rare), Some(pause)) => {
            format!(", may pause {}: one run at most was seen", span(pause))
        }
        (Some(CronSeen::Rare), None) => ", one run at most was seen".to_owned(),
        (Some(CronSeen::Unreadable), _) => ", how often it runs cannot be read".to_owned(),
    };
    let mut out = vec![(role, format!("{} ({}{zone}){suspended}: {last}{seen}", cron.name, cron.schedule))];
    if row.blocks {
        out.push((Role::Warn, "  it takes a waiver, or a longer window".to_owned()));
    }
    out
}

fn workload_lines(all: &[crate::cockpit::coverage::WorkloadRow]) -> Text {
    let (seen, silent): (Vec<_>, Vec<_>) = all.iter().partition(|row| row.has_evidence());
    let mut out: Text = silent
        .iter()
        .map(|row| {
            let words = format!("{}: no evidence ({})", row.workload, plural(row.pods, "pod"));
            (Role::Warn, words)
        })
        .collect();
    if out.is_empty() {
        out.push((Role::Dim, "none: every workload that runs now was seen".to_owned()));
    }
    let only = |count: usize, word: &str| {
        if count == 0 { format!("no {word}") } else { plural(count, word) }
    };
    out.extend(seen.iter().map(|row| {
        let name = fit(row.workload.name.as_str(), 24, Align::Left);
        let words = format!("{name} {}, {}", only(row.egress, "destination"), only(row.ingress, "caller"));
        (Role::Dim, words)
    }));
    out
}
