//! What the workspace's policies of a rollout would do: what they open and close against what is live,
//! which pods they isolate, what of the recorded week they would deny; and what all that rests on, each
//! part with its age. For readers without a right to write, too.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        commands::CommandId,
        foresights::{self, DryRun, Foretold, Teller},
        orders::Target,
        world::World,
    },
    domain::{
        eval::verdict::Verdict,
        fleet::Environment,
        names::Text,
        predict::{
            prediction::{Change, Family, Hit, How, Prediction},
            stories::{Mark, Weight},
            words,
        },
        time::Timestamp,
    },
};

use super::{
    super::{
        model::Settings,
        theme::{Role, Theme},
        widgets::{Pen, plural, put},
    },
    frame::{Areas, Pane, band},
};

type Lines = Vec<(Role, String)>;

pub fn draw(world: &World, target: &Target, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let environment = world.cluster(&target.cluster).map_or(Environment::Unknown, |c| c.environment);
    let (word, role) = band(environment);
    let width = usize::from(areas.body.width);
    let line = format!(" {word}  {target}, if the workspace were applied");
    put(buf, Rect { height: 1, ..areas.body }, &pen.line(format!("{line:width$}"), role));
}

pub fn pane(world: &World, target: &Target, pen: &Pen<'_>, areas: &Areas) -> Pane {
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    let title = "prediction: nothing is applied from here".to_owned();
    Pane { title, text: text(world, target, pen), area, scrolls: true }
}

/// The page as a message.
pub fn message(world: &World, target: &Target, settings: &Settings) -> String {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let lines = text(world, target, &pen).into_iter().map(|(_, line)| line);
    let head = format!("{target}, if the workspace were applied");
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

/// What the page of the namespace says of it; nothing where the workspace has no policies.
pub fn brief(world: &World, target: &Target, pen: &Pen<'_>) -> Lines {
    let Some(wanted) = foresights::wanted(world, target) else { return Vec::new() };
    let ns = world.namespace(&target.cluster, &target.ns);
    let mut out = Vec::new();
    match foresights::current(world, target) {
        Some((told, at)) => {
            let (role, said) = headline(told, pen);
            out.push((
                role,
                format!("if applied: {said} ({}; {}: all)", pen.ago(Some(at)), pen.key(CommandId::Predict)),
            ));
            if told.told.is_ok() {
                out.extend(told.closing.words().into_iter().map(|words| (Role::Title, words)));
            }
        }
        None if ns.is_some_and(|ns| ns.pinned_digest(target.direction) == wanted) => {}
        None => out.push((
            Role::Dim,
            format!("{}: what the workspace's policies would do", pen.key(CommandId::Predict)),
        )),
    }
    let left_out = left_out(world, target).len();
    if left_out > 0 {
        out.push((
            Role::Warn,
            format!(
                "authoring left out {} ({}: why)",
                plural(left_out, "thing"),
                pen.key(CommandId::Predict)
            ),
        ));
    }
    out
}

fn text(world: &World, target: &Target, pen: &Pen<'_>) -> Lines {
    let against = foresights::reasons(world, target);
    let mut out = Lines::new();
    let kept = world.discoveries().foresights().get(target);
    match (foresights::current(world, target), kept) {
        (Some((told, at)), kept) => {
            if kept.is_some_and(foresights::Foresight::is_waiting) {
                out.push((Role::Dim, "asked again; this is the answer before".to_owned()));
            }
            out.extend(page(world, told, at, pen));
        }
        (None, _) if !against.is_empty() => {
            out.extend(against.iter().map(|reason| (Role::Warn, format!("nothing to foretell: {reason}"))));
        }
        (None, Some(kept)) if kept.is_waiting() => {
            let said =
                format!("asked {}: the cluster is looked at, nothing is changed", pen.ago(Some(kept.since)));
            out.push((Role::Unknown, said));
        }
        (None, Some(_)) => {
            out.push((
                Role::Unknown,
                format!("the workspace's files changed since: {} asks again", pen.key(CommandId::Refresh)),
            ));
        }
        (None, None) => {
            out.push((Role::Unknown, format!("not asked yet: {} asks", pen.key(CommandId::Refresh))));
        }
    }
    let left_out = left_out(world, target);
    listed(&mut out, Role::Warn, "what authoring left out, and why", left_out.iter().map(Text::to_string));
    out
}

fn left_out<'w>(world: &'w World, target: &Target) -> &'w [Text] {
    let key = (target.cluster.clone(), target.ns.clone(), target.direction);
    world.files().sets.get(&key).map_or(&[][..], |authored| authored.left_out.as_slice())
}

