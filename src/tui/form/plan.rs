//! The rollout lead's forms: hold, exclude, release, override, confirm an override. Each says what it
//! does and what it leaves alone.

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        decide::{self, Reason},
        orders::{OrderId, Target},
        waiving,
        world::World,
    },
    domain::{
        fleet::Environment,
        hold::{Covers, Hold, HoldKind, Scope},
        names::Text,
        rollout::Kept,
        time::{age, span},
    },
};

use super::{
    super::{dialog::body, offer, theme::Role, widgets::plural},
    Field, Form, Purpose,
};

type Body = Vec<super::BodyLine>;

impl Form {
    /// Nothing of a scope advances, or its wave goes on without it.
    pub fn hold(world: &World, kind: HoldKind, scopes: Vec<Scope>) -> Self {
        let words: Vec<_> =
            scopes.iter().map(|scope| format!("{scope}, {}", rows_in(world, scope))).collect();
        let environment = scopes.first().map(|scope| care(world, scope)).unwrap_or_default();
        let (title, verb, said, ends): (_, _, &[&str], _) = match kind {
            HoldKind::Hold => (
                "hold",
                "Hold",
                &[
                    "Nothing of it is applied or advances until the hold is released or ends, and its wave waits with it.",
                    "What is live stays live and goes on soaking. Abort and rollback work as before.",
                    "Release takes it back.",
                ],
                "7d, 12h, 2026-12-01; empty: until it is released",
            ),
            HoldKind::Exclusion => (
                "exclude",
                "Exclude",
                &[
                    "Its wave goes on without it until the exclusion ends; then it stands in its wave again.",
                    "What is live of it stays live. Abort and rollback work as before.",
                    "It is listed among the open ends with your name. Release takes it back.",
                ],
                "7d, 12h, 2026-12-01",
            ),
        };
        let text: Body = said.iter().map(|line| body(Role::Text, *line)).collect();
        let mut fields = Vec::new();
        fields.extend((scopes.len() > 1).then(|| Field::one("what", "what", words.clone())));
        fields.push(Field::line("reason", "reason", "who reads it later wants to know why", ""));
        fields.push(Field::when("until", "until", ends, ""));
        let name = scopes.first().map(ToString::to_string).unwrap_or_default();
        Self::open(world, (title, name), environment, text, fields, (verb, Purpose::Hold(kind, scopes)))
    }

    /// Ends a hold or an exclusion; of several one is chosen.
    pub fn release(world: &World, names: Vec<Text>) -> Self {
        let kept: Vec<_> =
            names.iter().filter_map(|name| world.shared().holds().find(|kept| kept.name == *name)).collect();
        let words: Vec<_> =
            kept.iter().map(|kept| format!("{} of {}", kept.value.kind.as_str(), kept.value.scope)).collect();
        let scopes: Vec<_> = kept.iter().map(|kept| kept.value.scope.clone()).collect();
        let environment = scopes.first().map(|scope| care(world, scope)).unwrap_or_default();
        let mut text = vec![body(
            Role::Text,
            "What it stopped may go on at once, where nothing else is against it. A row that was excluded stands in its wave again.",
        )];
        text.extend(kept.iter().map(|kept| body(Role::Warn, hold_words(world, kept))));
        let name = words.first().cloned().unwrap_or_default();
        let fields = (words.len() > 1).then(|| Field::one("what", "what", words)).into_iter().collect();
        Self::open(world, ("release", name), environment, text, fields, ("Release", Purpose::Release(names)))
    }

