//! The policy files of one rollout as they lie in the workspace, and what becomes of each when a new
//! text comes: written, left alone, or refused because a person wrote there. A set is written whole
//! or not at all; decides by bytes and meaning, never by time.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    discovery, extra,
    policy_files::{self, FOLDER},
    yaml,
};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        author::{change, settings::Extra},
        flow::Direction,
        policy::{Pinned, Policy, Role, Rule},
        rollout::Target,
    },
    manifest::{
        ways,
        written::{self, Origin},
    },
};

/// One pinned file as it is.
#[derive(Clone, Debug)]
pub struct Lying {
    pub pinned: &'static Pinned,
    pub path: PathBuf,
    /// From the root of the workspace on.
    pub shown: String,
    /// `None`: there is none.
    pub text: Option<String>,
    pub origin: Origin,
    /// What it says; the error names the line.
    pub policy: Option<Result<Policy, Trouble>>,
}

/// What a new text does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    New,
    Replace,
    /// Not needed any more, and nobody but us wrote it.
    Remove,
    Same,
    /// A person wrote it, and it says the same: it stays.
    Kept,
    Refused(Trouble),
}

impl Step {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replace => "changed",
            Self::Remove => "removed",
            Self::Same => "unchanged",
            Self::Kept => "kept",
            Self::Refused(_) => "refused",
        }
    }

    pub fn writes(&self) -> bool {
        matches!(self, Self::New | Self::Replace | Self::Remove)
    }
}

pub fn folder(root: &Path, target: &Target) -> PathBuf {
    root.join(FOLDER).join(target.cluster.as_str()).join(target.ns.as_str())
}

/// Every pinned file of the direction, in the order of the set.
pub fn read(root: &Path, target: &Target) -> Vec<Lying> {
    let folder = folder(root, target);
    let one = |pinned: &'static Pinned| {
        let path = folder.join(pinned.file_name());
        let shown = discovery::shown(root, &path);
        let trouble = |bad: policy_files::Bad| Trouble::new(&shown, &bad.fact, &bad.next);
        let (text, policy) = match policy_files::read_text(&path) {
            Ok(text) => {
                let policy = policy_files::policy_of(&text, &target.ns, pinned);
                (Some(text), Some(policy.map(|(policy, _)| policy).map_err(trouble)))
            }
            Err(bad) if bad.is_missing() => (None, None),
            Err(bad) => (Some(String::new()), Some(Err(trouble(bad)))),
        };
        let origin = text.as_deref().map_or(Origin::Ours, written::origin);
        Lying { pinned, path, shown, text, origin, policy }
    };
    Pinned::of(target.direction).map(one).collect()
}

/// What a text says, by the reader that apply uses.
pub fn policy_of(text: &str, target: &Target, pinned: &'static Pinned) -> Result<Policy, Trouble> {
    policy_files::policy_of(text, &target.ns, pinned)
        .map(|(policy, _)| policy)
        .map_err(|bad| Trouble::new(&format!("{target}: {}", pinned.file_name()), &bad.fact, &bad.next))
}

/// Rules of people for this rollout.
pub fn extras(root: &Path, target: &Target) -> Result<Vec<Extra>, Vec<Trouble>> {
    extra::read(root, &folder(root, target), target.direction)
}

impl Lying {
    /// What this text would do here; `None`: the file is not needed.
    pub fn step(&self, new: Option<(&str, &Policy)>, adopts: bool) -> Step {
        let Some(old) = &self.text else { return if new.is_some() { Step::New } else { Step::Same } };
        let Some((text, policy)) = new else {
            return match self.origin {
                Origin::Ours => Step::Remove,
                Origin::Edited | Origin::Foreign if adopts => Step::Remove,
                Origin::Edited | Origin::Foreign => Step::Refused(self.refusal("", None)),
            };
        };
        let says_same = matches!(&self.policy, Some(Ok(mine)) if mine.canonical == policy.canonical);
        match (self.origin, &self.policy) {
            _ if old == text => Step::Same,
            (Origin::Ours, _) => Step::Replace,
            (_, Some(Err(trouble))) => Step::Refused(trouble.clone()),
            _ if says_same => Step::Kept,
            _ if adopts => Step::Replace,
            _ => Step::Refused(self.refusal(old, Some(text))),
        }
    }

    fn refusal(&self, old: &str, new: Option<&str>) -> Trouble {
        let line = self.strange_rule().or_else(|| new.and_then(|new| first_difference(old, new)));
        let place = line.map_or_else(|| self.shown.clone(), |line| format!("{} line {line}", self.shown));
        let fact = match (self.origin, new) {
            (Origin::Ours | Origin::Edited, Some(_)) => {
                "it was edited by hand, and writing it again would lose that"
            }
            (Origin::Foreign, Some(_)) => {
                "it was not written by `sluice author`, and writing it would lose what it says"
            }
            (_, None) => "it is not needed any more, and somebody else wrote it",
        };
        let next = match self.pinned.role {
            Role::Fqdn => {
                "Move the file away, or take it over with --adopt, which gives its rules up.".to_owned()
            }
            Role::Valve => "Bring it back from version control, or give the edit up with --adopt.".to_owned(),
            Role::Baseline | Role::Allowlist => format!(
                "Move your rule into {}-allowlist{}, or let --adopt do that.",
                self.pinned.direction,
                extra::END
            ),
        };
        Trouble::new(&place, fact, &next)
    }

