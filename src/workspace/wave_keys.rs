//! The keys `waves:`, `risks:` and `dependencies:` of `sluice.yaml`: in which portions, in which order
//! and after what rows are applied. Reads no file.

use std::collections::BTreeSet;

use super::{
    fleet_file::Reader,
    yaml::{Node, Value},
};
use crate::{
    cockpit::{
        plan::FleetFile,
        settings::{Dependency, RiskEntry, WaveSettings, WaveSize},
    },
    domain::{
        dependencies::{Before, cycles},
        names::NsName,
    },
};

/// Rows in one wave, at most.
const ROWS: u64 = 10_000;

impl Reader<'_> {
    pub(super) fn waves(
        &mut self,
        node: Option<&Node>,
        egress: WaveSettings,
        ingress: WaveSettings,
    ) -> (WaveSettings, WaveSettings) {
        let Some(node) = node.filter(|node| !node.is_null()) else { return (egress, ingress) };
        let fields = self.map(node, "waves", &["egress", "ingress"]);
        let get = |key: &str| fields.get(key).copied();
        let egress = self.direction(get("egress"), "waves.egress", egress);
        let ingress = self.direction(get("ingress"), "waves.ingress", ingress);
        (egress, ingress)
    }

    fn direction(&mut self, node: Option<&Node>, key: &str, plain: WaveSettings) -> WaveSettings {
        let Some(node) = node.filter(|node| !node.is_null()) else { return plain };
        let fields = self.map(node, key, &["staging", "production", "atMostPercent"]);
        let get = |key: &str| fields.get(key).copied();
        let staging_key = format!("{key}.staging");
        let staging = self.sizes(get("staging"), &staging_key);
        if staging.as_ref().is_some_and(|sizes| sizes.last() != Some(&WaveSize::Rest)) {
            let next = "End it with rest, as in [1, rest]: all of staging goes before production.";
            self.error(
                get("staging").map_or(node.line, |node| node.line),
                &format!("`{staging_key}` does not end with rest"),
                next,
            );
        }
        let percent = self.number(get("atMostPercent"), &format!("{key}.atMostPercent"), 1..=100);
        WaveSettings {
            staging: staging.unwrap_or(plain.staging),
            production: self
                .sizes(get("production"), &format!("{key}.production"))
                .unwrap_or(plain.production),
            at_most_percent: percent
                .and_then(|percent| u8::try_from(percent).ok())
                .unwrap_or(plain.at_most_percent),
        }
    }

    /// `[1, 2, rest]`; `None` where it is left out or wrong.
    fn sizes(&mut self, node: Option<&Node>, key: &str) -> Option<Vec<WaveSize>> {
        let node = node.filter(|node| !node.is_null())?;
        let items = self.list(Some(node), key);
        let mut out = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let wanted = format!("a number from 1 to {ROWS}, or rest");
            out.extend(self.value(Some(item), &format!("{key}[{i}]"), &wanted, size));
        }
        if out.iter().rev().skip(1).any(|size| *size == WaveSize::Rest) {
            self.error(
                node.line,
                &format!("`{key}` goes on after rest"),
                "Let rest stand last, or take it out.",
            );
        }
        if items.is_empty() && matches!(node.value, Value::List(_)) {
            self.error(
                node.line,
                &format!("`{key}` is empty"),
                "Write sizes such as [1, 2, 4], or leave the key out.",
            );
        }
        (!out.is_empty()).then_some(out)
    }

    pub(super) fn risks(&mut self, node: Option<&Node>) -> Vec<RiskEntry> {
        let mut out = Vec::new();
        for (key, item, fields) in
            self.entries_of(node, "risks", &["namespaces", "risk", "priority", "shared"])
        {
            let get = |key: &str| fields.get(key).copied();
            let at = |name: &str| format!("{key}.{name}");
            let namespaces = self.namespaces(get("namespaces"), &at("namespaces"));
            if get("namespaces").is_none_or(Node::is_null) {
                self.error(item.line, &format!("{key} names no namespace"), "Write `namespaces: [...]`.");
            }
            let risk = self.number(get("risk"), &at("risk"), 0..=100);
            let priority = self.number(get("priority"), &at("priority"), 1..=1_000_000);
            let shared = self.flag(get("shared"), &at("shared"));
            if ["risk", "priority", "shared"].iter().all(|name| get(name).is_none_or(Node::is_null)) {
                let next = "Write `risk:`, `priority:` or `shared: true`.";
                self.error(item.line, &format!("{key} says nothing of its namespaces"), next);
            }
            out.push(RiskEntry {
                namespaces,
                risk: risk.and_then(|risk| u8::try_from(risk).ok()),
                priority: priority.and_then(|priority| u32::try_from(priority).ok()),
                shared: shared.unwrap_or(false),
            });
        }
        out
    }

    pub(super) fn dependencies(&mut self, node: Option<&Node>, fleet: &FleetFile) -> Vec<Dependency> {
        let mut out: Vec<Dependency> = Vec::new();
        let mut before: Before<NsName> = Before::new();
        for (key, item, fields) in self.entries_of(node, "dependencies", &["namespace", "after"]) {
            let get = |key: &str| fields.get(key).copied();
            let ns = self.namespace(get("namespace"), item, &format!("{key}.namespace"));
            let after = self.namespaces(get("after"), &format!("{key}.after"));
            if get("after").is_none_or(Node::is_null) {
                self.error(
                    item.line,
                    &format!("`{key}.after` is missing"),
                    "Write the namespaces that go first.",
                );
            }
            for other in after.iter().filter(|other| fleet.excludes(other)) {
                let fact =
                    format!("{key} waits for {other}, which is left out of the rollout: it is passed over");
                self.notice(item.line, &fact, "Take it out of `after`, or into the rollout.");
            }
            let Some(ns) = ns else { continue };
            before.entry(ns.clone()).or_default().extend(after.iter().cloned());
            out.push(Dependency { ns, after });
        }
        for group in cycles(&before) {
            let names: BTreeSet<String> = group.iter().map(ToString::to_string).collect();
            let names = names.into_iter().collect::<Vec<_>>().join(", ");
            let fact = format!("`dependencies` go round in a circle: {names}");
            self.error(
                node.map_or(0, |node| node.line),
                &fact,
                "Take one of them out: each waits for the others.",
            );
        }
        out
    }
}

fn size(value: &Value) -> Option<WaveSize> {
    match value {
        Value::Text(text) if text == "rest" => Some(WaveSize::Rest),
        Value::Number(number) => {
            let rows = number.as_u64().filter(|rows| (1..=ROWS).contains(rows))?;
            u32::try_from(rows).ok().map(WaveSize::Rows)
        }
        Value::Null | Value::Bool(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
    }
}
