//! Holds and exclusions: two resources of one form, because different people may make them. Nothing
//! of them ever changes; releasing is deleting. Pure and total.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    hold::{Hold, HoldKind, Scope},
    names::Text,
    rollout::{Kept, Stamp},
    time::Timestamp,
};

use super::{
    kind::{EXCLUSION, HOLD, Kind},
    object::{Seen, need_time, stamp},
    parts::ScopeWire,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecWire {
    by: String,
    reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(flatten)]
    scope: ScopeWire,
}

pub fn kind(kind: HoldKind) -> &'static Kind {
    match kind {
        HoldKind::Hold => &HOLD,
        HoldKind::Exclusion => &EXCLUSION,
    }
}

pub fn spec(by: &str, scope: &Scope, reason: &Text, expires: Option<Timestamp>) -> SpecWire {
    SpecWire {
        by: by.to_owned(),
        reason: reason.to_string(),
        expires: expires.map(stamp),
        scope: ScopeWire::of(scope),
    }
}

pub fn decode(value: &Value) -> Result<Kept<Hold>, Text> {
    read(HoldKind::Hold, value)
}

pub fn decode_exclusion(value: &Value) -> Result<Kept<Hold>, Text> {
    read(HoldKind::Exclusion, value)
}

fn read(of: HoldKind, value: &Value) -> Result<Kept<Hold>, Text> {
    let seen = Seen::of(kind(of), value)?;
    let spec: SpecWire = seen.spec()?;
    let expires = spec.expires.as_deref().map(|at| need_time("expires", at)).transpose();
    let expires = expires.map_err(|why| seen.bad(why))?;
    if of == HoldKind::Exclusion && expires.is_none() {
        return Err(seen.bad("an exclusion has to expire"));
    }
    Ok(seen.keep(Hold {
        scope: spec.scope.read().map_err(|why| seen.bad(why))?,
        kind: of,
        reason: Text::new(&spec.reason),
        stamp: Stamp { by: Text::new(&spec.by), at: seen.created },
        expires,
    }))
}
