//! The lines of the file in which acts wait, both ways. Reading is total: a line that a crash cut or
//! somebody changed is counted and passed over, never the rest with it.

use std::collections::BTreeMap;

use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};

use crate::{
    cockpit::recording::{self, Draft},
    domain::{journal::Act, names::Text, rollout::Stamp, time::Timestamp},
};

/// What is known so far of one act, by its key in this file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case", deny_unknown_fields)]
pub(super) enum Line {
    /// It is about to be done: if nothing more is written, sluice was killed meanwhile.
    Begun {
        key: u64,
        draft: DraftLine,
    },
    Facts {
        key: u64,
        facts: Vec<String>,
    },
    /// It is over; nothing more comes.
    Ended {
        key: u64,
        at: String,
        facts: Vec<String>,
    },
    /// The journal has it.
    Recorded {
        key: u64,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DraftLine {
    at: String,
    by: String,
    act: String,
    object: String,
    facts: Vec<String>,
}

impl From<&Draft> for DraftLine {
    fn from(draft: &Draft) -> Self {
        Self {
            at: time(draft.stamp.at),
            by: draft.stamp.by.to_string(),
            act: draft.act.as_str().to_owned(),
            object: draft.object.to_string(),
            facts: words(&draft.facts),
        }
    }
}

pub(super) fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Nanos, true)
}

pub(super) fn words(facts: &[Text]) -> Vec<String> {
    facts.iter().map(ToString::to_string).collect()
}

pub(super) fn text(line: &Line) -> String {
    let mut out = serde_json::to_string(line).expect("strings and numbers only: it cannot fail");
    out.push('\n');
    out
}

/// What a file holds that the journal does not have.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// Oldest first.
    pub(super) drafts: Vec<Draft>,
    /// Lines that were not understood.
    pub(super) odd: usize,
}

pub(super) fn replay(text: &str) -> Replayed {
    let mut open: BTreeMap<u64, (Draft, bool)> = BTreeMap::new();
    let mut odd = 0;
    for raw in text.lines().filter(|raw| !raw.is_empty()) {
        odd += usize::from(serde_json::from_str(raw).ok().and_then(|line| take(&mut open, line)).is_none());
    }
    let drafts = open
        .into_values()
        .map(|(mut draft, is_over)| {
            if !is_over {
                draft.say(recording::never_ended());
            }
            draft
        })
        .collect();
    Replayed { drafts, odd }
}

/// `None`: it does not fit to what came before.
fn take(open: &mut BTreeMap<u64, (Draft, bool)>, line: Line) -> Option<()> {
    match line {
        Line::Begun { key, draft } => {
            open.insert(key, (parsed(&draft)?, false));
        }
        Line::Facts { key, facts } => open.get_mut(&key)?.0.say(texts(&facts)),
        Line::Ended { key, at, facts } => {
            let (draft, is_over) = open.get_mut(&key)?;
            draft.stamp.at = moment(&at)?;
            draft.say(texts(&facts));
            *is_over = true;
        }
        Line::Recorded { key } => {
            open.remove(&key)?;
        }
    }
    Some(())
}

fn parsed(line: &DraftLine) -> Option<Draft> {
    let mut draft = Draft {
        stamp: Stamp { by: Text::new(&line.by), at: moment(&line.at)? },
        act: Act::parse(&line.act)?,
        object: Text::new(&line.object),
        facts: Vec::new(),
    };
    draft.say(texts(&line.facts));
    Some(draft)
}

fn texts(facts: &[String]) -> impl Iterator<Item = Text> + '_ {
    facts.iter().map(|fact| Text::new(fact))
}

fn moment(raw: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(raw).ok().map(|at| at.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"line":"begun","key":1,"draft":{"at":"2026-11-23T12:00:30Z","by":"lead","act":"apply","object":"east/shop egress","facts":["digest: x"]}}
{"line":"facts","key":1,"facts":["command: kubectl a","answer: done"]}
{"line":"begun","key":2,"draft":{"at":"2026-11-23T12:00:31Z","by":"lead","act":"rollback","object":"east/pay egress","facts":[]}}
{"line":"facts","key":2,"facts":["command: kubectl b"]}
{"line":"ended","key":1,"at":"2026-11-23T12:00:40.5Z","facts":["outcome: done"]}
"#;

    fn said(text: &str) -> (Vec<String>, usize) {
        let replayed = replay(text);
        let words = |draft: &Draft| {
            let facts = words(&draft.facts).join("; ");
            format!("{} {} {}: {facts}", time(draft.stamp.at), draft.act.as_str(), draft.object)
        };
        (replayed.drafts.iter().map(words).collect(), replayed.odd)
    }

    #[test]
    fn what_was_begun_and_never_ended_says_so() {
        let apply = "2026-11-23T12:00:40.500000000Z apply east/shop egress: digest: x; command: kubectl a; \
                     answer: done; outcome: done";
        let rollback = "2026-11-23T12:00:31.000000000Z rollback east/pay egress: command: kubectl b; \
                        outcome: not known: sluice stopped before it ended";
        assert_eq!(said(FILE), (vec![apply.to_owned(), rollback.to_owned()], 0));
        let recorded = format!("{FILE}{}", text(&Line::Recorded { key: 1 }));
        assert_eq!(said(&recorded), (vec![rollback.to_owned()], 0));
    }

    /// Wherever a kill cuts the file, what was written before the cut is there.
    #[test]
    fn a_file_cut_anywhere_keeps_what_came_before() {
        let ends: Vec<_> = FILE.match_indices('\n').map(|(at, _)| at + 1).collect();
        for cut in 0..FILE.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (drafts, odd) = said(&FILE[..cut]);
            // A line without its newline may be whole.
            let least = [0, 1, 1, 2, 2, 2][whole];
            assert!(drafts.len() >= least && odd <= 1, "cut at {cut}: {drafts:?} {odd}");
            if whole >= 2 {
                assert!(drafts[0].contains("command: kubectl a; answer: done"), "cut at {cut}: {drafts:?}");
            }
        }
    }

    #[test]
    fn lines_that_make_no_sense_are_counted_and_cost_no_other() {
        let odd = [
            "nonsense",
            "{}",
            r#"{"line":"ended","key":9,"at":"2026-11-23T12:00:40Z","facts":[]}"#,
            r#"{"line":"recorded","key":9}"#,
            r#"{"line":"begun","key":3,"draft":{"at":"now","by":"","act":"apply","object":"","facts":[]}}"#,
            r#"{"line":"begun","key":3,"draft":{"at":"2026-11-23T12:00:31Z","by":"","act":"boom","object":"","facts":[]}}"#,
        ];
        let (drafts, counted) = said(&format!("{}\n{FILE}", odd.join("\n")));
        assert_eq!((drafts.len(), counted), (2, odd.len()));
    }
}
