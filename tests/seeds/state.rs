//! The modelled state cluster: objects with versions, an admission that compares who writes with whom
//! the object names, and a clock of its own that may be wrong. It decides nothing for sluice.

use std::collections::{BTreeMap, BTreeSet};

use sluice::{
    cockpit::{
        ports::{Change, Trouble},
        shared::{Share, SharedFact},
    },
    domain::{
        evidence::Evidence,
        grant::{Decision, DecisionVerdict, Opening, Review},
        hold::{Covers, Hold, HoldKind, Override, Subject, Waiver},
        journal::Entry,
        names::Text,
        policy::PolicyDigest,
        rollout::{Kept, Record, Stamp},
    },
};

use super::layout::{CLUSTERS, FLAGGED_PORT, Row, at, flagged_network};

/// Everything kept, and each change in order.
pub struct State {
    pub alive: bool,
    /// Seconds that its clock is ahead.
    pub skew: i64,
    /// The admission policies are installed.
    pub admits: bool,
    pub records: BTreeMap<Row, Kept<Record>>,
    pub evidence: BTreeMap<Row, Kept<Evidence>>,
    pub reviews: BTreeMap<Text, Kept<Review>>,
    pub holds: BTreeMap<Text, Kept<Hold>>,
    pub waivers: BTreeMap<Text, Kept<Waiver>>,
    pub overrides: BTreeMap<Text, Kept<Override>>,
    pub journal: BTreeMap<u64, Kept<Entry>>,
    pub changes: Vec<SharedFact>,
    version: u64,
}

type Answer = Result<(), Trouble>;

fn refused(what: &str) -> Trouble {
    Trouble::new("state", what, "Look at it again.")
}

impl State {
    pub fn new(admits: bool, skew: i64) -> Self {
        Self {
            alive: true,
            skew,
            admits,
            records: BTreeMap::new(),
            evidence: BTreeMap::new(),
            reviews: BTreeMap::new(),
            holds: BTreeMap::new(),
            waivers: BTreeMap::new(),
            overrides: BTreeMap::new(),
            journal: BTreeMap::new(),
            changes: Vec::new(),
            version: 0,
        }
    }

    fn kept<T>(&mut self, name: String, value: T, now: i64) -> Kept<T> {
        self.version += 1;
        Kept {
            name: Text::from(name),
            version: Text::from(self.version.to_string()),
            created: at(now + self.skew),
            value,
        }
    }

    /// A write of this user.
    pub fn write(&mut self, user: &str, share: Share, now: i64) -> Answer {
        let stamp = Stamp { by: Text::new(user), at: at(now + self.skew) };
        match share {
            Share::AskReview { grant, findings, purpose } => self.ask(
                user,
                Review {
                    requested_by: Text::new(user),
                    aliases: Vec::new(),
                    grant: *grant,
                    findings,
                    purpose,
                    decisions: Vec::new(),
                },
                now,
            ),
            Share::Decide { review, version, decision } => self.decide(user, &review, &version, *decision),
            Share::Hold { scope, kind, reason, expires } => {
                let name = format!("hold-{:06}", self.version);
                let kept = self.kept(name, Hold { scope, kind, reason, stamp, expires }, now);
                self.holds.insert(kept.name.clone(), kept.clone());
                self.changes.push(SharedFact::Holds(Change::Put(kept)));
                Ok(())
            }
            Share::Release { hold, version } => {
                let known = self.holds.get(&hold).filter(|kept| kept.version == version);
                known.ok_or_else(|| refused("HTTP 409: another version"))?;
                self.holds.remove(&hold);
                self.changes.push(SharedFact::Holds(Change::Gone(hold)));
                Ok(())
            }
            Share::Waive { target, uid, subject, reason, expires } => {
                let name = format!("waiver-{:06}", self.version);
                let uid = Some(uid);
                let kept = self.kept(name, Waiver { target, uid, subject, reason, stamp, expires }, now);
                self.waivers.insert(kept.name.clone(), kept.clone());
                self.changes.push(SharedFact::Waivers(Change::Put(kept)));
                Ok(())
            }
            Share::Override { target, uid, digest, covers, reason, expires } => {
                let name = format!("override-{:06}", self.version);
                let uid = Some(uid);
                let over = Override { target, uid, digest, covers, reason, stamp, confirmed: None, expires };
                let kept = self.kept(name, over, now);
                self.overrides.insert(kept.name.clone(), kept.clone());
                self.changes.push(SharedFact::Overrides(Change::Put(kept)));
                Ok(())
            }
            Share::Confirm { over, version } => self.confirm(&over, &version, stamp),
            Share::Record { record, version } => self.record(*record, version.as_ref(), now),
            Share::Evidence { evidence, version } => self.take_evidence(*evidence, version.as_ref(), now),
            Share::Forget { evidence, version } => self.forget(&evidence, &version),
            Share::Journal(entry) => self.journal(user, *entry, now),
        }
    }

