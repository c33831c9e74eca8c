//! Check of the person's own rights: which roles they could work in here. Those of probes are asked for
//! only where sluice.yaml has probes on. Which rights a role has: `assets/crds/roles-target.yaml`. Pure.

use super::{
    check::{Check, CheckId as Id, Evidence},
    reading::{Known, Object, Reading, Right},
};

/// What each role needs in a cluster (product: who uses it).
const ROLES: [(&str, &[(&str, &str)]); 4] = [
    ("viewer", &[("list", NP), ("list", "pods"), ("list", "namespaces")]),
    ("on-call", &[("patch", NP), ("delete", NP)]),
    ("rollout lead", &[("create", NP), ("patch", NP), ("delete", NP)]),
    ("collector", &[("list", "pods"), ("create", "pods/portforward")]),
];

/// Where the pods stand that print flow records: `assets/printers`.
const PRINTERS: &str = "sluice-printers";

const NP: &str = "networkpolicies.networking.k8s.io";

/// Everything that is asked for in every cluster: verb and `plural.group`.
pub const ASKED: [(&str, &str); 8] = [
    ("list", NP),
    ("create", NP),
    ("patch", NP),
    ("delete", NP),
    ("list", "pods"),
    ("list", "namespaces"),
    ("create", "pods/portforward"),
    ("get", "pods/log"),
];

/// What probes need, in each namespace of the rollout: whoever may create pods in all of them, or in
/// each by a binding of its own.
pub const PROBES: [(&str, &str); 3] = [("get", "pods"), ("create", "pods"), ("delete", "pods")];

/// Where a right is asked for; empty: in all namespaces. Relays and agents run in kube-system.
pub fn right_ns(what: &str) -> &'static str {
    match what {
        // Pods that print records read folders of their hosts, which the collector's namespace forbids.
        "pods/log" => PRINTERS,
        _ if what.starts_with("pods/") => "kube-system",
        _ => "",
    }
}

/// Do these answers leave it to the single namespaces whether probes may run?
pub fn asks_namespaces(rights: &[Right]) -> bool {
    of_probes(rights).any(|right| right.ns.is_empty() && right.allowed == Some(false))
}

fn of_probes(rights: &[Right]) -> impl Iterator<Item = &Right> {
    rights.iter().filter(|right| PROBES.contains(&(right.verb, right.what)))
}

/// One right, or all of a role: allowed, or not, or not known.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut sum = Some(true);
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            None => sum = None,
            Some(true) => {}
        }
    }
    sum
}

pub fn check(reading: &Reading) -> Check {
    let rights = match &reading.rights {
        Known::Unknown(_) => return Check::unread(Id::Rights, "your own rights", &reading.rights),
        Known::Read(rights) => rights,
    };
    let allowed = |verb: &str, what: &str| {
        rights.iter().find(|right| right.verb == verb && right.what == what).and_then(|right| right.allowed)
    };
    let with = |wanted: Option<bool>| {
        let role = |needs: &[(&str, &str)]| all(needs.iter().map(|(verb, what)| allowed(verb, what)));
        let names = ROLES.iter().filter(|(_, needs)| role(needs) == wanted).map(|(name, _)| *name);
        names
            .chain((reading.said.probes.is_some() && probes(rights) == wanted).then_some("probes"))
            .collect::<Vec<_>>()
    };
    let (lacking, unsure) = (with(Some(false)), with(None));
    // Logs are nobody's need where nobody prints. What is missing goes first: of many, the last are counted.
    let has_printers = super::flows::printers(reading).next().is_some();
    let mut sorted: Vec<&Right> =
        rights.iter().filter(|right| has_printers || right.what != "pods/log").collect();
    sorted.sort_by_key(|right| match right.allowed {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    });
    let seen = sorted.into_iter().map(evidence);
    if !lacking.is_empty() {
        let mut commands = vec!["kubectl auth can-i --list -A".to_owned()];
        // Which namespaces lack them stands in the evidence.
        commands.extend(lacking.contains(&"probes").then(|| bind("NAMESPACE", "sluice-target-probe")));
        let has = with(Some(true));
        let has = if has.is_empty() { "no role".to_owned() } else { has.join(", ") };
        let words = format!("You have the rights of: {has}; not of: {}.", lacking.join(", "));
        return Check::fail(Id::Rights, words).seen(seen).fixed(
            "If you work in one of these, ask the cluster's admin to bind it (assets/crds/roles-target.yaml).",
            &commands,
        );
    }
    if has_printers && allowed("get", "pods/log") == Some(false) {
        let words = "You may not read the logs of the pods that print flow records.";
        return Check::fail(Id::Rights, words).seen(seen).fixed(
            "Ask the cluster's admin for get on pods/log there.",
            &[bind(PRINTERS, "sluice-target-watch")],
        );
    }
    if !unsure.is_empty() {
        return Check::unknown(
            Id::Rights,
            format!("Some rights could not be asked for: {}.", unsure.join(", ")),
        )
        .seen(seen)
        .fixed("Try again.", &[]);
    }
    let of_probes = match reading.said.probes {
        Some(_) => ", those of probes among them",
        None => "; probes are not on here (`probes:` in sluice.yaml), so theirs were not asked for",
    };
    Check::pass(Id::Rights, format!("You have the rights of every role in this cluster{of_probes}."))
        .seen(seen)
}

fn bind(ns: &str, role: &str) -> String {
    format!("kubectl -n {ns} create rolebinding {role} --clusterrole={role} --user=YOU")
}

/// In all namespaces, or in each of the rollout that there is.
fn probes(rights: &[Right]) -> Option<bool> {
    let single = || of_probes(rights).filter(|right| !right.ns.is_empty());
    match all(of_probes(rights).filter(|right| right.ns.is_empty()).map(|right| right.allowed)) {
        Some(false) if single().next().is_some() => all(single().map(|right| right.allowed)),
        everywhere => everywhere,
    }
}

fn evidence(right: &Right) -> Evidence {
    let ns = if right.ns.is_empty() { right_ns(right.what) } else { right.ns.as_str() };
    let you = match ns {
        "" => Object::new("you", "", "in all namespaces"),
        ns => Object::new("you", "", &format!("in {ns}")),
    };
    let value = match right.allowed {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not known",
    };
    Evidence::new(&you, &format!("{} {}", right.verb, right.what), value)
}
