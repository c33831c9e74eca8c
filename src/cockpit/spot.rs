//! A place of the fleet as people write it on a command line: `east`, `east/shop`,
//! `east/shop/egress`. Alerts name one, and `sluice --open` goes there.

use std::fmt;

use crate::domain::{
    flow::Direction,
    names::{ClusterName, NsName},
    rollout::Target,
    valve::shell_word,
};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    pub cluster: ClusterName,
    pub ns: Option<NsName>,
    /// Only with a namespace.
    pub direction: Option<Direction>,
}

impl Spot {
    /// Names of clusters may hold slashes (`arn:aws:eks:…:cluster/east`): the longest name that the
    /// fleet knows is meant. Of a fleet that knows none of them, nothing is meant.
    pub fn find(raw: &str, is_known: impl Fn(&ClusterName) -> bool) -> Option<Self> {
        let parts: Vec<_> = raw.split('/').collect();
        (1..=parts.len()).rev().find_map(|end| {
            let cluster = ClusterName::parse(&parts[..end].join("/")).ok().filter(&is_known)?;
            let (ns, direction) = match parts[end..] {
                [] => (None, None),
                [ns] => (Some(NsName::parse(ns).ok()?), None),
                [ns, direction] => (Some(NsName::parse(ns).ok()?), Some(Direction::parse(direction)?)),
                _ => return None,
            };
            Some(Self { cluster, ns, direction })
        })
    }

    /// The command that opens the cockpit there.
    pub fn command(&self) -> String {
        format!("sluice --open {}", shell_word(&self.to_string()))
    }
}

impl From<&Target> for Spot {
    fn from(target: &Target) -> Self {
        Self {
            cluster: target.cluster.clone(),
            ns: Some(target.ns.clone()),
            direction: Some(target.direction),
        }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cluster)?;
        self.ns.iter().try_for_each(|ns| write!(f, "/{ns}"))?;
        self.direction.iter().try_for_each(|direction| write!(f, "/{direction}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_the_longest_name_that_the_fleet_knows() {
        let known = ["east", "arn:aws:eks:cluster/east", "arn:aws:eks:cluster", "e g"];
        let find = |raw: &str| {
            Spot::find(raw, |name| known.contains(&name.as_str())).map(|spot| {
                let part = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
                let (ns, direction) = (spot.ns.as_ref().map(ToString::to_string), spot.direction);
                let direction = direction.map(|direction| direction.to_string());
                assert_eq!(spot.to_string(), raw);
                format!("{} {} {}", spot.cluster, part(ns), part(direction))
            })
        };
        for (raw, found) in [
            ("east", "east - -"),
            ("east/shop", "east shop -"),
            ("east/shop/egress", "east shop egress"),
            ("east/egress", "east egress -"),
            ("arn:aws:eks:cluster/east", "arn:aws:eks:cluster/east - -"),
            ("arn:aws:eks:cluster/east/shop/ingress", "arn:aws:eks:cluster/east shop ingress"),
            ("arn:aws:eks:cluster/west", "arn:aws:eks:cluster west -"),
            ("e g/shop", "e g shop -"),
        ] {
            assert_eq!(find(raw).as_deref(), Some(found), "{raw}");
        }
        for raw in
            ["", "/", "west", "east/", "east/Shop", "east/shop/up", "east/shop/egress/x", "east//egress"]
        {
            assert_eq!(find(raw), None, "{raw}");
        }
        let odd = Spot::find("e g/shop", |name| name.as_str() == "e g").expect("known");
        assert_eq!(odd.command(), "sluice --open 'e g/shop'");
    }
}