    /// The line of the first rule that we did not write.
    fn strange_rule(&self) -> Option<u64> {
        let text = self.text.as_deref()?;
        let rules = self.policy.as_ref()?.as_ref().ok()?.rules(self.pinned.direction)?;
        let at = rules.iter().position(|rule| !written::wrote(text, rule))?;
        let node = yaml::parse(text).ok()?;
        Some(node.field("spec")?.field(self.pinned.direction.as_str())?.items().get(at)?.line)
    }

    /// Rules that a person wrote here, to be taken over: those that open what the new policies do not,
    /// and that we did not write from older evidence.
    pub fn theirs(&self, new: &[&Policy]) -> Result<Vec<Rule>, Trouble> {
        let direction = self.pinned.direction;
        if self.origin == Origin::Ours || !matches!(self.pinned.role, Role::Baseline | Role::Allowlist) {
            return Ok(Vec::new());
        }
        let policy = match &self.policy {
            Some(Ok(policy)) => policy,
            Some(Err(trouble)) => return Err(trouble.clone()),
            None => return Ok(Vec::new()),
        };
        if let Some(opened) = policy.opens.iter().find(|opened| !opened.selector.is_everything()) {
            let fact =
                format!("it is for {} only, and the pinned policies are for all pods", opened.selector);
            return Err(Trouble::new(
                &self.shown,
                &fact,
                "Write what is meant into the extra file yourself.",
            ));
        }
        let text = self.text.as_deref().unwrap_or_default();
        let ours = ways::ways(new.iter().copied(), direction);
        let is_theirs = |(rule, at): &(&Rule, u32)| {
            let theirs = ways::of_rule(policy, direction, *at);
            // The baseline has a clock of its own.
            let is_clock = self.pinned.role == Role::Baseline
                && theirs.iter().all(|way| way.ports.to_string() == "UDP/123");
            !is_clock && !written::wrote(text, rule) && !change::between(&ours, &theirs).opens.is_empty()
        };
        let rules = policy.rules(direction).unwrap_or_default().iter().zip(1..);
        Ok(rules.filter(is_theirs).map(|(rule, _)| rule.clone()).collect())
    }
}

/// The first line of the old text, from 1, that says something else; comments are left aside.
fn first_difference(old: &str, new: &str) -> Option<u64> {
    let says = |text: &'_ str| -> Vec<(u64, String)> {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim_start().starts_with('#'));
        lines.map(|(line, at)| (at, line.to_owned())).collect()
    };
    let (old, new) = (says(old), says(new));
    let same = old.iter().zip(&new).take_while(|((_, a), (_, b))| a == b).count();
    old.get(same).or(old.last()).map(|(at, _)| *at)
}

/// Writes or removes one file.
pub fn put(root: &Path, lying: &Lying, text: Option<&str>) -> Result<(), Trouble> {
    match text {
        Some(text) => discovery::write(root, &lying.path, text),
        None => fs::remove_file(&lying.path).map_err(|error| {
            let fact = format!("could not be removed ({error})");
            Trouble::new(&lying.shown, &fact, "Correct the folder's rights and run it again.")
        }),
    }
}

/// Takes rules over into the extra file; gives back its new text, which is written by [`put_extra`].
pub fn adopted(
    root: &Path,
    target: &Target,
    rules: &[Rule],
    why: &str,
) -> Result<(String, Vec<Extra>), Vec<Trouble>> {
    let path = extra::path(&folder(root, target), target.direction);
    let shown = discovery::shown(root, &path);
    let old = match policy_files::read_text(&path) {
        Ok(text) => Some(text),
        Err(bad) if bad.is_missing() => None,
        Err(bad) => return Err(vec![Trouble::new(&shown, &bad.fact, &bad.next)]),
    };
    let before =
        old.as_deref().map_or(Ok(Vec::new()), |text| extra::parse(&shown, text, target.direction))?;
    let text = extra::with(old.as_deref(), target.direction, rules, why);
    let after = extra::parse(&shown, &text, target.direction)?;
    if after.len() == before.len() + rules.len() {
        return Ok((text, after));
    }
    let fact = "rules cannot be added at its end";
    let next = "Let it end with the list of `rules:`, written in blocks, or add them yourself.";
    Err(vec![Trouble::new(&shown, fact, next)])
}

pub fn put_extra(root: &Path, target: &Target, text: &str) -> Result<(), Trouble> {
    discovery::write(root, &extra::path(&folder(root, target), target.direction), text)
}

/// Other files in the folder that no rollout uses: renamed ones, and what belongs elsewhere.
pub fn strangers(root: &Path, target: &Target) -> Vec<Trouble> {
    let Ok(entries) = fs::read_dir(folder(root, target)) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.filter_map(Result::ok).map(|it| it.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let known = |name: &str| {
        let pinned = |direction: &Direction| Pinned::of(*direction).any(|pinned| pinned.file_name() == name);
        name.starts_with('.') || extra::is_extra(name) || Direction::ALL.iter().any(pinned)
    };
    let tell = |name: &String| {
        let path = folder(root, target).join(name);
        let text = policy_files::read_text(&path).ok().unwrap_or_default();
        let fact = match written::origin(&text) {
            Origin::Ours | Origin::Edited => {
                "it was written by `sluice author` under another name, and is not used"
            }
            Origin::Foreign => "its name is not one of the pinned ones, so it is not used",
        };
        let next = format!(
            "Rename it, move it elsewhere, or put its rules into {}-allowlist{}.",
            target.direction,
            extra::END
        );
        Trouble::new(&discovery::shown(root, &path), fact, &next)
    };
    names.iter().filter(|name| !known(name)).map(tell).collect()
}
