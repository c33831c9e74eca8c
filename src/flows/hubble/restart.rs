//! What nodes forgot while nobody read them, because the program was not running. Pure: their lists
//! and their oldest events in, gaps out.

use chrono::TimeDelta;

use crate::{
    cockpit::ports::Gap,
    domain::{evidence::Cause, names::Text, time::Timestamp},
    pb::observer::Node as Listed,
};

use super::decode::{Node, node_of};

const WHY: &str = "the collector was not running, and the node's history does not reach back so far";

/// When reading stopped, and the time now.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    pub at: Timestamp,
    pub now: Timestamp,
}

/// Gaps since it stopped. A node whose oldest event is older has all of it; so has one whose ring was
/// never full and that runs for longer.
pub fn missed(
    listed: &[Listed],
    oldest: &[(Node, Timestamp)],
    Stopped { at: stopped, now }: Stopped,
) -> Vec<Gap> {
    let of = |node: &Node| oldest.iter().filter(|(old, _)| old.name == node.name).map(|(_, at)| *at).min();
    let gap = |node: Option<&Node>, until: Timestamp| Gap {
        node: node.map(|node| node.name.clone()),
        from: stopped,
        until: Some(until.max(stopped)),
        lost: None,
        cause: Cause::ObserverGone,
        why: Text::new(WHY),
    };
    if listed.is_empty() {
        // An agent on its own, or an old relay: its nodes are those that spoke.
        let late = oldest.iter().filter(|(_, at)| *at > stopped);
        return late.map(|(node, at)| gap(Some(node), *at)).collect();
    }
    let mut gaps = Vec::new();
    for listed in listed {
        let Some(node) = node_of(&listed.name) else { continue };
        let oldest = of(&node).unwrap_or(now);
        if oldest > stopped && !holds_all(listed, stopped, now) {
            gaps.push(gap(Some(&node), oldest));
        }
    }
    gaps
}

/// Its ring has not turned over, and it ran all the time.
fn holds_all(listed: &Listed, stopped: Timestamp, now: Timestamp) -> bool {
    let uptime = TimeDelta::nanoseconds(i64::try_from(listed.uptime_ns).unwrap_or(i64::MAX));
    let began = now.checked_sub_signed(uptime).unwrap_or_default();
    listed.num_flows < listed.max_flows && listed.seen_flows == listed.num_flows && began <= stopped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_forgot_is_a_gap_up_to_what_it_remembers() {
        let at = |secs: i64| Timestamp::from_timestamp(1_000_000 + secs, 0).expect("in range");
        let node = |name: &str| node_of(name).expect("a node");
        let listed = |name: &str, num, up: u64| Listed {
            name: name.to_owned(),
            num_flows: num,
            max_flows: 4_095,
            seen_flows: num,
            uptime_ns: up * 1_000_000_000,
            ..Listed::default()
        };
        let nodes = [
            listed("a", 4_095, 9_000),
            listed("b", 4_095, 9_000),
            listed("c", 10, 9_000),
            listed("d", 10, 5),
        ];
        let oldest = [(node("a"), at(-10)), (node("b"), at(60)), (node("c"), at(60)), (node("d"), at(90))];
        let said = |gaps: Vec<Gap>| -> Vec<_> {
            let secs = |gap: &Gap| gap.until.map(|until| (until - gap.from).num_seconds());
            gaps.iter().map(|gap| (gap.node.as_ref().map(ToString::to_string), secs(gap))).collect()
        };
        let stopped = Stopped { at: at(0), now: at(100) };
        assert_eq!(
            said(missed(&nodes, &oldest, stopped)),
            [(Some("b".to_owned()), Some(60)), (Some("d".to_owned()), Some(90))]
        );
        assert_eq!(said(missed(&nodes[..1], &[], stopped)), [(Some("a".to_owned()), Some(100))]);
        assert_eq!(said(missed(&[], &oldest[1..2], stopped)), [(Some("b".to_owned()), Some(60))]);
    }
}
