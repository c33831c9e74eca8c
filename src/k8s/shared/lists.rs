//! The watched lists of the state cluster: one a kind, each as [`follow`](crate::k8s::follow) reads
//! them. An object that cannot be read is named, left out, and never costs the others.

use serde_json::Value;

use crate::{
    cockpit::{
        ports::{Change, Trouble},
        shared::{Shared, SharedFact},
    },
    domain::{
        evidence::Evidence,
        grant::Review,
        hold::{Hold, Override, Waiver},
        journal::Entry,
        names::{ClusterName, NsName, Text},
        rollout::{Kept, Record},
    },
    k8s::{follow::Watched, wire},
};

use super::{
    evidence, hold, journal,
    kind::{self, Kind},
    overrides, review, rollout, waiver,
};

/// What a list tells the session.
pub struct Told {
    pub kind: &'static Kind,
    pub what: What,
}

pub enum What {
    /// `whole`: the list was read anew.
    Fact { fact: Box<SharedFact>, whole: bool },
    /// Holds and exclusions are one thing to the world and two lists here.
    Held(Change<Kept<Hold>, Text>),
    /// The list is missing; `None`: it is there again.
    Trouble(Option<Trouble>),
    /// One object is left out, and why.
    Unreadable(Text),
}

/// One kind in the namespace of the shared objects.
pub struct List<T> {
    kind: &'static Kind,
    ns: NsName,
    decode: fn(&Value) -> Result<Kept<T>, Text>,
    tell: fn(Change<Kept<T>, Text>) -> What,
}

impl<T: Send> Watched for List<T> {
    type Wire = Value;
    type Seen = Kept<T>;
    type Key = Text;
    type Told = Told;
    fn name(&self) -> &'static str {
        self.kind.words
    }
    fn path(&self) -> String {
        self.kind.path(&self.ns)
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &Value) -> (String, Option<String>) {
        let text = |field: &str| wire["metadata"][field].as_str().map(str::to_owned);
        let id = format!("{}/{}", text("namespace").unwrap_or_default(), text("name").unwrap_or_default());
        (id, text("resourceVersion"))
    }
    fn decode(&self, wire: &Value) -> Result<Kept<T>, Text> {
        (self.decode)(wire)
    }
    fn key(&self, seen: Kept<T>) -> Text {
        seen.name
    }
    fn fact(&self, _cluster: &ClusterName, change: Change<Kept<T>, Text>) -> Told {
        Told { kind: self.kind, what: (self.tell)(change) }
    }
    fn trouble(&self, _cluster: &ClusterName, trouble: Option<Trouble>) -> Told {
        Told { kind: self.kind, what: What::Trouble(trouble) }
    }
    /// What was known of it no longer counts: what cannot be read passes no gate.
    fn unreadable(&self, id: &str, why: &Text) -> Vec<Told> {
        let told = |what| Told { kind: self.kind, what };
        let name = id.rsplit('/').next().filter(|name| !name.is_empty());
        let gone = name.map(|name| told((self.tell)(Change::Gone(Text::new(name)))));
        gone.into_iter().chain([told(What::Unreadable(why.clone()))]).collect()
    }
}

fn fact<T>(change: Change<Kept<T>, Text>, fact: fn(Change<Kept<T>, Text>) -> SharedFact) -> What {
    What::Fact { whole: matches!(change, Change::Reset(_)), fact: Box::new(fact(change)) }
}

macro_rules! list {
    ($name:ident, $type:ty, $kind:path, $decode:path, $fact:path) => {
        pub fn $name(ns: &NsName) -> List<$type> {
            List { kind: &$kind, ns: ns.clone(), decode: $decode, tell: |change| fact(change, $fact) }
        }
    };
}

list!(records, Record, kind::ROLLOUT, rollout::decode, SharedFact::Records);
list!(evidence, Evidence, kind::EVIDENCE, evidence::decode, SharedFact::Evidence);
list!(reviews, Review, kind::REVIEW, review::decode, SharedFact::Reviews);
list!(waivers, Waiver, kind::WAIVER, waiver::decode, SharedFact::Waivers);
list!(overrides, Override, kind::OVERRIDE, overrides::decode, SharedFact::Overrides);

/// Only the newest are kept: names sort by number, and lists come sorted by name.
pub fn entries(ns: &NsName) -> List<Entry> {
    let tell = |change| match change {
        Change::Reset(mut entries) => {
            let old: usize = Vec::<Kept<Entry>>::len(&entries).saturating_sub(Shared::JOURNAL);
            fact(Change::Reset(entries.split_off(old)), SharedFact::Journal)
        }
        change => fact(change, SharedFact::Journal),
    };
    List { kind: &kind::JOURNAL, ns: ns.clone(), decode: journal::decode, tell }
}

pub fn holds(ns: &NsName) -> List<Hold> {
    List { kind: &kind::HOLD, ns: ns.clone(), decode: hold::decode, tell: What::Held }
}

pub fn exclusions(ns: &NsName) -> List<Hold> {
    List { kind: &kind::EXCLUSION, ns: ns.clone(), decode: hold::decode_exclusion, tell: What::Held }
}
