//! Who had an address when. Learned from flows, which name the pod of an address, and from the API.
//! Answers `Nobody` rather than let one pod's DNS answer cross to another that had its address before
//! or after. Times are arguments; the order of learning does not matter.

use std::net::IpAddr;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::{
    interned::{Pairs, millis},
    time::Timestamp,
};

/// Whose an address was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    Pod {
        ns: &'a str,
        pod: &'a str,
    },
    /// A node: pods on the host's network cannot be told apart.
    Node,
    /// Not known, or between two owners.
    Nobody,
}

/// Who had an address when.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    pods: Pairs,
    hands: IndexMap<IpAddr, Hands, RandomState>,
    nodes: IndexSet<IpAddr, RandomState>,
    left_out: u64,
}

/// The owners of one address. Invariant: sorted by `first`; two tenures of one pod are more than
/// [`JOIN`] apart, or somebody else stands between them, or both are settled.
type Hands = Vec<Tenure>;

/// A stretch of signs of one pod.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    first: u64,
    last: u64,
    pod: u32,
    /// Before that it was somebody else's: the API told when it began, or another owner was forgotten.
    born: bool,
}

/// Signs of one pod at most this far apart are one tenure, milliseconds. Joining by distance gives the
/// same tenures in whatever order the signs come.
const JOIN: u64 = 300_000;
/// How long before its first sign a pod may have had its address already, milliseconds: it asks DNS
/// before it connects.
const AHEAD: u64 = 30_000;
/// How long after its last sign a pod still has its address, milliseconds: clocks of nodes differ.
const BEHIND: u64 = 5_000;
/// Tenures kept of one address before neighbours of the same pod are joined.
const TENURES: usize = 32;

impl AddressBook {
    /// Most addresses kept; sightings of further ones are counted as left out.
    pub const LIMIT: usize = 1_000_000;

    /// A flow named this pod beside this address.
    pub fn seen(&mut self, address: IpAddr, ns: &str, pod: &str, at: Timestamp) {
        let at = millis(at);
        if let Some(hands) = self.hands.get_mut(&address) {
            let last = hands.last_mut().filter(|last| self.pods.get(last.pod) == (ns, pod));
            match last {
                Some(last) if (last.first..=last.last).contains(&at) => return,
                Some(last) if at > last.last && at - last.last <= JOIN => {
                    last.last = at;
                    return;
                }
                Some(_) | None => {}
            }
        }
        let pod = self.pods.put(ns, pod);
        self.add(address, Tenure { first: at, last: at, pod, born: false });
    }

    /// The API says that this pod had the address from its start (and until its end, if it ended).
    pub fn owns(&mut self, address: IpAddr, ns: &str, pod: &str, from: Timestamp, until: Option<Timestamp>) {
        let (first, pod) = (millis(from), self.pods.put(ns, pod));
        let last = until.map_or(first, millis).max(first);
        self.add(address, Tenure { first, last, pod, born: true });
    }

    /// The address is a node's, at all times.
    pub fn node(&mut self, address: IpAddr) {
        if self.nodes.len() < Self::LIMIT {
            self.nodes.insert(address);
        }
    }

