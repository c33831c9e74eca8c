//! Takes a direction of a namespace back. Needs this one API server and nothing else: what is there
//! is read there and then, the valve is opened in one write, the allows are deleted, last the valve.
//! While an allow cannot be deleted the valve stays, open. A refusal or a lost answer on the way
//! stops nothing that can still be done.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::{sync::mpsc, time::sleep};

use crate::{
    cockpit::{
        orders::{Answer, Outcome, Receipt, RollbackOrder},
        ports::{Fact, OrderFact, Trouble},
    },
    domain::{
        fleet::Isolation,
        names::Text,
        policy::{Pinned, Policy, Role},
        valve::Step,
    },
};

use super::{
    connect::Access,
    failure::Failure,
    place::{Live, Mode, Only, Place, opened, pinned_set},
    staged::{self, Teller},
    write::{WAITS, named},
};

/// Changes with each rollback, so that opening a valve that is open already still makes a new
/// version of it: a tightening under way for the old version is refused then.
const OPENED_FROM: &str = "sluice-opened-from-version";

/// Opens, deletes, verifies. Each call is reported as a receipt.
pub async fn rollback(
    access: &Access,
    order: &RollbackOrder,
    context: &str,
    report: &mpsc::Sender<Fact>,
) -> Outcome {
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return Outcome::Stopped { trouble, isolation: None },
    };
    let place = Place { server, target: order.target.clone(), context: context.to_owned() };
    let run = Run { place, order, report };
    let outcome = run.enforced().await;
    run.unstage(outcome).await
}

struct Run<'a> {
    place: Place,
    order: &'a RollbackOrder,
    report: &'a mpsc::Sender<Fact>,
}

/// What is known of a pinned object before anything is written.
enum Seen {
    Absent,
    There(Box<Live>),
    /// It could not be read: it is treated as if it were there.
    Unknown,
}

