//! A dialog with fields, for what is written to the state cluster: it says what will happen, takes
//! reason and expiry, shows live what `decide` has against it, and sends only from its own button.
//! Cancel has the focus when it opens, and Enter anywhere but on that button never sends.

mod plan;
mod purpose;
mod security;

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta};
use crossterm::event::{KeyCode, KeyEvent};
use tui_input::{Input as LineInput, InputRequest};

use crate::{
    cockpit::{
        decide::{self, Command},
        world::World,
    },
    domain::{fleet::Environment, time::Timestamp},
};

use super::{
    dialog::{BodyLine, Scrolled},
    keys, offer,
};

pub use plan::hold_words;
pub use purpose::Purpose;

/// What is filled in, and what comes of it.
#[derive(Clone, Debug)]
pub struct Form {
    pub title: &'static str,
    /// Its band; the name stands in it.
    pub environment: Environment,
    pub name: String,
    /// What will happen.
    pub body: Scrolled,
    pub fields: Vec<Field>,
    pub at: At,
    /// On the button that sends: `Hold`, `Approve`.
    pub verb: &'static str,
    pub purpose: Purpose,
    /// Every reason why it cannot be sent as it stands.
    pub reasons: Vec<String>,
    /// The same as lines.
    pub why: Vec<String>,
    /// Something was filled in.
    pub touched: bool,
}

/// Where the next key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Field(usize),
    Send,
    Cancel,
}

#[derive(Clone, Debug)]
pub struct Field {
    /// By which [`Purpose`] asks for it.
    pub key: &'static str,
    pub label: &'static str,
    /// What may be written, dimmed beside it.
    pub hint: String,
    pub entry: Entry,
}

#[derive(Clone, Debug)]
pub enum Entry {
    Line(LineInput),
    /// A moment: `7d`, `12h`, `2026-12-01`, RFC 3339.
    When(LineInput),
    /// One of these words.
    One {
        words: Vec<String>,
        at: usize,
    },
    /// Any of these words.
    Several {
        words: Vec<String>,
        on: BTreeSet<usize>,
        at: usize,
    },
}

impl Field {
    pub fn line(key: &'static str, label: &'static str, hint: &str, text: &str) -> Self {
        let entry = Entry::Line(LineInput::from(text.to_owned()));
        Self { key, label, hint: hint.to_owned(), entry }
    }

    pub fn when(key: &'static str, label: &'static str, hint: &str, text: &str) -> Self {
        let entry = Entry::When(LineInput::from(text.to_owned()));
        Self { key, label, hint: hint.to_owned(), entry }
    }

    pub fn one(key: &'static str, label: &'static str, words: Vec<String>) -> Self {
        Self { key, label, hint: String::new(), entry: Entry::One { words, at: 0 } }
    }

    pub fn several(
        key: &'static str,
        label: &'static str,
        words: Vec<String>,
        on: impl IntoIterator<Item = usize>,
    ) -> Self {
        let on = on.into_iter().collect();
        Self { key, label, hint: String::new(), entry: Entry::Several { words, on, at: 0 } }
    }
}

