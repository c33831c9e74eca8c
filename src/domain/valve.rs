//! The order of writes that keeps law 1: no stop, crash or refusal on the way leaves a namespace
//! more closed than it was, save by the last, single tightening write. The default-deny object is
//! the valve. This file decides the steps; `k8s::write` obeys them.

use std::fmt::Display;

use super::{
    few::Few,
    fleet::Namespace,
    flow::Direction,
    policy::{Pinned, Policy, PolicyKind, Role, Rule, Spec},
};

/// One write, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write the pinned policy with one rule that allows everything. Of the valve: traffic flows
    /// from here on. Of an allow that is not there yet: a draft that isolates nobody, so that no
    /// creation can close anything, even one that lands late, after a rollback.
    Open(&'static Pinned),
    /// Write the pinned policy as the workspace has it.
    Put(&'static Pinned),
    /// Write the pinned policy with what is live and what is wanted together, before [`Step::Put`]
    /// takes away what is no longer wanted.
    Widen(&'static Pinned),
    /// Write the valve as the workspace has it: the last, single write that closes.
    Tighten(&'static Pinned),
    /// Delete the pinned policy.
    Delete(&'static Pinned),
    /// Write the pinned policy's bytes in the form that is judged by and never enforced
    /// (`domain::shadow`).
    Stage(&'static Pinned),
    /// Delete that form of it. It isolates nobody, whether it goes or stays.
    Unstage(&'static Pinned),
}

impl Step {
    pub fn pinned(&self) -> &'static Pinned {
        match self {
            Self::Open(p)
            | Self::Put(p)
            | Self::Widen(p)
            | Self::Tighten(p)
            | Self::Delete(p)
            | Self::Stage(p)
            | Self::Unstage(p) => p,
        }
    }

    pub fn verb(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Put(_) => "put",
            Self::Widen(_) => "widen",
            Self::Tighten(_) => "tighten",
            Self::Delete(_) => "delete",
            Self::Stage(_) => "stage",
            Self::Unstage(_) => "unstage",
        }
    }
}

/// The pinned policies of one direction, live or wanted.
pub type Set = Few<&'static str, Policy>;

/// The pinned policies of one direction that are live in a namespace.
pub fn live_set(ns: &Namespace, direction: Direction) -> Set {
    Pinned::of(direction).filter_map(|p| Some((p.name, ns.pinned(p)?.clone()))).collect()
}

/// The steps from what is live to what is wanted. Empty when nothing differs.
///
/// Behind a closed valve a set of which nothing is missing is updated in place: what widens goes
/// before what narrows. Anything else is a first apply: open, allows, tighten. There, what creates an
/// object creates it open; what may close carries the version it was meant for.
pub fn apply_steps(live: &Set, wanted: &Set, direction: Direction) -> Vec<Step> {
    if same(live, wanted) {
        return Vec::new();
    }
    let valve = Pinned::valve(direction);
    if is_closed(live, direction) && can_update(live, wanted, direction) {
        return update_steps(live, wanted, direction);
    }
    let mut steps = vec![Step::Open(valve)];
    let allows = Pinned::of(direction).filter(|p| p.role != Role::Valve);
    for pinned in allows {
        match (live.get(pinned.name), wanted.get(pinned.name)) {
            (Some(have), Some(want)) if have.canonical == want.canonical => {}
            (Some(_), Some(_)) => steps.push(Step::Put(pinned)),
            (None, Some(_)) => steps.extend([Step::Open(pinned), Step::Put(pinned)]),
            (Some(_), None) => steps.push(Step::Delete(pinned)),
            (None, None) => {}
        }
    }
    steps.push(Step::Tighten(valve));
    steps
}

/// What may be committed together now where a tool applies files from git, in whatever order it
/// likes. Committed, synced and asked again until it is empty, it keeps law 1: behind an open valve no
/// order of allows closes anything.
pub fn commit_steps(live: &Set, wanted: &Set, direction: Direction) -> Vec<Step> {
    if same(live, wanted) {
        return Vec::new();
    }
    if is_closed(live, direction) && can_update(live, wanted, direction) {
        let (widening, narrowing) = update_parts(live, wanted, direction);
        return if widening.is_empty() { narrowing } else { widening };
    }
    let valve = Pinned::valve(direction);
    if !live.get(valve.name).is_some_and(|valve| valve.is_open(direction)) {
        return vec![Step::Open(valve)];
    }
    let allows = Pinned::of(direction).filter(|p| p.role != Role::Valve);
    let steps: Vec<_> = allows
        .filter_map(|pinned| match (live.get(pinned.name), wanted.get(pinned.name)) {
            (Some(have), Some(want)) if have.canonical == want.canonical => None,
            (_, Some(_)) => Some(Step::Put(pinned)),
            (Some(_), None) => Some(Step::Delete(pinned)),
            (None, None) => None,
        })
        .collect();
    if steps.is_empty() { vec![Step::Tighten(valve)] } else { steps }
}

/// The steps that take a direction back: open the valve, delete the allows, last the valve.
/// Objects that are not live are left out; without a valve there is nothing to open with, and
/// creating one is left to the performer, which may lack the right.
pub fn rollback_steps(live: &Set, direction: Direction) -> Vec<Step> {
    let valve = Pinned::valve(direction);
    let mut steps = Vec::new();
    if live.is_empty() {
        return steps;
    }
    steps.push(Step::Open(valve));
    let allows = Pinned::of(direction).filter(|p| p.role != Role::Valve && live.contains_key(p.name));
    steps.extend(allows.map(Step::Delete));
    steps.push(Step::Delete(valve));
    steps
}

fn same(live: &Set, wanted: &Set) -> bool {
    live.len() == wanted.len()
        && wanted
            .iter()
            .all(|(name, want)| live.get(name).is_some_and(|have| have.canonical == want.canonical))
}

/// The valve is there and lets nothing through of its own.
fn is_closed(live: &Set, direction: Direction) -> bool {
    let valve = live.get(Pinned::valve(direction).name);
    valve.and_then(|v| v.rules(direction)).is_some_and(<[Rule]>::is_empty)
}

/// In place only where each change is a change of rules of this direction: the same pods, and a
/// spec that we understand on both sides. What is missing is no change: creating it carries no version,
/// so it could land after somebody took the valve away, and isolate on its own.
fn can_update(live: &Set, wanted: &Set, direction: Direction) -> bool {
    wanted.iter().all(|(name, want)| match live.get(name) {
        None => false,
        Some(have) => have.canonical == want.canonical || only_rules_differ(have, want, direction),
    })
}

fn only_rules_differ(have: &Policy, want: &Policy, direction: Direction) -> bool {
    let (
        Spec::Network { selector: a, egress: ae, ingress: ai },
        Spec::Network { selector: b, egress: be, ingress: bi },
    ) = (&have.spec, &want.spec)
    else {
        return false;
    };
    let other_same = match direction {
        Direction::Egress => ai == bi,
        Direction::Ingress => ae == be,
    };
    a == b && other_same && have.rules(direction).is_some() && want.rules(direction).is_some()
}

fn update_steps(live: &Set, wanted: &Set, direction: Direction) -> Vec<Step> {
    let (widening, narrowing) = update_parts(live, wanted, direction);
    widening.into_iter().chain(narrowing).collect()
}

/// What widens, and what narrows.
fn update_parts(live: &Set, wanted: &Set, direction: Direction) -> (Vec<Step>, Vec<Step>) {
    let (mut widening, mut narrowing) = (Vec::new(), Vec::new());
    for pinned in Pinned::of(direction) {
        match (live.get(pinned.name), wanted.get(pinned.name)) {
            (Some(have), Some(want)) if have.canonical == want.canonical => {}
            (Some(have), Some(want)) => match (adds(have, want, direction), adds(want, have, direction)) {
                (_, false) => widening.push(Step::Put(pinned)),
                (false, true) => narrowing.push(Step::Put(pinned)),
                (true, true) => {
                    widening.push(Step::Widen(pinned));
                    narrowing.push(Step::Put(pinned));
                }
            },
            (Some(_), None) => narrowing.push(Step::Delete(pinned)),
            // Nothing is missing where a set is updated in place.
            (None, Some(_) | None) => {}
        }
    }
    (widening, narrowing)
}

/// Does `to` hold a rule that `from` has not?
fn adds(from: &Policy, to: &Policy, direction: Direction) -> bool {
    let from = from.rules(direction).unwrap_or_default();
    to.rules(direction).unwrap_or_default().iter().any(|rule| !from.contains(rule))
}

/// What `Step::Widen` writes: the wanted policy with the live rules it lacks put behind its own.
pub fn widened(live: &Policy, wanted: &Policy, direction: Direction) -> Vec<Rule> {
    let mut rules = wanted.rules(direction).unwrap_or_default().to_vec();
    for rule in live.rules(direction).unwrap_or_default() {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}

/// What takes a direction back by hand, in the order of [`rollback_steps`]: open, then the whole set, the
/// valve last. So whatever stops them half-way, nothing is more closed than before.
pub fn by_hand(context: &str, ns: impl Display, direction: Direction, with_fqdn: bool) -> Vec<String> {
    let mut out = vec![open_command(context, &ns, direction)];
    if with_fqdn {
        out.extend(fqdn_deletions(context, &ns, direction));
    }
    let set = Pinned::of(direction).filter(|p| p.kind == PolicyKind::NetworkPolicy);
    let allows = set.filter(|p| p.role != Role::Valve).map(|p| p.name);
    let valve_last = allows.chain([Pinned::valve(direction).name]);
    out.push(deletion(context, &ns, PolicyKind::NetworkPolicy, valve_last));
    out
}

fn fqdn_deletions(context: &str, ns: &impl Display, direction: Direction) -> impl Iterator<Item = String> {
    let all = Pinned::of(direction).filter(|p| p.role == Role::Fqdn);
    all.map(move |p| deletion(context, ns, p.kind, [p.name].into_iter()))
}

fn deletion(
    context: &str,
    ns: &impl Display,
    kind: PolicyKind,
    names: impl Iterator<Item = &'static str>,
) -> String {
    let (context, names) = (shell_word(context), names.collect::<Vec<_>>().join(" "));
    format!("kubectl --context {context} delete {} {names} -n {ns} --ignore-not-found", kind.resource())
}

/// The one write by hand that restores traffic at once: the valve, opened. It fails where the valve is
/// not there; then the deletions are the way.
pub fn open_command(context: &str, ns: impl Display, direction: Direction) -> String {
    format!(
        "kubectl --context {} patch networkpolicy {} -n {ns} --type=merge -p '{{\"spec\":{{\"{direction}\":[{{}}]}}}}'",
        shell_word(context),
        Pinned::valve(direction).name
    )
}

/// A word as a POSIX shell takes it literally.
pub fn shell_word(raw: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=,+".contains(c);
    if !raw.is_empty() && raw.chars().all(plain) {
        raw.to_owned()
    } else {
        format!("'{}'", raw.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{
        names::{NsName, PolicyName},
        policy::{Body, PolicyKey, Selector},
    };

    /// `name: rule rule`, one policy a line; rules are opaque words, `*` allows everything.
    fn set(lines: &str) -> Set {
        lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(policy).collect()
    }

    fn policy(line: &str) -> (&'static str, Policy) {
        let (name, rules) = line.split_once(':').expect("name: rules");
        let pinned = Pinned::find(PolicyKind::NetworkPolicy, name).expect("a pinned name");
        let rules: Vec<_> = rules
            .split_whitespace()
            .map(|rule| if rule == "*" { Rule::everything() } else { Rule(rule.into()) })
            .collect();
        let spec =
            Spec::Network { selector: Selector::default(), egress: Some(rules.clone()), ingress: None };
        let policy = Policy {
            key: PolicyKey { ns: None, kind: pinned.kind, name: PolicyName::parse(name).expect("valid") },
            body: Arc::new(Body {
                spec,
                canonical: format!("{rules:?}").into(),
                opens: Vec::new(),
                network: None,
            }),
            version: None,
            marks: Arc::default(),
        };
        (pinned.name, policy)
    }

    fn words(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| format!("{} {}", step.verb(), step.pinned().name)).collect()
    }

    fn check(live: &str, wanted: &str, expected: &[&str]) {
        assert_eq!(words(&apply_steps(&set(live), &set(wanted), Direction::Egress)), expected);
    }

    const FULL: &str = "default-deny-egress:\negress-baseline-allow: dns\negress-allowlist: a b";

    #[test]
    fn a_first_apply_opens_first_and_tightens_last() {
        let first = [
            "open default-deny-egress",
            "open egress-baseline-allow",
            "put egress-baseline-allow",
            "open egress-allowlist",
            "put egress-allowlist",
            "tighten default-deny-egress",
        ];
        check("", FULL, &first);
    }

    #[test]
    fn an_apply_that_stopped_half_way_goes_on_from_the_open_valve() {
        let rest = [
            "open default-deny-egress",
            "open egress-allowlist",
            "put egress-allowlist",
            "tighten default-deny-egress",
        ];
        check("default-deny-egress: *\negress-baseline-allow: dns", FULL, &rest);
    }

    #[test]
    fn allows_without_a_valve_isolate_already_so_the_valve_opens_first() {
        let all = ["open default-deny-egress", "tighten default-deny-egress"];
        check("egress-baseline-allow: dns\negress-allowlist: a b", FULL, &all);
    }

    #[test]
    fn an_update_widens_before_it_narrows() {
        check(FULL, FULL, &[]);
        check(
            FULL,
            "default-deny-egress:\negress-baseline-allow: dns\negress-allowlist: a b c",
            &["put egress-allowlist"],
        );
        // `b` moves from one object to the other: it is never missing from both.
        let moved = "default-deny-egress:\negress-baseline-allow: dns b\negress-allowlist: a";
        check(FULL, moved, &["put egress-baseline-allow", "put egress-allowlist"]);
        let swapped = "default-deny-egress:\negress-baseline-allow: dns\negress-allowlist: a c";
        check(FULL, swapped, &["widen egress-allowlist", "put egress-allowlist"]);
    }

    #[test]
    fn a_missing_allow_is_put_back_behind_an_open_valve() {
        let repair = [
            "open default-deny-egress",
            "open egress-baseline-allow",
            "put egress-baseline-allow",
            "tighten default-deny-egress",
        ];
        check("default-deny-egress:\negress-allowlist: a b", FULL, &repair);
    }

    #[test]
    fn from_git_each_commit_is_safe_in_whatever_order_its_files_are_applied() {
        let next =
            |live: &str, wanted: &str| words(&commit_steps(&set(live), &set(wanted), Direction::Egress));
        assert_eq!(next("", FULL), ["open default-deny-egress"]);
        assert_eq!(
            next("default-deny-egress: *", FULL),
            ["put egress-baseline-allow", "put egress-allowlist"]
        );
        let open = "default-deny-egress: *\negress-baseline-allow: dns\negress-allowlist: a b";
        assert_eq!(next(open, FULL), ["tighten default-deny-egress"]);
        assert_eq!(next(FULL, FULL), Vec::<String>::new());
        let swapped = "default-deny-egress:\negress-baseline-allow: dns\negress-allowlist: a c";
        assert_eq!(next(FULL, swapped), ["widen egress-allowlist"]);
        let wide = "default-deny-egress:\negress-baseline-allow: dns\negress-allowlist: a c b";
        assert_eq!(next(wide, swapped), ["put egress-allowlist"]);
        assert_eq!(next("egress-allowlist: a b", FULL), ["open default-deny-egress"]);
        assert_eq!(next("default-deny-egress:\negress-allowlist: a b", FULL), ["open default-deny-egress"]);
    }

    #[test]
    fn a_rollback_opens_first_and_deletes_the_valve_last() {
        let expected = [
            "open default-deny-egress",
            "delete egress-baseline-allow",
            "delete egress-allowlist",
            "delete default-deny-egress",
        ];
        assert_eq!(words(&rollback_steps(&set(FULL), Direction::Egress)), expected);
        assert!(rollback_steps(&Set::new(), Direction::Egress).is_empty());
    }

    #[test]
    fn commands_by_hand_name_the_whole_set() {
        let ns = NsName::parse("shop").expect("valid");
        assert_eq!(
            by_hand("prod-eu", &ns, Direction::Egress, true),
            [
                r#"kubectl --context prod-eu patch networkpolicy default-deny-egress -n shop --type=merge -p '{"spec":{"egress":[{}]}}'"#,
                "kubectl --context prod-eu delete ciliumnetworkpolicy egress-allowlist-fqdn -n shop --ignore-not-found",
                "kubectl --context prod-eu delete networkpolicy egress-baseline-allow egress-allowlist default-deny-egress -n shop --ignore-not-found",
            ]
        );
        assert_eq!(
            by_hand("prod eu", &ns, Direction::Ingress, false),
            [
                r#"kubectl --context 'prod eu' patch networkpolicy default-deny-ingress -n shop --type=merge -p '{"spec":{"ingress":[{}]}}'"#,
                "kubectl --context 'prod eu' delete networkpolicy ingress-allowlist default-deny-ingress -n shop --ignore-not-found",
            ]
        );
    }
}
