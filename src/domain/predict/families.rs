//! Pods that turn between open and isolated, IPv4 and IPv6 apart: the headline of a change. Pure.

use std::collections::{HashMap, HashSet};

use crate::domain::eval::{
    cluster::Pod,
    isolation::{Isolation, Turned},
};

/// How many pods go which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// From open to isolated.
    pub isolated: Count,
    /// From isolated to open.
    pub opened: Count,
    /// Of which the one or the other is not known.
    pub unknown: usize,
}

/// Pods, and those of them that have an address of a family. A pod of both counts in both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub pods: usize,
    pub v4: usize,
    pub v6: usize,
    /// Pods of which no address is known.
    pub unsaid: usize,
}

/// Leaves out pods that are not there: those that are finished, and those that stand in for ones to come.
pub fn retain_running(pods: &[Pod], turned: &mut Vec<Turned>) {
    let running: HashSet<_> =
        pods.iter().filter(|pod| !pod.finished).map(|pod| (&pod.ns, &pod.name)).collect();
    turned.retain(|one| running.contains(&(&one.ns, &one.pod)));
}

pub fn closing(pods: &[Pod], turned: &[Turned]) -> Closing {
    let addresses: HashMap<_, _> = pods.iter().map(|pod| ((&pod.ns, &pod.name), &pod.addresses)).collect();
    let mut out = Closing::default();
    for one in turned {
        let count = match (one.before, one.after) {
            (Some(Isolation::Open), Some(Isolation::Isolated)) => &mut out.isolated,
            (Some(Isolation::Isolated), Some(Isolation::Open)) => &mut out.opened,
            (Some(Isolation::Unknown), _) | (_, Some(Isolation::Unknown)) => {
                out.unknown += 1;
                continue;
            }
            _ => continue,
        };
        let known = addresses.get(&(&one.ns, &one.pod)).map_or(&[][..], |all| all.as_slice());
        count.pods += 1;
        count.v4 += usize::from(known.iter().any(|address| address.to_canonical().is_ipv4()));
        count.v6 += usize::from(known.iter().any(|address| address.to_canonical().is_ipv6()));
        count.unsaid += usize::from(known.is_empty());
    }
    out
}

impl Closing {
    /// `3 pods go from open to isolated (IPv4 3, IPv6 1)`; one line a way, never empty.
    pub fn words(&self) -> Vec<String> {
        let mut out = Vec::new();
        let ways = [(self.isolated, "open to isolated"), (self.opened, "isolated to open")];
        out.extend(ways.iter().filter(|(count, _)| count.pods > 0).map(|(count, way)| {
            let (many, go) = (pods(count.pods), if count.pods == 1 { "goes" } else { "go" });
            let unsaid = match count.unsaid {
                0 => String::new(),
                some => format!(", no address known of {some}"),
            };
            format!("{many} {go} from {way} (IPv4 {}, IPv6 {}{unsaid})", count.v4, count.v6)
        }));
        if self.unknown > 0 {
            out.push(format!("of {} it is not known whether they are isolated", pods(self.unknown)));
        }
        if out.is_empty() {
            out.push("no pod changes between open and isolated".to_owned());
        }
        out
    }
}

fn pods(count: usize) -> String {
    if count == 1 { "1 pod".to_owned() } else { format!("{count} pods") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        flow::Direction,
        names::{NsName, PodName},
        policy::Labels,
    };

    fn ns() -> NsName {
        NsName::parse("shop").expect("a name")
    }

    fn name(nth: usize) -> PodName {
        PodName::parse(&format!("cart-{nth}")).expect("a name")
    }

    fn pod(nth: usize, addresses: &[&str]) -> Pod {
        Pod {
            ns: ns(),
            name: name(nth),
            labels: Labels::default(),
            workload: None,
            addresses: addresses.iter().map(|raw| raw.parse().expect("an address")).collect(),
            node: None,
            host_network: false,
            finished: false,
            ports: None,
        }
    }

    #[test]
    fn each_family_is_counted_by_itself() {
        let pods = vec![pod(0, &["10.0.0.1"]), pod(1, &["10.0.0.2", "fd00::2"]), pod(2, &[]), pod(3, &[])];
        let turn = |nth, before, after| Turned {
            ns: ns(),
            pod: name(nth),
            direction: Direction::Egress,
            before: Some(before),
            after: Some(after),
        };
        use Isolation::{Isolated, Open, Unknown};
        let turned = [turn(0, Open, Isolated), turn(1, Open, Isolated), turn(2, Open, Isolated)];
        assert_eq!(
            closing(&pods, &turned).words(),
            ["3 pods go from open to isolated (IPv4 2, IPv6 1, no address known of 1)"]
        );
        let mut running = turned.to_vec();
        let mut over = pods.clone();
        over[1].finished = true;
        retain_running(&over[..2], &mut running);
        assert_eq!(running, turned[..1], "one is finished, one is not there");
        let turned = [turn(1, Isolated, Open), turn(3, Unknown, Isolated)];
        assert_eq!(
            closing(&pods, &turned).words(),
            [
                "1 pod goes from isolated to open (IPv4 1, IPv6 1)",
                "of 1 pod it is not known whether they are isolated"
            ]
        );
        assert_eq!(closing(&pods, &[]).words(), ["no pod changes between open and isolated"]);
    }
}
