//! The confirmation of an apply: of several rows those that pass go, the rest stay with their reasons. What
//! it shows was computed when it opened; what it may do is asked again before it does it.

use std::collections::{BTreeMap, BTreeSet};

use tui_input::Input as LineInput;

use super::{BodyLine, Button, Scrolled, body, outcome_words, share, title};
use crate::{
    cockpit::{
        decide::{self, Reason},
        gates::Gate,
        orders::{OrderId, OrderState, Origin, Preview, Sign, Target},
        rows, shadow,
        world::World,
    },
    domain::{
        eval::verdict::Verdict,
        fleet::{Cluster, Enforcement, Environment, Health, Namespace},
        names::Text,
        predict::{
            prediction::Prediction,
            stories::{Mark, Weight},
            words,
        },
        shadow::removal_command,
        time::Timestamp,
    },
    tui::{copy, masks::Masks, offer, plan, theme::Role, widgets::plural},
};

/// The confirmation of an apply.
#[derive(Clone, Debug)]
pub struct ApplyDialog {
    pub title: String,
    /// What will be applied; rows where nothing differs are left out. Rows leave it while the dialog is
    /// open, none joins: more than was read is never applied.
    pub previews: Vec<OrderId>,
    /// Rows that are refused beside others that may go, with what was previewed.
    stays: Vec<OrderId>,
    /// Rows where nothing differs.
    left_out: usize,
    /// They are only staged.
    pub stages: bool,
    pub environment: Environment,
    /// What has to be typed.
    pub word: String,
    pub body: Scrolled,
    /// The body without the reasons that stand above it.
    told: Vec<BodyLine>,
    pub commands: String,
    /// Why it cannot be applied (any more).
    pub reasons: Vec<String>,
    /// Some of them an override may open.
    pub overridable: bool,
    /// The same as lines.
    pub why: Vec<String>,
    pub input: LineInput,
    pub button: Button,
}

impl ApplyDialog {
    /// From previews that have all come. Of several rows those that pass go, the rest stay, each with
    /// its reasons; where none passes, all reasons stand against the whole.
    pub fn open(world: &World, ids: &[OrderId]) -> Self {
        let nothing = |id: &OrderId| decide::confirm_reasons(world, *id) == [Reason::NothingToDo];
        let (idle, mut previews): (Vec<_>, Vec<_>) = ids.iter().copied().partition(nothing);
        if previews.is_empty() {
            previews = idle.clone();
        }
        let left_out = if previews.len() == ids.len() { 0 } else { idle.len() };
        let mut dialog = Self {
            title: String::new(),
            environment: Environment::Unknown,
            word: String::new(),
            body: Scrolled::default(),
            told: Vec::new(),
            commands: String::new(),
            previews,
            stays: Vec::new(),
            left_out,
            stages: false,
            reasons: Vec::new(),
            overridable: false,
            why: Vec::new(),
            input: LineInput::default(),
            button: Button::Cancel,
        };
        dialog.part(world);
        dialog.tell(world);
        dialog.check(world);
        dialog
    }

    /// Those that are refused stay, if any other may go. Did any?
    fn part(&mut self, world: &World) -> bool {
        let may_go = |id: &OrderId| against(world, *id).is_empty();
        let (go, stay): (Vec<_>, Vec<_>) = self.previews.iter().copied().partition(may_go);
        if go.is_empty() || stay.is_empty() {
            return false;
        }
        self.previews = go;
        self.stays.extend(stay);
        true
    }

    /// What is said of the rows that go.
    fn tell(&mut self, world: &World) {
        let found: Vec<_> = self.previews.iter().filter_map(|id| world.orders().preview(*id)).collect();
        let targets: Vec<_> = self.previews.iter().filter_map(|id| target_of(world, *id)).collect();
        self.environment = offer::environment(world, &targets);
        self.title = match self.stays.len() {
            0 => title(verb(&found), &targets),
            stay => format!("{} {} of {} rows", verb(&found), targets.len(), targets.len() + stay),
        };
        self.stages = all_are(&found, Origin::Shadow);
        let many = if self.stages { "stage" } else { "apply" };
        self.word = word(care(world, self.environment, &targets), &targets, many);
        self.told = apply_body(world, &found, &targets, self.left_out);
        self.commands = commands(&found);
    }

