//! Whether NodeLocal DNSCache stands between pods and the DNS server, told by the DaemonSets that
//! recognising the CNI has read already. Pure; asks nothing itself.

use std::{collections::BTreeSet, net::IpAddr};

use crate::domain::{names::Text, resolver::DnsPath};

use super::cni::{DaemonSet, Seen};

pub fn recognise(seen: &Seen) -> DnsPath {
    let Some(sets) = &seen.daemonsets else {
        let evidence = format!("DaemonSets of all namespaces cannot be read ({})", seen.refused);
        return DnsPath::Unknown { evidence: Text::from(evidence) };
    };
    match sets.iter().find(|set| is_cache(set) && set.status.desired_number_scheduled > 0) {
        Some(set) => DnsPath::NodeCache { evidence: Text::from(evidence(set)) },
        None => {
            let evidence = format!("no node-local-dns among {} DaemonSets", sets.len());
            DnsPath::Direct { evidence: Text::from(evidence) }
        }
    }
}

/// Addresses on which the cache listens; empty where there is none.
pub fn listens(seen: &Seen) -> BTreeSet<IpAddr> {
    let sets = seen.daemonsets.iter().flatten();
    let caches = sets.filter(|set| is_cache(set) && set.status.desired_number_scheduled > 0);
    let argument = |set: &DaemonSet| {
        set.container("node-cache").and_then(|it| it.argument("-localip").map(str::to_owned))
    };
    let all = caches.filter_map(argument).collect::<Vec<_>>().join(",");
    all.split(',').filter_map(|raw| raw.trim().parse().ok()).collect()
}

/// By its names in the add-on and in Kubespray, or by its container, which other charts keep.
fn is_cache(set: &DaemonSet) -> bool {
    let named = matches!(set.metadata.name.as_str(), "node-local-dns" | "nodelocaldns");
    (named && set.metadata.namespace == "kube-system") || set.container("node-cache").is_some()
}

fn evidence(set: &DaemonSet) -> String {
    let mut evidence = format!("DaemonSet {}/{}", set.metadata.namespace, set.metadata.name);
    if let Some(container) = set.container("node-cache") {
        evidence.push_str(": container node-cache");
        if let Some(address) = container.argument("-localip") {
            evidence.push_str(&format!(", -localip={address}"));
        }
    }
    evidence
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn seen(name: &str, container: &str, args: &Value, desired: u32) -> DnsPath {
        let set = json!({
            "metadata": { "name": name, "namespace": "kube-system" },
            "spec": { "template": { "spec": { "containers": [{ "name": container, "args": args }] } } },
            "status": { "desiredNumberScheduled": desired, "numberReady": desired },
        });
        recognise(&serde_json::from_value(json!({ "daemonsets": [set] })).expect("DaemonSets"))
    }

    #[test]
    fn the_cache_is_found_by_name_and_by_container_and_says_where_it_listens() {
        let cache = |evidence: &str| DnsPath::NodeCache { evidence: Text::new(evidence) };
        let direct = DnsPath::Direct { evidence: Text::new("no node-local-dns among 1 DaemonSets") };
        let addon = json!(["-localip", "169.254.20.10,10.96.0.10", "-conf", "/etc/Corefile"]);
        for (name, container, args, desired, expected) in [
            (
                "node-local-dns",
                "node-cache",
                &addon,
                3,
                cache(
                    "DaemonSet kube-system/node-local-dns: container node-cache, \
                     -localip=169.254.20.10,10.96.0.10",
                ),
            ),
            ("nodelocaldns", "cache", &json!(null), 3, cache("DaemonSet kube-system/nodelocaldns")),
            (
                "dns-cache",
                "node-cache",
                &json!(["-localip=169.254.25.10"]),
                1,
                cache("DaemonSet kube-system/dns-cache: container node-cache, -localip=169.254.25.10"),
            ),
            ("node-local-dns", "node-cache", &addon, 0, direct.clone()),
            ("kube-proxy", "kube-proxy", &json!([]), 3, direct),
        ] {
            assert_eq!(seen(name, container, args, desired), expected, "{name}");
        }
        assert_eq!(
            recognise(&Seen { refused: "HTTP 403".to_owned(), ..Seen::default() }),
            DnsPath::Unknown {
                evidence: Text::new("DaemonSets of all namespaces cannot be read (HTTP 403)")
            }
        );
    }
}
