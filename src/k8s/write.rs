//! Carries out an apply that was previewed and confirmed: dry run again, then one write after the
//! other in the order of the valve. Each write that could close carries the identity and version
//! of the object it is meant for, so that one landing late, after a rollback, changes nothing.

use std::{collections::BTreeMap, time::Duration};

use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    cockpit::{
        orders::{Answer, ApplyOrder, Origin, Outcome, Preview, Receipt},
        ports::{Fact, OrderFact, Trouble},
    },
    domain::{
        names::Text,
        policy::{Pinned, PolicyDigest, PolicyKind},
        valve::{Set, Step},
    },
    manifest,
};

use super::{
    connect::Access,
    failure::Failure,
    place::{Live, Mode, Only, Place, opened, pinned_set, sendable},
    preview::{as_order, dry_run, parse, widened},
    shadow,
    staged::{self, Teller},
};

pub use super::{
    preview::{dry_run_only, preview},
    rollback::rollback,
};

/// Waits between attempts of a request that was turned away, or of a look at what became of it.
pub(super) const WAITS: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Writes what the preview showed, and nothing else. Each call is reported as a receipt.
pub async fn apply(
    access: &Access,
    order: &ApplyOrder,
    context: &str,
    abort: watch::Receiver<bool>,
    report: &mpsc::Sender<Fact>,
) -> Outcome {
    if order.preview.origin == Origin::Shadow {
        return shadow::shadow(access, order, context, abort, report).await;
    }
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return Outcome::Stopped { trouble, isolation: None },
    };
    let place = Place { server, target: order.preview.target.clone(), context: context.to_owned() };
    let mut run = Run { place, order, abort, report, held: BTreeMap::new() };
    match run.all().await {
        Ok(()) => run.verify().await,
        Err(stop) => stop.outcome(&run.place).await,
    }
}

/// Why an apply goes no further.
pub(super) enum Stop {
    Trouble(Trouble),
    Aborted,
    Unsettled(Trouble),
}

impl Stop {
    /// With what is isolated by then, where that says something.
    pub(super) async fn outcome(self, place: &Place) -> Outcome {
        let isolation = async { place.isolation().await.ok().map(|(isolation, _)| isolation) };
        match self {
            Self::Trouble(trouble) => Outcome::Stopped { trouble, isolation: isolation.await },
            Self::Aborted => Outcome::Aborted { isolation: isolation.await },
            Self::Unsettled(trouble) => Outcome::Unsettled(trouble),
        }
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

struct Run<'a> {
    place: Place,
    order: &'a ApplyOrder,
    abort: watch::Receiver<bool>,
    report: &'a mpsc::Sender<Fact>,
    /// The pinned objects as we last saw or wrote them: what the next write is meant for.
    held: BTreeMap<&'static str, Live>,
}

/// One write, ready to go.
struct Write {
    step: Step,
    /// `None`: a delete.
    manifest: Option<Value>,
    command: String,
}

impl Run<'_> {
    fn preview(&self) -> &Preview {
        &self.order.preview
    }

    async fn all(&mut self) -> Result<(), Stop> {
        self.check().await?;
        let steps = self.preview().steps.clone();
        let is_first_apply = matches!(steps.first(), Some(Step::Open(_)));
        for step in steps {
            self.go_on()?;
            if let Step::Unstage(pinned) = step {
                // Everything that is enforced stands: what becomes of this stops nothing.
                let teller = Teller { order: self.order.id, report: self.report };
                let _ = staged::unstage(&self.place, pinned, &teller).await;
                continue;
            }
            let write = self.prepare(&step);
            match step {
                Step::Put(pinned) if is_first_apply => self.put_behind_valve(pinned, &write).await?,
                _ => self.carry_out(&write).await?,
            }
        }
        Ok(())
    }

    /// What a first apply puts closes nothing only while its open valve stands. Another sluice may take
    /// that away meanwhile, and knows nothing of an allow that was written after it looked.
    async fn put_behind_valve(&mut self, pinned: &'static Pinned, write: &Write) -> Result<(), Stop> {
        self.valve_stands().await?;
        self.carry_out(write).await?;
        let Err(stop) = self.valve_stands().await else { return Ok(()) };
        // It went just now: the allow must not stay closed without it.
        let wanted = self.preview().manifests.get(pinned.name).and_then(parse);
        let manifest = opened(pinned, self.place.ns(), wanted.as_ref());
        let command = self.place.exact_command(&manifest, Mode::Real);
        self.carry_out(&Write { step: Step::Open(pinned), manifest: Some(manifest), command }).await?;
        Err(stop)
    }

