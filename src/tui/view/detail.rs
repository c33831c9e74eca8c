//! What is said about one row in full: its facts, its reasons, and the next thing to do. Text only;
//! the page of one group of denials is made of the same pieces.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        commands::CommandId,
        discovery::{self, CollectionRow, CollectorRow, Progress},
        gate,
        orders::Target,
        rows::{self, ClusterRow, RolloutRow, Standing},
        world::World,
    },
    domain::{
        denial::{Class, Group, GroupId, Minutes},
        eval::verdict::Verdict,
        fleet::{Cluster, Enforcement, Environment, Health, Isolation, Namespace},
        flow::Direction,
        time::age,
    },
};

use super::{
    super::{
        copy::{self, times},
        desk,
        dialog::{outcome_words, share},
        model::{Model, RowKey, Zoom},
        theme::Role,
        widgets::{Pen, by_minute, plural, put, rate, sparkline},
    },
    destinations::readiness,
    enforced::{enforcement, rights},
    fleet::{COLLECTOR_STALE_SECS, STALE_SECS, standing_role},
    frame::{About, Areas, Pane, band},
    next::next,
};

type Text = Vec<(Role, String)>;

/// The row under the cursor of the fleet, in words.
pub fn fleet_row(world: &World, model: &Model, pen: &Pen<'_>, key: Option<&RowKey>) -> About {
    match key {
        None => (
            "nothing chosen".to_owned(),
            vec![(
                Role::Dim,
                format!("{} and {} choose a row", pen.key(CommandId::Down), pen.key(CommandId::Up)),
            )],
        ),
        Some(RowKey::Cluster(name)) => {
            let Some((cluster, row)) = world.cluster(name).zip(model.fleet.row(name)) else {
                return (name.to_string(), Vec::new());
            };
            (format!("{name}, {}", env_words(cluster.environment)), cluster_text(pen, cluster, row))
        }
        Some(RowKey::Namespace(cluster, ns)) => {
            let title = format!("{cluster} › {ns}, {}", environment_of(world, cluster));
            let Some((cluster, ns)) = world.cluster(cluster).zip(world.namespace(cluster, ns)) else {
                return (title, vec![(Role::Warn, "gone from the cluster".to_owned())]);
            };
            (title, namespace_text(world, pen, cluster, ns))
        }
        Some(RowKey::Rollout(target)) => {
            let title = format!(
                "{} › {} › {}, {}",
                target.cluster,
                target.ns,
                target.direction,
                environment_of(world, &target.cluster)
            );
            let found = world.cluster(&target.cluster).zip(world.namespace(&target.cluster, &target.ns));
            let Some((cluster, ns)) = found else {
                return (title, vec![(Role::Warn, "gone from the cluster".to_owned())]);
            };
            (title, rollout_text(world, pen, cluster, ns, target))
        }
    }
}

fn environment_of(world: &World, cluster: &crate::domain::names::ClusterName) -> &'static str {
    env_words(world.cluster(cluster).map_or(Environment::Unknown, |cluster| cluster.environment))
}

fn env_words(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => "PRODUCTION",
        Environment::Staging => "staging",
        Environment::Unknown => "environment unknown, treated like production",
    }
}

fn cluster_text(pen: &Pen<'_>, cluster: &Cluster, row: &ClusterRow) -> Text {
    let mut out = Vec::new();
    let good = pen.ago(row.last_good);
    match &row.health {
        Health::Down(why) => {
            out.push((Role::Bad, format!("down: {why}")));
            out.push(match row.last_good {
                Some(_) => (Role::Warn, format!("what you see of it is old: last good answer {good}")),
                None => (Role::Warn, "nothing was read of it in this run".to_owned()),
            });
        }
        Health::Degraded(why) => out.push((Role::Warn, format!("degraded: {why} Last good answer {good}"))),
        Health::Connecting => {
            out.push((Role::Unknown, "no answer yet; the other clusters do not wait for it".to_owned()));
        }
        Health::Up => {}
    }
    out.push((cluster_role(row), format!("next: {}", cluster_next(pen, row))));
    let user = row.user.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    out.push((Role::Text, format!("you are {user} and may {}", rights(cluster))));
    let evidence =
        row.cni.evidence.as_ref().map_or_else(|| "not recognised yet".to_owned(), ToString::to_string);
    out.push((
        Role::Text,
        format!("CNI {}: {}; {evidence}", row.cni.words, enforcement(row.cni.enforcement)),
    ));
    let source = match (&row.source.reason, row.source.name.as_str()) {
        (Some(why), _) => format!("{}: {why}", row.source.link),
        (None, "") => "no source told of itself yet".to_owned(),
        (None, name) => format!("{name} {}", row.source.link),
    };
    let tight = row.tight.map_or_else(|| "? directions".to_owned(), |n| plural(n, "direction"));
    let pods = row.pods.map_or_else(|| "? pods".to_owned(), |n| plural(n, "pod"));
    out.push((Role::Text, format!("{tight} closed, {pods}; flows: {source}")));
    out.push(collector_line(pen, &row.collector));
    let version = row.version.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let uid = row.uid.as_ref().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    out.push((Role::Dim, format!("Kubernetes {version}, context {}, UID {uid}", row.context)));
    out
}

