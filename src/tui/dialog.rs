//! Dialogs as values: what they show was computed when they opened, what they may do is asked again
//! before they do it. The default is always to cancel, and Enter alone never confirms.

use std::collections::BTreeSet;

use crate::{
    cockpit::{
        allowed,
        orders::{OrderId, Target},
        world::World,
    },
    domain::fleet::{Environment, Health, Isolation, Presence},
};

use super::{
    chooser::Chooser,
    copy,
    form::Form,
    masks::Masks,
    offer,
    proposal::ProposalDialog,
    renewal::RenewDialog,
    theme::Role,
    widgets::{plural, wrap},
};

mod apply;

pub use apply::ApplyDialog;

/// What lies over the page.
#[derive(Clone, Debug)]
pub enum Overlay {
    /// Palette, help or menu.
    Chooser(Box<Chooser>),
    /// Previews were asked for.
    Waiting(Vec<OrderId>),
    Apply(Box<ApplyDialog>),
    RollBack(Box<RollbackDialog>),
    /// A rule for a denial, to be copied.
    Proposal(Box<ProposalDialog>),
    /// A discovery document is written anew.
    Renew(Box<RenewDialog>),
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
    masked: bool,
    pub at: usize,
}

fn shown(text: &str, masks: Option<&Masks>) -> String {
    masks.map_or_else(|| text.to_owned(), |masks| masks.hide(text))
}

impl Scrolled {
    pub fn new(all: Vec<BodyLine>) -> Self {
        Self { all, ..Self::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The whole text, not broken into lines.
    pub fn all(&self) -> &[BodyLine] {
        &self.all
    }

    /// Another text at the same place.
    fn set(&mut self, all: Vec<BodyLine>) {
        self.all = all;
        self.width = 0;
    }

    /// Breaks the text anew where the width changed, or what may be shown of it.
    fn fit(&mut self, width: usize, height: usize, masks: Option<&Masks>) {
        self.height = height;
        if self.width != width || masks.is_some() != self.masked {
            (self.width, self.masked) = (width, masks.is_some());
            let part = |line: &BodyLine| {
                let role = line.role;
                wrap(&shown(&line.text, masks), width).into_iter().map(move |text| BodyLine { role, text })
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
    pub fn fit(&mut self, (width, height): (u16, u16), masks: Option<&Masks>) {
        let columns = usize::from(columns(width));
        // Border, band, and the line that says how much is below.
        let room = usize::from(height).saturating_sub(5);
        match self {
            Self::Apply(dialog) => {
                // The first here, and all at the top of the text.
                let (first, more) = dialog.reasons.split_at(dialog.reasons.len().min(1));
                dialog.why = wrap_all("cannot be applied", first, columns, masks);
                dialog.why.extend(
                    (!more.is_empty())
                        .then(|| format!("and {}, all above", plural(more.len(), "more reason"))),
                );
                dialog.body.fit(columns, room.saturating_sub(2 + dialog.why.len()).max(3), masks);
            }
            Self::RollBack(dialog) => {
                dialog.why = wrap_all("will be refused", &dialog.reasons, columns, masks);
                dialog.body.fit(columns, room.saturating_sub(1 + dialog.why.len()).max(3), masks);
            }
            Self::Form(form) => {
                form.why = wrap_all("not yet", &form.reasons, columns, masks);
                let below = 2 + form.why.len() + form.fields.len();
                form.body.fit(columns, room.saturating_sub(below).max(3), masks);
            }
            Self::Renew(dialog) => dialog.body.fit(columns, room.saturating_sub(2).max(3), masks),
            Self::Proposal(dialog) => dialog.body.fit(columns, room.saturating_sub(1).max(3), masks),
            Self::Chooser(_) | Self::Waiting(_) | Self::Reasons { .. } | Self::Quit => {}
        }
    }
}

fn wrap_all(label: &str, reasons: &[String], width: usize, masks: Option<&Masks>) -> Vec<String> {
    const MOST: usize = 6;
    let wrapped = |reason| wrap(&shown(&format!("{label}: {reason}"), masks), width);
    reasons.iter().flat_map(wrapped).take(MOST).collect()
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

fn title(verb: &str, targets: &[Target]) -> String {
    match targets {
        [one] => format!("{verb} {one}"),
        many => format!("{verb} {} rows", many.len()),
    }
}

/// `3 of 12 pods`.
pub fn share(isolation: &Isolation) -> String {
    format!("{} of {} pods", isolation.isolated, isolation.pods)
}

/// `2 marked namespaces, 4 rows`.
fn taken(marks: usize, rows: usize) -> String {
    match rows {
        rows if rows == marks => plural(marks, "marked row"),
        rows if rows == 2 * marks => {
            format!("{}, {}", plural(marks, "marked namespace"), plural(rows, "row"))
        }
        rows => format!("{marks} marked, {}", plural(rows, "row")),
    }
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
            format!(
                "taken: {}, not the one under the cursor (u clears marks)",
                taken(marks, targets.len() + running)
            ),
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
        let mut here = targets.iter().filter(|target| target.cluster == cluster.name);
        if let Some(warning) = here.find_map(|target| allowed::rollback_warning(world, target)) {
            out.push(body(Role::Warn, warning.to_string()));
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
