//! What can be decided, asked for and waived at the cursor, and why not: the subjects of the forms of
//! security and on-call. The reasons are asked of `decide`, never judged here.

use crate::{
    cockpit::{
        closed::{ClosedBy, closed_by},
        coverage::coverage_row,
        decide::{Deciding, Reason, may_ask, may_decide},
        orders::Target,
        reviews::{self, Wish},
        waiving::may_waive,
        world::World,
    },
    domain::{
        denial::{Class, Group},
        destination::Destination,
        flow::Direction,
        gate::clock,
        grant::{DecisionVerdict, Grant},
        hold::Subject,
        names::Text,
    },
};

use super::{
    destinations, form,
    model::{Focus, Main, Model, RowKey, View},
    offer::{self, Offer},
    reviews as desk,
};

/// How long a grant is asked for where nobody says otherwise, as the form shows it.
pub const USUAL: &str = "90d";

fn off(reason: impl Into<String>) -> Offer {
    Offer::Off(vec![reason.into()])
}

fn ready(reasons: Vec<Reason>) -> Offer {
    match offer::sentences(reasons.into_iter()) {
        reasons if reasons.is_empty() => Offer::Ready,
        reasons => Offer::Off(reasons),
    }
}

/// May the reviews at the cursor be decided so?
pub fn decide_offer(world: &World, model: &Model, verdict: DecisionVerdict) -> Offer {
    if !matches!(model.view(), View::Main(Main::Reviews) | View::Review(_)) {
        return Offer::Absent;
    }
    let reviews: Vec<_> = desk::meant(model).into_iter().map(desk::shown).collect();
    if reviews.is_empty() {
        return off("no review is chosen");
    }
    let deciding =
        Deciding { reviews, verdict, reason: Text::default(), ticket: None, expires: None, clusters: None };
    ready(may_decide(world, &deciding))
}

/// What a review can be asked for here: a grant, and what it stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub target: Target,
    pub grant: Grant,
    pub words: String,
}

/// The flagged destination at the cursor.
fn destination<'w>(world: &'w World, model: &Model) -> Option<(Target, &'w Destination)> {
    let (cluster, ns, one) = match model.view() {
        View::Destinations(cluster, ns) => (cluster, ns, destinations::chosen(model, world)?),
        View::Dossier(cluster, ns, key) => (cluster, ns, destinations::find(world, cluster, ns, key)?),
        _ => return None,
    };
    Some((Target { cluster: cluster.clone(), ns: ns.clone(), direction: one.direction }, one))
}

/// Everything that may be asked for at the cursor, closest first; an error says why there is nothing.
pub fn drafts(world: &World, model: &Model) -> Result<Vec<Draft>, String> {
    let expires = form::now(world) + reviews::USUAL;
    let draft = |target: &Target| {
        let target = target.clone();
        move |grant: Grant| Draft { target: target.clone(), words: words(&grant), grant }
    };
    if matches!(model.view(), View::Destinations(..) | View::Dossier(..)) {
        let (target, one) = destination(world, model).ok_or("no destination is chosen")?;
        if one.direction == Direction::Ingress {
            return Err("who may call is not a question of destinations: no review is needed".to_owned());
        }
        if one.suspect().is_none() {
            return Err("it is not flagged, so no review is needed".to_owned());
        }
        let all = reviews::drafts(world, &target, one, expires);
        if all.is_empty() {
            return Err("neither a name nor an address of it is known that a policy could open".to_owned());
        }
        return Ok(all.into_iter().map(draft(&target)).collect());
    }
    let targets: Vec<_> = match offer::subject(world, model) {
        Some(RowKey::Rollout(target)) => vec![target],
        Some(RowKey::Namespace(cluster, ns)) => Direction::ALL
            .map(|direction| Target { cluster: cluster.clone(), ns: ns.clone(), direction })
            .to_vec(),
        Some(RowKey::Cluster(_)) => return Err(offer::one_namespace(model)),
        None => return Err("no row is chosen".to_owned()),
    };
    let mut out = Vec::new();
    for target in &targets {
        let wish = Wish {
            ns: target.ns.clone(),
            direction: target.direction,
            clusters: Some(vec![target.cluster.clone()]),
            destination: None,
            ports: None,
            expires,
        };
        out.extend(reviews::draft(world, &wish).into_iter().map(draft(target)));
    }
    if out.is_empty() {
        return Err(
            "its policies open no flagged destination that lacks a grant, as far as is known".to_owned()
        );
    }
    Ok(out)
}

fn words(grant: &Grant) -> String {
    format!("{} on {} for {}", grant.destination, grant.ports(), grant.selector)
}

pub fn ask_offer(world: &World, model: &Model) -> Offer {
    let flagged = matches!(
        model.view(),
        View::Destinations(..)
            | View::Dossier(..)
            | View::Namespace(..)
            | View::Main(Main::Fleet | Main::Plan | Main::OpenEnds)
    );
    if !flagged {
        return Offer::Absent;
    }
    // Rows of the fleet are walked over: their policies are looked at when somebody asks.
    if matches!(model.view(), View::Destinations(..) | View::Dossier(..))
        && let Err(why) = drafts(world, model)
    {
        return off(why);
    }
    ready(may_ask(world))
}