/// How the collector is and how far it is, with the age of what it told.
fn collector_line(pen: &Pen<'_>, row: &CollectorRow) -> (Role, String) {
    let told = pen.ago(row.at);
    let reason = row
        .reason
        .as_ref()
        .map_or_else(String::new, |reason| format!(": {}", reason.as_str().trim_end_matches('.')));
    let far = match (row.progress, row.ready) {
        (Progress::Unknown | Progress::NoCollector, _) | (_, None) => String::new(),
        (progress, Some((ready, all))) => {
            let ready_of = format!("; {ready} of {} ready", plural(all, "namespace"));
            if ready == all { ready_of } else { format!("{ready_of}, furthest behind {}", progress.words()) }
        }
    };
    let trouble = row.troubles.first().map_or_else(String::new, |trouble| format!("; {trouble}"));
    let role = match row.link {
        "live" if row.troubles.is_empty() => Role::Text,
        "live" | "broken" => Role::Warn,
        _ => Role::Unknown,
    };
    match row.link {
        "unknown" => (role, pen.own("collector: nothing was told of one; the week's evidence is unknown")),
        link => {
            let old = row.at.is_some_and(|then| age(then, pen.now).num_seconds() >= COLLECTOR_STALE_SECS);
            let was = if old { " was" } else { "" };
            (
                role,
                format!("{} {link}{reason}{far}, told {told}{trouble}", pen.own(&format!("collector{was}"))),
            )
        }
    }
}

/// The week's evidence of a namespace.
fn collection_line(pen: &Pen<'_>, row: &CollectionRow) -> (Role, String) {
    let (role, words) = readiness(row, Direction::Egress);
    let callers = match row.is_alike() {
        true => String::new(),
        false => format!("; for ingress {}", readiness(row, Direction::Ingress).1),
    };
    let found = match (row.destinations, row.suspects, row.edges) {
        (Some(all), Some(suspects), _) => {
            format!("; {}, {}", plural(all, "destination"), plural(suspects, "suspect"))
        }
        (_, _, Some(edges)) => format!("; {edges} edges kept"),
        (_, _, None) => String::new(),
    };
    let (all, coverage) = (pen.key(CommandId::Destinations), pen.key(CommandId::Coverage));
    (
        role,
        format!(
            "the week: {}{callers}{found}; {all} shows destinations, {coverage} coverage",
            pen.own(&words)
        ),
    )
}

fn cluster_role(row: &ClusterRow) -> Role {
    match row.health {
        Health::Down(_) | Health::Degraded(_) => Role::Warn,
        Health::Connecting | Health::Up => Role::Text,
    }
}

fn cluster_next(pen: &Pen<'_>, row: &ClusterRow) -> String {
    let again = pen.key(CommandId::Reconnect);
    let stale = row.last_good.is_some_and(|then| age(then, pen.now).num_seconds() >= STALE_SECS);
    match (&row.health, row.cni.enforcement) {
        (Health::Down(_), _) => {
            let back = pen.key(CommandId::RollBack);
            format!("{again} tries again now; {back} rolls back all the same, as soon as it answers")
        }
        (Health::Connecting, _) => format!("wait, or {again} tries again now"),
        (Health::Degraded(_), _) => format!("what it lists may be incomplete; {again} tries again now"),
        (Health::Up, _) if stale => {
            format!("nothing was heard for {}; {again} asks again now", pen.when(row.last_good))
        }
        (Health::Up, Enforcement::DoesNot) => {
            "policies would do nothing here: its pre-flight says what to do first".into()
        }
        (Health::Up, Enforcement::Audits) => {
            "policies are judged and not enforced: its denials are what they would deny".into()
        }
        (Health::Up, Enforcement::Unknown) => {
            "whether policies are enforced is unknown: find out before you apply".into()
        }
        (Health::Up, Enforcement::Enforces) => match row.denials_per_minute {
            Some(rate) if rate >= 0.05 => {
                let denials = pen.key(CommandId::Denials);
                format!("flows are being denied: {denials} shows which, enter unfolds the cluster")
            }
            Some(_) | None => "enter shows its namespaces".into(),
        },
    }
}

