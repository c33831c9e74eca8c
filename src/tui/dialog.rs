//! Dialogs as values: what they show was computed when they opened, what they may do is asked again
//! before they do it. The default is always to cancel, and Enter alone never confirms.

use std::collections::{BTreeMap, BTreeSet};

use tui_input::Input as LineInput;

use crate::{
    cockpit::{
        decide::{self, Reason},
        gates::Gate,
        orders::{OrderId, OrderState, Origin, Preview, Sign, Target},
        rows,
        world::World,
    },
    domain::{
        eval::verdict::Verdict,
        fleet::{Cluster, Enforcement, Environment, Health, Isolation, Namespace, Presence},
        predict::{
            stories::{Mark, Weight},
            words,
        },
        time::Timestamp,
    },
};

use super::{
    chooser::Chooser,
    copy,
    form::Form,
    offer, plan,
    theme::Role,
    widgets::{plural, wrap},
};

/// What lies over the page.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// Palette, help or menu.
    Chooser(Box<Chooser>),
    /// Previews were asked for.
    Waiting(Vec<OrderId>),
    Apply(Box<ApplyDialog>),
    RollBack(Box<RollbackDialog>),
    /// Something for the state cluster is filled in.
    Form(Box<Form>),
    /// Why not.
    Reasons {
        title: String,
        reasons: Vec<String>,
    },
    /// Orders run: leave anyway?
    Quit,
}

/// One line of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyLine {
    pub role: Role,
    pub text: String,
}

/// A text that was broken into lines for a width, and how far it is scrolled.
#[derive(Clone, Debug, Default)]
pub struct Scrolled {
    all: Vec<BodyLine>,
    lines: Vec<BodyLine>,
    width: usize,
    height: usize,
    pub at: usize,
}

