//! A second opinion on credit: second by second and minute by minute, from the facts as they were told,
//! with nothing of the product's own arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::Told;

/// What one observer was told, at which second.
pub type Story = Vec<(i64, Told)>;

/// What one observer may claim.
#[derive(Default)]
pub struct Naive {
    /// Minutes in which it watched, and the source as a whole lost nothing.
    pub observed: BTreeSet<i64>,
    /// Nodes that ran pods in a minute.
    pub ran: BTreeMap<i64, BTreeSet<&'static str>>,
    /// Nodes heard whole in a minute.
    pub heard: BTreeSet<(&'static str, i64)>,
    /// Nodes that lost something in a minute.
    pub void: BTreeSet<(&'static str, i64)>,
    /// Minutes before this do not count.
    pub from: i64,
}

pub const NODES: [&str; 3] = ["a", "b", "c"];

impl Naive {
    pub fn of(story: &Story, end: i64) -> Self {
        let mut out = Self { from: restarts(story), ..Self::default() };
        let (gaps, watched) = (gaps(story), watched(story, end));
        let overlaps = |(from, until): (i64, i64), minute: i64| {
            // A moment lies in its own minute.
            from < minute * 60 + 60 && (until > minute * 60 || (from >= minute * 60 && until <= from))
        };
        for minute in 0..end.div_euclid(60) {
            let whole_lost =
                gaps.iter().any(|(of, gap)| of.is_none() && overlaps((gap.0, gap.1.unwrap_or(end)), minute));
            let all_watched = (minute * 60..minute * 60 + 60).all(|second| watched.contains(&second));
            if all_watched && !whole_lost {
                out.observed.insert(minute);
            }
            for name in NODES {
                if gaps
                    .iter()
                    .any(|(of, gap)| *of == Some(name) && overlaps((gap.0, gap.1.unwrap_or(end)), minute))
                {
                    out.void.insert((name, minute));
                }
            }
        }
        for (at, told) in story {
            if let Told::Heard { node, from, until } = told
                && *until <= at + 60
            {
                out.hear(node, *from, *until);
            }
        }
        out.run(story, end);
        out
    }

    /// Seconds are gathered in `seconds` and become minutes when a minute has all of them.
    fn hear(&mut self, node: &'static str, from: i64, until: i64) {
        // Filled in `Naive::whole` from all stretches together.
        self.stretch(node, from, until);
    }

    fn stretch(&mut self, node: &'static str, from: i64, until: i64) {
        for second in from..until {
            // Negative numbers hold seconds, so that one set is enough while they are gathered.
            self.heard.insert((node, -1 - second));
        }
        for minute in from.div_euclid(60)..=until.div_euclid(60) {
            if (minute * 60..minute * 60 + 60).all(|second| self.heard.contains(&(node, -1 - second))) {
                self.heard.insert((node, minute));
            }
        }
    }

    fn run(&mut self, story: &Story, end: i64) {
        let mut on: Vec<&'static str> = vec!["a"];
        let mut since = 0;
        let mut note = |on: &[&'static str], from: i64, until: i64| {
            for minute in from.div_euclid(60)..=(until - 1).div_euclid(60) {
                self.ran.entry(minute).or_default().extend(on);
            }
        };
        for (at, told) in story {
            if let Told::Runs(nodes) = told {
                note(&on, since, *at);
                (on, since) = (nodes.clone(), *at);
            }
        }
        note(&on, since, end);
    }

    pub fn credit(&self, end: i64) -> Vec<i64> {
        joined(&[self], end)
    }
}

/// Minutes that observers together may claim.
pub fn joined(all: &[&Naive], end: i64) -> Vec<i64> {
    let from = all.iter().map(|one| one.from).max().unwrap_or(0);
    let first = (from + 59).div_euclid(60);
    let counts = |minute: &i64| {
        let watching: Vec<_> = all.iter().filter(|one| one.observed.contains(minute)).collect();
        let ran: BTreeSet<_> =
            watching.iter().flat_map(|one| one.ran.get(minute).into_iter().flatten()).collect();
        !ran.is_empty()
            && ran.iter().all(|node| {
                watching.iter().any(|one| one.heard.contains(&(**node, *minute)))
                    && all.iter().all(|one| !one.void.contains(&(**node, *minute)))
            })
    };
    (first..end.div_euclid(60)).filter(counts).collect()
}

/// Gaps as they stand at the end: one that was open is replaced by its closing.
type Stretch = (i64, Option<i64>);

fn gaps(story: &Story) -> Vec<(Option<&'static str>, Stretch)> {
    let mut out: Vec<(Option<&'static str>, Stretch)> = Vec::new();
    for (_, told) in story {
        let Told::Gap { node, from, until, lost } = told else { continue };
        out.retain(|(of, gap)| *of != *node || gap.0 != *from || gap.1.is_some());
        let read_again = *until == Some(*from) && !lost;
        if !read_again {
            out.push((*node, (*from, *until)));
        }
    }
    out
}

/// Seconds in which the lists were watched whole: between good answers of one session.
fn watched(story: &Story, end: i64) -> BTreeSet<i64> {
    let mut out = BTreeSet::new();
    let mut good = Some(0);
    for (at, told) in story.iter().filter(|(at, _)| *at <= end) {
        match (told, good) {
            (Told::Answered | Told::Runs(_) | Told::Missing | Told::PutBack, Some(last)) => {
                out.extend(last..*at);
                good = Some(*at);
            }
            (Told::Away, Some(_)) => {
                // The minute in which the last good answer came is not whole either.
                good = None;
            }
            (Told::Back, None) => good = Some(*at),
            _ => {}
        }
    }
    out
}

/// The last restart; a set that is missing at the end never counts.
fn restarts(story: &Story) -> i64 {
    let (mut from, mut missing, mut version) = (0, false, "1.16.0");
    for (at, told) in story {
        match told {
            Told::Missing if !missing => missing = true,
            Told::PutBack | Told::Back if missing => {
                missing = false;
                from = *at;
            }
            Told::Cni(other) if *other != version => {
                version = other;
                from = *at;
            }
            _ => {}
        }
    }
    if missing { i64::from(i32::MAX) } else { from }
}
