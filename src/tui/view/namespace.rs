//! One namespace: both directions, their policies, what isolates, whose it is, what is denied, how
//! to take it back. Tab chooses which direction `a` and ctrl-r mean.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        commands::CommandId,
        discovery,
        orders::Target,
        rows::{self, RolloutRow, Standing},
        world::World,
    },
    domain::{
        fleet::{Cluster, Namespace},
        flow::Direction,
        names::{ClusterName, NsName},
        policy::Pinned,
    },
};

use super::{
    super::{
        copy,
        model::{Focus, Model, Zoom},
        theme::Role,
        widgets::{Cells, Pen, count, heading, highlight, plural, put, rate, sparkline},
    },
    denials::arrow,
    destinations::readiness,
    detail,
    fleet::{phase_role, set, standing_role},
    frame::{Areas, Pane, band},
    next, prediction, soak,
};

/// Lines above the panes.
pub const TOP: u16 = 2;

pub fn draw(
    world: &World,
    model: &Model,
    (cluster, name): (&ClusterName, &NsName),
    pen: &Pen<'_>,
    areas: &Areas,
    buf: &mut Buffer,
) {
    let Some((cluster, ns)) = world.cluster(cluster).zip(world.namespace(cluster, name)) else {
        let text = format!(" {cluster} has no namespace {name} (any more); esc goes back");
        put(buf, areas.body, &pen.line(text, Role::Warn));
        return;
    };
    top(world, model, pen, cluster, ns, areas, buf);
    denials(world, model, pen, areas.list, buf);
}

fn top(
    world: &World,
    model: &Model,
    pen: &Pen<'_>,
    cluster: &Cluster,
    ns: &Namespace,
    areas: &Areas,
    buf: &mut Buffer,
) {
    let width = usize::from(areas.body.width);
    let (word, role) = band(cluster.environment);
    let meant = match model.page.focus {
        Focus::Both => "both directions",
        Focus::One(Direction::Egress) => "egress",
        Focus::One(Direction::Ingress) => "ingress",
        Focus::Denials => "the denial's direction",
    };
    let (a, back) = (pen.key(CommandId::Apply), pen.key(CommandId::RollBack));
    let tab = match model.page.focus {
        Focus::Both => " (tab: one)",
        Focus::One(Direction::Egress) => " (tab: the other)",
        Focus::One(Direction::Ingress) => " (tab: another)",
        Focus::Denials => "",
    };
    let place = format!("{} / {}", cluster.name, ns.seen.name);
    let line = format!(" {word}  {place}   {a} and {back} mean {meant}{tab}");
    put(buf, Rect { height: 1, ..areas.body }, &pen.line(format!("{line:width$}"), role));
    let pods = cluster.listed.contains(&crate::domain::fleet::Listed::Pods).then(|| ns.subjects().count());
    let mut facts = vec![
        pen.span(format!(" {}", detail::owner_words(world, ns)), Role::Text),
        pen.span(
            pods.map_or_else(|| "  ? pods".to_owned(), |pods| format!("  {}", plural(pods, "pod"))),
            Role::Text,
        ),
        pen.span(format!("  read {}", pen.ago(cluster.last_good)), Role::Dim),
    ];
    let collection = discovery::collection_row(world, &cluster.name, &ns.seen.name);
    let (role, _) = readiness(&collection, Direction::Egress);
    facts.push(pen.span("  week ", Role::Dim));
    facts.push(pen.span(collection.progress.words(), role));
    if let Some(suspects) = collection.suspects.filter(|suspects| *suspects > 0) {
        facts.push(pen.span(
            format!(", {} ({})", plural(suspects, "suspect"), pen.key(CommandId::Destinations)),
            Role::Denied,
        ));
    }
    if ns.seen.terminating {
        facts.push(pen.span("  TERMINATING", Role::Warn));
    }
    if let Some((role, note)) = detail::health_note(pen, cluster) {
        facts.insert(0, pen.span(format!(" {note} "), role));
    }
    put(buf, Rect { y: areas.body.y + 1, height: 1, ..areas.body }, &ratatui::text::Line::from(facts));
}

