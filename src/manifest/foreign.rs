//! Policies of kinds that sluice does not evaluate -> whom they may select, and what they can do to a
//! verdict. What is not understood of their selectors makes them reach further, never less. Pure.

use serde_json::Value;

use super::{
    cluster::{name_of, ns_of},
    selector,
};
use crate::domain::{
    eval::cluster::{Foreign, Namespaces, Reach, Weight},
    flow::Direction,
    names::{NsName, Text},
    policy::{Requirement, Selector},
};

const ADMIN: &str = "policy.networking.k8s.io";
const CILIUM: &str = "cilium.io";
const CALICO: [&str; 2] = ["crd.projectcalico.org", "projectcalico.org"];
const ANTREA: &str = "crd.antrea.io";

/// Group, plural and kind of each, as the API serves them.
pub const KINDS: [(&str, &str, &str); 14] = [
    (ADMIN, "adminnetworkpolicies", "AdminNetworkPolicy"),
    (ADMIN, "baselineadminnetworkpolicies", "BaselineAdminNetworkPolicy"),
    (ADMIN, "clusternetworkpolicies", "ClusterNetworkPolicy"),
    (CILIUM, "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    (CILIUM, "ciliumclusterwidenetworkpolicies", "CiliumClusterwideNetworkPolicy"),
    (CALICO[0], "networkpolicies", "NetworkPolicy"),
    (CALICO[0], "globalnetworkpolicies", "GlobalNetworkPolicy"),
    (CALICO[1], "networkpolicies", "NetworkPolicy"),
    (CALICO[1], "globalnetworkpolicies", "GlobalNetworkPolicy"),
    (ANTREA, "networkpolicies", "NetworkPolicy"),
    (ANTREA, "clusternetworkpolicies", "ClusterNetworkPolicy"),
    ("k8s.ovn.org", "egressfirewalls", "EgressFirewall"),
    ("network.openshift.io", "egressnetworkpolicies", "EgressNetworkPolicy"),
    ("security.istio.io", "authorizationpolicies", "AuthorizationPolicy"),
];

/// Staged kinds are not among them: they change nothing.
pub(super) fn is_known(group: &str, kind: &str) -> bool {
    KINDS.iter().any(|(its, _, known)| *its == group && *known == kind)
}

/// What one object can do: one entry for each of its parts that differ.
pub(super) fn read(group: &str, kind: &str, value: &Value) -> Vec<Foreign> {
    let is_cluster_wide = kind.starts_with("Cluster")
        || kind.starts_with("Global")
        || kind.ends_with("AdminNetworkPolicy")
        || kind == "CiliumClusterwideNetworkPolicy";
    let ns = if is_cluster_wide { None } else { NsName::parse(ns_of(value)).ok() };
    let maker = match group {
        _ if CALICO.contains(&group) => "Calico ",
        ANTREA => "Antrea ",
        _ => "",
    };
    let named = Foreign {
        kind: Text::from(format!("{maker}{kind}")),
        ns: ns.clone(),
        name: Text::new(name_of(value)),
        weight: Weight::Overrides,
        egress: true,
        ingress: true,
        reach: vec![everywhere(ns.as_ref())],
    };
    let spec = value.get("spec").unwrap_or(&Value::Null);
    match group {
        ADMIN => vec![admin(named, kind, spec)],
        CILIUM => {
            let specs = value.get("specs").and_then(Value::as_array).into_iter().flatten();
            value.get("spec").into_iter().chain(specs).flat_map(|spec| cilium(&named, spec)).collect()
        }
        ANTREA => vec![antrea(named, spec)],
        _ if CALICO.contains(&group) => vec![calico(named, spec)],
        _ => {
            let egress = kind != "AuthorizationPolicy";
            let labels = spec.get("selector").filter(|labels| labels.is_object());
            let pods = labels.and_then(|labels| selector(labels, "selector").ok()).unwrap_or_default();
            let reach = vec![Reach { pods, ..everywhere(ns.as_ref()) }];
            vec![Foreign { weight: Weight::Narrows, egress, ingress: !egress, reach, ..named }]
        }
    }
}

fn everywhere(ns: Option<&NsName>) -> Reach {
    let namespaces = ns.cloned().map_or(Namespaces::All, Namespaces::One);
    Reach { namespaces, pods: Selector::default() }
}

fn has(spec: &Value, field: &str) -> bool {
    spec.get(field).is_some_and(|value| !value.is_null())
}

/// network-policy-api v1alpha1 and v1alpha2: `subject` is namespaces, or pods of namespaces.
fn admin(named: Foreign, kind: &str, spec: &Value) -> Foreign {
    let is_baseline =
        kind.starts_with("Baseline") || spec.get("tier").and_then(Value::as_str) == Some("Baseline");
    let read = |path: &str| spec.pointer(path).and_then(|labels| selector(labels, "subject").ok());
    let reach = match (read("/subject/namespaces"), read("/subject/pods/namespaceSelector")) {
        (Some(namespaces), _) => {
            Reach { namespaces: Namespaces::Selected(namespaces), pods: Selector::default() }
        }
        (None, Some(namespaces)) => Reach {
            namespaces: Namespaces::Selected(namespaces),
            pods: read("/subject/pods/podSelector").unwrap_or_default(),
        },
        (None, None) => everywhere(None),
    };
    let weight = if is_baseline { Weight::Baseline } else { Weight::Overrides };
    let (egress, ingress) = (has(spec, "egress"), has(spec, "ingress"));
    Foreign { weight, egress, ingress, reach: vec![reach], ..named }
}

/// Denials win over every allow; without them what a NetworkPolicy's rule allows stays allowed.
fn cilium(named: &Foreign, spec: &Value) -> Vec<Foreign> {
    if !has(spec, "endpointSelector") && has(spec, "nodeSelector") {
        return Vec::new();
    }
    let ns = named.ns.as_ref();
    let pods = spec.get("endpointSelector").and_then(|labels| selector(labels, "endpointSelector").ok());
    let reach = vec![Reach { pods: pods.map(of_pods).unwrap_or_default(), ..everywhere(ns) }];
    let one = |direction: Direction| {
        let field = direction.as_str();
        let denies =
            spec.get(format!("{field}Deny")).and_then(Value::as_array).is_some_and(|all| !all.is_empty());
        let weight = if denies { Weight::Overrides } else { Weight::Adds };
        let is_egress = direction == Direction::Egress;
        let reach = reach.clone();
        (denies || has(spec, field)).then(|| Foreign {
            weight,
            egress: is_egress,
            ingress: !is_egress,
            reach,
            ..named.clone()
        })
    };
    Direction::ALL.into_iter().filter_map(one).collect()
}

/// Only what pods' own labels decide; all else makes it reach further.
fn of_pods(selector: Selector) -> Selector {
    let kept = selector.0.into_iter().filter_map(|mut requirement| {
        let (Requirement::In { key, .. }
        | Requirement::NotIn { key, .. }
        | Requirement::Exists { key }
        | Requirement::DoesNotExist { key }) = &mut requirement;
        if let Some((source, rest)) = key.split_once(':') {
            if !matches!(source, "k8s" | "any") {
                return None;
            }
            *key = rest.into();
        }
        (!key.starts_with("io.kubernetes.") && !key.starts_with("io.cilium.")).then_some(requirement)
    });
    Selector(kept.collect())
}

/// All tiers but the baseline decide before NetworkPolicies.
fn antrea(named: Foreign, spec: &Value) -> Foreign {
    let tier = spec.get("tier").and_then(Value::as_str).unwrap_or_default();
    let weight = if tier.eq_ignore_ascii_case("baseline") { Weight::Baseline } else { Weight::Overrides };
    let applied = spec.get("appliedTo").and_then(Value::as_array).filter(|list| !list.is_empty());
    let reach = applied.and_then(|list| {
        list.iter()
            .map(|to| {
                let map = to.as_object()?;
                if map.keys().any(|key| key != "podSelector" && key != "namespaceSelector") {
                    return None;
                }
                let pods = map.get("podSelector").map(|pods| selector(pods, "appliedTo").ok());
                let namespaces = map.get("namespaceSelector").map(|all| selector(all, "appliedTo").ok());
                let wide = everywhere(named.ns.as_ref());
                Some(Reach {
                    namespaces: match namespaces {
                        None => wide.namespaces,
                        Some(selector) => Namespaces::Selected(selector?),
                    },
                    pods: pods.unwrap_or(Some(wide.pods))?,
                })
            })
            .collect::<Option<Vec<_>>>()
    });
    let reach = reach.unwrap_or_else(|| named.reach.clone());
    Foreign { weight, egress: has(spec, "egress"), ingress: has(spec, "ingress"), reach, ..named }
}

/// Calico API: `types`, else by the rules that are there.
fn calico(named: Foreign, spec: &Value) -> Foreign {
    let types = spec.get("types").and_then(Value::as_array);
    let is = |word: &str| types.is_some_and(|types| types.iter().any(|one| one == word));
    let (egress, ingress) = match types {
        Some(_) => (is("Egress"), is("Ingress")),
        None => (has(spec, "egress"), has(spec, "ingress") || !has(spec, "egress")),
    };
    let terms = |field: &str| spec.get(field).and_then(Value::as_str).map(calico_terms);
    let pods = match terms("selector") {
        Some(Some(selector)) => without_calicos_own(selector),
        Some(None) | None => Selector::default(),
    };
    let namespaces = match (&named.ns, terms("namespaceSelector")) {
        (None, Some(Some(selector))) if !selector.0.iter().any(is_calicos_own) => {
            Namespaces::Selected(selector)
        }
        _ => everywhere(named.ns.as_ref()).namespaces,
    };
    Foreign { egress, ingress, reach: vec![Reach { namespaces, pods }], ..named }
}

fn is_calicos_own(requirement: &Requirement) -> bool {
    let (Requirement::In { key, .. }
    | Requirement::NotIn { key, .. }
    | Requirement::Exists { key }
    | Requirement::DoesNotExist { key }) = requirement;
    key.starts_with("projectcalico.org/") || key.starts_with("pcns.") || key.starts_with("pcsa.")
}

fn without_calicos_own(selector: Selector) -> Selector {
    Selector(selector.0.into_iter().filter(|requirement| !is_calicos_own(requirement)).collect())
}

/// A selector of terms that must all hold; `None` for what has more in it.
fn calico_terms(raw: &str) -> Option<Selector> {
    let terms = raw.split("&&").map(str::trim).filter(|term| !term.is_empty() && *term != "all()");
    terms.map(calico_term).collect::<Option<_>>().map(Selector)
}

fn is_key(raw: &str) -> bool {
    !raw.is_empty() && raw.bytes().all(|b| b.is_ascii_alphanumeric() || b"./-_".contains(&b))
}

/// The key of `has(key)`.
fn call(raw: &str) -> Option<&str> {
    raw.strip_prefix("has(")?.strip_suffix(')').map(str::trim).filter(|key| is_key(key))
}

fn calico_term(term: &str) -> Option<Requirement> {
    let text = |raw: &str| {
        let raw = raw.trim();
        let quote = raw.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let inner = raw[1..].strip_suffix(quote)?;
        (!inner.contains(['\'', '"', '|', '(', ')'])).then(|| inner.into())
    };
    if let Some(key) = call(term) {
        return Some(Requirement::Exists { key: key.into() });
    }
    if let Some(key) = term.strip_prefix('!').map(str::trim).and_then(call) {
        return Some(Requirement::DoesNotExist { key: key.into() });
    }
    let set = |raw: &str| {
        let inner = raw.trim().strip_prefix('{')?.strip_suffix('}')?;
        inner.split(',').map(text).collect::<Option<Vec<_>>>()
    };
    for (word, is_in) in [(" not in ", false), (" in ", true), ("!=", false), ("==", true)] {
        let Some((key, rest)) = term.split_once(word) else { continue };
        let key = Some(key.trim()).filter(|key| is_key(key))?;
        let values = if word.ends_with('=') { vec![text(rest)?] } else { set(rest)? };
        let key = key.into();
        return Some(if is_in {
            Requirement::In { key, values }
        } else {
            Requirement::NotIn { key, values }
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calicos_selectors_are_read_where_all_terms_must_hold() {
        for (raw, wanted) in [
            ("", Some("all pods")),
            ("all()", Some("all pods")),
            ("app == 'api'", Some("app=api")),
            ("app == \"api\" && has(tier) && !has(old)", Some("app=api,tier,!old")),
            ("role in {'a', 'b'} && zone != 'x'", Some("role in (a,b),zone notin (x)")),
            ("role not in { 'a' }", Some("role notin (a)")),
            ("app == 'a' || app == 'b'", None),
            ("(app == 'a')", None),
            ("!(app == 'a')", None),
            ("app starts with 'a'", None),
        ] {
            assert_eq!(calico_terms(raw).map(|selector| selector.to_string()).as_deref(), wanted, "{raw}");
        }
    }
}
