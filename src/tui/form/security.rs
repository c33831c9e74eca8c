//! The forms of security and on-call: decide reviews, ask for one, waive. Each says what it does and
//! what it leaves alone; of several reviews all are listed.

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        orders::Target,
        reviews::{ReviewRow, dossier},
        world::World,
    },
    domain::{
        fleet::Environment,
        flow::Direction,
        grant::DecisionVerdict,
        names::{ClusterName, Text},
        time::{age, minute, span},
    },
};

use super::{
    super::{
        desk::{Draft, USUAL, Waivable},
        dialog::{BodyLine, body},
        offer,
        reviews::{self as desk, headline, shown},
        theme::Role,
        widgets::plural,
    },
    Field, Form, Purpose, now,
};

impl Form {
    /// One decision on several reviews.
    pub fn decide(world: &World, verdict: DecisionVerdict, rows: &[&ReviewRow]) -> Self {
        let (title, verb, said, end): (_, _, &[&str], _) = match verdict {
            DecisionVerdict::Approved => (
                "approve",
                "Approve",
                &[
                    "Policies that open exactly this may be applied until the grant ends. Nothing is applied by it.",
                ],
                "empty: as it was asked for; 30d, 2027-01-31",
            ),
            DecisionVerdict::Rejected => (
                "reject",
                "Reject",
                &[
                    "Policies that open it are refused. Denials of exactly it are expected from now on.",
                    "What is live stays live.",
                ],
                "empty: for good; until then denials are expected",
            ),
            DecisionVerdict::Revoked => (
                "revoke",
                "Revoke",
                &[
                    "The grant is void at once. Live policies are not touched: rows that use it become incidents and stop advancing.",
                ],
                "empty",
            ),
        };
        let mut text: Vec<_> = said.iter().map(|line| body(Role::Text, *line)).collect();
        if rows.len() > 1 {
            text.push(body(Role::Warn, format!("One decision for {}:", plural(rows.len(), "review"))));
        }
        rows.iter().for_each(|row| review_lines(world, verdict, row, &mut text));
        let sets: BTreeSet<_> = rows.iter().map(|row| &row.grant.clusters).collect();
        let same = if sets.len() == 1 { rows.first() } else { None };
        let (uids, words): (Vec<_>, Vec<_>) =
            same.iter().flat_map(|row| &row.clusters).map(|one| (one.uid.clone(), desk::name(one))).unzip();
        let mut fields = vec![
            Field::line("reason", "reason", "who reads it later wants to know why", ""),
            Field::line("ticket", "ticket", "may stay empty", ""),
        ];
        if verdict != DecisionVerdict::Revoked {
            fields.push(Field::when("until", "until", end, ""));
        }
        let several = words.len() > 1;
        fields.extend(several.then(|| Field::several("clusters", "clusters", words, 0..uids.len())));
        let name = match rows {
            [one] => one.name.to_string(),
            many => plural(many.len(), "review"),
        };
        let clusters: Vec<_> =
            rows.iter().flat_map(|row| &row.clusters).filter_map(|one| one.name.clone()).collect();
        let reviews = rows.iter().map(|row| shown(row)).collect();
        let uids = if several { uids } else { Vec::new() };
        let purpose = Purpose::Decide { verdict, reviews, uids };
        Self::open(world, (title, name), care(world, &clusters), text, fields, (verb, purpose))
    }

    /// Asks for a grant; of several drafts one is chosen.
    pub fn ask(world: &World, drafts: &[Draft]) -> Self {
        let mut text = vec![
            body(Role::Text, "Security decides, never whoever asks. Until then nothing is opened."),
            body(
                Role::Text,
                "A grant is for exactly this: another destination, port or wider pods need another.",
            ),
        ];
        if drafts.len() > 1 {
            text.push(body(Role::Title, "what can be asked for (field `what`)"));
        }
        text.extend(
            drafts.iter().map(|draft| body(Role::Text, format!("  {}: {}", draft.target, draft.words))),
        );
        let first = drafts.first().map(|draft| &draft.target);
        let all = first.map(|target| places(world, target)).unwrap_or_default();
        let here = first.and_then(|target| all.iter().position(|(name, _)| *name == target.cluster));
        let mut fields = Vec::new();
        let words = drafts.iter().map(|draft| draft.words.clone()).collect::<Vec<_>>();
        fields.extend((drafts.len() > 1).then(|| Field::one("what", "what", words)));
        fields.push(Field::line("purpose", "purpose", "why it is needed", ""));
        fields.push(Field::when("until", "until", "30d, 90d, 2027-01-31", USUAL));
        let names = all.iter().map(|(name, _)| name.to_string()).collect::<Vec<_>>();
        let several = names.len() > 1;
        fields.extend(several.then(|| Field::several("clusters", "clusters", names, here)));
        let uids = if several { all.into_iter().map(|(_, uid)| uid).collect() } else { Vec::new() };
        let name = first.map(ToString::to_string).unwrap_or_default();
        let environment = first
            .map_or(Environment::Unknown, |target| offer::environment(world, std::slice::from_ref(target)));
        let grants = drafts.iter().map(|draft| draft.grant.clone()).collect();
        Self::open(
            world,
            ("ask for a review", name),
            environment,
            text,
            fields,
            ("Ask", Purpose::AskReview { grants, uids }),
        )
    }

