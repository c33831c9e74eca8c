//! The pre-flight of one cluster: what was read becomes checks, always all of them and always in the
//! same order. Also what a report says to the rest: who enforces, what stops what, what changed. Pure.

use crate::domain::{names::Text, source::SourceKind};

use super::{
    around,
    check::{Check, CheckId, Stops, Verdict},
    cni, dns, enforcement, engines, flows, lookups,
    reading::{Known, Measured, Reading},
    rights,
};

/// One cluster's pre-flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One of each, in the order of [`CheckId::ALL`].
    pub checks: Vec<Check>,
    /// What enforces, with its version; `None` where it is not exactly one.
    pub engine: Option<Text>,
    /// How lookups travel: `direct` or `node cache`.
    pub dns_mode: Option<Text>,
    /// Flow sources that run in the cluster, the one that tells most first.
    pub offers: Vec<SourceKind>,
    /// The namespace of Cilium's agents, where they print flow records to their own logs.
    pub printing: Option<Text>,
}

/// How many checks ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub unknown: usize,
    pub not_applicable: usize,
}

pub fn run(reading: &Reading) -> Report {
    let found = engines::recognise(reading);
    let mut checks = enforcement::checks(reading, &found);
    checks.extend(flows::checks(reading, &found));
    checks.extend(dns::checks(reading, &found));
    checks.push(lookups::check(reading));
    checks.extend(around::checks(reading, &found));
    checks.push(rights::check(reading));
    checks.sort_by_key(|check| check.id);
    Report {
        checks,
        engine: found.only().map(enforcement::named),
        dns_mode: cni::dns_path(reading).mode().map(Text::new),
        offers: flows::offers(reading),
        printing: flows::printing(reading, &found),
    }
}

impl Report {
    /// The same with the week as records have proved it, or why they could not be asked.
    pub fn measured(mut self, measured: &Known<Measured>) -> Self {
        for check in self.checks.iter_mut().filter(|check| check.id == CheckId::Week) {
            *check = flows::week_of(measured);
        }
        self
    }

    pub fn check(&self, id: CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == id)
    }

    /// Checks that stop this; empty: nothing does.
    pub fn open(&self, stops: Stops) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.is_open() && check.stops() == stops)
    }

    pub fn counts(&self) -> Counts {
        let of = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        Counts {
            passed: of(Verdict::Pass),
            failed: of(Verdict::Fail),
            unknown: of(Verdict::Unknown),
            not_applicable: of(Verdict::NotApplicable),
        }
    }

    /// The worst of what stops rollout or discovery; what stops nothing is not asked.
    pub fn verdict(&self) -> Verdict {
        let stopping = || self.checks.iter().filter(|check| check.stops() != Stops::Nothing);
        if stopping().any(|check| check.verdict == Verdict::Fail) {
            Verdict::Fail
        } else if stopping().any(|check| check.verdict == Verdict::Unknown) {
            Verdict::Unknown
        } else {
            Verdict::Pass
        }
    }
}
