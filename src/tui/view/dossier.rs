//! One destination in full: what it is called, what is wrong with it, what its owner should be
//! asked, who goes there, in which hours, where else in the fleet. Also as a message to be sent.

use chrono::{TimeDelta, Timelike};
use ratatui::buffer::Buffer;

use crate::{
    cockpit::{
        dossier::{self, DestinationKey, Elsewhere},
        world::World,
    },
    domain::{
        destination::{Destination, Finding},
        edge::{Grade, Hours, Window, hour_of, hour_start},
        flow::Direction,
        names::{ClusterName, NsName},
        sighting::Outcome,
    },
};

use super::{
    super::{
        destinations::find,
        model::Settings,
        theme::{Role, Theme},
        widgets::{Pen, count, plural, put},
    },
    destinations::{Watched, banner, grade_role, marks, unread},
    detail::owner_words,
    frame::{Areas, Pane},
};

type Place<'a> = (&'a ClusterName, &'a NsName);
type Text = Vec<(Role, String)>;

pub fn draw(
    world: &World,
    place: Place<'_>,
    key: &DestinationKey,
    pen: &Pen<'_>,
    areas: &Areas,
    buf: &mut Buffer,
) {
    let band = ratatui::layout::Rect { height: 1, ..areas.body };
    let (cluster, ns) = place;
    match find(world, cluster, ns, key) {
        Some(one) => banner(world, place, &format!("{} {}", one.direction, title(one)), pen, band, buf),
        None => {
            let (role, text) = match world.discoveries().destinations(cluster, ns) {
                Some(_) => {
                    (Role::Warn, "it is not among the destinations any more; esc goes back".to_owned())
                }
                None => unread(world, place, pen),
            };
            put(buf, band, &pen.line(format!(" {text}"), role));
        }
    }
}

/// The text of the page.
pub fn pane(
    world: &World,
    place: Place<'_>,
    key: &DestinationKey,
    pen: &Pen<'_>,
    areas: &Areas,
) -> Option<Pane> {
    let one = find(world, place.0, place.1, key)?;
    let area = ratatui::layout::Rect {
        y: areas.body.y + 1,
        height: areas.body.height.saturating_sub(1),
        ..areas.body
    };
    Some(Pane { title: "dossier".to_owned(), text: text(world, pen, place, one), area, scrolls: true })
}

/// `checkout → api.stripe.com 443/TCP`.
pub fn title(one: &Destination) -> String {
    let (label, port) = (dossier::label(one), dossier::port(one));
    let denied = if one.outcome == Outcome::Denied { ", denied" } else { "" };
    match one.direction {
        Direction::Egress => format!("{} → {label} {port}{denied}", one.workload),
        Direction::Ingress => format!("{label} → {} {port}{denied}", one.workload),
    }
}

/// The heart of it, for the pane below the list.
pub fn short(world: &World, pen: &Pen<'_>, place: Place<'_>, one: &Destination) -> Text {
    let mut out = Vec::new();
    match one.suspect() {
        Some(finding) => {
            out.push(finding_line(finding));
            let more = one.meaning.findings.len() - 1;
            if more > 0 {
                out.push((Role::Warn, format!("and {} (enter)", plural(more, "milder finding"))));
            }
        }
        None => out.push(category_line(world, one)),
    }
    out.push((Role::Text, often(world, pen, place, one)));
    out.push(name_short(one));
    if let Some(finding) = one.suspect() {
        out.push((Role::Text, format!("ask: {}", ask(world, finding))));
    }
    out
}

/// Everything that is known of it.
pub fn text(world: &World, pen: &Pen<'_>, place: Place<'_>, one: &Destination) -> Text {
    let mut out: Text = one.meaning.findings.iter().map(finding_line).collect();
    let mut questions: Vec<_> = one.meaning.findings.iter().map(|finding| ask(world, finding)).collect();
    questions.dedup();
    if questions.iter().any(|question| question != dossier::ANYWAY) {
        questions.retain(|question| question != dossier::ANYWAY);
    }
    if !questions.is_empty() {
        out.push((Role::Title, "what to ask the owner".to_owned()));
        out.extend(questions.into_iter().map(|question| (Role::Text, question)));
    }
    if let Some(ns) = world.namespace(place.0, place.1) {
        out.push((Role::Text, owner_words(world, ns)));
    }
    out.push(category_line(world, one));
    out.push((Role::Title, "what it is called".to_owned()));
    out.push(name_line(one));
    out.extend(names(one));
    out.push(addresses(one));
    out.extend(churn(one));
    out.push((Role::Title, "how often".to_owned()));
    out.push((Role::Text, counted(world, pen, place, one)));
    out.push((Role::Text, format!("first {}", pen.both(one.seen.first))));
    out.push((Role::Text, format!("last  {}", pen.both(one.seen.last))));
    out.extend(hours(pen, one, &Watched::of(world, place)));
    out.extend(who(world, pen, place, one));
    out
}

