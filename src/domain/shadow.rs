//! Policies that are only staged: the pinned set's own names and bytes in Calico's
//! StagedKubernetesNetworkPolicy, which is judged by and never enforced. What stands of it, and the steps
//! from there to a wanted set. Staged policies isolate nobody, so no order of them closes anything.

use std::collections::BTreeMap;

use super::{
    flow::Direction,
    names::NsName,
    policy::{Pinned, Policy, PolicyDigest, PolicyKind, Role},
    time::Timestamp,
    valve::{Set, Step, shell_word},
};

/// Calico 3.30 and later, where its API server, or its v3 definitions, are installed. The same kind in
/// `crd.projectcalico.org` is Calico's own store and not for others to write.
pub const API_VERSION: &str = "projectcalico.org/v3";
pub const KIND: &str = "StagedKubernetesNetworkPolicy";
pub const PLURAL: &str = "stagedkubernetesnetworkpolicies";
/// As kubectl takes it on a command line.
pub const RESOURCE: &str = "stagedkubernetesnetworkpolicies.projectcalico.org";

/// A staged policy as the API server shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// As the NetworkPolicy that it stands for: its name and its spec, without the staged action.
    pub policy: Policy,
    /// Its action is not `Set`: it stands for the policy's absence.
    pub deletes: bool,
    /// By the API server's clock. sluice creates anew what is to change, so this is since when exactly
    /// these bytes are staged.
    pub created: Option<Timestamp>,
}

/// The staged policies of one direction, by pinned name.
pub type StagedSet = BTreeMap<&'static str, Staged>;

/// What would be enforced of it.
pub fn set(staged: &StagedSet) -> Set {
    let kept = staged.iter().filter(|(_, one)| !one.deletes);
    kept.map(|(name, one)| (*name, one.policy.clone())).collect()
}

/// The digest that the bytes would have if they were enforced.
pub fn digest(staged: &StagedSet) -> PolicyDigest {
    PolicyDigest::of(set(staged).values())
}

/// Since when exactly these bytes are staged; `None`: not known.
pub fn since(staged: &StagedSet) -> Option<Timestamp> {
    staged.values().map(|one| one.created).collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// What of a direction can be staged: Calico stages NetworkPolicies only. The valve last, as in an apply.
pub fn stageable(direction: Direction) -> impl Iterator<Item = &'static Pinned> {
    let of = move |is_valve: bool| {
        Pinned::of(direction).filter(move |pinned| {
            pinned.kind == PolicyKind::NetworkPolicy && (pinned.role == Role::Valve) == is_valve
        })
    };
    of(false).chain(of(true))
}

/// The steps from what is staged to what is wanted. What is to change goes and is created anew.
pub fn steps(staged: &StagedSet, wanted: &Set, direction: Direction) -> Vec<Step> {
    let mut out = Vec::new();
    for pinned in stageable(direction) {
        let (have, want) = (staged.get(pinned.name), wanted.get(pinned.name));
        let same =
            |have: &Staged| !have.deletes && want.is_some_and(|want| want.canonical == have.policy.canonical);
        if have.is_some_and(same) {
            continue;
        }
        out.extend(have.map(|_| Step::Unstage(pinned)));
        out.extend(want.map(|_| Step::Stage(pinned)));
    }
    out
}

/// The steps that take away all that is staged, the valve first.
pub fn removal(staged: &StagedSet, direction: Direction) -> Vec<Step> {
    let mut all: Vec<_> =
        stageable(direction).filter(|pinned| staged.contains_key(pinned.name)).map(Step::Unstage).collect();
    all.reverse();
    all
}

/// What a person would type to take away all that is staged of a direction.
pub fn removal_command(context: &str, ns: &NsName, direction: Direction) -> String {
    let names: Vec<_> = Pinned::of(direction)
        .filter(|pinned| pinned.kind == PolicyKind::NetworkPolicy)
        .map(|pinned| pinned.name)
        .collect();
    let (context, names) = (shell_word(context), names.join(" "));
    format!("kubectl --context {context} delete {RESOURCE} {names} -n {ns} --ignore-not-found")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::{TimeZone as _, Utc};

    use super::*;
    use crate::domain::{
        names::PolicyName,
        policy::{Body, PolicyKey, Spec},
    };

    fn policy(name: &str, canonical: &str) -> Policy {
        Policy {
            key: PolicyKey {
                ns: NsName::parse("shop").ok(),
                kind: PolicyKind::NetworkPolicy,
                name: PolicyName::parse(name).expect("a name"),
            },
            body: Arc::new(Body {
                spec: Spec::Opaque,
                canonical: canonical.into(),
                opens: Vec::new(),
                network: None,
            }),
            version: None,
            marks: Arc::default(),
        }
    }

    /// `name bytes`, a line each; the nth stands since that many minutes past nine.
    fn staged(lines: &str) -> StagedSet {
        let all = lines.lines().enumerate().filter_map(|(nth, line)| {
            let (name, canonical) = line.trim().split_once(' ')?;
            let policy = policy(name, canonical.trim_end_matches(" deletes"));
            let minute = u32::try_from(nth).expect("few");
            let created = Utc.with_ymd_and_hms(2026, 3, 2, 9, minute, 0).single();
            let staged = Staged { policy, deletes: canonical.ends_with(" deletes"), created };
            Some((staged.policy.pinned()?.name, staged))
        });
        all.collect()
    }

    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| format!("{} {}", step.verb(), step.pinned().name)).collect()
    }

    #[test]
    fn what_changes_goes_and_is_created_anew_and_the_rest_stands() {
        let wanted = set(&staged("default-deny-egress a\negress-allowlist b\negress-baseline-allow c"));
        let check = |have: &str, expected: &[&str]| {
            assert_eq!(words(&steps(&staged(have), &wanted, Direction::Egress)), expected, "{have}");
        };
        check("", &["stage egress-baseline-allow", "stage egress-allowlist", "stage default-deny-egress"]);
        check("default-deny-egress a\negress-allowlist b\negress-baseline-allow c", &[]);
        check(
            "default-deny-egress a\negress-allowlist x\negress-baseline-allow c",
            &["unstage egress-allowlist", "stage egress-allowlist"],
        );
        check(
            "default-deny-egress a deletes\negress-allowlist b\negress-baseline-allow c",
            &["unstage default-deny-egress", "stage default-deny-egress"],
        );
        let nothing = steps(&staged("egress-allowlist b"), &Set::new(), Direction::Egress);
        assert_eq!(words(&nothing), ["unstage egress-allowlist"]);
    }

    #[test]
    fn it_stands_since_the_newest_of_its_objects() {
        let mut all = staged("default-deny-egress a\negress-allowlist b");
        assert_eq!(since(&all), Utc.with_ymd_and_hms(2026, 3, 2, 9, 1, 0).single());
        if let Some(one) = all.get_mut("egress-allowlist") {
            one.created = None;
        }
        assert_eq!(since(&all), None, "one that does not say when makes all of it unknown");
    }

    #[test]
    fn by_hand_the_whole_set_is_named() {
        let ns = NsName::parse("shop").expect("a name");
        assert_eq!(
            removal_command("prod eu", &ns, Direction::Ingress),
            "kubectl --context 'prod eu' delete stagedkubernetesnetworkpolicies.projectcalico.org \
             default-deny-ingress ingress-allowlist -n shop --ignore-not-found"
        );
    }
}
