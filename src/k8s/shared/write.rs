//! Writes of the shared state, each bound to the version it was decided on: a colleague who was
//! faster is named, and nothing of his is ever overwritten. The author is who the API server says we
//! are; admission compares.

use http::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    cockpit::{ports::Trouble, shared::Share},
    domain::{
        evidence::Evidence,
        grant::Decision,
        hold::HoldKind,
        journal::Entry,
        names::{NsName, Text},
        rollout::Record,
        time::Timestamp,
    },
    k8s::{
        failure::Failure,
        follow::escaped,
        wire::{APPLY, Call, JSON, Server},
    },
};

use super::{
    fit, hold, journal,
    kind::{self, Kind},
    names, object, overrides, review, rollout, waiver,
};

/// Bytes of a record's status; beyond it etcd may refuse the object.
const RECORD: usize = 1 << 20;
/// Entries of colleagues that may have come before ours since we last looked.
const ENTRIES: usize = 50;

/// Who writes, and where.
pub struct Desk<'a> {
    pub server: &'a Server,
    pub ns: &'a NsName,
    /// As the API server calls us.
    pub user: &'a str,
    /// Names of one person, as sluice.yaml has them.
    pub people: &'a [Vec<Text>],
    /// The API server's clock, for names that sort by age.
    pub now: Timestamp,
}

type Done = Result<(), Trouble>;

