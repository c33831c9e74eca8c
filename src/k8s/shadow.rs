//! Stages the policies of a row instead of enforcing them: what it would do, and doing it. The bytes are
//! those that the server's dry run of the real policies answers, so a shadow is bound to the digest that
//! an apply would have. Isolates nobody at any moment, so no order of its writes matters.

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::{
    cockpit::{
        orders::{Answer, ApplyOrder, Outcome, Preview, PreviewOrder},
        ports::{Fact, Trouble},
    },
    domain::{
        fleet::Isolation,
        names::Text,
        policy::{Pinned, Policy, PolicyDigest, PolicyKind},
        shadow::{self, StagedSet},
        valve::{Set, Step},
    },
};

use super::{
    connect::Access,
    failure::Failure,
    place::Place,
    preview::{as_order, diff, dry_run},
    staged::{self, Teller},
    write::{Stop, WAITS},
};

const AGAIN: &str = "Preview again: what was confirmed is not what would be written now.";

/// What staging would do. The server is asked for the real policies, and then for the staged ones.
pub async fn preview(place: &Place, order: &PreviewOrder, isolation: Isolation) -> Result<Preview, Trouble> {
    let direction = order.target.direction;
    let object = format!("staged policies of {}", place.ns());
    let staged = staged::live(place, direction).await.map_err(|failure| failure.trouble(&object))?;
    let (set, mut refusals) = dry_run(place, order).await;
    refusals.extend(set.values().filter(|policy| !can_be_staged(policy)).map(|policy| {
        let next = "Take the file away: Calico has no policies by name, staged or not.";
        Trouble::new(&policy.key.to_string(), "Calico stages NetworkPolicies only", next)
    }));
    let steps = shadow::steps(&staged, &set, direction);
    for step in &steps {
        if let Some(policy) = staged_by(step, &set) {
            refusals.extend(refusal(place, step.pinned(), policy).await);
        }
    }
    let live = shadow::set(&staged);
    Ok(Preview {
        target: order.target.clone(),
        origin: order.origin,
        digest: PolicyDigest::of(set.values()),
        manifests: order.manifests.clone(),
        diff: diff(direction, &live, &set, |pinned| staged::object(place, pinned)),
        commands: steps.iter().map(|step| command(place, step, &set)).collect(),
        set,
        live,
        steps,
        before: isolation.clone(),
        after: isolation,
        warnings: vec![Text::new(
            "nothing of it is enforced: it isolates nobody, counts for no soak and opens no gate",
        )],
        refusals,
        prediction: Err(Text::new("because nobody looked at the cluster")),
        untold: None,
    })
}

fn can_be_staged(policy: &Policy) -> bool {
    policy.key.kind == PolicyKind::NetworkPolicy
}

/// The policy that a step stages.
fn staged_by<'s>(step: &Step, set: &'s Set) -> Option<&'s Policy> {
    match step {
        Step::Stage(pinned) => set.get(pinned.name),
        Step::Open(_)
        | Step::Put(_)
        | Step::Widen(_)
        | Step::Tighten(_)
        | Step::Delete(_)
        | Step::Unstage(_) => None,
    }
}

fn command(place: &Place, step: &Step, set: &Set) -> String {
    match staged_by(step, set) {
        Some(policy) => staged::create_command(place, policy),
        None => staged::delete_command(place, step.pinned()),
    }
}

/// Why the server would not take it. That one of this name is there already is checked last of all, and
/// that one goes first.
async fn refusal(place: &Place, pinned: &Pinned, policy: &Policy) -> Option<Trouble> {
    let failure = staged::create(place, policy, true).await.err()?;
    (failure.code() != Some(409)).then(|| failure.trouble(&staged::object(place, pinned)))
}

/// Stages what the preview showed, and nothing else.
pub async fn shadow(
    access: &Access,
    order: &ApplyOrder,
    context: &str,
    abort: watch::Receiver<bool>,
    report: &mpsc::Sender<Fact>,
) -> Outcome {
    let server = match access.server().await {
        Ok(server) => server,
        Err(trouble) => return Outcome::Stopped { trouble, isolation: None },
    };
    let place = Place { server, target: order.preview.target.clone(), context: context.to_owned() };
    let run = Run { place, preview: &order.preview, abort, teller: Teller { order: order.id, report } };
    match run.all(order).await {
        Ok(()) => run.verify().await,
        Err(stop) => stop.outcome(&run.place).await,
    }
}

