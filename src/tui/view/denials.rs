//! Denied flows by group. Its header says what the list can be trusted for: which sources are live,
//! how late they are, what they lost, where their history begins.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{commands::CommandId, rows, world::World},
    domain::{
        denial::{Class, Group},
        eval::verdict::Verdict,
        flow::Direction,
        time::{Timestamp, span},
    },
};

use super::{
    super::{
        copy,
        masks::Shown,
        model::{Main, Model},
        theme::Role,
        widgets::{Cells, Pen, count, highlight, plural, put, rate, sparkline},
    },
    detail,
    frame::{About, Areas, band, note},
};

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    sources_line(world, pen, areas.head, buf);
    let wide = Widths::of(areas.list.width);
    if areas.head.height > 1 {
        put(buf, Rect { y: areas.head.y + 1, height: 1, ..areas.head }, &head(pen, wide, areas.head.width));
    }
    let now = model.denials_now(world);
    for (line, (at, id)) in model.denials.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        if let Some(group) = model.group(world, *id) {
            put(buf, area, &row(world, pen, group, now, wide, area.width));
        }
        if at == model.denials.at() && !model.denials.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.denials.rows().is_empty() {
        empty(world, model, Main::Denials, pen, areas, buf);
    }
}

/// What is said about the row under the cursor.
pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    let group = model.denials.chosen().and_then(|id| model.group(world, *id))?;
    Some((title(world, group), detail::group_pane(world, model, pen, group)))
}

/// Who may not do what, with the word of the environment.
pub fn title(world: &World, group: &Group) -> String {
    let environment = world.cluster(&group.key.cluster).map_or_else(Default::default, |c| c.environment);
    format!("{} {}", band(environment).0, copy::headline(group))
}

/// What the list rests on. Unknown is said, never drawn as zero.
pub fn sources_line(world: &World, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    let all: Vec<_> = world.clusters().map(|cluster| rows::source_row(world.source(&cluster.name))).collect();
    let with = |link: &str| all.iter().filter(|row| row.link == link).count();
    let (live, broken, connecting, none) = (with("live"), with("broken"), with("connecting"), with("none"));
    let word = if area.width < 100 { "" } else { " sources" };
    let mut spans = vec![pen.span(format!(" {live}/{}{word} live", all.len()), Role::Text)];
    for (n, word, role) in [
        (broken, "broken", Role::Bad),
        (connecting, "connecting", Role::Unknown),
        (none, "none", Role::Unknown),
    ] {
        if n > 0 {
            spans.push(pen.span(format!(", {n} {word}"), role));
        }
    }
    let lag = all.iter().filter(|row| row.link == "live").filter_map(|row| row.lag_ms).max();
    let lag = lag.map_or_else(|| "unknown".to_owned(), lag_words);
    spans.push(pen.span(format!("  lag {lag}"), Role::Text));
    // Of those that were ever read; of the others it is not known.
    let read = all.iter().filter(|row| row.link != "none").filter_map(|row| row.lost.zip(row.gaps));
    let (lost, gaps) = read.clone().fold((0, 0), |(lost, gaps), (l, g)| (lost + l, gaps + g));
    let role = if lost > 0 || gaps > 0 { Role::Bad } else { Role::Text };
    let lost = match read.count() {
        0 => "unknown".to_owned(),
        _ => format!("{} in {}", count(lost), plural(gaps, "gap")),
    };
    spans.push(pen.span(format!("  lost {lost}"), role));
    // The youngest beginning: from there on every live source can tell.
    // One whose beginning is not known leaves it unknown.
    let live_ones = all.iter().filter(|row| row.link == "live");
    let history: Option<Vec<_>> = live_ones.map(|row| row.history_from).collect();
    let history = history.and_then(|all| all.into_iter().max());
    let history = history.map_or_else(|| "?".to_owned(), |from| pen.minute(from));
    spans.push(pen.span(format!("  history from {history}"), Role::Dim));
    put(buf, Rect { height: area.height.min(1), ..area }, &Line::from(spans));
}

/// A lag, in milliseconds where it is short.
pub fn lag_words(ms: i64) -> String {
    match ms {
        ..0 => "0ms".to_owned(),
        0..10_000 => format!("{ms}ms"),
        _ => span(chrono::TimeDelta::milliseconds(ms)),
    }
}