    /// Whose the address was. Between two owners: the new one's in the last 30 seconds before its
    /// first sign, else the old one's in the first 5 seconds after its last, else nobody's. After the last sign still its owner's. Before the first sign the
    /// owner's if the address never changed hands and the API did not tell its start.
    pub fn owner(&self, address: IpAddr, at: Timestamp) -> Owner<'_> {
        self.owner_at(address, millis(at))
    }

    pub(super) fn owner_at(&self, address: IpAddr, at: u64) -> Owner<'_> {
        if !self.nodes.is_empty() && self.nodes.contains(&address) {
            return Owner::Node;
        }
        let owner = self.hands.get(&address).and_then(|hands| owner(hands, at));
        owner.map_or(Owner::Nobody, |pod| {
            let (ns, pod) = self.pods.get(pod);
            Owner::Pod { ns, pod }
        })
    }

    /// Takes in what another thread learned.
    pub fn merge(&mut self, other: Self) {
        let ids: Vec<u32> = other.pods.iter().map(|(ns, pod)| self.pods.put(ns, pod)).collect();
        for (address, hands) in other.hands {
            for tenure in hands {
                self.add(address, Tenure { pod: ids[tenure.pod as usize], ..tenure });
            }
        }
        other.nodes.into_iter().for_each(|address| self.node(address));
        self.left_out += other.left_out;
    }

    /// Joins what need not be apart any more. Changes no answer of [`AddressBook::owner`].
    pub fn settle(&mut self) {
        self.hands.values_mut().for_each(|hands| {
            join_neighbours(hands);
            hands.shrink_to_fit();
        });
    }

    /// Forgets owners without a sign since.
    pub fn forget_before(&mut self, at: Timestamp) {
        let (at, mut kept) = (millis(at), Self { left_out: self.left_out, ..Self::default() });
        kept.nodes = std::mem::take(&mut self.nodes);
        for (address, hands) in &self.hands {
            let forgets = hands.iter().any(|tenure| tenure.last < at);
            for tenure in hands.iter().filter(|tenure| tenure.last >= at) {
                let (ns, pod) = self.pods.get(tenure.pod);
                let tenure = Tenure { pod: kept.pods.put(ns, pod), born: tenure.born || forgets, ..*tenure };
                kept.hands.entry(*address).or_default().push(tenure);
            }
        }
        *self = kept;
    }

    /// Addresses known.
    pub fn len(&self) -> usize {
        self.hands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hands.is_empty() && self.nodes.is_empty()
    }

    /// Sightings of addresses beyond [`AddressBook::LIMIT`].
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    fn add(&mut self, address: IpAddr, tenure: Tenure) {
        if self.hands.len() >= Self::LIMIT && !self.hands.contains_key(&address) {
            self.left_out += 1;
            return;
        }
        let hands = self.hands.entry(address).or_default();
        join(hands, tenure);
        if hands.len() > TENURES {
            join_neighbours(hands);
            let over = hands.len().saturating_sub(TENURES);
            hands.drain(..over);
            hands[0].born |= over > 0;
        }
    }
}

/// Puts a tenure in its place, joined with all of the same pod that it touches.
fn join(hands: &mut Hands, mut new: Tenure) {
    let touches = |old: &Tenure, new: &Tenure| {
        old.pod == new.pod
            && old.first <= new.last.saturating_add(JOIN)
            && new.first <= old.last.saturating_add(JOIN)
    };
    while let Some(at) = hands.iter().position(|old| touches(old, &new)) {
        let old = hands.remove(at);
        new.first = new.first.min(old.first);
        new.last = new.last.max(old.last);
        new.born |= old.born;
    }
    let at = hands.partition_point(|old| old.first <= new.first);
    hands.insert(at, new);
}

/// Joins tenures of one pod that nobody else stands between or overlaps.
fn join_neighbours(hands: &mut Hands) {
    let mut out: Hands = Vec::with_capacity(hands.len());
    let mut others_last = 0;
    for tenure in hands.drain(..) {
        match out.last_mut() {
            Some(before) if before.pod == tenure.pod && others_last < before.first => {
                before.last = before.last.max(tenure.last);
                before.born |= tenure.born;
            }
            Some(before) => {
                others_last = others_last.max(before.last);
                out.push(tenure);
            }
            None => out.push(tenure),
        }
    }
    *hands = out;
}

/// The newest owner that began by then holds the address as long as its signs last, and beyond them
/// while nobody else shows any.
fn owner(hands: &[Tenure], at: u64) -> Option<u32> {
    let next = hands.partition_point(|tenure| tenure.first <= at);
    let (begun, coming) = (&hands[..next], sole(hands, next));
    let soon = coming.filter(|coming| coming.first - at <= AHEAD);
    if begun.is_empty() {
        let only = hands.iter().all(|tenure| tenure.pod == hands[0].pod && !tenure.born);
        return soon.or(coming.filter(|_| only)).map(|tenure| tenure.pod);
    }
    let current = sole(hands, next - 1)?;
    let contested = begun.iter().any(|other| other.pod != current.pod && other.last >= at);
    let stays = next == hands.len() || coming.is_some_and(|coming| coming.pod == current.pod);
    if at <= current.last || (stays && !contested) {
        Some(current.pod)
    } else {
        let behind = Some(current).filter(|current| at - current.last <= BEHIND);
        soon.or(behind).filter(|_| !contested).map(|tenure| tenure.pod)
    }
}

