//! Journal entries: one object each, never changed, named by their number. Pure and total.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    journal::{Act, Entry, Hash},
    names::Text,
    rollout::{Kept, Stamp},
};

use super::{
    kind::JOURNAL,
    names,
    object::{Seen, bounded, need_time, stamp, strings, texts},
};

/// Facts of one entry.
pub const FACTS: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecWire {
    number: u64,
    previous: String,
    by: String,
    at: String,
    act: String,
    object: String,
    #[serde(default)]
    facts: Vec<String>,
}

pub fn spec(entry: &Entry) -> SpecWire {
    SpecWire {
        number: entry.number,
        previous: entry.previous.to_string(),
        by: entry.stamp.by.to_string(),
        at: stamp(entry.stamp.at),
        act: entry.act.as_str().to_owned(),
        object: entry.object.to_string(),
        facts: strings(&entry.facts),
    }
}

pub fn decode(value: &Value) -> Result<Kept<Entry>, Text> {
    let seen = Seen::of(&JOURNAL, value)?;
    let entry = read(&seen.spec()?).map_err(|why| seen.bad(why))?;
    if names::of_entry(entry.number) != seen.name {
        return Err(seen.bad("it is not named by its number"));
    }
    Ok(seen.keep(entry))
}

fn read(spec: &SpecWire) -> Result<Entry, String> {
    bounded("facts", &spec.facts, FACTS)?;
    let act = Act::parse(&spec.act).ok_or_else(|| format!("act is none: {}", Text::new(&spec.act)))?;
    let previous = Hash::parse(&spec.previous)
        .ok_or_else(|| format!("previous is no hash: {}", Text::new(&spec.previous)))?;
    Ok(Entry {
        number: spec.number,
        previous,
        stamp: Stamp { by: Text::new(&spec.by), at: need_time("at", &spec.at)? },
        act,
        object: Text::new(&spec.object),
        facts: texts(&spec.facts),
    })
}
