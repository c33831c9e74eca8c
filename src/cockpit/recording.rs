//! What the journal says of an act: user, digest, every command verbatim with its answer, how it
//! ended, what is isolated now. Pure: from effects, receipts and outcomes to a [`Draft`]; the chain
//! gives it number and hash when the state cluster takes it ([`super::outbox`]).

use chrono::SecondsFormat;

use crate::domain::{
    grant::{Decision, Grant, Opening},
    hold::{Scope, Subject},
    journal::{Act, Entry},
    names::{ClusterName, Text},
    rollout::{Stamp, Target},
    time::Timestamp,
};

use super::{
    orders::{Answer, OrderId, OrderKind, Origin, Outcome, Receipt},
    ports::{Effect, Trouble},
    shared::Share,
    world::World,
};

/// An entry before it has its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Who did it, as the API server it was done to knows him, and when.
    pub stamp: Stamp,
    pub act: Act,
    pub object: Text,
    pub facts: Vec<Text>,
}

impl Draft {
    /// Facts of one entry; what is more is counted in the last one.
    pub const FACTS: usize = 99;

    pub fn say(&mut self, facts: impl IntoIterator<Item = Text>) {
        for fact in facts {
            match self.facts.len() {
                full if full > Self::FACTS => return,
                Self::FACTS => self.facts.push(Text::new("further facts are left out here")),
                _ => self.facts.push(fact),
            }
        }
    }

    /// Of the cluster that it was done to, as far as that had said it.
    pub fn uid(&self) -> Option<&str> {
        self.facts.iter().find_map(|fact| fact.as_str().strip_prefix(UID))
    }

    /// Does this entry say the same? Number and chain are not part of it, nor is the name under which
    /// the state cluster took it.
    pub fn is(&self, entry: &Entry) -> bool {
        let micros = |at: Timestamp| at.timestamp_micros();
        micros(self.stamp.at) == micros(entry.stamp.at)
            && self.act == entry.act
            && self.object == entry.object
            && self.facts == entry.facts
    }
}

/// Before the UID of a cluster in a fact.
const UID: &str = "cluster uid: ";

/// `word: value`; a value that would be cut goes on in further facts, so that commands stay verbatim.
pub fn said(word: &str, value: &str) -> Vec<Text> {
    const PIECE: usize = 400;
    let mut rest = value;
    let mut out = Vec::new();
    loop {
        let end = rest.char_indices().nth(PIECE).map_or(rest.len(), |(at, _)| at);
        let lead = if out.is_empty() { word.to_owned() } else { format!("{word}, goes on") };
        out.push(Text::from(format!("{lead}: {}", &rest[..end])));
        rest = &rest[end..];
        if rest.is_empty() {
            return out;
        }
    }
}

/// An apply or a rollback that is about to be sent.
pub fn begun(world: &World, effect: &Effect) -> Option<(OrderId, Draft)> {
    match effect {
        Effect::Apply(order) => {
            let preview = &order.preview;
            let act = match preview.origin {
                Origin::Workspace => Act::Apply,
                Origin::LastClean => Act::Revert,
                Origin::Shadow => Act::Shadow,
            };
            let mut draft = on_cluster(world, act, &preview.target.cluster, &preview.target);
            draft.say([Text::from(format!("digest: {}", preview.digest))]);
            draft.say(preview.warnings.iter().flat_map(|warning| said("warned", warning.as_str())));
            Some((order.id, draft))
        }
        Effect::Rollback(order) => {
            let mut draft = on_cluster(world, Act::Rollback, &order.target.cluster, &order.target);
            draft.say(order.aborts.map(|id| Text::from(format!("stops order: {id}"))));
            Some((order.id, draft))
        }
        Effect::Preview(_)
        | Effect::Abort(_)
        | Effect::Reconnect(_)
        | Effect::ReadEdges(..)
        | Effect::Foresee(_)
        | Effect::ReadDocuments
        | Effect::Compare(_)
        | Effect::Renew { .. }
        | Effect::Share(..)
        | Effect::Reload => None,
    }
}

/// An act that is over as soon as it is done.
pub fn at_once(world: &World, effect: &Effect) -> Option<Draft> {
    let Effect::Abort(id) = effect else { return None };
    let order = world.orders().get(*id)?;
    if order.kind == OrderKind::Preview {
        return None;
    }
    let mut draft = on_cluster(world, Act::Abort, &order.target.cluster, &order.target);
    draft.say([Text::from(format!("stops order: {id} ({})", order.kind.as_str()))]);
    Some(draft)
}

