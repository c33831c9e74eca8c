//! What is recorded of a rollout, as the `Rollout` resource: whose it is in `spec`, what happened to
//! it in `status`. Pure and total.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    domain::{
        manifest::Manifests,
        names::Text,
        policy::PolicyDigest,
        rollout::{Applied, Clean, Kept, Record, RolledBack, Stamp},
        valve::Set,
    },
    manifest,
};

use super::{
    kind::ROLLOUT,
    object::{Seen, need_time, stamp},
    parts::{TargetWire, digest},
};

/// Manifests that a record may hold: the pinned set of one direction.
const MANIFESTS: usize = 8;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusWire {
    /// UID of the cluster's kube-system namespace.
    cluster_uid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    applied: Option<AppliedWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clean: Option<CleanWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rolled_back: Option<RolledBackWire>,
    overridden: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct AppliedWire {
    digest: String,
    by: String,
    at: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct CleanWire {
    digest: String,
    at: String,
    #[serde(default)]
    manifests: BTreeMap<String, Box<str>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct RolledBackWire {
    by: String,
    at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovered: Option<String>,
}

pub fn spec(record: &Record) -> TargetWire {
    TargetWire::of(&record.target)
}

pub fn status(record: &Record) -> StatusWire {
    StatusWire {
        cluster_uid: record.uid.to_string(),
        wave: record.wave,
        applied: record.applied.as_ref().map(|applied| AppliedWire {
            digest: applied.digest.to_string(),
            by: applied.stamp.by.to_string(),
            at: stamp(applied.stamp.at),
        }),
        clean: record.clean.as_ref().map(|clean| CleanWire {
            digest: clean.digest.to_string(),
            at: stamp(clean.at),
            manifests: clean
                .manifests
                .iter()
                .map(|(name, sent)| (name.to_string(), sent.to_string().into()))
                .collect(),
        }),
        rolled_back: record.rolled_back.as_ref().map(|back| RolledBackWire {
            by: back.stamp.by.to_string(),
            at: stamp(back.stamp.at),
            reason: back.reason.as_ref().map(ToString::to_string),
            recovered: back.recovered.map(stamp),
        }),
        overridden: record.overridden,
    }
}

/// An object without a status is one whose writer stopped half-way: nothing is recorded in it yet.
pub fn decode(value: &Value) -> Result<Kept<Record>, Text> {
    let seen = Seen::of(&ROLLOUT, value)?;
    let (target, status): (TargetWire, StatusWire) = (seen.spec()?, seen.status()?);
    let record = read(&target, status).map_err(|why| seen.bad(why))?;
    Ok(seen.keep(record))
}

fn read(target: &TargetWire, status: StatusWire) -> Result<Record, String> {
    let applied = status.applied.map(|applied| {
        Ok::<_, String>(Applied {
            digest: digest(&applied.digest)?,
            stamp: Stamp { by: Text::new(&applied.by), at: need_time("applied.at", &applied.at)? },
        })
    });
    let clean = status.clean.map(|clean| {
        if clean.manifests.len() > MANIFESTS {
            return Err(format!("clean has {} manifests", clean.manifests.len()));
        }
        let (mut set, mut manifests) = (Set::new(), Manifests::new());
        for (name, text) in clean.manifests {
            let value: Value = serde_json::from_str(&text).map_err(|bad| format!("clean {name}: {bad}"))?;
            let policy = manifest::policy(&value).map_err(|why| format!("clean: {why}"))?;
            let pinned = policy.pinned().filter(|pinned| pinned.name == name);
            let pinned = pinned.ok_or_else(|| format!("clean {name} is no pinned policy"))?;
            set.insert(pinned.name, policy);
            manifests.insert(pinned.name, text.into());
        }
        let digest = digest(&clean.digest)?;
        // What is applied again must be what soaked.
        if PolicyDigest::of(set.values()) != digest {
            return Err("clean has other manifests than its digest says".to_owned());
        }
        Ok(Clean { digest, at: need_time("clean.at", &clean.at)?, set, manifests })
    });
    let rolled_back = status.rolled_back.map(|back| {
        Ok::<_, String>(RolledBack {
            stamp: Stamp { by: Text::new(&back.by), at: need_time("rolledBack.at", &back.at)? },
            reason: back.reason.as_deref().map(Text::new),
            recovered: back.recovered.map(|at| need_time("rolledBack.recovered", &at)).transpose()?,
        })
    });
    Ok(Record {
        target: target.read()?,
        uid: Text::from(status.cluster_uid),
        wave: status.wave,
        applied: applied.transpose()?,
        clean: clean.transpose()?,
        rolled_back: rolled_back.transpose()?,
        overridden: status.overridden,
    })
}
