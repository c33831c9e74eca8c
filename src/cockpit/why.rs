//! The reasons of gates as values and as sentences, each with its next step. Whatever is listed is
//! bounded; times are of the zone that the reason is about.

use std::fmt;

use chrono::FixedOffset;

use crate::domain::{
    flow::Direction,
    hold::{Hold, HoldKind},
    names::{NsName, Text},
    time::Timestamp,
    wave::{Candidate, RowState},
};

use super::decide::Reason;

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    NoState,
    StateAway(Text),
    /// Rows of an earlier wave whose clock counts.
    Soaking {
        wave: u32,
        rows: Rows,
    },
    /// Rows of an earlier wave that somebody must do something about.
    WaveBefore {
        wave: u32,
        rows: Rows,
    },
    /// So many more waves before this row's.
    WavesBetween(usize),
    /// A hold or an exclusion, by the name it is released by.
    Held {
        name: Text,
        hold: Box<Hold>,
        zone: FixedOffset,
    },
    Hours {
        opens: Option<Timestamp>,
        zone: FixedOffset,
    },
    BlockedDay {
        why: Text,
        opens: Option<Timestamp>,
        zone: FixedOffset,
    },
    Dependency {
        ns: NsName,
        state: &'static str,
    },
    Cycle(Vec<NsName>),
    Evidence {
        have: Text,
        why: Vec<Text>,
    },
    /// The recorded week would not have passed, or may not have.
    Predicted(Text),
    OtherDirection {
        direction: Direction,
        wave: u32,
    },
    /// Its egress is not clean yet; `is_out`: the lead took that out of its wave.
    EgressFirst {
        state: RowState,
        is_out: bool,
    },
    Incident(Text),
    Unknown(Text),
    /// The plan does not know the row.
    NoWave,
    /// What `decide` asks by itself.
    Other(Box<Reason>),
}

/// Rows that are named, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Each with its state: `prod-eu/shop soaking`.
    pub named: Vec<Text>,
    pub more: usize,
}

impl Rows {
    const NAMED: usize = 4;

    /// `None`: there is no row.
    pub fn of<'c>(rows: impl Iterator<Item = &'c Candidate>) -> Option<Self> {
        let mut out = Self { named: Vec::new(), more: 0 };
        for row in rows {
            if out.named.len() == Self::NAMED {
                out.more += 1;
            } else {
                let (cluster, ns) = (&row.target.cluster, &row.target.ns);
                out.named.push(Text::from(format!("{cluster}/{ns} {}", row.state.word())));
            }
        }
        (!out.named.is_empty()).then_some(out)
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: Vec<_> = self.named.iter().map(Text::as_str).collect();
        f.write_str(&named.join(", "))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

impl Why {
    /// Stable word for scripts; `None`: that of the reason inside.
    pub fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoState => "no-state",
            Self::StateAway(_) => "state-away",
            Self::Soaking { .. } => "wave-soaks",
            Self::WaveBefore { .. } => "wave-before",
            Self::WavesBetween(_) => "waves-between",
            Self::Held { hold, .. } => match hold.kind {
                HoldKind::Hold => "held",
                HoldKind::Exclusion => "taken-out",
            },
            Self::Hours { .. } => "hours",
            Self::BlockedDay { .. } => "blocked-day",
            Self::Dependency { .. } => "dependency",
            Self::Cycle(_) => "cycle",
            Self::Evidence { .. } => "evidence",
            Self::Predicted(_) => "predicted",
            Self::OtherDirection { .. } => "other-direction",
            Self::EgressFirst { .. } => "egress-first",
            Self::Incident(_) => "incident",
            Self::Unknown(_) => "unknown",
            Self::NoWave => "no-wave",
            Self::Other(_) => return None,
        })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoState => f.write_str(
                "no state cluster is named: write `state:` into sluice.yaml, then run `sluice install`",
            ),
            Self::StateAway(why) => write!(f, "the team's state is away: {why}"),
            Self::Soaking { wave, rows } => write!(f, "wave {wave} still soaks: {rows}"),
            Self::WaveBefore { wave, rows } => {
                write!(f, "wave {wave} is not done: {rows}; clear them, or `sluice exclude` them")
            }
            Self::WavesBetween(1) => f.write_str("1 more wave goes before its own"),
            Self::WavesBetween(waves) => write!(f, "{waves} more waves go before its own"),
            Self::Held { name, hold, zone } => {
                let Hold { scope, kind, reason, stamp, expires } = hold.as_ref();
                let what = match kind {
                    HoldKind::Hold => "held",
                    HoldKind::Exclusion => "taken out of its wave",
                };
                write!(f, "{what} ({scope}) by {}", stamp.by)?;
                if let Some(expires) = expires {
                    write!(f, " until {}", clock(*expires, *zone))?;
                }
                write!(f, ": {reason}; `sluice release {name}` ends it")
            }
            Self::Hours { opens, zone } => {
                f.write_str("outside working hours")?;
                opening(f, *opens, *zone)
            }
            Self::BlockedDay { why, opens, zone } => {
                write!(f, "blocked day ({why})")?;
                opening(f, *opens, *zone)
            }
            Self::Dependency { ns, state } => write!(f, "it waits for {ns}, which is {state}"),
            Self::Cycle(names) => {
                let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                let names = names.join(" and ");
                write!(f, "it waits for itself by way of {names}: correct `dependencies:` in sluice.yaml")
            }
            Self::Evidence { have, why } => {
                write!(f, "evidence is not ready: {have}")?;
                why.iter().try_for_each(|why| write!(f, ". {why}"))
            }
            Self::OtherDirection { direction, wave } => {
                write!(
                    f,
                    "its {direction} was applied in wave {wave}, which is not done: one direction at a time"
                )
            }
            Self::EgressFirst { state, is_out } => {
                let (word, next) = (state.word(), egress_next(state));
                let out = if *is_out { " and taken out of its wave" } else { "" };
                write!(f, "its egress goes first and is {word}{out}: {next}")
            }
            Self::Incident(why) => write!(f, "incident: {why}; look at what is live, then roll back"),
            Self::Predicted(what) => write!(f, "the prediction for {what}"),
            Self::Unknown(why) => write!(f, "not known: {why}"),
            Self::NoWave => {
                f.write_str("the plan does not know it: it is left out, or its cluster is not read yet")
            }
            Self::Other(reason) => reason.fmt(f),
        }
    }
}

/// What lets the ingress of a namespace start whose egress stands so.
fn egress_next(state: &RowState) -> &'static str {
    match state {
        RowState::Waiting => "apply that, and let it soak clean",
        RowState::RolledBack => "apply that again, and let it soak clean",
        RowState::Soaking { .. } => "wait until that is clean",
        RowState::Withheld(_) | RowState::Incident(_) | RowState::Blocked(_) => {
            "clear what its row in the plan says, and let it soak clean"
        }
        RowState::Unreachable(_) | RowState::Unknown(_) => "wait until it is known to be clean",
        RowState::Idle | RowState::Clean => "it may start",
    }
}

fn opening(f: &mut fmt::Formatter<'_>, opens: Option<Timestamp>, zone: FixedOffset) -> fmt::Result {
    match opens {
        Some(opens) => write!(f, ": opens {}", clock(opens, zone)),
        None => f.write_str(": does not open within years"),
    }
}

/// A moment as people read it, with its zone.
pub fn clock(at: Timestamp, zone: FixedOffset) -> String {
    at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M %:z").to_string()
}