fn namespace_text(world: &World, pen: &Pen<'_>, cluster: &Cluster, ns: &Namespace) -> Text {
    let mut out = vec![health_note(pen, cluster)].into_iter().flatten().collect::<Text>();
    for direction in Direction::ALL {
        let row = rows::rollout_row(world, cluster, ns, direction);
        let (role, next) = next(world, pen, &row);
        out.push((role, format!("{}: {}. next: {next}", pen.own(direction.as_str()), pen.own(&state(&row)))));
    }
    out.push(collection_line(pen, &discovery::collection_row(world, &cluster.name, &ns.seen.name)));
    out.push((Role::Text, owner_words(world, ns)));
    out.push((
        Role::Dim,
        format!("{} shows both directions as rows; enter opens the page", pen.key(CommandId::Unfold)),
    ));
    out
}

/// A cluster that is not well casts doubt on all its rows.
pub fn health_note(pen: &Pen<'_>, cluster: &Cluster) -> Option<(Role, String)> {
    let good = pen.ago(cluster.last_good);
    match &cluster.health {
        Health::Up => None,
        Health::Connecting => Some((Role::Unknown, "the cluster has not answered yet".to_owned())),
        Health::Degraded(why) => Some((Role::Warn, format!("cluster degraded: {why}"))),
        Health::Down(_) if cluster.last_good.is_none() => {
            Some((Role::Bad, "cluster down: nothing was read of it in this run".to_owned()))
        }
        Health::Down(_) => Some((Role::Bad, format!("cluster down: this is how it was {good}"))),
    }
}

pub fn owner_words(world: &World, ns: &Namespace) -> String {
    let (owner, contact) = rows::owner(world, ns);
    let unknown = || "unknown".to_owned();
    let owner = owner.map_or_else(unknown, |owner| owner.to_string());
    let contact = contact.map_or_else(unknown, |contact| contact.to_string());
    format!("owner {owner}, contact {contact}")
}

/// Whom to ask, and of what hurts whom to call when nobody there answers.
fn people_words(world: &World, ns: &Namespace, group: &Group) -> String {
    let (owner, steps) = (owner_words(world, ns), &world.plan().settings.escalation);
    if group.class != Class::Hurting || steps.is_empty() {
        return owner;
    }
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    format!("{owner}; nobody there: call {}", steps.join(", then "))
}

fn rollout_text(world: &World, pen: &Pen<'_>, cluster: &Cluster, ns: &Namespace, target: &Target) -> Text {
    let row = rows::rollout_row(world, cluster, ns, target.direction);
    let mut out = vec![health_note(pen, cluster)].into_iter().flatten().collect::<Text>();
    let (role, next) = next(world, pen, &row);
    out.push((role, format!("{}. next: {next}", state(&row))));
    out.extend(super::soak::urgent(world, pen, target));
    out.extend(row.soak.iter().map(|soak| (Role::Text, soak.headline(pen.zone))));
    out.push((Role::Text, isolation_words(row.isolation.as_ref())));
    out.extend(row.shadow.iter().map(|shadow| (Role::Warn, shadow.words(pen.now, pen.zone))));
    out.push(collection_line(pen, &discovery::collection_row(world, &target.cluster, &target.ns)));
    out.extend(row.drift.iter().map(|drift| (Role::Warn, format!("drift: {drift}"))));
    out.extend(incident_lines(world, target));
    out.push((Role::Text, owner_words(world, ns)));
    if let Some(order) = world.orders().latest(target) {
        out.push((Role::Dim, order_words(pen, order)));
    }
    out
}

/// What is live of a row without a valid grant: it stops advancing until somebody decides.
pub fn incident_lines(world: &World, target: &Target) -> Text {
    gate::incidents_of(world, target)
        .into_iter()
        .map(|incident| (Role::Bad, format!("incident: {}", incident.said)))
        .collect()
}

/// By what people closed a group, where they did; of what is undecided, what is to be done.
fn closed_lines(world: &World, group: &Group) -> Text {
    match group.class {
        Class::Expected => {
            let told = group.told_class().word();
            let mut out = vec![(Role::Dim, format!("closed by people; without it: {told}"))];
            out.extend(desk::closed_words(world, group).into_iter().map(|words| (Role::Text, words)));
            out
        }
        Class::Unattributed => vec![(
            Role::Warn,
            "the policies that denied it are not ours; until somebody decides it withholds clean".to_owned(),
        )],
        Class::Would => vec![(
            Role::Warn,
            "it passed: no denial, and no credit for the soak of what is enforced".to_owned(),
        )],
        Class::Hurting | Class::StartUp | Class::Noisy(_) => Vec::new(),
    }
}