impl Desk<'_> {
    pub async fn write(&self, share: &Share) -> Done {
        match share {
            Share::AskReview { grant, findings, purpose } => {
                let aliases = self.aliases();
                let asked = review::Asked { by: self.user, aliases: &aliases, findings, purpose };
                self.add(&kind::REVIEW, "review", &review::spec(grant, &asked)).await
            }
            Share::Decide { review, version, decision } => self.decide(review, version, decision).await,
            Share::Hold { scope, kind, reason, expires } => {
                let spec = hold::spec(self.user, scope, reason, *expires);
                self.add(hold::kind(*kind), kind.as_str(), &spec).await
            }
            Share::Release { hold, version } => self.release(hold, version).await,
            Share::Waive { target, uid, subject, reason, expires } => {
                let asked = waiver::Asked { target, uid, subject, reason, expires: *expires };
                let spec = waiver::spec(self.user, &asked);
                self.add(&kind::WAIVER, "waiver", &spec).await
            }
            Share::Override { target, uid, digest, covers, reason, expires } => {
                let asked = overrides::Asked { target, uid, digest, covers, reason, expires: *expires };
                self.add(&kind::OVERRIDE, "override", &overrides::spec(self.user, &asked)).await
            }
            Share::Confirm { over, version } => {
                let status = overrides::confirmation(self.user);
                let manager = format!("{}/confirm", object::MANAGER);
                self.append(&kind::OVERRIDE, (over, version), &manager, &status).await
            }
            Share::Record { record, version } => self.record(record, version.as_ref()).await,
            Share::Evidence { evidence, version } => self.evidence(evidence, version.as_ref()).await,
            Share::Journal(entry) => self.journal(entry).await,
            Share::Forget { evidence, version } => self.forget(evidence, version).await,
        }
    }

    /// Other names of ours.
    fn aliases(&self) -> Vec<Text> {
        let me = |name: &Text| name.as_str() == self.user;
        let groups = self.people.iter().filter(|names| names.iter().any(me));
        groups.flatten().filter(|name| !me(name)).cloned().collect()
    }

    /// A new object, named by its age and by what it says.
    async fn add(&self, kind: &Kind, prefix: &str, spec: &impl Serialize) -> Done {
        let spec = object::spec_value(spec);
        let name = names::by_age(prefix, self.now, &[&spec.to_string()]);
        match self.create(kind, &name, &spec).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.trouble(kind, &name, &failure).await),
        }
    }

    async fn create(&self, kind: &Kind, name: &str, spec: &impl Serialize) -> Result<Value, Failure> {
        let body = object::object(kind, self.ns, name, spec);
        let path = format!("{}?{}", kind.path(self.ns), self.options());
        self.server.ask(Call::send(Method::POST, path, JSON, &body)).await
    }

    async fn get(&self, kind: &Kind, name: &str) -> Result<Value, Failure> {
        self.server.ask(Call::get(kind.object_path(self.ns, name))).await
    }

    fn options(&self) -> String {
        format!("fieldManager={}&fieldValidation=Strict", escaped(&object::manager(self.user)))
    }

    /// One decision more, under a manager of its own: the server dates it by that.
    async fn decide(&self, name: &Text, version: &Text, decision: &Decision) -> Done {
        let live = match self.get(&kind::REVIEW, name.as_str()).await {
            Ok(live) => live,
            Err(failure) => return Err(self.trouble(&kind::REVIEW, name.as_str(), &failure).await),
        };
        if live["metadata"]["resourceVersion"].as_str() != Some(version.as_str()) {
            return Err(faster(&kind::REVIEW, name.as_str(), &live));
        }
        let before = live["status"]["decisions"].as_array().map_or(0, Vec::len) as u64;
        let number = before + 1;
        let manager = format!("{}/decision-{number}", object::MANAGER);
        let status = review::status(&review::decision(number, self.user, decision));
        self.append(&kind::REVIEW, (name, version), &manager, &status).await
    }

    /// Adds to the status of an object by a server-side apply that owns nothing else.
    async fn append(
        &self,
        kind: &Kind,
        (name, version): (&Text, &Text),
        manager: &str,
        status: &Value,
    ) -> Done {
        let name = name.as_str();
        let body = object::status(kind, self.ns, name, version.as_str(), status);
        let path = format!("{}/status?fieldManager={}", kind.object_path(self.ns, name), escaped(manager));
        match self.server.ask::<Value>(Call::send(Method::PATCH, path, APPLY, &body)).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.trouble(kind, name, &failure).await),
        }
    }

    /// A hold is ended by deleting the very version that was looked at.
    async fn release(&self, name: &Text, version: &Text) -> Done {
        let exclusion = name.as_str().starts_with(HoldKind::Exclusion.as_str());
        let kind = hold::kind(if exclusion { HoldKind::Exclusion } else { HoldKind::Hold });
        match self.delete(kind, name, version).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.code() == Some(404) => {
                let next = "Nothing is left to do.";
                Err(Trouble::new(&words(kind, name.as_str()), "somebody else ended it already", next))
            }
            Err(failure) => Err(self.trouble(kind, name.as_str(), &failure).await),
        }
    }

    /// Whoever was faster has done it.
    async fn forget(&self, name: &Text, version: &Text) -> Done {
        match self.delete(&kind::EVIDENCE, name, version).await {
            Ok(()) => Ok(()),
            Err(failure) if failure.code() == Some(404) => Ok(()),
            Err(failure) => Err(self.trouble(&kind::EVIDENCE, name.as_str(), &failure).await),
        }
    }

    /// This very version and no other.
    async fn delete(&self, kind: &Kind, name: &Text, version: &Text) -> Result<(), Failure> {
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": { "resourceVersion": version.as_str() },
        });
        let path = kind.object_path(self.ns, name.as_str());
        self.server.bytes(Call::send(Method::DELETE, path, JSON, &body)).await.map(drop)
    }

    /// Two writes where it is new: the object, then its status. One that stops between them leaves a
    /// record of nothing, which the next write fills.
    async fn record(&self, record: &Record, version: Option<&Text>) -> Done {
        let (kind, name) = (&kind::ROLLOUT, names::of_target(&record.target));
        let status = object::spec_value(&rollout::status(record));
        if status.to_string().len() > RECORD {
            let next = "Write fewer or shorter rules; the record keeps the bytes that soaked clean.";
            return Err(Trouble::new(&words(kind, &name), "it is larger than 1 MiB", next));
        }
        let spec = rollout::spec(record);
        let made = match version {
            Some(version) => Ok(Text::clone(version)),
            None => self.create(kind, &name, &spec).await.map(|made| version_of(&made)),
        };
        let written = match made {
            Ok(version) => {
                let mut body = object::object(kind, self.ns, &name, &spec);
                body["metadata"]["resourceVersion"] = version.as_str().into();
                body["status"] = status;
                let path = format!("{}/status?{}", kind.object_path(self.ns, &name), self.options());
                self.server.ask::<Value>(Call::send(Method::PUT, path, JSON, &body)).await
            }
            Err(failure) => Err(failure),
        };
        match written {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.trouble(kind, &name, &failure).await),
        }
    }

    async fn evidence(&self, evidence: &Evidence, version: Option<&Text>) -> Done {
        let (kind, name) = (&kind::EVIDENCE, names::of_target(&evidence.target));
        let Some(spec) = fit::fit(evidence) else {
            let next = "It does not count: look at the size of the cluster, and at what is denied there.";
            return Err(Trouble::new(&words(kind, &name), "it does not fit into 256 KiB", next));
        };
        let written = match version {
            None => self.create(kind, &name, &spec).await,
            Some(version) => {
                let mut body = object::object(kind, self.ns, &name, &spec);
                body["metadata"]["resourceVersion"] = version.as_str().into();
                let path = format!("{}?{}", kind.object_path(self.ns, &name), self.options());
                self.server.ask(Call::send(Method::PUT, path, JSON, &body)).await
            }
        };
        match written {
            Ok(_) => Ok(()),
            Err(failure) => Err(self.trouble(kind, &name, &failure).await),
        }
    }

    /// The next entry of the chain. Where a colleague's took its number, it goes behind that one.
    async fn journal(&self, entry: &Entry) -> Done {
        let mut entry = entry.clone();
        entry.stamp.by = Text::new(self.user);
        entry.facts.truncate(journal::FACTS);
        for _ in 0..ENTRIES {
            let name = names::of_entry(entry.number);
            let failure = match self.create(&kind::JOURNAL, &name, &journal::spec(&entry)).await {
                Ok(_) => return Ok(()),
                Err(failure) => failure,
            };
            if failure.code() != Some(409) {
                return Err(self.trouble(&kind::JOURNAL, &name, &failure).await);
            }
            let taken = match self.get(&kind::JOURNAL, &name).await {
                Ok(taken) => taken,
                Err(failure) => return Err(failure.trouble(&words(&kind::JOURNAL, &name))),
            };
            let taken = journal::decode(&taken).map_err(|why| {
                let next = "The chain cannot go on behind it: look at it with kubectl.";
                Trouble::new(&words(&kind::JOURNAL, &name), why.as_str(), next)
            })?;
            entry.number = taken.value.number + 1;
            entry.previous = taken.value.hash();
        }
        let fact = format!("{ENTRIES} entries of others came before it");
        Err(Trouble::new("the journal", &fact, "Try again: its end is read anew meanwhile."))
    }

    async fn trouble(&self, kind: &Kind, name: &str, failure: &Failure) -> Trouble {
        if failure.code() == Some(409)
            && let Ok(live) = self.get(kind, name).await
        {
            return faster(kind, name, &live);
        }
        let trouble = failure.trouble(&words(kind, name));
        if failure.may_have_landed() {
            let fact = format!("{}; it may have been written all the same", trouble.fact);
            return Trouble { fact: Text::from(fact), ..trouble };
        }
        trouble
    }
}

fn words(kind: &Kind, name: &str) -> String {
    format!("{} {}", kind.kind, Text::new(name))
}

fn version_of(value: &Value) -> Text {
    Text::new(value["metadata"]["resourceVersion"].as_str().unwrap_or_default())
}

/// Who wrote it before us.
fn faster(kind: &Kind, name: &str, live: &Value) -> Trouble {
    let fact = match object::last_writer(live) {
        Some((who, at)) => format!("{who} was faster, at {}", object::stamp(at)),
        None => "somebody else was faster".to_owned(),
    };
    let next = "Nothing was overwritten: look at it as it is now, then decide again.";
    Trouble::new(&words(kind, name), &fact, next)
}
