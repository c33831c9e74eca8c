//! What a cluster's Kyverno asserts and has found: which generation is served, our two policies with the
//! namespaces that they name, and the newest reports. Only reads; what may not be read is unknown, with
//! its reason. Wire formats: Kyverno 1.19, wgpolicyk8s.io/v1alpha2, openreports.io/v1alpha1.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::{
    flow::Direction,
    names::{NsName, Text},
    steady::{Finding, Generation, Kyverno, Outcome, policy_name},
};

use super::{
    failure::Failure,
    wire::{Call, Server},
};

/// Newest first: where both are served, the newer one is asked.
const VERSIONS: [&str; 2] = ["v1", "v1beta1"];

/// Reports are read in pages of so many, and no more than [`PAGES`] of them.
const PAGE: usize = 500;
const PAGES: usize = 40;

/// Looks at a cluster.
pub async fn read(server: &Server) -> Kyverno {
    let generation = generation(server).await;
    let list = match &generation {
        Generation::Validating(version) => format!("/apis/policies.kyverno.io/{version}/validatingpolicies"),
        Generation::Legacy => "/apis/kyverno.io/v1/clusterpolicies".to_owned(),
        Generation::Absent => return Kyverno::absent(),
        Generation::Unknown(_) => {
            return Kyverno { generation, asserted: None, ..Kyverno::absent() };
        }
    };
    let mut trouble = None;
    let asserted = asserted(server, &list).await.map_err(|why| trouble = Some(why)).ok();
    let mut findings = BTreeMap::new();
    if let Err(why) = reports(server, &mut findings).await {
        trouble = trouble.or(Some(why));
    }
    Kyverno { generation, asserted, findings, trouble }
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Which form of policy it takes. A group without a version that we know is unknown, not absent.
async fn generation(server: &Server) -> Generation {
    let unknown = |failure: &Failure| Generation::Unknown(said("API groups of Kyverno", failure));
    match server.ask::<Group>(Call::get("/apis/policies.kyverno.io")).await {
        Ok(group) => {
            let served = |wanted: &&&str| group.versions.iter().any(|one| one.version == **wanted);
            if let Some(version) = VERSIONS.iter().find(served) {
                return Generation::Validating(Text::new(version));
            }
        }
        Err(failure) if failure.code() == Some(404) => {}
        Err(failure) => return unknown(&failure),
    }
    match server.ask::<Group>(Call::get("/apis/kyverno.io")).await {
        Ok(group) if group.versions.iter().any(|one| one.version == "v1") => Generation::Legacy,
        Ok(_) => Generation::Unknown(Text::new("kyverno.io is served, in no version that sluice knows")),
        Err(failure) if failure.code() == Some(404) => Generation::Absent,
        Err(failure) => unknown(&failure),
    }
}

fn said(what: &str, failure: &Failure) -> Text {
    Text::from(failure.trouble(what).to_string())
}

/// A policy of either form, as far as we read it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PolicyWire {
    spec: PolicySpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PolicySpec {
    match_conditions: Vec<Condition>,
    rules: Vec<RuleWire>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    expression: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleWire {
    r#match: MatchWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct MatchWire {
    any: Vec<AnyWire>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnyWire {
    resources: ResourcesWire,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourcesWire {
    names: Vec<String>,
}

/// Our policies that are there.
async fn asserted(server: &Server, list: &str) -> Result<BTreeMap<Direction, Vec<NsName>>, Text> {
    let mut out = BTreeMap::new();
    for direction in Direction::ALL {
        let name = policy_name(direction);
        match server.ask::<PolicyWire>(Call::get(format!("{list}/{name}"))).await {
            Ok(policy) => {
                out.insert(direction, named(&policy));
            }
            Err(failure) if failure.code() == Some(404) => {}
            Err(failure) => return Err(said(name, &failure)),
        }
    }
    Ok(out)
}

/// The namespaces that a policy of ours names. One that somebody rewrote names none that we can read.
fn named(policy: &PolicyWire) -> Vec<NsName> {
    let cel = policy.spec.match_conditions.iter().filter_map(|condition| {
        let rest = condition.expression.trim().strip_prefix("object.metadata.name in [")?;
        rest.strip_suffix(']')
    });
    let cel = cel.flat_map(|list| list.split(',')).map(|one| one.trim().trim_matches('"'));
    let legacy = policy.spec.rules.iter().flat_map(|rule| &rule.r#match.any);
    let legacy = legacy.flat_map(|any| &any.resources.names).map(String::as_str);
    let mut out: Vec<_> = cel.chain(legacy).filter_map(|raw| NsName::parse(raw).ok()).collect();
    out.sort();
    out
}

#[derive(Deserialize)]
struct ReportList {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<ReportWire>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    r#continue: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ReportWire {
    scope: ScopeWire,
    results: Vec<ResultWire>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ScopeWire {
    kind: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResultWire {
    policy: String,
    result: String,
    /// openreports calls it `description`.
    message: String,
    description: String,
    timestamp: Stamp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stamp {
    seconds: i64,
}

/// Cluster-wide reports of whichever API is served.
async fn reports(server: &Server, out: &mut BTreeMap<(NsName, Direction), Finding>) -> Result<(), Text> {
    const LISTS: [(&str, &str); 2] = [
        ("/apis/wgpolicyk8s.io", "v1alpha2/clusterpolicyreports"),
        ("/apis/openreports.io", "v1alpha1/clusterreports"),
    ];
    let mut served = false;
    for (group, list) in LISTS {
        // Asked first, because a list of what is not served is forbidden to most.
        match server.ask::<Group>(Call::get(group)).await {
            Ok(_) => {}
            Err(failure) if failure.code() == Some(404) => continue,
            Err(failure) => return Err(said("reports of Kyverno", &failure)),
        }
        let mut next = String::new();
        for page in 0.. {
            if page == PAGES {
                return Err(Text::from(format!("more than {} reports: the rest is not read", PAGE * PAGES)));
            }
            let query = format!(
                "{group}/{list}?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dkyverno&limit={PAGE}&continue={next}"
            );
            let list = match server.ask::<ReportList>(Call::get(query)).await {
                Ok(list) => list,
                Err(failure) if failure.code() == Some(404) => break,
                Err(failure) => return Err(said("reports of Kyverno", &failure)),
            };
            served = true;
            list.items.unwrap_or_default().iter().for_each(|report| take(report, out));
            next = list.metadata.r#continue;
            if next.is_empty() {
                break;
            }
        }
    }
    if served { Ok(()) } else { Err(Text::new("this cluster serves no policy reports")) }
}

/// The newest result on each namespace and direction.
fn take(report: &ReportWire, out: &mut BTreeMap<(NsName, Direction), Finding>) {
    if report.scope.kind != "Namespace" {
        return;
    }
    let Ok(ns) = NsName::parse(&report.scope.name) else { return };
    for result in &report.results {
        let ours = |direction: &Direction| policy_name(*direction) == result.policy;
        let Some(direction) = Direction::ALL.into_iter().find(ours) else { continue };
        let at = (result.timestamp.seconds > 0)
            .then(|| chrono::DateTime::from_timestamp(result.timestamp.seconds, 0))
            .flatten();
        let message = if result.message.is_empty() { &result.description } else { &result.message };
        let finding = Finding { result: Outcome::parse(&result.result), message: Text::new(message), at };
        match out.get(&(ns.clone(), direction)) {
            Some(known) if known.at >= at => {}
            _ => {
                out.insert((ns.clone(), direction), finding);
            }
        }
    }
}
