//! Overrides: the lead's in `spec`, the second person's confirmation in `status`, each written once.
//! Pure and total.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::domain::{
    hold::{Covers, Override},
    names::Text,
    policy::PolicyDigest,
    rollout::{Kept, Stamp, Target},
    time::Timestamp,
};

use super::{
    kind::OVERRIDE,
    object::{Seen, need_time, stamp},
    parts::{TargetWire, digest},
};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpecWire {
    by: String,
    reason: String,
    expires: String,
    #[serde(flatten)]
    target: TargetWire,
    /// Older objects have none.
    #[serde(rename = "clusterUid", default, skip_serializing_if = "Option::is_none")]
    cluster_uid: Option<String>,
    digest: String,
    covers: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StatusWire {
    confirmed: Option<ConfirmedWire>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ConfirmedWire {
    by: String,
}

/// What is overridden.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub target: &'a Target,
    pub uid: &'a Text,
    pub digest: &'a PolicyDigest,
    pub covers: &'a [Covers],
    pub reason: &'a Text,
    pub expires: Timestamp,
}

pub fn spec(by: &str, asked: &Asked<'_>) -> SpecWire {
    SpecWire {
        by: by.to_owned(),
        reason: asked.reason.to_string(),
        expires: stamp(asked.expires),
        target: TargetWire::of(asked.target),
        cluster_uid: Some(asked.uid.to_string()),
        digest: asked.digest.to_string(),
        covers: asked.covers.iter().map(|covers| covers.as_str().to_owned()).collect(),
    }
}

pub fn confirmation(by: &str) -> Value {
    json!({ "confirmed": { "by": by } })
}

pub fn decode(value: &Value) -> Result<Kept<Override>, Text> {
    let seen = Seen::of(&OVERRIDE, value)?;
    let (spec, status): (SpecWire, StatusWire) = (seen.spec()?, seen.status()?);
    let over = read(&seen, &spec, status.confirmed).map_err(|why| seen.bad(why))?;
    Ok(seen.keep(over))
}

fn read(seen: &Seen<'_>, spec: &SpecWire, confirmed: Option<ConfirmedWire>) -> Result<Override, String> {
    let covers = spec.covers.iter().map(|raw| {
        Covers::parse(raw).ok_or_else(|| format!("covers has {}, which nothing overrides", Text::new(raw)))
    });
    let confirmed = confirmed.map(|confirmed| {
        let at = seen
            .written(|status| !status["f:confirmed"].is_null())
            .ok_or("when it was confirmed is not known: its managedFields are gone")?;
        Ok::<_, String>(Stamp { by: Text::new(&confirmed.by), at })
    });
    Ok(Override {
        target: spec.target.read()?,
        uid: spec.cluster_uid.as_deref().filter(|uid| !uid.is_empty()).map(Text::new),
        digest: digest(&spec.digest)?,
        covers: covers.collect::<Result<_, _>>()?,
        reason: Text::new(&spec.reason),
        stamp: Stamp { by: Text::new(&spec.by), at: seen.created },
        confirmed: confirmed.transpose()?,
        expires: need_time("expires", &spec.expires)?,
    })
}