    /// The valve is the very version that we opened.
    async fn valve_stands(&self) -> Result<(), Stop> {
        let valve = Pinned::valve(self.preview().target.direction);
        let ours = self.held.get(valve.name).map(|live| &live.policy.version);
        let live = self.place.get(valve).await.map_err(|failure| self.place.trouble(valve, &failure))?;
        if live.as_ref().map(|live| &live.policy.version) == ours {
            return Ok(());
        }
        let fact = "it was changed or taken away while this apply was under way";
        let next = "Somebody rolls this row back, or writes it too: look at the row, then preview again.";
        Err(Trouble::new(&self.place.object(valve), fact, next).into())
    }

    fn go_on(&self) -> Result<(), Stop> {
        if *self.abort.borrow() { Err(Stop::Aborted) } else { Ok(()) }
    }

    /// The server still answers what the preview showed, and nothing live has moved since.
    async fn check(&mut self) -> Result<(), Stop> {
        let order = as_order(self.preview(), self.order.id);
        let (set, refusals) = dry_run(&self.place, &order).await;
        if let Some(trouble) = refusals.into_iter().next() {
            return Err(trouble.into());
        }
        let object = format!("policies of {}", self.preview().target);
        let again = "Preview again: what was confirmed is not what would be written now.";
        if PolicyDigest::of(set.values()) != self.preview().digest {
            return Err(Trouble::new(
                &object,
                "the server's dry run answers otherwise than in the preview",
                again,
            )
            .into());
        }
        let live = self.place.live(self.preview().target.direction).await;
        let live = live.map_err(|failure| failure.trouble(&object))?;
        if let Some(name) = moved(&live, &self.preview().live) {
            let fact = format!("{name} changed in the cluster since the preview");
            return Err(Trouble::new(&object, &fact, again).into());
        }
        self.held = live;
        Ok(())
    }

    fn prepare(&self, step: &Step) -> Write {
        let pinned = step.pinned();
        let ns = self.place.ns();
        let wanted = self.preview().manifests.get(pinned.name).and_then(parse);
        let only = self.held.get(pinned.name);
        let manifest = match step {
            Step::Open(_) => Some(opened(pinned, ns, wanted.as_ref())),
            Step::Put(_) | Step::Tighten(_) => wanted.map(|wanted| sendable(&wanted, ns, only)),
            Step::Widen(_) => {
                let preview = self.preview();
                let wide = widened(pinned, &preview.live, &preview.set, wanted.as_ref());
                Some(sendable(&wide, ns, only))
            }
            Step::Delete(_) | Step::Stage(_) | Step::Unstage(_) => None,
        };
        let command = match (&manifest, step) {
            (None, _) => self.place.delete_command(pinned),
            // As in the preview; the versions it was sent with are of no use in a second attempt.
            (Some(_), Step::Put(_)) => self.place.file_command(pinned),
            (Some(manifest), _) => self.place.exact_command(manifest, Mode::Real),
        };
        Write { step: step.clone(), manifest, command }
    }

    /// Sends one write, reports it, and goes on only when it is known to have landed.
    async fn carry_out(&mut self, write: &Write) -> Result<(), Stop> {
        let pinned = write.step.pinned();
        match self.send(write).await {
            Ok(Some(live)) => {
                let version = live.policy.version.clone();
                let fault = self.fault(write, &live);
                self.held.insert(pinned.name, live);
                self.tell(write, Answer::Done { version }).await;
                fault.map_or(Ok(()), |trouble| Err(trouble.into()))
            }
            Ok(None) => {
                self.held.remove(pinned.name);
                self.tell(write, Answer::Done { version: None }).await;
                Ok(())
            }
            Err(failure) if failure.may_have_landed() => {
                let trouble = self.place.trouble(pinned, &failure);
                self.tell(write, Answer::Unsettled(trouble.clone())).await;
                self.settle(write, trouble).await
            }
            Err(failure) => {
                let trouble = self.place.trouble(pinned, &failure);
                self.tell(write, Answer::Refused(trouble.clone())).await;
                Err(trouble.into())
            }
        }
    }

    /// `Ok(None)`: deleted. What was surely not carried out is tried again a few times.
    async fn send(&self, write: &Write) -> Result<Option<Live>, Failure> {
        let pinned = write.step.pinned();
        let only = self.held.get(pinned.name).map_or(Only::Any, Only::Version);
        let mut waits = WAITS.iter();
        loop {
            let answer = match &write.manifest {
                Some(manifest) => self.place.apply(pinned, manifest, Mode::Real).await.map(Some),
                None => match self.place.delete(pinned, only).await {
                    Err(failure) if failure.code() == Some(404) => Ok(None),
                    answer => answer.map(|()| None),
                },
            };
            match answer {
                Err(failure) if failure.is_busy() && self.go_on().is_ok() => match waits.next() {
                    Some(wait) => sleep(*wait).await,
                    None => return Err(failure),
                },
                answer => return answer,
            }
        }
    }