    /// Goes on without soak, coverage or order, for the bytes of one of these previews.
    pub fn overrule(world: &World, ids: &[OrderId]) -> Self {
        let found: Vec<_> = ids.iter().filter_map(|id| Some((*id, world.orders().preview(*id)?))).collect();
        let mut text = vec![
            body(
                Role::Warn,
                "It counts only once a second person confirms it, and only for exactly these bytes.",
            ),
            body(
                Role::Text,
                "It never covers the owner gate, a changed digest, or a cluster that does not enforce.",
            ),
        ];
        let mut suggested = BTreeSet::new();
        for (id, preview) in &found {
            let (target, digest) = (&preview.target, preview.digest.short());
            text.push(body(Role::Title, format!("{target}, bytes {digest}")));
            for reason in decide::confirm_reasons(world, *id) {
                let Reason::Gate(gate) = &reason else {
                    text.push(body(Role::Bad, format!("  not opened: {reason}")));
                    continue;
                };
                match gate.covers {
                    Some(covers) => {
                        suggested.insert(covers);
                        text.push(body(Role::Text, format!("  opened by {}: {gate}", covers.as_str())));
                    }
                    None => text.push(body(Role::Bad, format!("  not opened: {gate}"))),
                }
            }
        }
        let places = (0..Covers::ALL.len()).filter(|at| suggested.contains(&Covers::ALL[*at]));
        let covers = Covers::ALL.iter().map(|covers| covers.as_str().to_owned()).collect();
        let targets: Vec<_> = found.iter().map(|(_, preview)| preview.target.clone()).collect();
        let words: Vec<_> = targets.iter().map(Target::to_string).collect();
        let name = if let [one] = words.as_slice() { one.clone() } else { format!("{} rows", words.len()) };
        let mut fields = Vec::new();
        fields.extend((words.len() > 1).then(|| Field::one("what", "row", words)));
        fields.push(Field::several("covers", "covers", covers, places.collect::<Vec<_>>()));
        fields.push(Field::line("reason", "reason", "why it cannot wait", ""));
        fields.push(Field::when("until", "until", "12h, 7d, 2026-12-01", "1d"));
        let purpose = Purpose::Override(found.iter().map(|(id, _)| *id).collect());
        let environment = offer::environment(world, &targets);
        Self::open(world, ("ask for an override", name), environment, text, fields, ("Ask", purpose))
    }

    /// The second person's yes to an override.
    pub fn confirm(world: &World, names: &[Text]) -> Self {
        let all = world.shared().overrides();
        let kept: Vec<_> = all.filter(|kept| names.contains(&kept.name)).collect();
        let words: Vec<_> = kept.iter().map(|kept| kept.value.target.to_string()).collect();
        let targets: Vec<_> = kept.iter().map(|kept| kept.value.target.clone()).collect();
        let mut text = vec![body(
            Role::Warn,
            "With your yes these gates are open for exactly these bytes until the override ends: two people answer for it.",
        )];
        text.extend(kept.iter().map(|kept| body(Role::Text, waiving::override_words(world, kept))));
        let name = words.first().cloned().unwrap_or_default();
        let names = kept.iter().map(|kept| kept.name.clone()).collect();
        let fields = (words.len() > 1).then(|| Field::one("what", "what", words)).into_iter().collect();
        let environment = offer::environment(world, &targets);
        let purpose = Purpose::Confirm(names);
        Self::open(world, ("confirm an override", name), environment, text, fields, ("Confirm", purpose))
    }
}

/// The band of a scope.
fn care(world: &World, scope: &Scope) -> Environment {
    let of =
        |name: &crate::domain::names::ClusterName| world.cluster(name).map(|cluster| cluster.environment);
    match scope {
        Scope::Fleet => {
            let all: BTreeSet<_> = world.clusters().map(|cluster| cluster.environment).collect();
            if all.contains(&Environment::Production) {
                Environment::Production
            } else {
                Environment::Unknown
            }
        }
        Scope::Cluster(name) | Scope::Namespace(name, _) => of(name).unwrap_or_default(),
        Scope::Rollout(target) => of(&target.cluster).unwrap_or_default(),
    }
}

/// `4 rows`, of both directions.
fn rows_in(world: &World, scope: &Scope) -> String {
    let waves = world.waves();
    let all = [&waves.egress, &waves.ingress].into_iter().flat_map(|plan| &plan.waves);
    let rows = all.flat_map(|wave| &wave.rows).filter(|row| scope.holds(&row.target));
    plural(rows.count(), "row")
}

/// Who put it on, why, and until when.
pub fn hold_words(world: &World, kept: &Kept<Hold>) -> String {
    let hold = &kept.value;
    let zone = world.zone();
    let ends = hold.expires.map_or_else(
        || "until it is released".to_owned(),
        |at| format!("until {}", at.with_timezone(&zone).format("%Y-%m-%d %H:%M")),
    );
    format!(
        "{} of {} by {}, {} ago, {ends}: {}",
        hold.kind.as_str(),
        hold.scope,
        hold.stamp.by,
        span(age(hold.stamp.at, world.now())),
        hold.reason
    )
}