fn page(world: &World, told: &Foretold, at: Timestamp, pen: &Pen<'_>) -> Lines {
    let mut out = vec![headline(told, pen)];
    if told.told.is_ok() {
        out.extend(told.closing.words().into_iter().map(|words| (Role::Title, words)));
    }
    if let DryRun::Refused(refusals) = &told.dry_run {
        let refused =
            refusals.iter().map(|trouble| (Role::Bad, format!("the server would refuse it: {trouble}")));
        out.extend(refused);
    }
    if let Ok(it) = &told.told {
        changes(&mut out, it);
        hits(&mut out, "would be denied", Role::Denied, &it.denied, pen);
        hits(&mut out, "unknown", Role::Unknown, &it.unknown, pen);
        checks(&mut out, it);
        let doubts = it.doubts.iter().map(Text::to_string);
        listed(&mut out, Role::Unknown, "why the evidence does not suffice", doubts);
    }
    listed(
        &mut out,
        Role::Warn,
        "what the evidence has not seen",
        told.uncovered.iter().map(Text::to_string),
    );
    let unread = told.unread.iter().map(ToString::to_string);
    listed(&mut out, Role::Unknown, "what could not be read of the cluster", unread);
    if let Ok(it) = &told.told {
        let dead = it.unused.iter().map(words::unused);
        listed(&mut out, Role::Warn, "rules that nothing recorded needs", dead);
        if it.icmp > 0 {
            let many = plural(it.icmp, "edge");
            let said = format!("{many} of ICMP, which no rule names: the network plugin decides");
            listed(&mut out, Role::Unknown, "not judged", [said]);
        }
        listed(&mut out, Role::Text, "isolation", words::isolation(&it.turned));
    }
    listed(&mut out, Role::Dim, "what this rests on", rests(world, told, at, pen));
    out
}

/// The verdict, in a line.
fn headline(told: &Foretold, pen: &Pen<'_>) -> (Role, String) {
    let it = match &told.told {
        Ok(it) => it,
        Err(why) => return (Role::Unknown, format!("unknown {why}")),
    };
    if let Err(why) = &told.teller {
        return (Role::Unknown, format!("unknown {why}: nothing recorded to hold it against"));
    }
    let thing = words::thing(it);
    let suffices = if it.doubts.is_empty() { "" } else { "; the evidence does not suffice" };
    let unknown = match it.unknown.len() {
        0 => String::new(),
        some => format!(", {some} unknown"),
    };
    match it.verdict() {
        Verdict::Denied if it.denied.is_empty() => {
            (Role::Denied, format!("nothing recorded would be denied, and a check is against it{unknown}"))
        }
        Verdict::Denied => {
            let last = it.denied.iter().map(|hit| hit.last).max();
            let many = plural(it.denied.len(), thing);
            let said = format!("would deny {many}{}, last {}", families(&it.denied), pen.ago(last));
            (Role::Denied, format!("{said}{unknown}{suffices}"))
        }
        Verdict::Unknown => {
            let of = plural(it.edges, &format!("recorded {thing}"));
            (Role::Unknown, format!("nothing of {of} is known to be denied{unknown}{suffices}"))
        }
        Verdict::Allowed => {
            let said = words::summary(it, pen.now).into_iter().next();
            (Role::Good, said.map_or_else(String::new, |(_, said)| said))
        }
    }
}

/// Both families apart, where there are both.
fn families(hits: &[Hit]) -> String {
    let of = |family| hits.iter().filter(|hit| hit.family == family || hit.family == Family::Both).count();
    match (of(Family::V4), of(Family::V6)) {
        (_, 0) => String::new(),
        (v4, v6) => format!(" (IPv4 {v4}, IPv6 {v6})"),
    }
}

/// What is live -> what would be, in meaning.
fn changes(out: &mut Lines, it: &Prediction) {
    let line = |change: &Change| {
        let role = match change.how {
            How::Closes => Role::Removed,
            How::Opens | How::ByName => Role::Added,
            How::Keeps => Role::Text,
        };
        let how = change.how.as_str();
        (role, format!("  {how:10} {} on {} for {}", change.what, change.ports, change.who))
    };
    let of = |how: How| it.changes.iter().filter(|change| change.how == how).count();
    out.push((
        Role::Title,
        match it.changes.is_empty() {
            true => "against what is live: nothing opens and nothing closes".to_owned(),
            false => format!(
                "against what is live: {} open, {} close, {} stay open",
                of(How::Opens) + of(How::ByName),
                of(How::Closes),
                of(How::Keeps)
            ),
        },
    ));
    let order = [How::Closes, How::Opens, How::ByName, How::Keeps];
    for how in order {
        out.extend(it.changes.iter().filter(|change| change.how == how).map(line));
    }
}