/// What may be taken upon oneself at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waivable {
    pub target: Target,
    pub subject: Subject,
    pub words: String,
    /// It stands in the way now.
    pub blocks: bool,
}

/// The group of denials at the cursor.
pub fn group<'a>(world: &'a World, model: &'a Model) -> Option<&'a Group> {
    let id = match model.view() {
        View::Main(Main::Denials) => *model.denials.chosen()?,
        View::Main(Main::Live) => model.attempt(world, *model.live.chosen()?)?.group,
        View::Group(id) => *id,
        View::Namespace(..) if model.page.focus == Focus::Denials => *model.page.denials.chosen()?,
        _ => return None,
    };
    model.group(world, id)
}

/// Is the page about denials?
fn on_denials(model: &Model) -> bool {
    match model.view() {
        View::Main(Main::Denials | Main::Live) | View::Group(_) => true,
        View::Namespace(..) => model.page.focus == Focus::Denials,
        _ => false,
    }
}

/// Everything that may be waived at the cursor, what stands in the way first.
pub fn waivables(world: &World, model: &Model) -> Result<Vec<Waivable>, String> {
    if on_denials(model) {
        let group = group(world, model).ok_or("no denial is chosen")?;
        let key = group.denial_key();
        let who =
            key.workload.as_ref().map_or_else(|| "pods without a workload".to_owned(), ToString::to_string);
        let words = format!("{who} to {}, {}/{}", key.destination, key.port, key.protocol);
        let target = super::copy::target_of(&group.key);
        return Ok(vec![Waivable { target, subject: Subject::Denial(key), words, blocks: true }]);
    }
    let (cluster, ns, directions) = match offer::subject(world, model) {
        Some(RowKey::Rollout(target)) => (target.cluster, target.ns, vec![target.direction]),
        Some(RowKey::Namespace(cluster, ns)) => (cluster, ns, Direction::ALL.to_vec()),
        Some(RowKey::Cluster(_)) => return Err(offer::one_namespace(model)),
        None => return Err("no row is chosen".to_owned()),
    };
    let found = world.cluster(&cluster).zip(world.namespace(&cluster, &ns));
    let (at, namespace) = found.ok_or("the namespace is gone from the cluster")?;
    let row = coverage_row(world, at, namespace);
    let mut out = Vec::new();
    for direction in directions {
        let target = Target { cluster: cluster.clone(), ns: ns.clone(), direction };
        let mut add = |subject, what: String, blocks| {
            let words = format!("{direction}: {what}");
            out.push(Waivable { target: target.clone(), subject, words, blocks });
        };
        for cron in row.crons.iter().flatten() {
            let name = cron.cron.name.clone();
            add(Subject::CronJob(name.clone()), format!("CronJob {name}"), cron.blocks);
        }
        for one in row.workloads.iter().flatten().filter(|one| !one.has_evidence()) {
            let workload = one.workload.clone();
            add(Subject::NoEvidence(workload.clone()), format!("no evidence of {workload}"), true);
        }
        add(Subject::Quiet, "that nothing is judged at all (quiet)".to_owned(), false);
    }
    out.sort_by_key(|one| !one.blocks);
    Ok(out)
}

pub fn waive_offer(world: &World, model: &Model) -> Offer {
    let meant = on_denials(model)
        || matches!(
            model.view(),
            View::Namespace(..) | View::Coverage(..) | View::Main(Main::Fleet | Main::Plan)
        );
    if !meant {
        return Offer::Absent;
    }
    if on_denials(model) {
        match group(world, model) {
            None => return off("no denial is chosen"),
            Some(group) if group.class == Class::Expected => {
                return off(format!("it is closed already: {}", closed_words(world, group).join("; ")));
            }
            Some(group) if group.class == Class::Would => return off("nothing was denied: it passed"),
            Some(_) => {}
        }
    } else if !matches!(offer::subject(world, model), Some(RowKey::Namespace(..) | RowKey::Rollout(_))) {
        return off(offer::one_namespace(model));
    }
    ready(may_waive(world))
}

/// By what a group is closed, one sentence each.
pub fn closed_words(world: &World, group: &Group) -> Vec<String> {
    let all = closed_by(world, group);
    if all.is_empty() && group.class == Class::Expected {
        return vec!["what closed it is not known any more".to_owned()];
    }
    let words = |one: &ClosedBy<'_>| match one {
        ClosedBy::Waiver(kept) => {
            let waiver = &kept.value;
            let (by, until) = (&waiver.stamp.by, clock(waiver.expires));
            format!("waived by {by} until {until} ({}): {}", kept.name, waiver.reason)
        }
        ClosedBy::Review(kept) => {
            let decision =
                kept.value.decisions.iter().rev().find(|one| one.verdict == DecisionVerdict::Rejected);
            let by = decision.map_or_else(|| "somebody".to_owned(), |one| one.stamp.by.to_string());
            let reason = decision.map_or_else(String::new, |one| format!(": {}", one.reason));
            format!("{by} rejected it in review {}{reason}", kept.name)
        }
    };
    all.iter().map(words).collect()
}
