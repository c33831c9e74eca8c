//! Names of the shared objects: readable, valid as DNS subdomains, and the same wherever they are
//! made. Where there is one object a rollout, its name is made from the rollout and from nothing
//! else, so that two cockpits can never make two. Pure.

use sha2::{Digest as _, Sha256};

use crate::domain::{names::ClusterName, rollout::Target, time::Timestamp};

/// Longest part of a name that a cluster's own name gives, before a hash.
const CLUSTER: usize = 100;
/// Hexadecimal digits of the hash after it.
const HASH: usize = 10;

/// `<cluster>.<namespace>.<direction>`. The last two parts hold no dot, so the name is read back
/// without doubt.
pub fn of_target(target: &Target) -> String {
    format!("{}.{}.{}", of_cluster(&target.cluster), target.ns, target.direction)
}

/// A cluster's name as part of an object's: itself where that is valid, else what is left of it and
/// a hash of the whole. A name that ends as if it had a hash gets one too: two clusters never share.
pub fn of_cluster(cluster: &ClusterName) -> String {
    let raw = cluster.as_str();
    if raw.len() <= CLUSTER && is_subdomain(raw) && !ends_hashed(raw) {
        return raw.to_owned();
    }
    let lower = raw.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut readable = words.join("-");
    readable.truncate(CLUSTER - HASH - 1);
    let readable = readable.trim_end_matches('-');
    let hash = digits(&[raw], HASH);
    if readable.is_empty() { hash } else { format!("{readable}-{hash}") }
}

/// `<prefix>-<when>-<hash>`: sorts by age within a kind. The hash is of what it says, so the same
/// thing asked for twice in a second is one object.
pub fn by_age(prefix: &str, at: Timestamp, says: &[&str]) -> String {
    format!("{prefix}-{}-{}", at.format("%Y%m%dt%H%M%S"), digits(says, HASH))
}

/// `entry-000000123`.
pub fn of_entry(number: u64) -> String {
    format!("entry-{number:09}")
}

/// The Lease of whoever writes a cluster's evidence.
pub fn of_lease(cluster: &ClusterName) -> String {
    format!("{LEASE}{}", of_cluster(cluster))
}

/// What names of our Leases begin with.
pub const LEASE: &str = "sluice-observer-";

fn is_subdomain(raw: &str) -> bool {
    crate::domain::names::PolicyName::parse(raw).is_ok()
}

fn ends_hashed(raw: &str) -> bool {
    let last = raw.rsplit(['-', '.']).next().unwrap_or_default();
    last.len() == HASH && last.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The first digits of a SHA-256 over all parts, each with its length before it.
fn digits(parts: &[&str], count: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let mut out: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    out.truncate(count);
    out
}

#[cfg(test)]
mod tests {
    use chrono::TimeZone as _;
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{flow::Direction, names::NsName};

    fn cluster(raw: &str) -> ClusterName {
        ClusterName::parse(raw).expect("a free name")
    }

    #[test]
    fn a_rollout_has_one_readable_name() {
        let target = Target {
            cluster: cluster("prod-eu.west"),
            ns: NsName::parse("shop").expect("a label"),
            direction: Direction::Egress,
        };
        assert_eq!(of_target(&target), "prod-eu.west.shop.egress");
        assert_eq!(of_entry(123), "entry-000000123");
    }

    #[test]
    fn any_name_of_a_cluster_becomes_a_valid_one_and_none_is_shared() {
        let raws = [
            "arn:aws:eks:eu-west-1:1:cluster/shop",
            "arn:aws:eks:eu-west-1:1:cluster-shop",
            "Prod",
            "prod",
            "prod_1",
            "prod-1",
            "prod-1a2b3c4d5e",
            "1a2b3c4d5e",
            "é",
            "ö",
            "--",
            "a..b",
            &"x".repeat(253),
            &"x".repeat(252),
            "minikube ",
        ];
        let names: BTreeSet<_> = raws.iter().map(|raw| of_cluster(&cluster(raw))).collect();
        assert_eq!(names.len(), raws.len(), "{names:?}");
        for name in &names {
            assert!(is_subdomain(name) && name.len() <= CLUSTER, "{name}");
        }
        assert!(names.contains("prod") && names.contains("prod-1"), "{names:?}");
        assert_eq!(of_cluster(&cluster("prod_1")).rsplit_once('-').map(|(words, _)| words), Some("prod-1"));
    }

    #[test]
    fn names_sort_by_age() {
        let at = |second| chrono::Utc.with_ymd_and_hms(2026, 3, 2, 9, 0, second).single().expect("a time");
        let (first, second) = (by_age("review", at(9), &["z"]), by_age("review", at(10), &["a"]));
        assert!(first.starts_with("review-20260302t090009-") && first < second, "{first} {second}");
        assert_ne!(by_age("r", at(0), &["ab", "c"]), by_age("r", at(0), &["a", "bc"]));
    }
}