    /// Takes something upon oneself; of several one is chosen.
    pub fn waive(world: &World, all: &[Waivable]) -> Self {
        let is_denial = matches!(all, [Waivable { subject: crate::domain::hold::Subject::Denial(_), .. }]);
        let mut text = vec![body(
            Role::Text,
            if is_denial {
                "Denials of exactly this workload, destination and port are expected from now on and hold up no soak. They stay denied."
            } else {
                "The soak no longer waits for exactly this. What is missing stays missing, with your name beside it."
            },
        )];
        text.push(body(Role::Text, "It is listed among the open ends until it ends."));
        if let [one] = all {
            text.push(body(Role::Title, format!("{}: {}", one.target, one.words)));
        }
        let words = all.iter().map(|one| one.words.clone()).collect::<Vec<_>>();
        let mut fields = Vec::new();
        fields.extend((all.len() > 1).then(|| Field::one("what", "what", words)));
        fields.push(Field::line("reason", "reason", "who reads it later wants to know why", ""));
        fields.push(Field::when("until", "until", "7d, 30d, 2027-01-31", "14d"));
        let targets: Vec<_> = all.iter().map(|one| one.target.clone()).collect();
        let name = match targets.first() {
            Some(target) if is_denial || targets.iter().all(|other| other == target) => target.to_string(),
            Some(target) => format!("{}/{}", target.cluster, target.ns),
            None => String::new(),
        };
        let environment = offer::environment(world, &targets);
        let whats = all.iter().map(|one| (one.target.clone(), one.subject.clone())).collect();
        Self::open(world, ("waive", name), environment, text, fields, ("Waive", Purpose::Waive(whats)))
    }
}

/// What one of the reviews is, and for a revocation who uses it.
fn review_lines(world: &World, verdict: DecisionVerdict, row: &ReviewRow, out: &mut Vec<BodyLine>) {
    out.push(body(Role::Title, format!("{}: {}", row.name, headline(&row.grant))));
    let (by, old) = (&row.requested_by, span(age(row.created, now(world))));
    out.push(body(
        Role::Text,
        format!(
            "  for {}; {}; until {}",
            row.grant.selector,
            desk::clusters(row),
            minute(row.grant.expires, world.zone())
        ),
    ));
    out.push(body(Role::Text, format!("  asked by {by} {old} ago: {}", desk::purpose(row))));
    out.extend(
        row.findings.iter().take(3).map(|finding| body(Role::Denied, format!("  flagged: {finding}"))),
    );
    if verdict == DecisionVerdict::Revoked {
        match world.shared().review(&row.name) {
            Some(kept) => {
                let usage = dossier(world, kept).usage;
                out.extend(
                    super::super::view::review::usage(&usage)
                        .into_iter()
                        .map(|(role, line)| body(role, format!("  {line}"))),
                );
            }
            None => out.push(body(Role::Unknown, "  who uses it is unknown")),
        }
    }
}

/// Clusters that have the namespace and say who they are.
fn places(world: &World, target: &Target) -> Vec<(ClusterName, Text)> {
    let has = |cluster: &&crate::domain::fleet::Cluster| {
        cluster.namespaces.contains_key(&target.ns) || cluster.name == target.cluster
    };
    world
        .clusters()
        .filter(has)
        .filter_map(|cluster| Some((cluster.name.clone(), cluster.uid.clone()?)))
        .collect()
}

/// The band: what is of one production cluster is of production.
fn care(world: &World, clusters: &[ClusterName]) -> Environment {
    let ns = crate::domain::names::NsName::parse("x");
    let target = |cluster: &ClusterName| {
        let (cluster, ns) = (cluster.clone(), ns.clone().ok()?);
        Some(Target { cluster, ns, direction: Direction::Egress })
    };
    let targets: Vec<_> = clusters.iter().filter_map(target).collect();
    offer::environment(world, &targets)
}