fn on_cluster(world: &World, act: Act, cluster: &ClusterName, object: &dyn std::fmt::Display) -> Draft {
    let seen = world.cluster(cluster);
    let user = seen.and_then(|cluster| cluster.identity.as_ref()).map(|identity| identity.user.clone());
    let by = user.unwrap_or_else(|| Text::new("unknown"));
    let mut draft = Draft {
        stamp: Stamp { by: by.clone(), at: world.now() },
        act,
        object: Text::from(object.to_string()),
        facts: Vec::new(),
    };
    draft.say(said("user", &format!("{by} on {cluster}")));
    let uid = seen.and_then(|cluster| cluster.uid.as_ref());
    draft.say(uid.map(|uid| Text::from(format!("{UID}{uid}"))));
    draft.say([Text::from(format!("{BEGUN}{}", world.now().to_rfc3339_opts(SecondsFormat::Millis, true)))]);
    draft
}

const BEGUN: &str = "begun: ";

/// When the act of an entry began; `None` where it does not say.
pub fn begun_at(entry: &Entry) -> Option<Timestamp> {
    let said = entry.facts.iter().find_map(|fact| fact.as_str().strip_prefix(BEGUN))?;
    chrono::DateTime::parse_from_rfc3339(said).ok().map(|at| at.to_utc())
}

/// One call and its answer.
pub fn called(receipt: &Receipt) -> Vec<Text> {
    let mut facts = said("command", &receipt.command);
    facts.extend(match &receipt.result {
        Answer::Done { version: Some(version) } => said("answer", &format!("done, version {version}")),
        Answer::Done { version: None } => said("answer", "done"),
        Answer::Unchanged => said("answer", "it was so already"),
        Answer::Refused(trouble) => said("answer", &format!("refused: {trouble}")),
        Answer::Unsettled(trouble) => said("answer", &format!("none came, it may have landed: {trouble}")),
    });
    facts
}

/// How an order ended, in a line.
pub fn outcome_words(outcome: &Outcome) -> Text {
    let why = match outcome {
        Outcome::Done { .. } | Outcome::Aborted { .. } => String::new(),
        Outcome::Stopped { trouble, .. } | Outcome::Unsettled(trouble) | Outcome::Failed(trouble) => {
            format!(": {trouble}")
        }
    };
    Text::from(format!("{}{why}", outcome.word()))
}

/// How an order ended.
pub fn ended(target: &Target, outcome: &Outcome) -> Vec<Text> {
    let (trouble, isolation) = match outcome {
        Outcome::Done { isolation } => (None, Some(isolation)),
        Outcome::Stopped { trouble, isolation } => (Some(trouble), isolation.as_ref()),
        Outcome::Aborted { isolation } => (None, isolation.as_ref()),
        Outcome::Unsettled(trouble) | Outcome::Failed(trouble) => (Some(trouble), None),
    };
    let word = outcome.word();
    let why = trouble.map_or(String::new(), |trouble: &Trouble| format!(": {trouble}"));
    let now = isolation.map_or("not known".to_owned(), |isolation| isolation.words(target.direction));
    [said("outcome", &format!("{word}{why}")), said("isolation", &now)].concat()
}

/// Of an order that was begun by a sluice that is no more.
pub fn never_ended() -> Vec<Text> {
    said("outcome", "not known: sluice stopped before it ended")
}

/// A write to the state cluster that it took; `None` for bookkeeping, which is no act of its own.
pub fn shared(world: &World, share: &Share) -> Option<Draft> {
    let (act, object, facts) = match share {
        Share::Decide { review, decision, .. } => decided(world, review, decision),
        Share::Hold { scope, kind, reason, expires } => {
            let mut facts = said("kind", kind.as_str());
            facts.extend(said("reason", reason.as_str()));
            facts.extend(expires.map(until));
            (Act::Hold, scope.to_string(), facts)
        }
        Share::Release { hold, .. } => released(world, hold),
        Share::Waive { target, subject, reason, expires, .. } => {
            let mut facts = said("waives", &subject_words(subject));
            facts.extend(said("reason", reason.as_str()));
            facts.push(until(*expires));
            (Act::Waiver, target.to_string(), facts)
        }
        Share::Override { target, digest, covers, reason, expires, .. } => {
            let covers: Vec<_> = covers.iter().map(|covers| covers.as_str()).collect();
            let mut facts = said("overrides", &covers.join(", "));
            facts.push(Text::from(format!("digest: {digest}")));
            facts.extend(said("reason", reason.as_str()));
            facts.push(until(*expires));
            (Act::Override, target.to_string(), facts)
        }
        Share::Confirm { over, .. } => {
            let known = world.shared().overrides().find(|kept| kept.name == *over);
            let object = known.map_or_else(|| over.to_string(), |kept| kept.value.target.to_string());
            (Act::Override, object, said("confirms", over.as_str()))
        }
        Share::AskReview { .. }
        | Share::Record { .. }
        | Share::Evidence { .. }
        | Share::Journal(_)
        | Share::Forget { .. } => {
            return None;
        }
    };
    let mut draft = Draft {
        stamp: Stamp { by: state_user(world), at: world.now() },
        act,
        object: Text::from(object),
        facts: Vec::new(),
    };
    draft.say(facts);
    Some(draft)
}