struct Run<'a> {
    place: Place,
    preview: &'a Preview,
    abort: watch::Receiver<bool>,
    teller: Teller<'a>,
}

impl Run<'_> {
    async fn all(&self, order: &ApplyOrder) -> Result<(), Stop> {
        let (set, refusals) = dry_run(&self.place, &as_order(self.preview, order.id)).await;
        if let Some(trouble) = refusals.into_iter().next() {
            return Err(Stop::Trouble(trouble));
        }
        let object = format!("policies of {}", self.preview.target);
        let stop = |fact: &str| Err(Stop::Trouble(Trouble::new(&object, fact, AGAIN)));
        if PolicyDigest::of(set.values()) != self.preview.digest {
            return stop("the server's dry run answers otherwise than in the preview");
        }
        let staged = self.staged().await.map_err(|failure| Stop::Trouble(failure.trouble(&object)))?;
        if !is_same(&shadow::set(&staged), &self.preview.live) {
            return stop("what is staged changed since the preview");
        }
        for step in &self.preview.steps {
            if *self.abort.borrow() {
                return Err(Stop::Aborted);
            }
            self.carry_out(step).await?;
        }
        Ok(())
    }

    async fn staged(&self) -> Result<StagedSet, Failure> {
        staged::live(&self.place, self.preview.target.direction).await
    }

    async fn carry_out(&self, step: &Step) -> Result<(), Stop> {
        let pinned = step.pinned();
        let Some(policy) = staged_by(step, &self.preview.set) else {
            return staged::unstage(&self.place, pinned, &self.teller).await.map_err(Stop::Trouble);
        };
        let command = staged::create_command(&self.place, policy);
        let failure = match staged::create(&self.place, policy, false).await {
            Ok(created) => {
                let version = created.policy.version.clone();
                self.teller.tell(&self.place, step.clone(), command, Answer::Done { version }).await;
                let as_sent = created.policy.canonical == policy.canonical && !created.deletes;
                return if as_sent { Ok(()) } else { Err(Stop::Trouble(self.changed(pinned))) };
            }
            Err(failure) => failure,
        };
        let trouble = failure.trouble(&staged::object(&self.place, pinned));
        if failure.may_have_landed() {
            let answer = Answer::Unsettled(trouble.clone());
            self.teller.tell(&self.place, step.clone(), command, answer).await;
            return self.settle(pinned, policy, trouble).await;
        }
        self.teller.tell(&self.place, step.clone(), command, Answer::Refused(trouble.clone())).await;
        Err(Stop::Trouble(trouble))
    }

    fn changed(&self, pinned: &Pinned) -> Trouble {
        let next = "Look at the admission webhooks and at who else writes this object, then preview again.";
        Trouble::new(
            &staged::object(&self.place, pinned),
            "the server stored something else than was sent",
            next,
        )
    }

    /// No answer came. Only the server knows whether the write landed.
    async fn settle(&self, pinned: &Pinned, policy: &Policy, trouble: Trouble) -> Result<(), Stop> {
        for wait in WAITS {
            sleep(wait).await;
            let Ok(staged) = self.staged().await else { continue };
            let is_there =
                staged.get(pinned.name).is_some_and(|one| one.policy.canonical == policy.canonical);
            return if is_there { Ok(()) } else { Err(Stop::Trouble(trouble)) };
        }
        Err(Stop::Unsettled(trouble))
    }

    /// Reads everything back: what was shown is what is staged.
    async fn verify(&self) -> Outcome {
        let object = format!("staged policies of {}", self.preview.target);
        let unread = |failure: Failure| {
            let trouble = failure.trouble(&object);
            let fact = format!("all was written, but it could not be read back: {}", trouble.fact);
            Outcome::Unsettled(Trouble { fact: Text::from(fact), ..trouble })
        };
        let (staged, isolation) = match (self.staged().await, self.place.isolation().await) {
            (Ok(staged), Ok((isolation, _))) => (staged, isolation),
            (Err(failure), _) | (_, Err(failure)) => return unread(failure),
        };
        if shadow::digest(&staged) == self.preview.digest {
            return Outcome::Done { isolation };
        }
        let next = "Somebody or something changes it: look at who else writes it, then preview again.";
        let trouble = Trouble::new(&object, "all was written, but it reads back otherwise", next);
        Outcome::Stopped { trouble, isolation: Some(isolation) }
    }
}

fn is_same(a: &Set, b: &Set) -> bool {
    a.len() == b.len()
        && a.iter().all(|(name, one)| b.get(name).is_some_and(|other| other.canonical == one.canonical))
}
