//! Takes a direction of a namespace back. Needs this one API server and nothing else: what is there
//! is read there and then, the valve is opened in one write, the allows are deleted, last the valve.
//! A refusal or a lost answer on the way stops nothing that can still be done.

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
    place::{Live, Mode, Place, opened, pinned_set},
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
    let standing = run.look().await;
    if standing.values().all(|seen| matches!(seen, Seen::Absent)) {
        return run.verify(None).await;
    }
    let opening = run.open(&standing).await;
    let mut first = opening.as_ref().err().cloned();
    for pinned in run.deletions(&standing, opening.is_ok()) {
        if let Err(trouble) = run.delete(pinned).await {
            first.get_or_insert(trouble);
        }
    }
    run.verify(first).await
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
    async fn open(&self, standing: &BTreeMap<&'static str, Seen>) -> Result<(), Trouble> {
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
                Ok(live) => return self.opened(&live, step, command).await,
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
                    }
                    return Err(trouble);
                }
            }
        }
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

    /// With the valve open: allows first, the valve last, so that nothing closes on the way. If it
    /// could not be opened: the valve first, since it allows nothing; then nothing narrows until
    /// the allows go.
    fn deletions(&self, standing: &BTreeMap<&'static str, Seen>, is_open: bool) -> Vec<&'static Pinned> {
        let there = |pinned: &&Pinned| match standing.get(pinned.name) {
            Some(Seen::Absent) | None => pinned.role == Role::Valve && is_open,
            Some(Seen::There(_) | Seen::Unknown) => true,
        };
        let (valve, allows): (Vec<_>, Vec<_>) = Pinned::of(self.order.target.direction)
            .filter(there)
            .partition(|pinned| pinned.role == Role::Valve);
        if is_open { [allows, valve].concat() } else { [valve, allows].concat() }
    }

    async fn delete(&self, pinned: &'static Pinned) -> Result<(), Trouble> {
        let step = Step::Delete(pinned);
        let command = self.place.delete_command(pinned);
        let mut waits = WAITS.iter();
        loop {
            let failure = match self.place.delete(pinned, None).await {
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
