//! The narrowest rule for a denial as a dialog: the YAML, the file it belongs into, what else it opens,
//! what it would have let pass. It is read and copied; nothing leaves from here but the text.

use crate::{
    cockpit::{
        orders::Target,
        proposal::{Owners, Proposal, Proposed, propose},
        world::World,
    },
    domain::{denial::Group, fleet::Environment, names::Text},
};

use super::{
    copy,
    dialog::{BodyLine, Scrolled, body},
    theme::Role,
};

/// What lies over the page.
#[derive(Clone, Debug)]
pub struct ProposalDialog {
    pub title: String,
    pub environment: Environment,
    pub body: Scrolled,
    /// What is copied; `None`: no rule is proposed.
    pub yaml: Option<String>,
}

impl ProposalDialog {
    pub fn open(world: &World, group: &Group) -> Self {
        let Proposal { target, rule } = propose(world, group);
        let environment =
            world.cluster(&target.cluster).map_or(Environment::Unknown, |cluster| cluster.environment);
        let mut lines = vec![body(Role::Denied, copy::headline(group))];
        let yaml = match &rule {
            Ok(rule) => {
                lines.extend(lines_of(rule));
                lines.push(next(rule, &target));
                Some(rule.yaml.clone())
            }
            Err(why) => {
                lines.push(body(Role::Warn, format!("No rule is proposed: {why}.")));
                None
            }
        };
        Self { title: target.to_string(), environment, body: Scrolled::new(lines), yaml }
    }
}

fn next(rule: &Proposed, Target { ns, cluster, .. }: &Target) -> BodyLine {
    let grant = if rule.owners.refuse.is_empty() { "" } else { "get the grant, " };
    body(
        Role::Text,
        format!(
            "next: {grant}say who needs it in `why`, put it into the file (a file that is there keeps its one \
             `rules:`), run `sluice author -n {ns} --cluster {cluster}`, then preview and apply that"
        ),
    )
}

fn lines_of(rule: &Proposed) -> Vec<BodyLine> {
    let mut out = Vec::new();
    let Owners { refuse, unknown } = &rule.owners;
    if !refuse.is_empty() {
        out.push(body(Role::Bad, "it needs a grant: a rule alone will be refused by the owner gate"));
        out.extend(refuse.iter().map(|said| body(Role::Bad, format!("  {said}"))));
    }
    if !unknown.is_empty() {
        out.push(body(Role::Unknown, "whether it needs a grant is not known"));
        out.extend(unknown.iter().map(|said| body(Role::Unknown, format!("  {said}"))));
    }
    out.push(body(Role::Title, format!("for {}", rule.file)));
    out.extend(rule.yaml.lines().map(|line| body(Role::Added, line)));
    out.push(body(Role::Title, format!("opens {}", rule.opens)));
    let listed = |role: Role, all: &[Text]| -> Vec<BodyLine> {
        all.iter().map(|said| body(role, format!("  {said}"))).collect()
    };
    out.push(body(Role::Title, "what else it opens"));
    out.extend(listed(Role::Warn, &rule.also));
    out.push(body(Role::Title, "denied in this run, and would pass"));
    out.extend(listed(Role::Text, &rule.denied));
    match &rule.recorded {
        None => {
            out.push(body(Role::Unknown, "what was recorded of it is not read here (d reads it)"));
        }
        Some(recorded) => {
            out.push(body(Role::Title, "recorded as denied, and would pass"));
            match recorded.denied.is_empty() {
                true => out.push(body(Role::Dim, "  none")),
                false => out.extend(listed(Role::Text, &recorded.denied)),
            }
            out.push(body(Role::Dim, format!("recorded edges of it that passed: {}", recorded.passed)));
        }
    }
    out.extend(rule.notes.iter().map(|note| body(Role::Warn, format!("note: {note}"))));
    out
}
