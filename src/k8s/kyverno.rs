//! What a cluster's Kyverno asserts and has found: which generation is served, our two policies with the
//! namespaces that they name, and the newest reports of namespaces that are there. Only reads; what may
//! not be read is unknown, with its reason. Wire formats: Kyverno 1.19, wgpolicyk8s.io/v1alpha2, openreports.io/v1alpha1.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::{
    flow::Direction,
    names::{NsName, Text},
    steady::{Asserted, Finding, Generation, Kyverno, Outcome, policy_name},
};

use super::{
    decode::{self, MetaOnly},
    failure::Failure,
    listed::ListMeta,
    wire::{Call, METADATA_LIST, Server},
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
    let read = match uids(server).await {
        Ok(uids) => reports(server, &uids, &mut findings).await,
        Err(why) => Err(why),
    };
    if let Err(why) = read {
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
    metadata: PolicyMeta,
    spec: PolicySpec,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PolicyMeta {
    creation_timestamp: Option<String>,
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
async fn asserted(server: &Server, list: &str) -> Result<BTreeMap<Direction, Asserted>, Text> {
    let mut out = BTreeMap::new();
    for direction in Direction::ALL {
        let name = policy_name(direction);
        match server.ask::<PolicyWire>(Call::get(format!("{list}/{name}"))).await {
            Ok(policy) => {
                let since = policy.metadata.creation_timestamp.as_deref().and_then(decode::time);
                out.insert(direction, Asserted { names: named(&policy), since });
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
struct NamespaceList {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<MetaOnly>>,
}

/// UIDs of the namespaces that are there, by name: what was scanned under a name before is another one.
async fn uids(server: &Server) -> Result<BTreeMap<String, String>, Text> {
    let mut out = BTreeMap::new();
    let mut next = String::new();
    for _ in 0..PAGES {
        let path = format!("/api/v1/namespaces?limit={PAGE}&continue={next}");
        let call = Call { accept: METADATA_LIST, ..Call::get(path) };
        let list: NamespaceList = server.ask(call).await.map_err(|failure| said("namespaces", &failure))?;
        let all = list.items.unwrap_or_default().into_iter().map(|one| one.metadata);
        out.extend(all.map(|meta| (meta.name, meta.uid)));
        next = list.metadata.r#continue;
        if next.is_empty() {
            return Ok(out);
        }
    }
    Err(Text::from(format!("more than {} namespaces: the rest is not read", PAGE * PAGES)))
}

#[derive(Deserialize)]
struct ReportList {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<ReportWire>>,
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
    uid: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResultWire {
    policy: String,
    result: String,
    /// openreports calls it `description`.
    message: String,
    description: String,
    properties: Option<BTreeMap<String, String>>,
    timestamp: Stamp,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stamp {
    seconds: i64,
}

/// Cluster-wide reports of whichever API is served.
async fn reports(
    server: &Server,
    uids: &BTreeMap<String, String>,
    out: &mut BTreeMap<(NsName, Direction), Finding>,
) -> Result<(), Text> {
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
            list.items.unwrap_or_default().iter().for_each(|report| take(report, uids, out));
            next = list.metadata.r#continue;
            if next.is_empty() {
                break;
            }
        }
    }
    if served { Ok(()) } else { Err(Text::new("this cluster serves no policy reports")) }
}

/// Of results of one moment the heavier counts: neither a pass nor an exception hides a failure.
fn weight(result: Outcome) -> u8 {
    match result {
        Outcome::Pass => 0,
        Outcome::Skip => 1,
        Outcome::Error => 2,
        Outcome::Warn | Outcome::Fail => 3,
    }
}

/// The newest result on each namespace and direction; of those of one moment the heaviest.
fn take(
    report: &ReportWire,
    uids: &BTreeMap<String, String>,
    out: &mut BTreeMap<(NsName, Direction), Finding>,
) {
    let ReportWire { scope, results } = report;
    // What is gone, or was here before under this name, is no word on what is there.
    let is_there = uids.get(&scope.name).is_some_and(|uid| scope.uid.is_empty() || scope.uid == *uid);
    if scope.kind != "Namespace" || !is_there {
        return;
    }
    let Ok(ns) = NsName::parse(&scope.name) else { return };
    for result in results {
        let ours = |direction: &Direction| policy_name(*direction) == result.policy;
        let Some(direction) = Direction::ALL.into_iter().find(ours) else { continue };
        let finding = finding(result);
        let is_newer =
            |known: &Finding| (known.at, weight(known.result)) < (finding.at, weight(finding.result));
        if out.get(&(ns.clone(), direction)).is_none_or(is_newer) {
            out.insert((ns.clone(), direction), finding);
        }
    }
}

fn finding(wire: &ResultWire) -> Finding {
    let at = (wire.timestamp.seconds > 0)
        .then(|| chrono::DateTime::from_timestamp(wire.timestamp.seconds, 0))
        .flatten();
    let result = Outcome::parse(&wire.result);
    let exceptions = wire.properties.as_ref().and_then(|all| all.get("exceptions"));
    let message = match (exceptions, wire.message.is_empty()) {
        (Some(names), _) if result == Outcome::Skip => Text::from(format!("PolicyException {names}")),
        (_, true) => Text::new(&wire.description),
        (_, false) => Text::new(&wire.message),
    };
    Finding { result, message, at }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is understood of these reports: of shop, which is there as uid-2, and of pay.
    fn told(reports: &serde_json::Value) -> Vec<String> {
        let uids = [("shop", "uid-2"), ("pay", "uid-3")];
        let uids = uids.map(|(name, uid)| (name.to_owned(), uid.to_owned())).into();
        let reports: Vec<ReportWire> = serde_json::from_value(reports.clone()).expect("reports");
        let mut out = BTreeMap::new();
        reports.iter().for_each(|report| take(report, &uids, &mut out));
        let line = |((ns, direction), it): (&(NsName, Direction), &Finding)| {
            let at = it.at.map_or("no time".to_owned(), |at| at.timestamp().to_string());
            format!("{ns} {direction} {:?} {at}: {}", it.result, it.message)
        };
        out.iter().map(line).collect()
    }

    fn report(name: &str, uid: &str, results: &serde_json::Value) -> serde_json::Value {
        json!({ "scope": { "kind": "Namespace", "name": name, "uid": uid }, "results": results })
    }

    fn result(result: &str, seconds: i64) -> serde_json::Value {
        json!({ "policy": "sluice-default-deny-egress", "result": result, "message": result,
                "timestamp": { "seconds": seconds, "nanos": 0 } })
    }

    #[test]
    fn of_several_reports_the_newest_counts_in_whatever_order() {
        let (old, new) = (result("pass", 100), result("fail", 200));
        let one = |first: &serde_json::Value, second: &serde_json::Value| {
            let reports =
                [report("shop", "uid-2", &json!([first])), report("shop", "uid-2", &json!([second]))];
            told(&json!(reports))
        };
        for (first, second) in [(&old, &new), (&new, &old)] {
            assert_eq!(one(first, second), ["shop egress Fail 200: fail"]);
        }
        let fail = result("fail", 200);
        for other in ["pass", "skip", "error"] {
            let other = result(other, 200);
            for (first, second) in [(&other, &fail), (&fail, &other)] {
                assert_eq!(one(first, second), ["shop egress Fail 200: fail"], "{other} hides no failure");
            }
        }
        let untimed = json!({ "policy": "sluice-default-deny-egress", "result": "pass", "message": "pass" });
        assert_eq!(one(&untimed, &old), ["shop egress Pass 100: pass"]);
        assert_eq!(told(&json!([report("shop", "", &json!([untimed]))])), ["shop egress Pass no time: pass"]);
    }

    #[test]
    fn reports_on_what_is_gone_or_came_anew_say_nothing() {
        let pass = json!([result("pass", 100)]);
        let reports = json!([
            report("shop", "uid-1", &pass),
            report("gone", "uid-9", &pass),
            report("pay", "uid-3", &pass),
            { "scope": { "kind": "Deployment", "name": "pay" }, "results": pass },
            { "results": pass },
        ]);
        assert_eq!(told(&reports), ["pay egress Pass 100: pass"]);
    }

    #[test]
    fn both_report_apis_and_exceptions_are_understood() {
        let of = |more: serde_json::Value| {
            let mut result = result("skip", 100);
            result.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            told(&json!([report("shop", "uid-2", &json!([result]))]))
        };
        let open = json!({ "result": "fail", "message": "", "description": "as openreports says it" });
        assert_eq!(of(open), ["shop egress Fail 100: as openreports says it"]);
        let skipped = json!({ "properties": { "exceptions": "legacy-shop", "process": "background scan" } });
        assert_eq!(of(skipped), ["shop egress Skip 100: PolicyException legacy-shop"]);
        let ingress = json!({ "policy": "sluice-default-deny-ingress", "result": "pass" });
        assert_eq!(of(ingress), ["shop ingress Pass 100: skip"]);
        assert_eq!(of(json!({ "policy": "require-labels" })), [""; 0]);
        assert_eq!(of(json!({ "result": "splendid" })), ["shop egress Error 100: skip"]);
    }
}