impl Form {
    /// Closed again before anything was typed: nothing happened.
    pub fn open(
        world: &World,
        (title, name): (&'static str, impl Into<String>),
        environment: Environment,
        body: Vec<BodyLine>,
        fields: Vec<Field>,
        (verb, purpose): (&'static str, Purpose),
    ) -> Self {
        let mut form = Self {
            title,
            environment,
            name: name.into(),
            body: Scrolled::new(body),
            fields,
            at: At::Cancel,
            verb,
            purpose,
            reasons: Vec::new(),
            why: Vec::new(),
            touched: false,
        };
        form.check(world);
        form
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.fields.iter().find(|field| field.key == key).map(|field| &field.entry)
    }

    /// What was typed, without spaces around it.
    pub fn text(&self, key: &str) -> &str {
        match self.entry(key) {
            Some(Entry::Line(input) | Entry::When(input)) => input.value().trim(),
            Some(Entry::One { .. } | Entry::Several { .. }) | None => "",
        }
    }

    /// Which word was chosen, by its place.
    pub fn chosen(&self, key: &str) -> usize {
        match self.entry(key) {
            Some(Entry::One { at, .. }) => *at,
            Some(Entry::Line(_) | Entry::When(_) | Entry::Several { .. }) | None => 0,
        }
    }

    /// Which words are on, by their places.
    pub fn picked(&self, key: &str) -> Vec<usize> {
        match self.entry(key) {
            Some(Entry::Several { on, .. }) => on.iter().copied().collect(),
            Some(Entry::Line(_) | Entry::When(_) | Entry::One { .. }) | None => Vec::new(),
        }
    }

    /// The moment that was typed; `None`: nothing was.
    pub fn until(&self, key: &str, world: &World) -> Result<Option<Timestamp>, Vec<String>> {
        until(self.text(key), now(world)).map_err(|why| vec![why])
    }

    /// What leaves when it is sent, or what is missing to it.
    pub fn command(&self, world: &World) -> Result<Command, Vec<String>> {
        purpose::command(self, world)
    }

    /// Asks again whether it may be done: with each key, and as the world goes on.
    pub fn check(&mut self, world: &World) {
        self.reasons = match self.command(world) {
            Err(reasons) => reasons,
            Ok(command) => match decide::decide(world, &command) {
                Ok(_) => Vec::new(),
                Err(refusal) => offer::sentences(refusal.reasons.into_iter()),
            },
        };
    }

    pub fn may_send(&self) -> bool {
        self.reasons.is_empty()
    }

    /// To the next field, the buttons behind the last; or back.
    fn step(&mut self, by: isize) {
        let count = self.fields.len();
        let at = match self.at {
            At::Field(at) => at,
            At::Send => count,
            At::Cancel => count + 1,
        };
        let to = (at as isize + by).rem_euclid(count as isize + 2) as usize;
        self.at = if to < count {
            At::Field(to)
        } else if to == count {
            At::Send
        } else {
            At::Cancel
        };
    }

    /// A key that neither closes, sends nor scrolls.
    pub fn press(&mut self, world: &World, key: &KeyEvent) {
        match key.code {
            KeyCode::Tab => self.step(1),
            KeyCode::BackTab => self.step(-1),
            KeyCode::Enter if matches!(self.at, At::Field(_)) => self.step(1),
            KeyCode::Left | KeyCode::Right if matches!(self.at, At::Send | At::Cancel) => {
                self.at = if self.at == At::Send { At::Cancel } else { At::Send };
            }
            _ => {
                if let At::Field(at) = self.at
                    && let Some(field) = self.fields.get_mut(at)
                {
                    field.entry.press(key);
                    self.touched = true;
                }
            }
        }
        self.check(world);
    }

    /// Text that was pasted goes where it can be read before it is sent.
    pub fn paste(&mut self, text: &str) {
        if let At::Field(at) = self.at
            && let Some(Field { entry: Entry::Line(input) | Entry::When(input), .. }) =
                self.fields.get_mut(at)
        {
            self.touched = true;
            for c in text.chars() {
                input.handle(InputRequest::InsertChar(c));
            }
        }
    }
}

impl Entry {
    fn press(&mut self, key: &KeyEvent) {
        /// Nothing longer is kept in the state cluster.
        const LONGEST: usize = 500;
        let step = match key.code {
            KeyCode::Left => -1,
            KeyCode::Right => 1,
            _ => 0,
        };
        match self {
            Self::Line(input) | Self::When(input) => {
                let request = keys::edit(key).filter(|request| {
                    !matches!(request, InputRequest::InsertChar(_)) || input.value().len() < LONGEST
                });
                if let Some(request) = request {
                    input.handle(request);
                }
            }
            Self::One { words, at } => *at = turned(*at, step, words.len()),
            Self::Several { words, on, at } => {
                *at = turned(*at, step, words.len());
                if key.code == KeyCode::Char(' ') && *at < words.len() && !on.remove(at) {
                    on.insert(*at);
                }
            }
        }
    }
}

fn turned(at: usize, step: isize, of: usize) -> usize {
    if of == 0 { 0 } else { (at as isize + step).rem_euclid(of as isize) as usize }
}

/// Expiry is judged by the state cluster's clock.
pub fn now(world: &World) -> Timestamp {
    world.shared().now(world.now()).unwrap_or(world.now())
}

/// How long from now (`90m`, `12h`, `7d`, `2w`), a date (its first moment in UTC), or RFC 3339.
/// `None`: nothing was typed.
pub fn until(raw: &str, now: Timestamp) -> Result<Option<Timestamp>, String> {
    let raw = raw.trim();
    if raw.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = DateTime::parse_from_rfc3339(raw) {
        return Ok(Some(at.to_utc()));
    }
    if let Ok(day) = raw.parse::<NaiveDate>() {
        return Ok(Some(day.and_time(NaiveTime::MIN).and_utc()));
    }
    let unit = |raw: &str| match raw {
        "m" => Some(60),
        "h" => Some(3_600),
        "d" => Some(86_400),
        "w" => Some(7 * 86_400),
        _ => None,
    };
    let at = raw.find(|c: char| !c.is_ascii_digit()).unwrap_or(raw.len());
    let (number, rest) = raw.split_at(at);
    let secs = number.parse::<i64>().ok().zip(unit(rest)).and_then(|(n, unit)| n.checked_mul(unit));
    secs.and_then(TimeDelta::try_seconds)
        .and_then(|span| now.checked_add_signed(span))
        .filter(|at| at.date_naive() < NaiveDate::from_ymd_opt(3000, 1, 1).unwrap_or(NaiveDate::MAX))
        .map(Some)
        .ok_or_else(|| format!("`{raw}` is no time: write 12h, 7d, or a date such as 2026-12-01"))
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;

    #[test]
    fn an_end_is_a_span_a_date_or_a_moment() {
        let now = Utc.with_ymd_and_hms(2026, 11, 23, 13, 2, 30).unwrap();
        for (raw, want) in [
            ("", "none"),
            ("90m", "2026-11-23 14:32:30 UTC"),
            (" 12h ", "2026-11-24 01:02:30 UTC"),
            ("7d", "2026-11-30 13:02:30 UTC"),
            ("2w", "2026-12-07 13:02:30 UTC"),
            ("2026-12-01", "2026-12-01 00:00:00 UTC"),
            ("2026-12-01T09:15:00+01:00", "2026-12-01 08:15:00 UTC"),
            ("7", "no time"),
            ("d", "no time"),
            ("soon", "no time"),
            ("-3d", "no time"),
            ("3 d", "no time"),
            ("99999999999999999999d", "no time"),
            ("999999d", "no time"),
        ] {
            let have = match until(raw, now) {
                Ok(None) => "none".to_owned(),
                Ok(Some(at)) => at.to_string(),
                Err(_) => "no time".to_owned(),
            };
            assert_eq!(have, want, "{raw}");
        }
    }
}