/// The dossier as a message, ready to be sent to the owner.
pub fn message(world: &World, settings: &Settings, place: Place<'_>, one: &Destination) -> String {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let mut out = vec![format!("{}/{} {} {}", place.0, place.1, one.direction, title(one))];
    out.extend(text(world, &pen, place, one).into_iter().map(|(_, line)| line));
    out.join("\n")
}

fn finding_line(finding: &Finding) -> (Role, String) {
    let (marks, role) = marks(finding.severity);
    let party = finding.party.as_ref().map_or_else(String::new, |party| format!(", label {party}"));
    let severity = finding.severity.as_str();
    (role, format!("{marks} {severity} {}: {} ({}{party})", finding.class, finding.reason, finding.source))
}

fn ask(world: &World, finding: &Finding) -> String {
    dossier::question(world.discoveries().rules(), finding.class.as_str())
}

fn category_line(world: &World, one: &Destination) -> (Role, String) {
    let by = if one.meaning.category_by.is_empty() {
        String::new()
    } else {
        format!(" ({})", one.meaning.category_by)
    };
    let suspect = match (one.meaning.findings.is_empty(), world.discoveries().rules()) {
        (false, _) => "",
        (true, Some(_)) => "; nothing suspect was found",
        (true, None) => "; not judged: the rules are being read",
    };
    (Role::Text, format!("category {}{by}{suspect}", one.meaning.category.as_str()))
}

/// The name and how sure it is.
fn name_line(one: &Destination) -> (Role, String) {
    let role = grade_role(one);
    let label = dossier::label(one);
    let words = match (&one.name, one.grade) {
        (None, _) if dossier::raw_address(one).is_some() => {
            format!("{label}: no DNS answer to this workload led to this address (grade none)")
        }
        (None, _) => format!("{label}: named by the data plane, not by DNS"),
        (Some(_), Grade::Fresh) => {
            format!("{label}: answered to the pod just before it went there (grade fresh)")
        }
        (Some(_), Grade::Stale) => format!("{label}: answered to the pod, but long before (grade stale)"),
        (Some(_), Grade::Ambiguous) => {
            format!("{label}: one of several names the pod asked for with this address (grade ambiguous)")
        }
        (Some(_), Grade::None) => format!("{label}: no answer was seen (grade none)"),
    };
    (role, words)
}

/// The same in half a line; its name stands above it.
fn name_short(one: &Destination) -> (Role, String) {
    let words = match (&one.name, dossier::raw_address(one)) {
        (Some(_), _) => format!("name {}", one.grade.as_str()),
        (None, Some(_)) => "no DNS answer led to it".to_owned(),
        (None, None) => "named by the data plane".to_owned(),
    };
    (grade_role(one), format!("{words}; {}", addresses(one).1))
}

fn names(one: &Destination) -> Text {
    let joined = |names: &[crate::domain::edge::DnsName], between: &str| {
        names.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
    };
    let mut out = Vec::new();
    if !one.chain.is_empty() {
        out.push((Role::Text, format!("by way of {}", joined(&one.chain, ", "))));
    }
    if !one.also.is_empty() {
        out.push((Role::Warn, format!("asked for with the same address: {}", joined(&one.also, ", "))));
    }
    out
}

fn addresses(one: &Destination) -> (Role, String) {
    if one.addresses.is_empty() {
        return (Role::Dim, "addresses: none told".to_owned());
    }
    let shown: Vec<_> = one.addresses.iter().map(ToString::to_string).collect();
    let more = match one.addresses_total.saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let word = if one.addresses_total == 1 { "address" } else { "addresses" };
    (Role::Text, format!("{} {word}: {}{more}", one.addresses_total, shown.join(", ")))
}