    /// Asks again whether it may be done: the world goes on while the dialog is open.
    pub fn check(&mut self, world: &World) {
        let parted = self.part(world);
        if parted {
            self.tell(world);
        }
        let reasons = offer::sentences(self.previews.iter().flat_map(|id| against(world, *id)));
        let all = self.previews.iter().chain(&self.stays);
        let gates: Vec<_> = all.flat_map(|id| gates_of(world, *id)).collect();
        self.overridable = gates.iter().any(|gate| gate.covers.is_some());
        if parted || self.reasons != reasons || self.body.is_empty() {
            self.reasons = reasons;
            let mut body = self.against(&gates);
            body.extend(self.staying(world));
            body.extend(self.told.iter().cloned());
            self.body.set(body);
        }
    }

    /// Every reason against it, and who can clear what the plan asks for.
    fn against(&self, gates: &[Gate]) -> Vec<BodyLine> {
        let mut out = Vec::new();
        if !self.reasons.is_empty() {
            out.push(body(Role::Title, "why it cannot be applied, and who clears it"));
            out.extend(self.reasons.iter().map(|reason| {
                let gate = gates.iter().find(|gate| gate.to_string() == *reason);
                let words = gate.map_or_else(|| reason.clone(), plan::gate_words);
                body(Role::Bad, format!("  {words}"))
            }));
        }
        if self.overridable {
            out.push(body(Role::Warn, "O asks a second person for an override of what may be overridden"));
        }
        out
    }

    /// Which rows go and which stay, by name.
    fn staying(&self, world: &World) -> Vec<BodyLine> {
        if self.stays.is_empty() {
            return Vec::new();
        }
        let (go, stay) = (plural(self.previews.len(), "row"), plural(self.stays.len(), "row"));
        let goes = if self.previews.len() == 1 { "goes" } else { "go" };
        let stays = if self.stays.len() == 1 { "stays" } else { "stay" };
        let mut out = vec![body(Role::Title, format!("{go} {goes}, {stay} {stays} as it is"))];
        let gone = self.previews.iter().filter_map(|id| target_of(world, *id));
        out.extend(gone.map(|target| body(Role::Text, format!("  goes   {target}"))));
        for id in &self.stays {
            let Some(target) = target_of(world, *id) else { continue };
            let gates = gates_of(world, *id);
            let said = |reason: &String| {
                let gate = gates.iter().find(|gate| gate.to_string() == *reason);
                gate.map_or_else(|| reason.clone(), plan::gate_words)
            };
            let mut why: Vec<_> =
                offer::sentences(against(world, *id).into_iter()).iter().map(said).collect();
            if why.is_empty() {
                why.push("what stood against it is gone: preview again to take it along".to_owned());
            }
            out.push(body(Role::Warn, format!("  stays  {target}: {}", why.join("; "))));
        }
        out
    }

    /// What an override would be asked for.
    pub fn overrulable(&self) -> Vec<OrderId> {
        if self.reasons.is_empty() { self.stays.clone() } else { self.previews.clone() }
    }

    /// The word to be typed is a name that is masked: whoever types it could not read what is meant.
    pub fn is_veiled(&self, masks: Option<&Masks>) -> bool {
        masks.is_some_and(|masks| masks.hide(&self.word) != self.word)
    }

    pub fn may_confirm(&self) -> bool {
        self.reasons.is_empty() && !self.previews.is_empty() && self.input.value() == self.word
    }
}

/// Every reason against what was previewed, or that nothing was.
fn against(world: &World, id: OrderId) -> Vec<Reason> {
    match world.orders().get(id).map(|order| &order.state) {
        Some(OrderState::Ended(outcome)) => {
            vec![Reason::Server(Text::from(format!("no preview: {}", outcome_words(outcome))))]
        }
        Some(OrderState::Running | OrderState::Previewed(_)) | None => decide::confirm_reasons(world, id),
    }
}

fn gates_of(world: &World, id: OrderId) -> Vec<Gate> {
    let gate = |reason| match reason {
        Reason::Gate(gate) => Some(*gate),
        _ => None,
    };
    decide::confirm_reasons(world, id).into_iter().filter_map(gate).collect()
}

fn target_of(world: &World, id: OrderId) -> Option<Target> {
    world.orders().get(id).map(|order| order.target.clone())
}

fn all_are(previews: &[&Preview], origin: Origin) -> bool {
    !previews.is_empty() && previews.iter().all(|preview| preview.origin == origin)
}

/// What a yes does.
fn verb(previews: &[&Preview]) -> &'static str {
    if all_are(previews, Origin::LastClean) {
        "Revert to the clean policies of"
    } else if all_are(previews, Origin::Shadow) {
        "Stage, and not enforce,"
    } else {
        "Apply"
    }
}

