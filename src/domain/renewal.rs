//! The monthly review of a discovery document, as values: when it is due, and what a namespace's
//! destinations and callers do differently since it was written. Reads no file and no clock.

use std::fmt;

use chrono::{Months, NaiveDate};

use super::{
    destination::Category,
    flow::Direction,
    names::{Text, plural},
    time::Timestamp,
};

/// The same day of the next month; the last one where it has no such day: 31 January, 28 February.
pub fn month_after(day: NaiveDate) -> NaiveDate {
    day.checked_add_months(Months::new(1)).unwrap_or(day)
}

/// From its day on a review is due.
pub fn is_due(due: NaiveDate, today: NaiveDate) -> bool {
    due <= today
}

/// One way in which a destination or caller is not as the document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The document does not have it.
    New,
    /// The document has it, and the evidence of now does not.
    Gone,
    /// Such as `443/TCP`.
    Ports {
        more: Vec<Text>,
        less: Vec<Text>,
    },
    /// Those of the namespace that talk to it, or are called by it.
    Workloads {
        more: Vec<Text>,
        less: Vec<Text>,
    },
    Category {
        was: Category,
        is: Category,
    },
    /// Classes of findings that were not there.
    Flagged(Vec<Text>),
    /// Classes of findings that are not there any more.
    Cleared(Vec<Text>),
}

impl Difference {
    /// A stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Gone => "gone",
            Self::Ports { .. } => "ports",
            Self::Workloads { .. } => "workloads",
            Self::Category { .. } => "category",
            Self::Flagged(_) => "flagged",
            Self::Cleared(_) => "cleared",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Gone => f.write_str("gone"),
            Self::Ports { more, less } => write!(f, "ports {}", turned(more, less)),
            Self::Workloads { more, less } => write!(f, "workloads {}", turned(more, less)),
            Self::Category { was, is } => write!(f, "was {}, is {}", was.as_str(), is.as_str()),
            Self::Flagged(classes) => write!(f, "newly flagged: {}", few(classes)),
            Self::Cleared(classes) => write!(f, "no longer flagged: {}", few(classes)),
        }
    }
}

/// `+ 8443/TCP, - 80/TCP`.
fn turned(more: &[Text], less: &[Text]) -> String {
    let signed = |sign, all: &[Text]| (!all.is_empty()).then(|| format!("{sign} {}", few(all)));
    let parts: Vec<_> = [signed("+", more), signed("-", less)].into_iter().flatten().collect();
    parts.join(", ")
}

fn few(all: &[Text]) -> String {
    const NAMED: usize = 4;
    let named: Vec<_> = all.iter().take(NAMED).map(Text::as_str).collect();
    match all.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// What the policies that are live say of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cover {
    /// No default deny of ours is in force in its direction: everything passes ours.
    NotIsolated,
    Covered,
    /// What of it would be denied.
    Denied(Vec<Text>),
    Unknown(Text),
}

impl Cover {
    /// A stable word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NotIsolated => "not-isolated",
            Self::Covered => "covered",
            Self::Denied(_) => "denied",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Cover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotIsolated => f.write_str("no default deny of ours is live, so ours let it pass"),
            Self::Covered => f.write_str("the live allowlist covers it"),
            Self::Denied(what) => write!(f, "the live policies deny {}", few(what)),
            Self::Unknown(why) => write!(f, "whether the live allowlist covers it is unknown: {why}"),
        }
    }
}

/// A destination or caller that is not as the document has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub direction: Direction,
    /// What a person calls it.
    pub title: Text,
    /// As it is now; of one that is gone as it was.
    pub category: Category,
    /// Never empty.
    pub differences: Vec<Difference>,
    /// Newest flow of it.
    pub last: Timestamp,
    /// `None`: it is gone.
    pub cover: Option<Cover>,
}

impl Changed {
    pub fn is(&self, what: &Difference) -> bool {
        self.differences.contains(what)
    }

    fn is_flagged(&self) -> bool {
        self.differences.iter().any(|one| matches!(one, Difference::Flagged(_)))
    }

    /// What asks for somebody first: flagged, denied, then the rest.
    pub fn rank(&self) -> u8 {
        match (&self.cover, self.is_flagged()) {
            (_, true) => 0,
            (Some(Cover::Denied(_)), false) => 1,
            (Some(Cover::Unknown(_)), false) => 2,
            (Some(Cover::Covered | Cover::NotIsolated), false) => 3,
            (None, false) => 4,
        }
    }
}

/// `2 new, 1 gone, 3 changed, 1 newly flagged, 2 that the live policies deny`.
pub fn summary(all: &[Changed]) -> String {
    if all.is_empty() {
        return "nothing changed".to_owned();
    }
    let count = |passes: &dyn Fn(&Changed) -> bool| all.iter().filter(|one| passes(one)).count();
    let new = |one: &Changed| one.is(&Difference::New);
    let gone = |one: &Changed| one.is(&Difference::Gone);
    let parts = [
        (count(&new), "new"),
        (count(&gone), "gone"),
        (count(&|one| !new(one) && !gone(one)), "changed"),
        (count(&Changed::is_flagged), "newly flagged"),
        (count(&|one| matches!(one.cover, Some(Cover::Denied(_)))), "denied by the live policies"),
        (count(&|one| matches!(one.cover, Some(Cover::Unknown(_)))), "of unknown cover"),
    ];
    let said = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    format!("{}: {}", plural(all.len(), "difference"), said.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(raw: &str) -> NaiveDate {
        raw.parse().expect("a date")
    }

    #[test]
    fn a_month_ends_on_the_same_day_or_the_last_there_is() {
        for (from, to) in [
            ("2026-01-30", "2026-02-28"),
            ("2026-01-31", "2026-02-28"),
            ("2028-01-31", "2028-02-29"),
            ("2026-02-28", "2026-03-28"),
            ("2026-03-31", "2026-04-30"),
            ("2026-12-31", "2027-01-31"),
        ] {
            assert_eq!(month_after(day(from)), day(to), "{from}");
        }
        let due = month_after(day("2026-01-31"));
        for (today, expected) in [("2026-02-27", false), ("2026-02-28", true), ("2026-03-01", true)] {
            assert_eq!(is_due(due, day(today)), expected, "{today}");
        }
    }

    #[test]
    fn differences_are_said_in_words() {
        let texts = |all: &[&str]| all.iter().map(|raw| Text::new(raw)).collect::<Vec<_>>();
        for (difference, said) in [
            (
                Difference::Ports { more: texts(&["8443/TCP"]), less: texts(&["80/TCP", "81/TCP"]) },
                "ports + 8443/TCP, - 80/TCP, 81/TCP",
            ),
            (
                Difference::Workloads { more: Vec::new(), less: texts(&["Deployment a"]) },
                "workloads - Deployment a",
            ),
            (Difference::Category { was: Category::Vendor, is: Category::Unknown }, "was vendor, is unknown"),
            (Difference::Flagged(texts(&["a", "b", "c", "d", "e"])), "newly flagged: a, b, c, d and 1 more"),
        ] {
            assert_eq!(difference.to_string(), said);
        }
    }
}
