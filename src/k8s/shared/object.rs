//! The frame around every shared object: metadata in and out, and who wrote which part when, as the
//! API server stamped it. Reading is total: what is wrong becomes a sentence that names the object.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::domain::{
    names::{ClusterName, NsName, Text},
    rollout::Kept,
    time::Timestamp,
};

use super::kind::Kind;

/// Field manager of our writes; the part after it says who.
pub const MANAGER: &str = "sluice";

/// An object as it came: what every kind needs of it, and the object itself.
#[derive(Debug)]
pub struct Seen<'v> {
    kind: &'static Kind,
    value: &'v Value,
    pub name: &'v str,
    pub version: &'v str,
    pub created: Timestamp,
}

impl<'v> Seen<'v> {
    pub fn of(kind: &'static Kind, value: &'v Value) -> Result<Self, Text> {
        let text = |field: &str| value["metadata"][field].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("resourceVersion"));
        let bad = |why: &str| Text::from(format!("{} {}: {why}", kind.kind, Text::new(name)));
        if name.is_empty() {
            return Err(bad("it has no name"));
        }
        let created = time(text("creationTimestamp")).ok_or_else(|| bad("it has no creationTimestamp"))?;
        Ok(Self { kind, value, name, version, created })
    }

    pub fn bad(&self, why: impl fmt::Display) -> Text {
        Text::from(format!("{} {}: {why}", self.kind.kind, Text::new(self.name)))
    }

    pub fn spec<T: DeserializeOwned>(&self) -> Result<T, Text> {
        T::deserialize(&self.value["spec"]).map_err(|error| self.bad(format_args!("spec: {error}")))
    }

    /// What the status subresource wrote; the default where there is none yet.
    pub fn status<T: DeserializeOwned + Default>(&self) -> Result<T, Text> {
        match &self.value["status"] {
            Value::Null => Ok(T::default()),
            status => T::deserialize(status).map_err(|error| self.bad(format_args!("status: {error}"))),
        }
    }

    pub fn keep<T>(&self, value: T) -> Kept<T> {
        Kept { name: Text::new(self.name), version: Text::new(self.version), created: self.created, value }
    }

    /// When a part of the status was first written, by the API server's clock: the oldest entry of
    /// managedFields that owns it. A client cannot set that time: the status subresource ignores
    /// what it sends there, and admission refuses writes beside it. `None`: it was taken away.
    pub fn written(&self, owns: impl Fn(&Value) -> bool) -> Option<Timestamp> {
        let entries = self.value["metadata"]["managedFields"].as_array()?;
        let of_status = entries.iter().filter(|entry| {
            entry["subresource"].as_str() == Some("status") && owns(&entry["fieldsV1"]["f:status"])
        });
        of_status.filter_map(|entry| time(entry["time"].as_str()?)).min()
    }
}

/// Who changed an object last, for a sentence: manager and time of the newest entry.
pub fn last_writer(value: &Value) -> Option<(Text, Timestamp)> {
    let entries = value["metadata"]["managedFields"].as_array()?;
    let named =
        entries.iter().filter_map(|entry| Some((time(entry["time"].as_str()?)?, entry["manager"].as_str()?)));
    let (at, manager) = named.max()?;
    let who = manager.strip_prefix(MANAGER).and_then(|rest| rest.strip_prefix('/')).unwrap_or(manager);
    Some((Text::new(who), at))
}

/// The manager's name under which a person writes what several may write. The API takes at most 128
/// printable characters.
pub fn manager(user: &str) -> String {
    let printable = user.chars().filter(|c| c.is_ascii_graphic());
    format!("{MANAGER}/{}", printable.take(100).collect::<String>())
}

/// A new object, ready to send.
pub fn object(kind: &Kind, ns: &NsName, name: &str, spec: &impl Serialize) -> Value {
    json!({
        "apiVersion": Kind::api_version(),
        "kind": kind.kind,
        "metadata": {
            "name": name, "namespace": ns.as_str(), "labels": { "app.kubernetes.io/part-of": "sluice" },
        },
        "spec": spec_value(spec),
    })
}

/// Only the status of an object that is there, bound to the version it was decided on.
pub fn status(kind: &Kind, ns: &NsName, name: &str, version: &str, status: &impl Serialize) -> Value {
    json!({
        "apiVersion": Kind::api_version(),
        "kind": kind.kind,
        "metadata": { "name": name, "namespace": ns.as_str(), "resourceVersion": version },
        "status": spec_value(status),
    })
}

pub fn spec_value(part: &impl Serialize) -> Value {
    // Our own wire types have string keys only; nothing else can fail.
    serde_json::to_value(part).unwrap_or(Value::Object(Map::new()))
}

pub fn time(raw: &str) -> Option<Timestamp> {
    DateTime::parse_from_rfc3339(raw).ok().map(|time| time.with_timezone(&Utc))
}

pub fn stamp(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

pub fn need_time(field: &str, raw: &str) -> Result<Timestamp, String> {
    time(raw).ok_or_else(|| format!("{field} is not a time: {}", Text::new(raw)))
}

pub fn need_cluster(raw: &str) -> Result<ClusterName, String> {
    ClusterName::parse(raw).map_err(|bad| bad.to_string())
}

pub fn need_ns(raw: &str) -> Result<NsName, String> {
    NsName::parse(raw).map_err(|bad| bad.to_string())
}

/// A list that must not be longer than that; cutting it short would change what it says.
pub fn bounded<T>(field: &str, list: &[T], most: usize) -> Result<(), String> {
    if list.len() > most {
        return Err(format!("{field} has {} entries, at most {most} are read", list.len()));
    }
    Ok(())
}

pub fn texts(raw: &[String]) -> Vec<Text> {
    raw.iter().map(|raw| Text::new(raw)).collect()
}

pub fn strings(texts: &[Text]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}