/// Both directions, as they stand on the page.
pub fn panes(
    world: &World,
    model: &Model,
    (cluster, name): (&ClusterName, &NsName),
    pen: &Pen<'_>,
    areas: &Areas,
) -> Vec<Pane> {
    let Some((cluster, ns)) = world.cluster(cluster).zip(world.namespace(cluster, name)) else {
        return Vec::new();
    };
    let area = areas.detail;
    let below = Rect { y: area.y + TOP, height: area.height.saturating_sub(TOP), ..area };
    let pane = |(direction, area): (Direction, Rect)| {
        let is_meant = model.page.focus == Focus::One(direction);
        Pane {
            title: pen.own(&format!("{}{direction}", if is_meant { "▸ " } else { "" })),
            text: direction_text(world, pen, cluster, ns, direction),
            area,
            scrolls: is_meant || model.page.focus == Focus::Both,
        }
    };
    Direction::ALL.into_iter().zip(split(below, model)).map(pane).collect()
}

/// Side by side where there is room, else one above the other, the focused one larger.
fn split(area: Rect, model: &Model) -> [Rect; 2] {
    let zoomed = model.settings.zoom == Zoom::Details;
    match model.page.focus {
        Focus::One(Direction::Egress) if zoomed => return [area, Rect { height: 0, ..area }],
        Focus::One(Direction::Ingress) if zoomed => return [Rect { height: 0, ..area }, area],
        Focus::One(_) | Focus::Both | Focus::Denials => {}
    }
    if area.width >= 110 {
        let left = area.width / 2;
        return [
            Rect { width: left.saturating_sub(1), ..area },
            Rect { x: area.x + left, width: area.width - left, ..area },
        ];
    }
    const FOLDED: u16 = 4;
    let upper = match model.page.focus {
        Focus::One(Direction::Egress) => area.height.saturating_sub(FOLDED),
        Focus::One(Direction::Ingress) => FOLDED.min(area.height),
        Focus::Both | Focus::Denials => area.height.div_ceil(2),
    };
    [Rect { height: upper, ..area }, Rect { y: area.y + upper, height: area.height - upper, ..area }]
}

fn direction_text(
    world: &World,
    pen: &Pen<'_>,
    cluster: &Cluster,
    ns: &Namespace,
    direction: Direction,
) -> Vec<(Role, String)> {
    let target = Target { cluster: cluster.name.clone(), ns: ns.seen.name.clone(), direction };
    let row = rows::rollout_row(world, cluster, ns, direction);
    let (role, next) = next::next(world, pen, &row);
    let live = match (row.standing, ns.in_force.get(&direction)) {
        (Standing::None, _) => String::new(),
        (standing @ (Standing::OnSome(_) | Standing::InForce), Some(seen)) => {
            format!(", {}, seen {}", standing.words(), pen.ago(Some(*seen)))
        }
        (standing, _) => format!(", {}", standing.words()),
    };
    let phase = row.phase.as_str();
    let mut out = vec![(phase_role(row.phase), format!("{phase}, {} of the set live{live}", set(&row)))];
    out.push((role, format!("next: {next}")));
    out.extend(detail::incident_lines(world, &target));
    out.extend(soak::urgent(world, pen, &target));
    out.extend(row.shadow.iter().map(|shadow| (Role::Warn, shadow.words(pen.now, pen.zone))));
    out.extend(prediction::brief(world, &target, pen));
    if let Some(row) = &row.soak {
        out.extend(soak::text(world, pen, &target, row));
    }
    let minutes = row.minutes.as_ref().map(<[u32; 30]>::as_slice);
    let per = rate(row.denials_per_minute);
    let denied =
        if row.denials_per_minute.is_some_and(|rate| rate >= 0.05) { Role::Denied } else { Role::Dim };
    out.push((denied, format!("denied {} {per}/min", sparkline(minutes, 30))));
    out.push((Role::Text, detail::isolation_words(row.isolation.as_ref())));
    out.extend(pinned(world, ns, &row, &target));
    out.extend(foreign(cluster, ns, direction));
    if let Some(order) = world.orders().latest(&target) {
        out.push((standing_role(row.standing), detail::order_words(pen, order)));
    }
    out.push((Role::Dim, "by hand, to take it back:".to_owned()));
    out.extend(copy::rollback_commands(world, &target).into_iter().map(|command| (Role::Dim, command)));
    out
}