/// Checks of what is easily forgotten: what blocks first, then what only warns.
fn checks(out: &mut Lines, it: &Prediction) {
    let open = words::against(it);
    if open.is_empty() {
        return out.push((Role::Good, format!("{} passed", plural(it.checks.len(), "check"))));
    }
    let many = plural(it.checks.len(), "check");
    out.push((Role::Title, format!("checks that did not pass ({} of {many})", open.len())));
    out.extend(open.into_iter().map(|(weight, mark, text)| {
        let role = match (weight, mark) {
            (_, Mark::Unknown) => Role::Unknown,
            (Weight::Blocks, _) => Role::Denied,
            (Weight::Warns, _) => Role::Warn,
        };
        (role, format!("  {} {text}", weight.as_str()))
    }));
}

fn hits(out: &mut Lines, title: &str, role: Role, hits: &[Hit], pen: &Pen<'_>) {
    let line = |hit: &Hit| {
        let many = if hit.flows == 1 { "once".to_owned() } else { format!("{} times", hit.flows) };
        let hours = plural(hit.hours, "hour");
        let mut said = format!(
            "{} with {} {}/{}, {}: {many} in {hours}, last {}",
            hit.workload,
            words::place(hit),
            hit.port,
            hit.protocol,
            hit.family.as_str(),
            pen.ago(Some(hit.last))
        );
        let essential = hit.essential.map(|one| format!("{}: the baseline does not cover it", one.as_str()));
        let part = hit.is_part.then(|| "between some of the pods".to_owned());
        let live = (hit.now == Verdict::Denied).then(|| "what is live denies it too".to_owned());
        for note in essential.into_iter().chain(part).chain(hit.why.as_ref().map(Text::to_string)).chain(live)
        {
            said.push_str(&format!("; {note}"));
        }
        said
    };
    listed(out, role, title, hits.iter().map(line));
}

fn listed(out: &mut Lines, role: Role, title: &str, lines: impl IntoIterator<Item = String>) {
    let lines: Vec<_> = lines.into_iter().collect();
    if !lines.is_empty() {
        out.push((Role::Title, format!("{title} ({})", lines.len())));
        out.extend(lines.into_iter().map(|line| (role, format!("  {line}"))));
    }
}

/// Bytes, cluster and evidence, each with its age.
fn rests(world: &World, told: &Foretold, at: Timestamp, pen: &Pen<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let bound = told.told.as_ref().ok().map(|it| &it.bound);
    let digest = bound.map_or(told.asked, |bound| bound.digest);
    let dry_run = match &told.dry_run {
        DryRun::Passed => format!("as the server's dry run gave them back {}", pen.ago(Some(at))),
        DryRun::Refused(_) => "the workspace's bytes, which the server would refuse".to_owned(),
        DryRun::Failed(trouble) => format!("the workspace's bytes; the dry run was not answered: {trouble}"),
        DryRun::NotAsked(why) => format!("the workspace's bytes; the server's dry run was not asked: {why}"),
    };
    out.push(format!("policies {}: {dry_run}", digest.short()));
    let uid = bound.and_then(|bound| bound.cluster.as_ref()).map_or("unknown", Text::as_str);
    let live = world.cluster(&told.target.cluster).and_then(|cluster| cluster.uid.as_ref());
    let other = match live {
        Some(live) if live.as_str() != uid => "; THE CLUSTER IS ANOTHER ONE NOW: ask again",
        _ => "",
    };
    out.push(format!("cluster UID {uid}, looked at {}{other}", pen.ago(Some(at))));
    out.push(match &told.teller {
        Err(why) => format!("no evidence ({why})"),
        Ok(teller) => {
            let window = bound.map(|bound| bound.window);
            let span = window.map_or_else(String::new, |window| {
                let to = pen.ago(Some(window.to));
                let day = |at: Timestamp| at.with_timezone(&pen.zone).format("%m-%d %H:%M");
                format!(", recorded {} to {} ({to})", day(window.from), day(window.to))
            });
            match teller {
                Teller::Collector { at } => {
                    format!("evidence: the collector, told {}{span}", pen.ago(Some(*at)))
                }
                Teller::Document(document) => format!(
                    "evidence: the workspace's {}, written {}{span}; no collector answers",
                    document.path,
                    pen.ago(Some(document.written))
                ),
            }
        }
    });
    out
}