/// The tenure at this place, unless another pod's began at the same moment: then neither can be told
/// from the other.
fn sole(hands: &[Tenure], at: usize) -> Option<&Tenure> {
    let tenure = hands.get(at)?;
    let tied = |other: &Tenure| other.first == tenure.first && other.pod != tenure.pod;
    (!hands.iter().any(tied)).then_some(tenure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_timestamp(1_772_409_600 + secs, 0).expect("in range")
    }

    fn ip() -> IpAddr {
        IpAddr::from([10, 0, 0, 7])
    }

    fn owner(book: &AddressBook, secs: i64) -> &str {
        match book.owner(ip(), at(secs)) {
            Owner::Pod { pod, .. } => pod,
            Owner::Node => "a node",
            Owner::Nobody => "nobody",
        }
    }

    #[test]
    fn an_address_that_changed_hands_is_nobodys_between() {
        let mut book = AddressBook::default();
        for (pod, secs) in [("old", 1_000), ("old", 1_100), ("new", 2_000), ("new", 9_000)] {
            book.seen(ip(), "shop", pod, at(secs));
        }
        for (secs, expected) in [
            (0, "nobody"),
            (969, "nobody"),
            (970, "old"),
            (1_000, "old"),
            (1_050, "old"),
            (1_105, "old"),
            (1_106, "nobody"),
            (1_969, "nobody"),
            (1_970, "new"),
            (5_000, "new"),
            (900_000, "new"),
        ] {
            assert_eq!(owner(&book, secs), expected, "at {secs}");
        }
    }

    #[test]
    fn a_late_record_of_the_old_pod_takes_nothing_from_the_new_one() {
        let mut book = AddressBook::default();
        for (pod, secs) in [("old", 1_000), ("new", 1_060), ("old", 1_062), ("new", 1_100)] {
            book.seen(ip(), "shop", pod, at(secs));
        }
        for (secs, expected) in [(1_059, "old"), (1_060, "new"), (1_061, "new"), (1_200, "new")] {
            assert_eq!(owner(&book, secs), expected, "at {secs}");
        }
    }

    #[test]
    fn two_pods_that_share_an_address_own_nothing_they_cannot_be_told_apart_in() {
        let mut book = AddressBook::default();
        for secs in (0..1_200).step_by(100) {
            book.seen(ip(), "shop", if secs % 200 == 0 { "a" } else { "b" }, at(secs));
        }
        book.seen(ip(), "shop", "a", at(5_000));
        book.seen(ip(), "shop", "b", at(5_000));
        assert_eq!(owner(&book, 5_001), "nobody");
        assert_eq!(owner(&book, 4_990), "nobody");
    }

    #[test]
    fn before_its_only_owners_first_sign_it_is_the_owners_unless_the_api_told_its_start() {
        let mut book = AddressBook::default();
        book.seen(ip(), "shop", "only", at(5_000));
        assert_eq!(owner(&book, 0), "only");
        book.owns(ip(), "shop", "only", at(4_000), None);
        assert_eq!((owner(&book, 3_969), owner(&book, 3_970)), ("nobody", "only"));
        book.node(ip());
        assert_eq!(owner(&book, 5_000), "a node");
    }

    #[test]
    fn what_is_forgotten_is_nobodys_and_one_address_stays_small() {
        let mut book = AddressBook::default();
        for n in 0..1_000 {
            book.seen(ip(), "shop", if n % 2 == 0 { "a" } else { "b" }, at(n * 1_000));
            book.seen(ip(), "shop", if n % 2 == 0 { "a" } else { "b" }, at(n * 1_000 + 400));
        }
        assert!(book.hands[&ip()].len() <= TENURES);
        book.forget_before(at(998_500));
        assert_eq!((owner(&book, 998_600), owner(&book, 999_200)), ("nobody", "b"));
        book.forget_before(at(2_000_000));
        assert!(book.is_empty());
    }

    #[test]
    fn signs_of_a_quiet_pod_are_joined() {
        let mut book = AddressBook::default();
        (0..40).for_each(|n| book.seen(ip(), "shop", "quiet", at(n * 7_200)));
        book.settle();
        assert_eq!(book.hands[&ip()].len(), 1);
        assert_eq!(owner(&book, 100_000), "quiet");
    }
}