/// Where it is not known whether policies take effect at all, a plain yes is too little.
fn care(world: &World, environment: Environment, targets: &[Target]) -> Environment {
    if targets.iter().any(|target| enforcement(world, target) == Enforcement::Unknown) {
        return Environment::Unknown;
    }
    environment
}

fn enforcement(world: &World, target: &Target) -> Enforcement {
    world.cluster(&target.cluster).map_or(Enforcement::Unknown, Cluster::enforcement)
}

/// Production (and what may be production) wants the name typed, the rest a yes.
fn word(environment: Environment, targets: &[Target], verb: &str) -> String {
    match (environment, targets) {
        (Environment::Staging, _) => "yes".to_owned(),
        (Environment::Production | Environment::Unknown, [one]) => one.ns.to_string(),
        (Environment::Production | Environment::Unknown, many) => format!("{verb} {}", many.len()),
    }
}

fn commands(previews: &[&Preview]) -> String {
    let all: Vec<_> = previews.iter().flat_map(|preview| preview.commands.iter().cloned()).collect();
    all.join("\n")
}

fn apply_body(world: &World, previews: &[&Preview], targets: &[Target], left_out: usize) -> Vec<BodyLine> {
    let mut out = doubts(world, targets);
    if previews.len() > 1 {
        let pods: usize = previews.iter().map(|preview| newly_isolated(preview)).sum();
        let become_isolated = if pods == 1 { "1 pod becomes" } else { &format!("{pods} pods become") };
        out.push(body(Role::Denied, format!("{become_isolated} isolated in all")));
        out.push(body(Role::Dim, "one after the other; the next starts when the one before ended well:"));
        for preview in previews {
            out.push(body(Role::Text, format!("  {}: {}", preview.target, rows::headline(preview))));
        }
    }
    if left_out > 0 {
        let are = if left_out == 1 { "1 row is" } else { &format!("{left_out} rows are") };
        out.push(body(Role::Dim, format!("{are} as the workspace wants already and left out")));
    }
    for preview in previews {
        if previews.len() > 1 {
            out.push(body(Role::Text, ""));
            out.push(body(Role::Title, preview.target.to_string()));
        }
        one_apply(world, preview, &mut out);
    }
    out
}

/// What is not known or not well about the clusters concerned.
fn doubts(world: &World, targets: &[Target]) -> Vec<BodyLine> {
    let names: BTreeSet<_> = targets.iter().map(|target| &target.cluster).collect();
    let mut out = Vec::new();
    for cluster in names.into_iter().filter_map(|name| world.cluster(name)) {
        let name = &cluster.name;
        if cluster.enforcement() == Enforcement::Unknown {
            let evidence = cluster.cni.as_ref().map_or("no CNI was recognised", |cni| cni.evidence.as_str());
            let text =
                format!("whether {name} enforces policies is unknown ({evidence}): it may do nothing there");
            out.push(body(Role::Warn, text));
        }
        if let Health::Degraded(why) = &cluster.health {
            out.push(body(Role::Warn, format!("{name} is degraded, so pods may be missing here: {why}")));
        }
    }
    out
}

fn one_apply(world: &World, preview: &Preview, out: &mut Vec<BodyLine>) {
    out.push(body(Role::Denied, rows::headline(preview)));
    out.extend(
        world
            .incidents()
            .of(&preview.target)
            .iter()
            .map(|incident| body(Role::Bad, format!("incident: {}", incident.words()))),
    );
    if preview.origin != Origin::Shadow {
        let (now, then) = (share(&preview.before), share(&preview.after));
        out.push(body(Role::Text, format!("isolated now {now}, afterwards {then}")));
    }
    let kinds = preview.after.unknowns();
    if !kinds.is_empty() {
        out.push(body(Role::Unknown, format!("not evaluated, may isolate too: {}", kinds.join(", "))));
    }
    out.extend(preview.warnings.iter().map(|warning| body(Role::Warn, format!("warning: {warning}"))));
    out.extend(
        preview.refusals.iter().map(|trouble| body(Role::Bad, format!("the server refuses: {trouble}"))),
    );
    out.extend(shadow::notes(world, preview).into_iter().map(|note| body(Role::Warn, note)));
    foreseen(world, preview, out);
    if let Some(ns) = world.namespace(&preview.target.cluster, &preview.target.ns) {
        out.push(body(Role::Title, "who is affected"));
        out.extend(affected(world, ns).into_iter().map(|line| body(Role::Text, format!("  {line}"))));
    }
    out.push(body(Role::Title, "what is run, in this order"));
    if preview.commands.is_empty() {
        out.push(body(Role::Dim, "  nothing"));
    }
    out.extend(preview.commands.iter().map(|command| body(Role::Text, format!("  {command}"))));
    out.push(body(Role::Title, "how to undo it: rollback of this row, or by hand"));
    let undo = match preview.origin {
        Origin::Workspace | Origin::LastClean => copy::rollback_commands(world, &preview.target),
        Origin::Shadow => {
            let (target, context) = (&preview.target, copy::context(world, &preview.target.cluster));
            vec![removal_command(&context, &target.ns, target.direction)]
        }
    };
    out.extend(undo.into_iter().map(|command| body(Role::Text, format!("  {command}"))));
    out.push(body(Role::Title, "what changes"));
    if preview.diff.is_empty() {
        out.push(body(Role::Dim, "  nothing differs from what is live"));
    }
    out.extend(preview.diff.iter().map(|line| match line.sign {
        Sign::Object => body(Role::Key, format!("  {}", line.text)),
        Sign::Same => body(Role::Dim, format!("    {}", line.text)),
        Sign::Added => body(Role::Added, format!("  + {}", line.text)),
        Sign::Removed => body(Role::Removed, format!("  - {}", line.text)),
    }));
}

