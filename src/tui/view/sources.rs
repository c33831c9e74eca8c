//! Flow sources by cluster: is it live, how late, what it lost, where its history begins, which
//! nodes were heard. What a source does not say is `?`.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        ports::Gap,
        rows::{self, SourceRow},
        world::{Source, World},
    },
    domain::{names::ClusterName, source::SourceKind},
};

use super::{
    super::{
        masks::Shown,
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, count, highlight, known, put},
    },
    denials::lag_words,
    frame::{About, Areas, note},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let name = usize::from(areas.list.width).saturating_sub(66).clamp(13, 34);
    let head = Cells::new(pen, areas.list.width)
        .left(" flows", 13, Role::Title)
        .left("cluster", name, Role::Title)
        .right("lag", 7, Role::Title)
        .right("history", 8, Role::Title)
        .right("lost", 6, Role::Title)
        .right("gaps", 4, Role::Title)
        .right("bad", 4, Role::Title)
        .right("nodes", 6, Role::Title)
        .right("age", 5, Role::Title);
    put(buf, areas.head, &head.line());
    for (line, (at, cluster)) in model.sources.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let row = rows::source_row(world.source(cluster));
        put(buf, area, &draw_row(pen, cluster, &row, name, area.width));
        if at == model.sources.at() && !model.sources.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.sources.rows().is_empty() {
        let text: Shown<'_> = if model.filter(Main::Sources).is_empty() {
            "No cluster is known, so there is nothing to watch. See fleet.".into()
        } else {
            super::frame::none_passes(pen).into()
        };
        note(pen, text, Role::Warn, areas.list, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    let cluster = model.sources.chosen()?;
    Some((cluster.to_string(), detail(world, pen, cluster)))
}

fn link(row: &SourceRow) -> (&'static str, Role) {
    match row.link {
        "live" => ("● live", Role::Good),
        "broken" => ("✖ broken", Role::Bad),
        "connecting" => ("◌ connecting", Role::Unknown),
        _ => ("  none", Role::Unknown),
    }
}

fn draw_row(pen: &Pen<'_>, cluster: &ClusterName, row: &SourceRow, name: usize, width: u16) -> Line<'static> {
    let (word, role) = link(row);
    // Without a source its counters are not zero, they are unknown.
    let is_told = row.at.is_some() && row.link != "none";
    let told = |n: Option<u64>| n.filter(|_| is_told);
    let counted = |n: Option<u64>| told(n).map_or_else(|| "?".to_owned(), count);
    let bad = |n: Option<u64>| if told(n).is_some_and(|n| n > 0) { Role::Bad } else { Role::Dim };
    let gaps = row.gaps.map(|gaps| gaps as u64);
    let nodes = match (row.nodes_connected, row.nodes_unavailable) {
        (None, None) => "?".to_owned(),
        (connected, Some(away)) if away > 0 => {
            format!("{}/{}", known(connected), known(connected.map(|n| n + away)))
        }
        (connected, _) => known(connected),
    };
    let away = row.nodes_unavailable.is_some_and(|n| n > 0);
    let history = row.history_from.map_or_else(|| "?".to_owned(), |from| pen.when(Some(from)));
    Cells::new(pen, width)
        .left(format!(" {word}"), 13, role)
        .left(Shown::value(cluster.as_str()), name, Role::Text)
        .right(row.lag_ms.map_or_else(|| "?".to_owned(), lag_words), 7, Role::Text)
        .right(&history, 8, Role::Text)
        .right(counted(row.lost), 6, bad(row.lost))
        .right(counted(gaps), 4, bad(gaps))
        .right(counted(Some(row.malformed)), 4, bad(Some(row.malformed)))
        .right(&nodes, 6, if away { Role::Bad } else { Role::Text })
        .right(row.at.map_or_else(|| "?".to_owned(), |at| pen.when(Some(at))), 5, Role::Dim)
        .line()
}

fn detail(world: &World, pen: &Pen<'_>, cluster: &ClusterName) -> Vec<(Role, String)> {
    let source = world.source(cluster);
    let row = rows::source_row(source);
    let mut out = Vec::new();
    let name = if row.name.is_empty() { "no flow source".to_owned() } else { row.name.to_string() };
    let (word, role) = link(&row);
    let reason = row.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
    out.push((role, format!("{name} {}{reason}", word.trim_start_matches(['●', '✖', '◌', ' ']))));
    if row.link == "none" {
        out.push((Role::Warn, "denials of this cluster cannot be seen; zero here means nothing".to_owned()));
    }
    if row.link == "broken" {
        out.push((Role::Text, "next: c tries again now".to_owned()));
    }
    out.extend(row.kind.into_iter().flat_map(limits));
    let Some(source) = source else { return out };
    out.extend(gaps(source).map(|gap| gap_line(pen, gap)));
    if row.lost.is_none() && row.link != "none" {
        out.push((Role::Unknown, "nothing was ever read of it, so what it lost is not known".to_owned()));
    }
    out.push((
        Role::Text,
        format!(
            "{} flows taken, {} repeats dropped, {} malformed",
            count(row.flows),
            row.repeats,
            row.malformed
        ),
    ));
    out.push(match row.kind {
        Some(kind) if !kind.ability().node && kind != SourceKind::Unknown => {
            (Role::Text, "it names no node, so none of them gives a sign of life".to_owned())
        }
        Some(_) | None => (Role::Text, nodes(pen, source)),
    });
    out
}

/// What a kind of source cannot say, so that nobody takes its silence for more than it is.
fn limits(kind: SourceKind) -> Vec<(Role, String)> {
    let limits = kind.ability().limits;
    let said = (!limits.is_empty()).then(|| (Role::Warn, format!("its limits: {}", limits.join("; "))));
    let needs = kind.needs_heartbeat().then(|| {
        (Role::Warn, "its silence proves nothing: a soak is credited by probes that were denied".to_owned())
    });
    said.into_iter().chain(needs).collect()
}

/// Open ones first, then the newest.
fn gaps(source: &Source) -> impl Iterator<Item = &Gap> {
    let open = source.gaps.iter().rev().filter(|gap| gap.until.is_none());
    open.chain(source.gaps.iter().rev().filter(|gap| gap.until.is_some()))
}

fn gap_line(pen: &Pen<'_>, gap: &Gap) -> (Role, String) {
    let node = gap.node.as_ref().map_or_else(|| "all nodes".to_owned(), |node| format!("node {node}"));
    let lost = gap.lost.map_or_else(|| "an unknown number lost".to_owned(), |lost| format!("{lost} lost"));
    match gap.until {
        None => (Role::Bad, format!("open gap: {node} since {}, {lost}: {}", pen.clock(gap.from), gap.why)),
        Some(until) => (
            Role::Warn,
            format!("gap: {node} {} to {}, {lost}: {}", pen.clock(gap.from), pen.clock(until), gap.why),
        ),
    }
}

fn nodes(pen: &Pen<'_>, source: &Source) -> String {
    if source.heard.is_empty() {
        return "no node gave a sign of life yet".to_owned();
    }
    let parts: Vec<_> =
        source.heard.iter().map(|(node, until)| format!("{node} {}", pen.when(Some(*until)))).collect();
    format!("last sign of each node: {}", parts.join(", "))
}