fn churn(one: &Destination) -> Option<(Role, String)> {
    let churn = &one.seen.churn;
    (churn.new_share > 0.0).then(|| {
        let percent = (churn.new_share * 100.0).round();
        let words = format!(
            "its addresses change: up to {} a day, {percent} % of its hours brought new ones; a list of addresses does not prove it",
            churn.addresses_a_day
        );
        (Role::Warn, words)
    })
}

fn often(world: &World, pen: &Pen<'_>, place: Place<'_>, one: &Destination) -> String {
    let (first, last) = (pen.ago(Some(one.seen.first)), pen.ago(Some(one.seen.last)));
    format!("{}; first {first}, last {last}", counted(world, pen, place, one))
}

fn counted(world: &World, pen: &Pen<'_>, place: Place<'_>, one: &Destination) -> String {
    let hours = Watched::of(world, place).newest().map_or_else(
        || "? hours".to_owned(),
        |week| {
            let (seen, all) = dossier::hours_in(one, week);
            format!("in {seen} of the {all} hours recorded up to {}", pen.minute(week.to))
        },
    );
    format!("{} flows, {hours}", count(one.seen.flows))
}

/// Days of the hours in full; what is older has its dates above.
const DAYS: i64 = 14;

/// One line a day, one cell an hour, by the operator's clock.
fn hours(pen: &Pen<'_>, one: &Destination, week: &Watched) -> Text {
    let Some(window) = week.window else {
        return vec![(Role::Unknown, "hours: the collector has not said what it watched".to_owned())];
    };
    let mut out = vec![(Role::Dim, format!("{:11}0     6     12    18", pen.zone.to_string()))];
    let from = window.from.max(window.to - TimeDelta::days(DAYS));
    let window = Window { from, ..window };
    let first = hour_start(window.hours().start).with_timezone(&pen.zone);
    let mut day = hour_of(hour_start(window.hours().start) - TimeDelta::hours(i64::from(first.hour())));
    while day < window.hours().end {
        let line: String = (day..day + 24).map(|hour| cell(one, &week.credited, window, hour)).collect();
        let date = hour_start(day).with_timezone(&pen.zone).format("%a %m-%d");
        out.push((Role::Text, format!("{date:10} {}", line.trim_end())));
        day += 24;
    }
    out.push((Role::Dim, "█ traffic, · watched and quiet, ? not watched".to_owned()));
    out
}

fn cell(one: &Destination, credited: &Hours, window: Window, hour: i64) -> char {
    if !window.hours().contains(&hour) {
        ' '
    } else if one.seen.hours.contains(hour) {
        '█'
    } else if credited.contains(hour) {
        '·'
    } else {
        '?'
    }
}

/// Who goes there: here first, then wherever edges were read.
fn who(world: &World, pen: &Pen<'_>, (cluster, ns): Place<'_>, one: &Destination) -> Text {
    const SHOWN: usize = 40;
    let all = dossier::everywhere(world.discoveries(), (cluster, ns), one);
    let is_here = |row: &&Elsewhere<'_>| (row.cluster, row.ns) == (cluster, ns);
    let (here, there): (Vec<_>, Vec<_>) = all.iter().partition(is_here);
    let mut out = vec![(Role::Title, format!("who goes there from {cluster}/{ns}"))];
    out.extend(here.iter().take(SHOWN).map(|row| (Role::Text, who_line(pen, row.destination))));
    out.push((Role::Title, "elsewhere in the fleet".to_owned()));
    out.extend(
        there.iter().take(SHOWN).map(|row| {
            (Role::Text, format!("{}/{} {}", row.cluster, row.ns, who_line(pen, row.destination)))
        }),
    );
    let more = here.len().saturating_sub(SHOWN) + there.len().saturating_sub(SHOWN);
    if more > 0 {
        out.push((Role::Dim, format!("and {more} more")));
    }
    out.push((
        Role::Unknown,
        format!("{} of the fleet were not read here: unknown", plural(dossier::unread(world), "namespace")),
    ));
    out
}

fn who_line(pen: &Pen<'_>, one: &Destination) -> String {
    format!(
        "{} {} {}, {} flows, last {}",
        one.workload,
        dossier::port(one),
        one.outcome.as_str(),
        count(one.seen.flows),
        pen.ago(Some(one.seen.last))
    )
}
