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
