//! Waivers: made once, never changed. Pure and total.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::{
    hold::{Subject, Waiver},
    names::Text,
    rollout::{Kept, Stamp, Target},
    time::Timestamp,
};

use super::{
    kind::WAIVER,
    object::{Seen, need_time, stamp},
    parts::{DenialWire, TargetWire, WorkloadWire},
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
    subject: SubjectWire,
}

/// Exactly one of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SubjectWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    denial: Option<DenialWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cron_job: Option<String>,
    /// Nothing was judged at all: always `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_evidence: Option<WorkloadWire>,
}

/// What is waived.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    pub target: &'a Target,
    pub uid: &'a Text,
    pub subject: &'a Subject,
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
        subject: match asked.subject {
            Subject::Denial(key) => SubjectWire { denial: Some(DenialWire::of(key)), ..Default::default() },
            Subject::CronJob(name) => SubjectWire { cron_job: Some(name.to_string()), ..Default::default() },
            Subject::Quiet => SubjectWire { quiet: Some(true), ..Default::default() },
            Subject::NoEvidence(workload) => {
                SubjectWire { no_evidence: Some(WorkloadWire::of(workload)), ..Default::default() }
            }
        },
    }
}

pub fn decode(value: &Value) -> Result<Kept<Waiver>, Text> {
    let seen = Seen::of(&WAIVER, value)?;
    let waiver = read(&seen, seen.spec()?).map_err(|why| seen.bad(why))?;
    Ok(seen.keep(waiver))
}

fn read(seen: &Seen<'_>, spec: SpecWire) -> Result<Waiver, String> {
    let SubjectWire { denial, cron_job, quiet, no_evidence } = spec.subject;
    let subject = match (denial, cron_job, quiet, no_evidence) {
        (Some(denial), None, None, None) => Subject::Denial(denial.read()?),
        (None, Some(name), None, None) => Subject::CronJob(Text::from(name)),
        (None, None, Some(true), None) => Subject::Quiet,
        (None, None, None, Some(workload)) => Subject::NoEvidence(workload.read()),
        _ => return Err("subject must be exactly one of denial, cronJob, quiet, noEvidence".to_owned()),
    };
    Ok(Waiver {
        target: spec.target.read()?,
        uid: spec.cluster_uid.as_deref().filter(|uid| !uid.is_empty()).map(Text::new),
        subject,
        reason: Text::new(&spec.reason),
        stamp: Stamp { by: Text::new(&spec.by), at: seen.created },
        expires: need_time("expires", &spec.expires)?,
    })
}