/// Each pinned policy: live, changed against the workspace, or missing.
fn pinned(world: &World, ns: &Namespace, row: &RolloutRow, target: &Target) -> Vec<(Role, String)> {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    let authored = world.files().sets.get(&key);
    let any = row.policies.iter().any(|(_, live)| *live);
    let mut out = Vec::new();
    for pinned in Pinned::of(target.direction) {
        let wanted = authored.and_then(|authored| authored.set.get(pinned.name));
        let (role, words) = match (ns.pinned(pinned), wanted) {
            (Some(live), Some(wanted)) if live.spec != wanted.spec => {
                (Role::Warn, "✖ changed against the workspace")
            }
            (Some(live), _) if live.is_open(target.direction) => {
                (Role::Warn, "● live, open: lets everything through")
            }
            (Some(_), Some(_)) => (Role::Good, "● live, as in the workspace"),
            (Some(_), None) => (Role::Text, "● live, not in the workspace"),
            (None, Some(_)) if any => (Role::Bad, "✖ missing"),
            (None, Some(_)) => (Role::Dim, "◌ in the workspace, not live"),
            (None, None) if pinned.is_required() && any => (Role::Bad, "✖ missing, and no file"),
            (None, None) if pinned.is_required() => (Role::Dim, "◌ no file"),
            (None, None) => continue,
        };
        let (glyph, words) = words.split_once(' ').unwrap_or((words, ""));
        out.push((role, format!("{glyph} {:21} {words}", pinned.name)));
    }
    if let Some(authored) = authored {
        out.extend(authored.complaints.iter().map(|complaint| (Role::Bad, format!("file: {complaint}"))));
    }
    out
}

/// Policies that are not ours and may isolate too, of the namespace and of the whole cluster.
fn foreign(cluster: &Cluster, ns: &Namespace, direction: Direction) -> Vec<(Role, String)> {
    ns.policies
        .values()
        .chain(cluster.clusterwide.values())
        .filter(|policy| policy.pinned().is_none())
        .filter_map(|policy| {
            let owner = policy.marks.owner.as_ref().map_or_else(String::new, |owner| format!(" ({owner})"));
            match policy.isolates(direction) {
                Some(true) => {
                    Some((Role::Warn, format!("foreign, isolates too: {}{owner}", policy.key.name)))
                }
                None => Some((Role::Unknown, format!("foreign, not evaluated: {}{owner}", policy.key))),
                Some(false) => None,
            }
        })
        .collect()
}

fn denials(world: &World, model: &Model, pen: &Pen<'_>, area: Rect, buf: &mut Buffer) {
    if area.height == 0 {
        return;
    }
    let rows = model.page.denials.rows().len();
    let focused = model.page.focus == Focus::Denials;
    let mark = if focused { "▸ " } else { "" };
    put(
        buf,
        Rect { height: 1, ..area },
        &heading(pen, format!("{mark}denied here: {}", plural(rows, "group")), area.width),
    );
    let now = model.denials_now(world);
    let list = Rect { y: area.y + 1, height: area.height - 1, ..area };
    for (line, (at, id)) in model.page.denials.window(usize::from(list.height)).enumerate() {
        let Some(group) = model.group(world, *id) else { continue };
        let row_area = Rect { y: list.y + line as u16, height: 1, ..list };
        let left = usize::from(area.width).saturating_sub(9 + 2 + 6 + 5 + 6 + 2);
        let per = rows::group_rate(world, group, now);
        let row = Cells::new(pen, area.width)
            .left(format!(" {}", group.class.word()), 9, detail::class_role(group))
            .left(copy::workload(&group.key), left / 3, Role::Text)
            .left(arrow(group.key.direction), 1, Role::Dim)
            .left(copy::peer(&group.key), left - left / 3 - 3, Role::Text)
            .right(count(group.count), 6, Role::Text)
            .right(rate(per), 5, super::fleet::rate_role(per))
            .right(pen.when(Some(group.last)), 6, Role::Dim);
        put(buf, row_area, &row.line());
        if focused && at == model.page.denials.at() && !model.page.denials.is_gone() {
            highlight(buf, row_area, pen.style(Role::Selected));
        }
    }
    if rows == 0 && list.height > 0 {
        put(
            buf,
            list,
            &pen.line(
                format!(" none seen; {} shows whether they could be seen", pen.key(CommandId::Sources)),
                Role::Dim,
            ),
        );
    }
}