impl Scrolled {
    pub fn new(all: Vec<BodyLine>) -> Self {
        Self { all, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Another text at the same place.
    fn set(&mut self, all: Vec<BodyLine>) {
        self.all = all;
        self.width = 0;
    }

    /// Breaks the text anew where the width changed.
    fn fit(&mut self, width: usize, height: usize) {
        self.height = height;
        if self.width != width {
            self.width = width;
            let part = |line: &BodyLine| {
                let role = line.role;
                wrap(&line.text, width).into_iter().map(move |text| BodyLine { role, text })
            };
            self.lines = self.all.iter().flat_map(part).collect();
        }
        self.at = self.at.min(self.limit());
    }

    pub fn limit(&self) -> usize {
        self.lines.len().saturating_sub(self.height)
    }

    /// The lines on screen, and how many are below them.
    pub fn seen(&self) -> (&[BodyLine], usize) {
        let until = (self.at + self.height).min(self.lines.len());
        (&self.lines[self.at.min(until)..until], self.lines.len() - until)
    }
}

/// Inside width of a dialog on a terminal of so many columns.
pub fn columns(width: u16) -> u16 {
    let outer = if width < 100 { width } else { (width - 2).min(120) };
    outer.saturating_sub(4)
}

impl Overlay {
    /// Fits what is scrolled to the terminal.
    pub fn fit(&mut self, (width, height): (u16, u16)) {
        let columns = usize::from(columns(width));
        // Border, band, and the line that says how much is below.
        let room = usize::from(height).saturating_sub(5);
        match self {
            Self::Apply(dialog) => {
                // The first here, and all at the top of the text.
                let (first, more) = dialog.reasons.split_at(dialog.reasons.len().min(1));
                dialog.why = wrap_all("cannot be applied", first, columns);
                dialog.why.extend(
                    (!more.is_empty())
                        .then(|| format!("and {}, all above", plural(more.len(), "more reason"))),
                );
                dialog.body.fit(columns, room.saturating_sub(2 + dialog.why.len()).max(3));
            }
            Self::RollBack(dialog) => {
                dialog.why = wrap_all("will be refused", &dialog.reasons, columns);
                dialog.body.fit(columns, room.saturating_sub(1 + dialog.why.len()).max(3));
            }
            Self::Form(form) => {
                form.why = wrap_all("not yet", &form.reasons, columns);
                let below = 2 + form.why.len() + form.fields.len();
                form.body.fit(columns, room.saturating_sub(below).max(3));
            }
            Self::Chooser(_) | Self::Waiting(_) | Self::Reasons { .. } | Self::Quit => {}
        }
    }
}

fn wrap_all(label: &str, reasons: &[String], width: usize) -> Vec<String> {
    const MOST: usize = 6;
    reasons.iter().flat_map(|reason| wrap(&format!("{label}: {reason}"), width)).take(MOST).collect()
}

/// A line of a dialog.
pub fn body(role: Role, text: impl Into<String>) -> BodyLine {
    BodyLine { role, text: text.into() }
}

/// Where Enter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Button {
    Cancel,
    Word,
}

/// The confirmation of an apply.
#[derive(Clone, Debug)]
pub struct ApplyDialog {
    pub title: String,
    /// What will be applied; rows where nothing differs are left out.
    pub previews: Vec<OrderId>,
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

/// The confirmation of a rollback.
#[derive(Clone, Debug)]
pub struct RollbackDialog {
    pub title: String,
    pub targets: Vec<Target>,
    pub environment: Environment,
    pub body: Scrolled,
    pub commands: String,
    pub reasons: Vec<String>,
    /// The same as lines.
    pub why: Vec<String>,
}

impl ApplyDialog {
    /// From previews that have all come.
    pub fn open(world: &World, ids: &[OrderId]) -> Self {
        let nothing = |id: &OrderId| decide::confirm_reasons(world, *id) == [Reason::NothingToDo];
        let (idle, mut previews): (Vec<_>, Vec<_>) = ids.iter().copied().partition(nothing);
        if previews.is_empty() {
            previews = idle.clone();
        }
        let found: Vec<_> = previews.iter().filter_map(|id| preview(world, *id)).collect();
        let targets: Vec<_> =
            previews.iter().filter_map(|id| Some(world.orders().get(*id)?.target.clone())).collect();
        let environment = offer::environment(world, &targets);
        let left_out = if previews.len() == ids.len() { 0 } else { idle.len() };
        let mut dialog = Self {
            title: title(verb(&found), &targets),
            environment,
            word: word(care(world, environment, &targets), &targets),
            body: Scrolled::default(),
            told: apply_body(world, &found, &targets, left_out),
            commands: commands(&found),
            previews,
            reasons: Vec::new(),
            overridable: false,
            why: Vec::new(),
            input: LineInput::default(),
            button: Button::Cancel,
        };
        dialog.check(world);
        dialog
    }

    /// Asks again whether it may be done: the world goes on while the dialog is open.
    pub fn check(&mut self, world: &World) {
        let failed = self.previews.iter().filter_map(|id| match &world.orders().get(*id)?.state {
            OrderState::Ended(outcome) => Some(format!("no preview: {}", outcome_words(outcome))),
            OrderState::Running | OrderState::Previewed(_) => None,
        });
        let mut reasons: Vec<_> = failed.collect();
        if reasons.is_empty() {
            reasons =
                offer::sentences(self.previews.iter().flat_map(|id| decide::confirm_reasons(world, *id)));
        }
        let gates = self.previews.iter().flat_map(|id| decide::confirm_reasons(world, *id));
        let gates: Vec<_> = gates
            .filter_map(|reason| match reason {
                Reason::Gate(gate) => Some(gate),
                _ => None,
            })
            .collect();
        self.overridable = gates.iter().any(|gate| gate.covers.is_some());
        if self.reasons != reasons || self.body.is_empty() {
            self.reasons = reasons;
            self.body.set(self.against(&gates));
        }
    }