    /// A review as somebody sends it, whoever it says has asked.
    pub fn ask(&mut self, user: &str, review: Review, now: i64) -> Answer {
        if self.admits && review.requested_by.as_str() != user {
            return Err(refused("denied: requestedBy is not who asks"));
        }
        let kept = self.kept(format!("review-{:06}", self.version), review, now);
        self.reviews.insert(kept.name.clone(), kept.clone());
        self.changes.push(SharedFact::Reviews(Change::Put(kept)));
        Ok(())
    }

    pub fn decide(&mut self, user: &str, review: &Text, version: &Text, decision: Decision) -> Answer {
        let Some(known) = self.reviews.get(review) else { return Err(refused("HTTP 404")) };
        if known.version != *version {
            return Err(refused("HTTP 409: another version"));
        }
        let is_own = known.value.requested_by == decision.stamp.by;
        if self.admits && (decision.stamp.by.as_str() != user || is_own) {
            return Err(refused("denied: decidedBy is not who decides, or asked for it"));
        }
        self.change_review(review, |review| review.decisions.push(decision));
        Ok(())
    }

    /// Somebody rewrites a decision that stands there.
    pub fn rewrite(&mut self, review: &Text, change: impl FnOnce(&mut Decision)) -> Answer {
        if self.admits {
            return Err(refused("denied: entries are immutable"));
        }
        self.change_review(review, |review| {
            if let Some(last) = review.decisions.last_mut() {
                change(last);
            }
        });
        Ok(())
    }

    fn change_review(&mut self, review: &Text, change: impl FnOnce(&mut Review)) {
        self.version += 1;
        let Some(kept) = self.reviews.get_mut(review) else { return };
        change(&mut kept.value);
        kept.version = Text::from(self.version.to_string());
        let kept = kept.clone();
        self.changes.push(SharedFact::Reviews(Change::Put(kept)));
    }

    fn confirm(&mut self, over: &Text, version: &Text, stamp: Stamp) -> Answer {
        let known = self.overrides.get(over).filter(|kept| kept.version == *version);
        let known = known.ok_or_else(|| refused("HTTP 409: another version"))?;
        if self.admits && known.value.stamp.by == stamp.by {
            return Err(refused("denied: confirmed by who asked"));
        }
        self.version += 1;
        let Some(kept) = self.overrides.get_mut(over) else { return Ok(()) };
        (kept.value.confirmed, kept.version) = (Some(stamp), Text::from(self.version.to_string()));
        let kept = kept.clone();
        self.changes.push(SharedFact::Overrides(Change::Put(kept)));
        Ok(())
    }

    fn record(&mut self, record: Record, version: Option<&Text>, now: i64) -> Answer {
        let row = Row::of(&record.target);
        if self.records.get(&row).map(|kept| &kept.version) != version {
            return Err(refused("HTTP 409: another version"));
        }
        let kept = self.kept(format!("record-{row}"), record, now);
        self.records.insert(row, kept.clone());
        self.changes.push(SharedFact::Records(Change::Put(kept)));
        Ok(())
    }

    fn take_evidence(&mut self, evidence: Evidence, version: Option<&Text>, now: i64) -> Answer {
        let row = Row::of(&evidence.target);
        if self.evidence.get(&row).map(|kept| &kept.version) != version {
            return Err(refused("HTTP 409: another version"));
        }
        let kept = self.kept(format!("evidence-{row}"), evidence, now);
        self.evidence.insert(row, kept.clone());
        self.changes.push(SharedFact::Evidence(Change::Put(kept)));
        Ok(())
    }

    fn forget(&mut self, evidence: &Text, version: &Text) -> Answer {
        let known = self.evidence.iter().find(|(_, kept)| kept.name == *evidence && kept.version == *version);
        let row = known.map(|(row, _)| *row).ok_or_else(|| refused("HTTP 409: another version"))?;
        self.evidence.remove(&row);
        self.changes.push(SharedFact::Evidence(Change::Gone(evidence.clone())));
        Ok(())
    }