type Words = (Act, String, Vec<Text>);

fn decided(world: &World, review: &Text, decision: &Decision) -> Words {
    let mut facts = said("decision", decision.verdict.as_str());
    if let Some(kept) = world.shared().review(review) {
        facts.extend(said("opens", &grant_words(&kept.value.grant)));
        facts.extend(said("asked by", kept.value.requested_by.as_str()));
    }
    facts.extend(said("reason", decision.reason.as_str()));
    facts.extend(decision.ticket.iter().flat_map(|ticket| said("ticket", ticket.as_str())));
    facts.extend(decision.clusters.iter().map(|uid| Text::from(format!("{UID}{uid}"))));
    facts.extend(decision.expires.map(until));
    (Act::Decision, format!("review {review}"), facts)
}

fn released(world: &World, hold: &Text) -> Words {
    let known = world.shared().holds().find(|kept| kept.name == *hold);
    let object = known.map_or_else(|| hold.to_string(), |kept| kept.value.scope.to_string());
    let kind = known.map_or("hold", |kept| kept.value.kind.as_str());
    (Act::Hold, object, said("released", &format!("the {kind} {hold}")))
}

/// Rows that were sent together, one after the other, with how each of them ended.
pub fn advance(world: &World, rows: &[(Target, Text)]) -> Draft {
    let done = rows.iter().filter(|(_, how)| how.as_str() == "done").count();
    let mut draft = Draft {
        stamp: Stamp { by: state_user(world), at: world.now() },
        act: Act::Advance,
        object: Text::from(format!("{done} of {} rows", rows.len())),
        facts: Vec::new(),
    };
    draft.say(rows.iter().flat_map(|(target, how)| said(&target.to_string(), how.as_str())));
    draft
}

/// Noticed, not done by us.
pub fn incident(world: &World, target: &Target, what: &[Text]) -> Draft {
    let mut draft = Draft {
        stamp: Stamp { by: state_user(world), at: world.now() },
        act: Act::Incident,
        object: Text::from(target.to_string()),
        facts: Vec::new(),
    };
    draft.say(what.iter().flat_map(|what| said("noticed", what.as_str())));
    draft
}

/// Who we are in the state cluster.
pub fn state_user(world: &World) -> Text {
    let place = world.plan().settings.state.as_ref();
    let identity =
        place.and_then(|place| world.cluster(&place.cluster)).and_then(|cluster| cluster.identity.as_ref());
    identity.map_or_else(|| Text::new("unknown"), |identity| identity.user.clone())
}

fn until(at: Timestamp) -> Text {
    Text::from(format!("until: {}", at.format("%Y-%m-%d %H:%M UTC")))
}

/// What a waiver is for, in words.
pub fn subject_words(subject: &Subject) -> String {
    match subject {
        Subject::Denial(key) => {
            let who = key.workload.as_ref().map_or("a workload without a name", |w| w.name.as_str());
            format!("denials of {who} to {}:{}/{}", key.destination, key.port, key.protocol)
        }
        Subject::CronJob(name) => format!("CronJob {name}, which has not run"),
        Subject::Quiet => "that nothing was judged at all".to_owned(),
        Subject::NoEvidence(workload) => format!("workload {workload}, of which there is no evidence"),
    }
}

/// What a grant opens, in words.
pub fn grant_words(grant: &Grant) -> String {
    let to = match &grant.destination {
        Opening::Name(name) => name.to_string(),
        Opening::Networks(networks) => {
            networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
    };
    let port = |span: &crate::domain::grant::PortSpan| match span.from == span.to {
        true => format!("{}/{}", span.from, span.protocol),
        false => format!("{}-{}/{}", span.from, span.to, span.protocol),
    };
    let ports: Vec<_> = grant.ports.iter().map(port).collect();
    format!("{} of namespace {}: {to} on {}", grant.direction, grant.ns, ports.join(", "))
}

/// The rollouts that an entry of the journal is about.
pub fn concerns(entry: &Entry, target: &Target) -> bool {
    let object = entry.object.as_str();
    [
        target.to_string(),
        Scope::Namespace(target.cluster.clone(), target.ns.clone()).to_string(),
        Scope::Cluster(target.cluster.clone()).to_string(),
        Scope::Fleet.to_string(),
    ]
    .iter()
    .any(|scope| scope == object)
}