    /// An answer that is not what was sent: an admission webhook may have changed it. Above all,
    /// nothing may follow an opening that did not open.
    fn fault(&self, write: &Write, live: &Live) -> Option<Trouble> {
        let pinned = write.step.pinned();
        let sent = write.manifest.as_ref().and_then(|sent| manifest::policy_of(pinned.kind, sent).ok())?;
        let is_open = || match pinned.kind {
            PolicyKind::NetworkPolicy => live.policy.is_open(pinned.direction),
            PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => true,
        };
        let as_expected = match write.step {
            Step::Open(_) => is_open(),
            Step::Put(_) | Step::Tighten(_) => {
                let shown = self.preview().set.get(pinned.name);
                shown.is_some_and(|shown| shown.canonical == live.policy.canonical)
            }
            Step::Widen(_) => sent.canonical == live.policy.canonical,
            Step::Delete(_) | Step::Stage(_) | Step::Unstage(_) => true,
        };
        (!as_expected).then(|| {
            Trouble::new(
                &self.place.object(pinned),
                "the server stored something else than was sent",
                "Look at the admission webhooks and at who else writes this object, then preview again.",
            )
        })
    }

    /// No answer came. Only the server knows whether the write landed: it is asked, and the run
    /// goes on if it did.
    async fn settle(&mut self, write: &Write, trouble: Trouble) -> Result<(), Stop> {
        let pinned = write.step.pinned();
        for wait in WAITS {
            sleep(wait).await;
            let Ok(live) = self.place.get(pinned).await else { continue };
            return match (landed(write, live.as_ref()), live) {
                (true, Some(live)) => {
                    let fault = self.fault(write, &live);
                    self.held.insert(pinned.name, live);
                    fault.map_or(Ok(()), |trouble| Err(trouble.into()))
                }
                (true, None) => {
                    self.held.remove(pinned.name);
                    Ok(())
                }
                (false, _) => Err(Trouble {
                    fact: Text::from(format!("{}; reading back shows that it has not landed", trouble.fact)),
                    ..trouble
                }
                .into()),
            };
        }
        Err(Stop::Unsettled(trouble))
    }

    async fn tell(&self, write: &Write, result: Answer) {
        let receipt = Receipt {
            order: self.order.id,
            target: self.preview().target.clone(),
            step: write.step.clone(),
            command: write.command.clone(),
            result,
        };
        // Nobody listens only when the program ends.
        let _ = self.report.send(Fact::Order(self.order.id, OrderFact::Wrote(receipt))).await;
    }

    /// Reads everything back: what was shown is what is there.
    async fn verify(&self) -> Outcome {
        let object = format!("policies of {}", self.preview().target);
        let (isolation, policies) = match self.place.isolation().await {
            Ok(read) => read,
            Err(failure) => {
                let trouble = failure.trouble(&object);
                let fact = format!("all was written, but it could not be read back: {}", trouble.fact);
                return Outcome::Unsettled(Trouble { fact: Text::from(fact), ..trouble });
            }
        };
        let live = pinned_set(&policies, self.preview().target.direction);
        match differing(&live, &self.preview().set) {
            None => Outcome::Done { isolation },
            Some(name) => {
                let fact = format!("all was written, but {name} reads back otherwise");
                let next = "Somebody or something changes it: look at its managers, then preview again.";
                let trouble = Trouble::new(&object, &fact, next);
                Outcome::Stopped { trouble, isolation: Some(isolation) }
            }
        }
    }
}

/// Is what the write wanted there now?
fn landed(write: &Write, live: Option<&Live>) -> bool {
    let kind = write.step.pinned().kind;
    match (&write.manifest, live) {
        (None, None) => true,
        (Some(sent), Some(live)) => {
            manifest::policy_of(kind, sent).is_ok_and(|sent| sent.canonical == live.policy.canonical)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The first pinned object that is not the very version of the preview.
fn moved(live: &BTreeMap<&'static str, Live>, then: &Set) -> Option<&'static str> {
    let gone = then.keys().find(|name| !live.contains_key(*name));
    let other = live
        .iter()
        .find(|(name, live)| then.get(*name).is_none_or(|then| then.version != live.policy.version));
    gone.or(other.map(|(name, _)| name)).copied()
}

fn differing(live: &Set, wanted: &Set) -> Option<&'static str> {
    let missing = wanted
        .iter()
        .find(|(name, want)| live.get(*name).is_none_or(|have| have.canonical != want.canonical))
        .map(|(name, _)| *name);
    missing.or_else(|| live.keys().find(|name| !wanted.contains_key(*name)).copied())
}

/// Names of pinned objects as a sentence lists them.
pub(super) fn named<'a>(pinned: impl Iterator<Item = &'a Pinned>) -> String {
    pinned.map(|pinned| pinned.name).collect::<Vec<_>>().join(", ")
}