/// Our evaluator's word beside the data plane's; where they differ one of them is wrong.
fn ours_line(group: &Group, lead: &str) -> (Role, String) {
    let Some(ours) = &group.ours else {
        return (Role::Unknown, format!("{lead}: not asked yet"));
    };
    let words = ours.opinion.words();
    match ours.opinion.verdict {
        _ if group.disagrees() => {
            (Role::Bad, format!("{lead}: {words}. They disagree: one of the two is wrong"))
        }
        Verdict::Unknown => (Role::Unknown, format!("{lead}: {words}")),
        Verdict::Allowed | Verdict::Denied if ours.of_then => (Role::Text, format!("{lead}: {words}")),
        Verdict::Allowed | Verdict::Denied => {
            (Role::Text, format!("{lead}: {words} (by what is live now; that of then was not seen)"))
        }
    }
}

/// The last order of a row, in words.
pub fn order_words(pen: &Pen<'_>, order: &crate::cockpit::orders::Order) -> String {
    use crate::cockpit::orders::OrderState;
    let (kind, id, since) = (order.kind.as_str(), order.id, pen.ago(Some(order.since)));
    match &order.state {
        OrderState::Running => {
            format!("{kind} {id} is running, started {since}, {} answered", plural(order.receipts, "call"))
        }
        OrderState::Previewed(_) => format!("{kind} {id} {since}"),
        OrderState::Ended(outcome) => {
            format!("{kind} {id} ended {}: {}", pen.ago(order.ended), outcome_words(outcome))
        }
    }
}

fn state(row: &RolloutRow) -> String {
    match row.standing {
        Standing::None => row.phase.as_str().to_owned(),
        Standing::Accepted | Standing::OnSome(_) | Standing::InForce => {
            format!("{}, {}", row.phase.as_str(), row.standing.words())
        }
    }
}

/// How many pods are isolated and by what.
pub fn isolation_words(isolation: Option<&Isolation>) -> String {
    let Some(isolation) = isolation else {
        return "isolated pods: unknown until pods and policies are listed".to_owned();
    };
    let mut out = if isolation.isolated == 0 {
        format!("no pod of {} is isolated", isolation.pods)
    } else {
        let by: Vec<_> = isolation.by.iter().map(|key| key.name.to_string()).collect();
        format!("{} isolated, by {}", share(isolation), by.join(", "))
    };
    if isolation.open_selected > 0 {
        out.push_str(&format!("; {} selected but open", isolation.open_selected));
    }
    let kinds = isolation.unknowns();
    if !kinds.is_empty() {
        out.push_str(&format!("; not evaluated, may isolate too: {}", kinds.join(", ")));
    }
    out
}

/// The page of one group of denials.
pub fn group_page(world: &World, model: &Model, id: GroupId, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let area = areas.body;
    let Some(group) = model.group(world, id) else {
        let text = "this group was quiet for long and made room for newer ones; esc goes back";
        put(buf, area, &pen.line(format!(" {text}"), Role::Warn));
        return;
    };
    let environment = world.cluster(&group.key.cluster).map_or(Environment::Unknown, |c| c.environment);
    let (word, role) = band(environment);
    let line = pen.line(
        format!("{:width$}", format!(" {word}  {}", copy::headline(group)), width = usize::from(area.width)),
        role,
    );
    put(buf, Rect { height: 1, ..area }, &line);
}

/// The text of that page.
pub fn group_evidence(
    world: &World,
    model: &Model,
    id: GroupId,
    pen: &Pen<'_>,
    areas: &Areas,
) -> Option<Pane> {
    let group = model.group(world, id)?;
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    let text = group_text(world, model, pen, group);
    Some(Pane { title: "evidence".to_owned(), text, area, scrolls: true })
}

pub fn class_role(group: &Group) -> Role {
    match group.class {
        Class::Hurting => Role::Denied,
        Class::Unattributed => Role::Warn,
        Class::StartUp | Class::Noisy(_) | Class::Expected | Class::Would => Role::Dim,
    }
}