/// What it would have denied in the recorded week, and what it means for the cluster as it is.
fn foreseen(world: &World, preview: &Preview, out: &mut Vec<BodyLine>) {
    let unknown = |why: &Text| {
        body(Role::Dim, format!("what it would have denied: unknown {why}; watch the denials afterwards"))
    };
    match (&preview.prediction, &preview.untold) {
        (Err(why), _) => out.push(unknown(why)),
        (Ok(prediction), untold) => {
            match untold {
                Some(why) => out.push(unknown(why)),
                None => of_the_week(world, preview, prediction, out),
            }
            of_the_cluster(prediction, out);
        }
    }
}

fn of_the_week(world: &World, preview: &Preview, prediction: &Prediction, out: &mut Vec<BodyLine>) {
    let opened = world.discoveries().opened(&preview.target.cluster, &preview.target.ns);
    if let Some(document) = opened.and_then(|opened| opened.answer.as_ref()?.document.as_ref()) {
        out.push(body(Role::Warn, format!("by {}", document.words(world.now()))));
    }
    let window = prediction.bound.window;
    let of = format!("of what was recorded {} to {}, it", day(window.from), day(window.to));
    for (verdict, text) in words::summary(prediction, world.now()) {
        match verdict {
            Verdict::Denied => out.push(body(Role::Denied, format!("{of} {text}"))),
            Verdict::Unknown => out.push(body(Role::Unknown, text)),
            Verdict::Allowed => out.push(body(Role::Text, format!("{of} {text}"))),
        }
    }
}

/// What the checks have against it, and what it opens and closes.
fn of_the_cluster(prediction: &Prediction, out: &mut Vec<BodyLine>) {
    for (weight, mark, text) in words::against(prediction) {
        let role = match (weight, mark) {
            (_, Mark::Unknown) => Role::Unknown,
            (Weight::Blocks, _) => Role::Denied,
            (Weight::Warns, _) => Role::Warn,
        };
        out.push(body(role, format!("{} {text}", weight.as_str())));
    }
    out.extend(prediction.changes.iter().map(|change| {
        body(
            Role::Dim,
            format!("  {}: {} {} on {}", change.who, change.how.as_str(), change.what, change.ports),
        )
    }));
}

fn day(at: Timestamp) -> String {
    at.format("%Y-%m-%d").to_string()
}

fn newly_isolated(preview: &Preview) -> usize {
    preview.after.isolated.saturating_sub(preview.before.isolated)
}

/// Whose pods these are: workloads with their number of pods, owner and contact.
fn affected(world: &World, ns: &Namespace) -> Vec<String> {
    const NAMED: usize = 6;
    let mut workloads: BTreeMap<_, usize> = BTreeMap::new();
    for pod in ns.subjects() {
        *workloads.entry(&pod.workload).or_default() += 1;
    }
    let mut named: Vec<_> =
        workloads.iter().take(NAMED).map(|(workload, pods)| format!("{workload} ({pods})")).collect();
    if workloads.len() > NAMED {
        named.push(format!("and {} more workloads", workloads.len() - NAMED));
    }
    let (owner, contact) = rows::owner(world, ns);
    let owner = owner.map_or_else(|| "unknown".to_owned(), |owner| owner.to_string());
    let contact = contact.map_or_else(|| "unknown".to_owned(), |contact| contact.to_string());
    vec![
        if named.is_empty() { "no pod runs here now".to_owned() } else { named.join(", ") },
        format!("owner {owner}, contact {contact}"),
    ]
}