    /// Every reason against it, who can clear what the plan asks for, and all the rest.
    fn against(&self, gates: &[Box<Gate>]) -> Vec<BodyLine> {
        let mut out = Vec::new();
        if !self.reasons.is_empty() {
            out.push(body(Role::Title, "why it cannot be applied, and who clears it"));
            out.extend(self.reasons.iter().map(|reason| {
                let gate = gates.iter().find(|gate| gate.to_string() == *reason);
                let words = gate.map_or_else(|| reason.clone(), |gate| plan::gate_words(gate));
                body(Role::Bad, format!("  {words}"))
            }));
        }
        if self.overridable {
            out.push(body(Role::Warn, "O asks a second person for an override of what may be overridden"));
        }
        out.extend(self.told.iter().cloned());
        out
    }

    pub fn may_confirm(&self) -> bool {
        self.reasons.is_empty() && !self.previews.is_empty() && self.input.value() == self.word
    }
}

impl RollbackDialog {
    pub fn open(world: &World, scope: &offer::Scope) -> Self {
        let (running, targets): (Vec<_>, Vec<_>) =
            scope.targets.iter().cloned().partition(|target| offer::already(world, target));
        let commands: Vec<_> =
            targets.iter().flat_map(|target| copy::rollback_commands(world, target)).collect();
        let mut reasons = offer::rollback_reasons(world, &targets);
        if targets.is_empty() {
            reasons.push("every row of it is being rolled back already".to_owned());
        }
        Self {
            title: title("Roll back", &targets),
            environment: offer::environment(world, &targets),
            body: Scrolled::new(rollback_body(world, &targets, scope.marks, running.len(), &commands)),
            commands: commands.join("\n"),
            reasons,
            targets,
            why: Vec::new(),
        }
    }
}

/// What a yes does.
fn verb(previews: &[&Preview]) -> &'static str {
    let is_revert = previews.iter().all(|preview| preview.origin == Origin::LastClean);
    if is_revert && !previews.is_empty() { "Revert to the clean policies of" } else { "Apply" }
}

fn title(verb: &str, targets: &[Target]) -> String {
    match targets {
        [one] => format!("{verb} {one}"),
        many => format!("{verb} {} rows", many.len()),
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
fn word(environment: Environment, targets: &[Target]) -> String {
    match (environment, targets) {
        (Environment::Staging, _) => "yes".to_owned(),
        (Environment::Production | Environment::Unknown, [one]) => one.ns.to_string(),
        (Environment::Production | Environment::Unknown, many) => format!("apply {}", many.len()),
    }
}

fn preview(world: &World, id: OrderId) -> Option<&Preview> {
    match &world.orders().get(id)?.state {
        OrderState::Previewed(preview) => Some(preview),
        OrderState::Running | OrderState::Ended(_) => None,
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
    out.push(body(
        Role::Text,
        format!("isolated now {}, afterwards {}", share(&preview.before), share(&preview.after)),
    ));
    if !preview.after.unknown.is_empty() {
        let kinds: Vec<_> = preview.after.unknown.iter().map(ToString::to_string).collect();
        out.push(body(Role::Unknown, format!("not evaluated, may isolate too: {}", kinds.join(", "))));
    }
    out.extend(preview.warnings.iter().map(|warning| body(Role::Warn, format!("warning: {warning}"))));
    out.extend(
        preview.refusals.iter().map(|trouble| body(Role::Bad, format!("the server refuses: {trouble}"))),
    );
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
    out.push(body(Role::Title, "how to undo it: ctrl-r on this row, or by hand"));
    let undo = copy::rollback_commands(world, &preview.target);
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

/// What it would have denied in the recorded week.
fn foreseen(world: &World, preview: &Preview, out: &mut Vec<BodyLine>) {
    let prediction = match &preview.prediction {
        Ok(prediction) => prediction,
        Err(why) => {
            let text = format!("what it would have denied: unknown {why}; watch 2 denials afterwards");
            return out.push(body(Role::Dim, text));
        }
    };
    let window = prediction.bound.window;
    let of = format!("of what was recorded {} to {}, it", day(window.from), day(window.to));
    for (verdict, text) in words::summary(prediction, world.now()) {
        match verdict {
            Verdict::Denied => out.push(body(Role::Denied, format!("{of} {text}"))),
            Verdict::Unknown => out.push(body(Role::Unknown, text)),
            Verdict::Allowed => out.push(body(Role::Text, format!("{of} {text}"))),
        }
    }
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

/// `3 of 12 pods`.
pub fn share(isolation: &Isolation) -> String {
    format!("{} of {} pods", isolation.isolated, isolation.pods)
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

fn rollback_body(
    world: &World,
    targets: &[Target],
    marks: usize,
    running: usize,
    commands: &[String],
) -> Vec<BodyLine> {
    let mut out = Vec::new();
    if marks > 0 {
        out.push(body(
            Role::Marked,
            format!("taken: {}, not the one under the cursor (u clears marks)", plural(marks, "marked row")),
        ));
    }
    if running > 0 {
        out.push(body(Role::Dim, format!("{running} more are being rolled back already")));
    }
    let clusters: BTreeSet<_> = targets.iter().map(|target| &target.cluster).collect();
    for cluster in clusters.into_iter().filter_map(|name| world.cluster(name)) {
        match &cluster.health {
            Health::Down(why) => {
                out.push(body(Role::Bad, format!("{} is down and is tried anyway: {why}", cluster.name)));
            }
            Health::Connecting | Health::Up | Health::Degraded(_) => {}
        }
        if !offer::is_listed(cluster) {
            let name = &cluster.name;
            out.push(body(
                Role::Warn,
                format!("what is live in {name} is not known: every row is read first"),
            ));
        }
    }
    out.push(body(Role::Title, "what is taken back: one write opens the traffic, then our policies go"));
    out.extend(targets.iter().map(|target| body(Role::Text, format!("  {}", rollback_line(world, target)))));
    for target in targets {
        if let Some(order) = world.orders().in_flight(&target.cluster, &target.ns) {
            out.push(body(
                Role::Warn,
                format!("{} {} {} is stopped first", order.kind.as_str(), order.id, order.target),
            ));
        }
    }
    out.push(body(Role::Title, "the same by hand"));
    out.extend(commands.iter().map(|command| body(Role::Text, format!("  {command}"))));
    out
}

fn rollback_line(world: &World, target: &Target) -> String {
    let Some(ns) = world.namespace(&target.cluster, &target.ns) else {
        return format!("{target}: not seen yet");
    };
    let now = ns.isolation(target.direction);
    let foreign = ns.policies.values().filter(|policy| policy.pinned().is_none());
    let then = Isolation::of(ns.subjects(), foreign, target.direction);
    let stays = if then.isolated == 0 {
        String::new()
    } else {
        let by: Vec<_> = then.by.iter().map(|key| key.name.to_string()).collect();
        format!("; {} stay isolated by {}", then.isolated, by.join(", "))
    };
    let ours = if ns.presence(target.direction) == Presence::None { "nothing of ours is live, " } else { "" };
    format!("{target}: {ours}{} isolated now{stays}", share(&now))
}

/// How an order ended, in words.
pub fn outcome_words(outcome: &crate::cockpit::orders::Outcome) -> String {
    use crate::cockpit::orders::Outcome;
    let still = |isolation: &Option<Isolation>| match isolation {
        None => "what is isolated now is unknown".to_owned(),
        Some(isolation) => isolated(isolation),
    };
    match outcome {
        Outcome::Done { isolation } => format!("done; {}", isolated(isolation)),
        Outcome::Stopped { trouble, isolation } => format!("stopped: {trouble} Now {}", still(isolation)),
        Outcome::Aborted { isolation } => format!("aborted; {}", still(isolation)),
        Outcome::Unsettled(trouble) => format!("unsettled, it may have landed: {trouble}"),
        Outcome::Failed(trouble) => format!("failed: {trouble}"),
    }
}

fn isolated(isolation: &Isolation) -> String {
    if isolation.isolated == 0 {
        return format!("no pod of {} is isolated", isolation.pods);
    }
    let by: Vec<_> = isolation.by.iter().map(|key| key.name.to_string()).collect();
    format!("{} are isolated, by {}", share(isolation), by.join(", "))
}