/// What is said of a group beside its list: the heart of it, or all where there is room.
pub fn group_pane(world: &World, model: &Model, pen: &Pen<'_>, group: &Group) -> Text {
    if model.settings.zoom == Zoom::Details || model.settings.size.1 >= 40 {
        return group_text(world, model, pen, group);
    }
    let now = model.denials_now(world);
    let node = group.node.as_ref().map_or("unknown", |node| node.as_str());
    let mut out = vec![(
        class_role(group),
        format!(
            "{}; {}, {} a minute now; first {}, last {}",
            group.class.word(),
            times(group.count),
            rate(rows::group_rate(world, group, now)),
            pen.ago(Some(group.first)),
            pen.ago(Some(group.last)),
        ),
    )];
    let ours = ours_line(group, &format!("{}: {}; sluice", pen.own("the data plane"), group.said));
    // What may be wrong altogether comes before whose it is; else that is what is needed first.
    let (first, later) = if group.disagrees() { (Some(ours), None) } else { (None, Some(ours)) };
    out.extend(first);
    out.extend(closed_lines(world, group));
    let target = copy::target_of(&group.key);
    if let Some(ns) = world.namespace(&target.cluster, &target.ns) {
        out.push((Role::Text, people_words(world, ns, group)));
    }
    out.extend(later);
    if let Some(order) = world.orders().latest(&target) {
        out.push((Role::Warn, format!("just before: {}", order_words(pen, order))));
    }
    out.push((Role::Text, format!("pods {}; node {node}", copy::pods(group))));
    let y = pen.key(CommandId::Copy);
    let next = match group.class {
        Class::Would => format!("next: {y} copies it for the owner; once it is enforced, this is denied"),
        Class::Hurting | Class::Unattributed | Class::StartUp | Class::Noisy(_) | Class::Expected => {
            let (back, waive) = (pen.key(CommandId::RollBack), pen.key(CommandId::Waive));
            format!(
                "next: {y} copies it for the owner, {back} takes this direction's policies back, {waive} waives it"
            )
        }
    };
    out.push((Role::Text, next));
    out
}

/// What is known of a group of denials.
pub fn group_text(world: &World, model: &Model, pen: &Pen<'_>, group: &Group) -> Text {
    let now = model.denials_now(world);
    let per = rate(rows::group_rate(world, group, now));
    let class = match group.class {
        Class::Noisy(noise) => format!("noisy: {}", noise.as_str()),
        Class::Hurting | Class::Unattributed | Class::StartUp | Class::Expected | Class::Would => {
            group.class.word().to_owned()
        }
    };
    let mut out = vec![
        (class_role(group), format!("{class}; {}, {per} a minute now", times(group.count))),
        (Role::Text, format!("first {}, last {}", pen.both(group.first), pen.both(group.last))),
    ];
    out.extend(closed_lines(world, group));
    let target = copy::target_of(&group.key);
    let found = world.cluster(&target.cluster).zip(world.namespace(&target.cluster, &target.ns));
    if let Some((cluster, ns)) = found {
        let row = rows::rollout_row(world, cluster, ns, target.direction);
        out.push((Role::Text, people_words(world, ns, group)));
        if let Some(order) = world.orders().latest(&target) {
            out.push((Role::Warn, format!("just before: {}", order_words(pen, order))));
        }
        let place = format!("{} {}", target.ns, target.direction);
        out.push((standing_role(row.standing), format!("{place} is {}", state(&row))));
        out.push((Role::Text, isolation_words(row.isolation.as_ref())));
    }
    out.push((Role::Title, pen.own("what the data plane said")));
    let node = group.node.as_ref().map_or("unknown", |node| node.as_str());
    out.push((Role::Text, format!("{} on node {node}", group.said)));
    out.push(match group.address {
        Some(address) => (Role::Text, format!("peer {}, newest address {address}", group.key.peer)),
        None => (Role::Text, format!("peer {}, address not named by the source", group.key.peer)),
    });
    out.push((Role::Text, format!("pods {}", copy::pods(group))));
    out.push((Role::Title, pen.own("what sluice says of the newest")));
    out.push(ours_line(group, "by the policies"));
    out.push((Role::Title, format!("by the minute, the last {} (each step doubles)", Minutes::LEN)));
    out.push((Role::Denied, sparkline(Some(&group.minutes.at(now)), Minutes::LEN)));
    out.push((Role::Dim, by_minute(&group.minutes.at(now))));
    out.push((
        Role::Title,
        format!(
            "to take it back: {}, or by hand ({} copies all of this as a message)",
            pen.key(CommandId::RollBack),
            pen.key(CommandId::Copy)
        ),
    ));
    out.extend(copy::rollback_commands(world, &target).into_iter().map(|command| (Role::Text, command)));
    out
}
