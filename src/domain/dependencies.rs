//! Who waits for whom: cycles are named and never followed round. Pure, over any ordered key; the
//! same functions judge namespaces of `sluice.yaml` and rows of a plan.

use std::collections::{BTreeMap, BTreeSet};

/// For each key, those that must come before it.
pub type Before<K> = BTreeMap<K, BTreeSet<K>>;

/// Every group of keys that wait for each other, and keys that wait for themselves; each sorted, and
/// the groups by their first key.
pub fn cycles<K: Clone + Ord>(before: &Before<K>) -> Vec<Vec<K>> {
    let mut out: Vec<Vec<K>> = Vec::new();
    let mut told = BTreeSet::new();
    for start in before.keys() {
        if told.contains(start) {
            continue;
        }
        let ahead = reach(before, start);
        if !ahead.contains(start) {
            continue;
        }
        // Those that are ahead of it and have it ahead of them.
        let group: Vec<K> = ahead.into_iter().filter(|key| reach(before, key).contains(start)).collect();
        told.extend(group.iter().cloned());
        out.push(group);
    }
    out
}

/// Everything that must come before a key, by any number of steps.
fn reach<K: Clone + Ord>(before: &Before<K>, start: &K) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&K> = before.get(start).into_iter().flatten().collect();
    while let Some(key) = open.pop() {
        if seen.insert(key.clone()) {
            open.extend(before.get(key).into_iter().flatten());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(pairs: &[(&'static str, &[&'static str])]) -> Before<&'static str> {
        pairs.iter().map(|(key, after)| (*key, after.iter().copied().collect())).collect()
    }

    #[test]
    fn every_cycle_is_named_once_and_what_hangs_on_it_is_not() {
        let waits = before(&[
            ("a", &["b"]),
            ("b", &["c"]),
            ("c", &["a", "free"]),
            ("d", &["a"]),
            ("self", &["self"]),
            ("x", &["y"]),
            ("y", &["x"]),
            ("z", &["free"]),
        ]);
        assert_eq!(cycles(&waits), [vec!["a", "b", "c"], vec!["self"], vec!["x", "y"]]);
        assert!(cycles(&before(&[("a", &["b"]), ("b", &["c"])])).is_empty());
    }
}
