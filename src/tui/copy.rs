//! What is copied: a denial as a message that its owner can act on, rows as lines, actions as the
//! commands a person would type. Pure text from the world.

use chrono::FixedOffset;

use crate::{
    cockpit::{
        orders::{Answer, Entry, Target},
        rows,
        world::World,
    },
    domain::{
        denial::{Class, Group, GroupKey},
        flow::Direction,
        names::ClusterName,
        policy::PolicyKind,
        shadow,
        time::Timestamp,
        valve,
    },
};

use super::widgets::{plural, rate};

/// The context of a cluster, as kubectl takes it.
pub fn context(world: &World, cluster: &ClusterName) -> String {
    let entry = world.plan().clusters.iter().find(|entry| entry.name == *cluster);
    entry.map_or_else(|| cluster.to_string(), |entry| entry.context.to_string())
}

/// What a person would type to take a row back: the runbook's commands.
pub fn rollback_commands(world: &World, target: &Target) -> Vec<String> {
    let fqdn =
        world.cluster(&target.cluster).is_some_and(|c| c.kinds.contains(&PolicyKind::CiliumNetworkPolicy));
    let context = context(world, &target.cluster);
    let mut out = valve::by_hand(&context, &target.ns, target.direction, fqdn);
    let ns = world.namespace(&target.cluster, &target.ns);
    let staged = ns.is_some_and(|ns| ns.is_staged(target.direction));
    out.extend(staged.then(|| shadow::removal_command(&context, &target.ns, target.direction)));
    out
}

/// The row that a group of denials belongs to.
pub fn target_of(key: &GroupKey) -> Target {
    Target { cluster: key.cluster.clone(), ns: key.ns.clone(), direction: key.direction }
}

/// `api.stripe.com:443/TCP`, or without a port where there is none, or none was told.
pub fn peer(key: &GroupKey) -> String {
    key.peer_words()
}

/// `checkout`, or what is known where no workload was named.
pub fn workload(key: &GroupKey) -> String {
    key.workload.as_ref().map_or_else(|| "unknown workload".to_owned(), ToString::to_string)
}

/// Who did what to whom, from the judged pod's side.
pub fn headline(group: &Group) -> String {
    let key = &group.key;
    let who = format!("{}/{} {}", key.cluster, key.ns, workload(key));
    let may = if group.class == Class::Would { "could" } else { "may" };
    match key.direction {
        Direction::Egress => format!("{who} {may} not reach {} (egress)", peer(key)),
        Direction::Ingress => format!("{who} {may} not be reached by {} (ingress)", peer(key)),
    }
}

/// A denial as a message, ready to be sent to the owner.
pub fn denial(world: &World, group: &Group) -> String {
    let zone = world.zone();
    let target = target_of(&group.key);
    let now = rows::group_rate(world, group, world.now());
    let begins = match group.class {
        Class::Would => "Would be denied by network policy once it is enforced",
        Class::Hurting | Class::Unattributed | Class::StartUp | Class::Noisy(_) | Class::Expected => {
            "Denied by network policy"
        }
    };
    let mut out = vec![
        format!("{begins}: {}", headline(group)),
        format!("{}, {}, {} a minute now", group.class.word(), times(group.count), rate(now)),
        format!("first {}, last {}", moment(group.first, zone), moment(group.last, zone)),
        format!("the data plane said {}{}{}", group.said, on_node(group), at_address(group)),
        format!("pods: {}", pods(group)),
    ];
    if let Some(ns) = world.namespace(&group.key.cluster, &group.key.ns) {
        let (owner, contact) = rows::owner(world, ns);
        let contact = contact.map_or_else(String::new, |contact| format!(", {contact}"));
        out.push(match owner {
            Some(owner) => format!("owner: {owner}{contact}"),
            None => format!("owner: unknown{contact}"),
        });
    }
    out.push(String::new());
    out.push(format!(
        "To take the {} policies of {} back (open first, then all of them: each one isolates):",
        target.direction, target.ns
    ));
    out.extend(rollback_commands(world, &target).into_iter().map(|command| format!("  {command}")));
    out.join("\n")
}

/// `1 time`, `40 times`.
pub fn times(count: u64) -> String {
    plural(usize::try_from(count).unwrap_or(usize::MAX), "time")
}

fn on_node(group: &Group) -> String {
    group.node.as_ref().map_or_else(String::new, |node| format!(" on node {node}"))
}

fn at_address(group: &Group) -> String {
    group.address.map_or_else(String::new, |address| format!("; the peer's address was {address}"))
}

/// The pods of a group in one line.
pub fn pods(group: &Group) -> String {
    if group.pods.is_empty() {
        return "not named by the source".to_owned();
    }
    let names: Vec<_> = group.pods.keys().map(ToString::to_string).collect();
    format!("{}{}", names.join(", "), if group.more_pods { " and more" } else { "" })
}

/// Date, time and zone.
pub fn moment(at: Timestamp, zone: FixedOffset) -> String {
    format!("{} {zone}", at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S"))
}

/// How a call was answered, in words.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Done { version: Some(version) } => format!("done, now version {version}"),
        Answer::Done { version: None } => "done".to_owned(),
        Answer::Unchanged => "nothing to do: it was so already".to_owned(),
        Answer::Refused(trouble) => format!("refused: {trouble}"),
        Answer::Unsettled(trouble) => format!("no answer, it may have landed: {trouble}"),
    }
}

/// One word for a column.
pub fn answer_word(answer: &Answer) -> &'static str {
    match answer {
        Answer::Done { .. } => "done",
        Answer::Unchanged => "unchanged",
        Answer::Refused(_) => "refused",
        Answer::Unsettled(_) => "no answer",
    }
}

/// A call with everything that is known of it.
pub fn call(world: &World, entry: &Entry) -> String {
    format!(
        "{} {} {} {}\n{}\n{}",
        moment(entry.at, world.zone()),
        entry.receipt.order,
        entry.receipt.target,
        entry.receipt.step.verb(),
        entry.receipt.command,
        answer(&entry.receipt.result)
    )
}