pub fn empty(world: &World, model: &Model, main: Main, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let live =
        world.clusters().filter(|cluster| world.source(&cluster.name).is_some_and(|s| s.is_live())).count();
    let all = world.clusters().len();
    let sources = pen.key(CommandId::Sources);
    let text = if !model.filter(main).is_empty() {
        super::frame::none_passes(pen)
    } else if live == 0 {
        format!(
            "Nothing is watched: no flow source is live. {sources} shows why. This is not the absence of denials."
        )
    } else if live < all {
        format!(
            "No denial was seen by the {}; {} not watched ({sources} shows why).",
            plural(live, "live source"),
            if all - live == 1 { "1 cluster is".to_owned() } else { format!("{} clusters are", all - live) }
        )
    } else {
        "No denial was seen. It fills as soon as a policy denies a flow.".to_owned()
    };
    note(pen, &text, Role::Warn, areas.list, buf);
}

#[derive(Clone, Copy)]
struct Widths {
    env: usize,
    cluster: usize,
    place: usize,
    peer: usize,
    /// Our evaluator's word; where there is no room for it, only that it disagrees.
    ours: usize,
    spark: usize,
}

impl Widths {
    fn of(width: u16) -> Self {
        // Where there is no room for the band, the pane below says the environment.
        let (env, ours, spark) = match width {
            0..100 => (0, 1, 0),
            100..150 => (10, 7, 10),
            _ => (10, 7, 30),
        };
        // class, direction, count, rate, last and the columns between them are fixed.
        let left = usize::from(width)
            .saturating_sub(9 + 1 + 5 + 4 + 5 + 8 + ours + spark + env + usize::from(env > 0));
        let cluster = (left / 5).max(10);
        let place = (left - cluster) * 45 / 100;
        Self { env, cluster, place, peer: left - cluster - place, ours, spark }
    }
}

fn head(pen: &Pen<'_>, wide: Widths, width: u16) -> Line<'static> {
    let mut cells = Cells::new(pen, width)
        .left(" class", 9, Role::Title)
        .left("env", wide.env, Role::Title)
        .left("cluster", wide.cluster, Role::Title)
        .left("ns/workload", wide.place, Role::Title)
        .left("", 1, Role::Title)
        .left("peer", wide.peer, Role::Title)
        .left(if wide.ours > 1 { "sluice" } else { "" }, wide.ours, Role::Title)
        .right("count", 5, Role::Title);
    if wide.spark > 0 {
        cells = cells.left(if wide.spark > 10 { "30 minutes" } else { "10 min" }, wide.spark, Role::Title);
    }
    cells.right("/min", 4, Role::Title).right("last", 5, Role::Title).line()
}

/// As the narrow column has room for it.
fn class_word(class: Class) -> &'static str {
    match class {
        Class::Hurting => " hurting",
        Class::Unattributed => " unattributed",
        Class::StartUp => " start-up",
        Class::Noisy(_) => " noisy",
        Class::Expected => " expected",
        Class::Would => " (would)",
    }
}

/// Out of the pod or into it.
pub fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "→",
        Direction::Ingress => "←",
    }
}

/// Our evaluator's word beside the data plane's, which is always that it was denied.
fn ours(group: &Group, width: usize) -> (&'static str, Role) {
    let verdict = group.ours.as_ref().map(|ours| ours.opinion.verdict);
    match verdict {
        _ if group.disagrees() => (if width > 1 { "ALLOWED" } else { "!" }, Role::Bad),
        _ if width <= 1 => ("", Role::Dim),
        None => ("-", Role::Dim),
        Some(Verdict::Unknown) => ("?", Role::Unknown),
        Some(verdict) => (verdict.as_str(), Role::Dim),
    }
}

fn row(
    world: &World,
    pen: &Pen<'_>,
    group: &Group,
    now: Timestamp,
    wide: Widths,
    width: u16,
) -> Line<'static> {
    let key = &group.key;
    let environment =
        world.cluster(&key.cluster).map_or_else(Default::default, |cluster| cluster.environment);
    let (word, band_role) = band(environment);
    let per = rows::group_rate(world, group, now);
    let (ours, ours_role) = ours(group, wide.ours);
    let mut cells = Cells::new(pen, width)
        .left(class_word(group.class), 9, detail::class_role(group))
        .left(word, wide.env, band_role)
        .left(Shown::value(key.cluster.as_str()), wide.cluster, Role::Text)
        .left(format!("{}/{}", key.ns, copy::workload(key)), wide.place, Role::Text)
        .left(arrow(key.direction), 1, Role::Dim)
        .left(copy::peer(key), wide.peer, Role::Text)
        .left(ours, wide.ours, ours_role)
        .right(count(group.count), 5, Role::Text);
    if wide.spark > 0 {
        cells = cells.left(sparkline(Some(&group.minutes.at(now)), wide.spark), wide.spark, Role::Denied);
    }
    let when =
        if pen.clock { pen.clock(group.last) } else { span(crate::domain::time::age(group.last, now)) };
    cells.right(rate(per), 4, super::fleet::rate_role(per)).right(&when, 5, Role::Dim).line()
}