    fn journal(&mut self, user: &str, entry: Entry, now: i64) -> Answer {
        if self.journal.contains_key(&entry.number) {
            return Err(refused("HTTP 409: it is there already"));
        }
        if self.admits && entry.stamp.by.as_str() != user {
            return Err(refused("denied: by is not who writes"));
        }
        let (number, name) = (entry.number, format!("entry-{:09}", entry.number));
        let kept = self.kept(name, entry, now);
        self.journal.insert(number, kept.clone());
        self.changes.push(SharedFact::Journal(Change::Put(kept)));
        Ok(())
    }

    /// Everything anew, for a sluice that connects.
    pub fn lists(&self) -> Vec<SharedFact> {
        fn all<K, T: Clone>(map: &BTreeMap<K, T>) -> Change<T, Text> {
            Change::Reset(map.values().cloned().collect())
        }
        vec![
            SharedFact::Records(all(&self.records)),
            SharedFact::Evidence(all(&self.evidence)),
            SharedFact::Reviews(all(&self.reviews)),
            SharedFact::Holds(all(&self.holds)),
            SharedFact::Waivers(all(&self.waivers)),
            SharedFact::Overrides(all(&self.overrides)),
            SharedFact::Journal(all(&self.journal)),
        ]
    }

    // The naive opinion, at the latest time that whoever decides was ever shown, carried on: a clock
    // that is set back makes nothing valid again.

    /// May the flagged destination be opened in this row now: somebody else than who asked said yes
    /// last, for this cluster, for all of it, and it has not run out by the latest time ever shown?
    pub fn is_granted(&self, row: Row, uid: u32, latest: i64) -> bool {
        let uid = Text::from(format!("uid-{}-{uid}", row.cluster));
        let same = |a: &Text, b: &Text| a == b || (is_ann(a) && is_ann(b));
        self.reviews.values().any(|kept| {
            let Review { grant, decisions, requested_by, .. } = &kept.value;
            let last = decisions.iter().rev().find(|decision| decision.clusters.contains(&uid));
            let until =
                |decision: &Decision| decision.expires.map_or(grant.expires, |own| own.min(grant.expires));
            let opens = match &grant.destination {
                Opening::Networks(networks) => networks.iter().any(|net| net.contains(&flagged_network())),
                Opening::Name(_) => false,
            };
            opens
                && grant.ns.as_str() == row.name()
                && grant.direction == row.direction
                && grant.clusters.contains(&uid)
                && grant.ports.iter().any(|span| span.from <= FLAGGED_PORT && FLAGGED_PORT <= span.to)
                && last.is_some_and(|last| {
                    last.verdict == DecisionVerdict::Approved
                        && !same(&last.stamp.by, requested_by)
                        && until(last) > at(latest)
                })
        })
    }

    /// Did a second person confirm that this gate is open for these bytes in this very cluster?
    pub fn is_overridden(
        &self,
        (row, uid): (Row, u32),
        digest: PolicyDigest,
        gate: Covers,
        latest: i64,
    ) -> bool {
        let (target, uid) = (row.target(), Text::from(format!("uid-{}-{uid}", row.cluster)));
        self.overrides.values().map(|kept| &kept.value).any(|over| {
            let second = over.confirmed.as_ref().filter(|second| second.by != over.stamp.by);
            over.target == target
                && over.uid.as_ref() == Some(&uid)
                && over.digest == digest
                && over.covers.contains(&gate)
                && over.expires > at(latest)
                && second.is_some_and(|second| !(is_ann(&second.by) && is_ann(&over.stamp.by)))
        })
    }

    pub fn holds_on(&self, row: Row, kind: HoldKind, latest: i64) -> impl Iterator<Item = &Hold> {
        let target = row.target();
        self.holds.values().map(|kept| &kept.value).filter(move |hold| {
            let runs = hold.expires.is_none_or(|expires| expires > at(latest));
            hold.kind == kind && hold.scope.holds(&target) && runs
        })
    }

    /// Is a denial to this place waived in this row?
    pub fn waives(&self, (row, uid): (Row, u32), place: &str, latest: i64) -> bool {
        let (target, uid) = (row.target(), Text::from(format!("uid-{}-{uid}", row.cluster)));
        self.waivers.values().map(|kept| &kept.value).any(|waiver| {
            let Subject::Denial(key) = &waiver.subject else { return false };
            let is_here = waiver.target == target && waiver.uid.as_ref() == Some(&uid);
            is_here && key.destination.as_str() == place && waiver.expires > at(latest)
        })
    }

    pub fn uids(cluster: usize, uid: u32) -> BTreeSet<Text> {
        debug_assert!(cluster < CLUSTERS.len());
        BTreeSet::from([Text::from(format!("uid-{cluster}-{uid}"))])
    }
}

fn is_ann(name: &Text) -> bool {
    name.as_str().starts_with("ann")
}