impl Run<'_> {
    /// Everything that is enforced.
    async fn enforced(&self) -> Outcome {
        let mut standing = self.look().await;
        if standing.values().all(|seen| matches!(seen, Seen::Absent)) {
            return self.verify(None).await;
        }
        let allows = self.allows(&standing);
        let valve = vec![self.valve()];
        let first = match self.open(&mut standing).await {
            // An allow that stays isolates alone once the open valve is gone: then the valve stays too.
            Ok(()) => match self.delete_all(allows, &standing).await {
                Some(trouble) if !self.allows_are_gone().await => Some(trouble),
                Some(_) | None => self.delete_all(valve, &standing).await,
            },
            // The valve first, since it allows nothing: nothing narrows until the allows go.
            Err(trouble) => {
                self.delete_all([valve, allows].concat(), &standing).await;
                Some(trouble)
            }
        };
        self.verify(first).await
    }

    /// Last of all what is only staged, which isolates nobody. Nothing of it hinders what went before,
    /// and where the server was lost on the way it is not asked any more.
    async fn unstage(&self, outcome: Outcome) -> Outcome {
        if matches!(outcome, Outcome::Unsettled(_)) {
            return outcome;
        }
        let teller = Teller { order: self.order.id, report: self.report };
        match (outcome, staged::remove_all(&self.place, &teller).await) {
            (Outcome::Done { isolation }, Some(trouble)) => {
                let fact =
                    format!("nothing of it is enforced any more, but it is still staged: {}", trouble.fact);
                let next = "It isolates nobody. Roll back again with an account that may delete it.";
                let trouble = Trouble::new(trouble.object.as_str(), &fact, next);
                Outcome::Stopped { trouble, isolation: Some(isolation) }
            }
            (outcome, _) => outcome,
        }
    }

    fn valve(&self) -> &'static Pinned {
        Pinned::valve(self.order.target.direction)
    }

    async fn look(&self) -> BTreeMap<&'static str, Seen> {
        let all = Pinned::of(self.order.target.direction).map(|pinned| self.look_at(pinned));
        futures::future::join_all(all).await.into_iter().collect()
    }

    async fn look_at(&self, pinned: &'static Pinned) -> (&'static str, Seen) {
        let seen = match again(|| self.place.get(pinned)).await {
            Ok(Some(live)) => Seen::There(Box::new(live)),
            Ok(None) => Seen::Absent,
            Err(_) => Seen::Unknown,
        };
        (pinned.name, seen)
    }

    /// The one write that restores traffic. It takes over whatever was made of the valve.
    async fn open(&self, standing: &mut BTreeMap<&'static str, Seen>) -> Result<(), Trouble> {
        let valve = self.valve();
        let mut manifest = opened(valve, self.place.ns(), None);
        let from = match standing.get(valve.name) {
            Some(Seen::There(live)) => live.policy.version.as_deref().unwrap_or("unknown").to_owned(),
            Some(Seen::Absent) => "absent".to_owned(),
            Some(Seen::Unknown) | None => format!("order {}", self.order.id),
        };
        manifest["metadata"]["annotations"] = json!({ OPENED_FROM: from });
        let command = self.place.exact_command(&manifest, Mode::Force);
        let step = Step::Open(valve);
        let mut waits = WAITS.iter();
        loop {
            let failure = match self.place.apply(valve, &manifest, Mode::Force).await {
                Ok(live) => {
                    let opened = self.opened(&live, step, command).await;
                    standing.insert(valve.name, Seen::There(Box::new(live)));
                    return opened;
                }
                Err(failure) => failure,
            };
            let trouble = self.place.trouble(valve, &failure);
            if failure.may_have_landed() {
                self.tell(step.clone(), &command, Answer::Unsettled(trouble.clone())).await;
            }
            // Opening twice is opening once.
            match waits.next().filter(|_| worth_another(&failure)) {
                Some(wait) => sleep(*wait).await,
                None => {
                    if !failure.may_have_landed() {
                        self.tell(step, &command, Answer::Refused(trouble.clone())).await;
                    } else if self.is_open().await {
                        return Ok(());
                    }
                    return Err(trouble);
                }
            }
        }
    }

    /// Reads back whether a write without an answer has opened the valve.
    async fn is_open(&self) -> bool {
        let valve = self.valve();
        let live = again(async || self.place.get(valve).await).await;
        live.is_ok_and(|live| live.is_some_and(|live| live.policy.is_open(valve.direction)))
    }

    async fn opened(&self, live: &Live, step: Step, command: String) -> Result<(), Trouble> {
        self.tell(step, &command, Answer::Done { version: live.policy.version.clone() }).await;
        if live.policy.is_open(self.valve().direction) {
            return Ok(());
        }
        Err(Trouble::new(
            &self.place.object(self.valve()),
            "the server stored something else than the open valve",
            "An admission webhook may change it: the set is deleted all the same.",
        ))
    }

    /// The allows that are there, or may be.
    fn allows(&self, standing: &BTreeMap<&'static str, Seen>) -> Vec<&'static Pinned> {
        let there = |pinned: &&Pinned| !matches!(standing.get(pinned.name), Some(Seen::Absent) | None);
        let all = Pinned::of(self.order.target.direction).filter(|pinned| pinned.role != Role::Valve);
        all.filter(there).collect()
    }

    /// Deletes them all, whatever happens on the way; the first trouble.
    async fn delete_all(
        &self,
        pinned: Vec<&'static Pinned>,
        standing: &BTreeMap<&'static str, Seen>,
    ) -> Option<Trouble> {
        let mut first = None;
        for pinned in pinned {
            let uid = match standing.get(pinned.name) {
                Some(Seen::There(live)) => Some(live.uid.clone()),
                Some(Seen::Absent | Seen::Unknown) | None => None,
            };
            if let Err(trouble) = self.delete(pinned, uid).await {
                first.get_or_insert(trouble);
            }
        }
        first
    }

    async fn allows_are_gone(&self) -> bool {
        let left = again(async || self.place.live(self.order.target.direction).await).await;
        left.is_ok_and(|left| left.keys().all(|name| *name == self.valve().name))
    }

    /// Deletes this very object, so that a delete landing late does not hit a later apply.
    async fn delete(&self, pinned: &'static Pinned, mut uid: Option<String>) -> Result<(), Trouble> {
        let step = Step::Delete(pinned);
        let command = self.place.delete_command(pinned);
        let mut waits = WAITS.iter();
        loop {
            let only = uid.as_deref().map_or(Only::Any, Only::Object);
            let failure = match self.place.delete(pinned, only).await {
                Ok(()) => {
                    self.tell(step, &command, Answer::Done { version: None }).await;
                    return Ok(());
                }
                Err(failure) if failure.code() == Some(404) => {
                    self.tell(step, &command, Answer::Unchanged).await;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            if failure.code() == Some(409) {
                // Another object of that name by now: it goes as well.
                uid = None;
            }
            let trouble = self.place.trouble(pinned, &failure);
            if failure.may_have_landed() {
                self.tell(step.clone(), &command, Answer::Unsettled(trouble.clone())).await;
            }
            match waits.next().filter(|_| worth_another(&failure)) {
                Some(wait) => sleep(*wait).await,
                None => {
                    if !failure.may_have_landed() {
                        self.tell(step, &command, Answer::Refused(trouble.clone())).await;
                    }
                    return Err(trouble);
                }
            }
        }
    }

    /// Reads back what is left and what still isolates. `first` is what went wrong on the way.
    async fn verify(&self, first: Option<Trouble>) -> Outcome {
        let direction = self.order.target.direction;
        let (left, isolation) = match again(|| self.place.isolation()).await {
            Ok((isolation, policies)) => {
                let left = pinned_set(&policies, direction);
                (left.into_values().collect::<Vec<_>>(), isolation)
            }
            // Listing may be forbidden where getting is not.
            Err(_) => match again(|| self.place.live(direction)).await {
                Ok(live) => by_objects_alone(live, direction),
                Err(failure) => return Outcome::Unsettled(self.unverified(&failure, first)),
            },
        };
        if left.is_empty() {
            return Outcome::Done { isolation };
        }
        let names = named(left.iter().filter_map(Policy::pinned));
        let why = first.map_or_else(
            || "they came back after they were deleted".to_owned(),
            |trouble| format!("{}: {}", trouble.object, trouble.fact),
        );
        let open =
            if isolation.isolated == 0 { "no pod is isolated by them" } else { "pods are still isolated" };
        let trouble = Trouble::new(
            &format!("rollback of {}", self.order.target),
            &format!("still there: {names} ({why}); {open}"),
            "Roll back again, or run the commands with an account that may delete them.",
        );
        Outcome::Stopped { trouble, isolation: Some(isolation) }
    }

    fn unverified(&self, failure: &Failure, first: Option<Trouble>) -> Trouble {
        let object = format!("rollback of {}", self.order.target);
        let trouble = failure.trouble(&object);
        let why = first.map_or_else(String::new, |first| format!("{}: {}; ", first.object, first.fact));
        Trouble {
            fact: Text::from(format!("{why}what is left could not be read back: {}", trouble.fact)),
            ..trouble
        }
    }

    async fn tell(&self, step: Step, command: &str, result: Answer) {
        let receipt = Receipt {
            order: self.order.id,
            target: self.order.target.clone(),
            step,
            command: command.to_owned(),
            result,
        };
        let _ = self.report.send(Fact::Order(self.order.id, OrderFact::Wrote(receipt))).await;
    }
}

fn by_objects_alone(
    live: BTreeMap<&'static str, Live>,
    direction: crate::domain::flow::Direction,
) -> (Vec<Policy>, Isolation) {
    let left: Vec<_> = live.into_values().map(|live| live.policy).collect();
    let mut isolation = Isolation::of(std::iter::empty(), left.iter(), direction);
    let isolating = left.iter().filter(|p| p.isolates(direction) != Some(false) && !p.is_open(direction));
    isolation.by.extend(isolating.map(|policy| policy.key.clone()));
    (left, isolation)
}

/// A no is a no; anything else may go better in a moment.
fn worth_another(failure: &Failure) -> bool {
    match failure {
        Failure::Unreached { .. } | Failure::Silent { .. } | Failure::Foreign(_) => true,
        Failure::Refused(refused) => matches!(refused.code, 409 | 429 | 500..=599),
    }
}

/// Asks a few times while it is worth it.
async fn again<T, F>(ask: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut waits = WAITS.iter();
    loop {
        match ask().await {
            Err(failure) if worth_another(&failure) => match waits.next() {
                Some(wait) => sleep(*wait).await,
                None => return Err(failure),
            },
            answer => return answer,
        }
    }
}
