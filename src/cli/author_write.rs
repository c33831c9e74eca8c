//! One rollout of `sluice author`: drafted, compared with what lies there, written whole or not at
//! all. Says what became of each file.

use super::author::{Flip, Part, Run};
use crate::{
    cockpit::ports::Trouble,
    documents::author::{File, Outcome, Row},
    domain::{
        author::{
            self, Evidence, Input,
            change::{self, Change},
            draft::Draft,
            facts::Facts,
            settings::{Extra, Settings},
        },
        gate::Known,
        policy::{Pinned, Policy, Rule},
        rollout::Target,
    },
    manifest::{ways, written},
    workspace::authored::{self, Lying, Step},
};

/// A set as it would be written.
struct Made {
    draft: Draft,
    texts: Vec<(&'static Pinned, String, Policy)>,
}

impl Made {
    fn of(&self, pinned: &Pinned) -> Option<(&str, &Policy)> {
        let found = self.texts.iter().find(|(mine, ..)| mine.name == pinned.name);
        found.map(|(_, text, policy)| (text.as_str(), policy))
    }
}

pub(super) fn row(run: &Run<'_>, target: &Target) -> Row {
    let empty = || Row {
        target: target.clone(),
        result: Outcome::Refused,
        files: Vec::new(),
        change: Change::default(),
        draft: None,
        troubles: Vec::new(),
    };
    match attempt(run, target) {
        Ok(row) => row,
        Err(troubles) => Row { troubles, ..empty() },
    }
}

fn attempt(run: &Run<'_>, target: &Target) -> Result<Row, Vec<Trouble>> {
    let root = &run.place.root;
    let Some(part) = run.namespaces.get(&target.ns).and_then(|meant| meant.get(&target.cluster)) else {
        return Err(vec![no_evidence(target)]);
    };
    let extras = authored::extras(root, target)?;
    let lying = authored::read(root, target);
    let mut made = make(run, target, part, &extras)?;
    let mut extra_text = None;
    if run.args.adopt
        && let Some((text, extras)) = adopt(run, target, &lying, &made)?
    {
        made = make(run, target, part, &extras)?;
        extra_text = Some(text);
    }
    let adopts = run.args.adopt;
    let steps: Vec<Step> = lying.iter().map(|lying| lying.step(made.of(lying.pinned), adopts)).collect();
    let mut row = Row {
        target: target.clone(),
        result: Outcome::Shown,
        files: files(&lying, &steps),
        change: difference(target, &lying, &made),
        draft: Some(made.draft.clone()),
        troubles: authored::strangers(root, target),
    };
    let refusals = steps.iter().filter_map(|step| match step {
        Step::Refused(trouble) => Some(trouble.clone()),
        _ => None,
    });
    let before = row.troubles.len();
    row.troubles.extend(refusals);
    if row.troubles.len() > before {
        row.result = Outcome::Refused;
    } else if !steps.iter().any(Step::writes) {
        row.result = Outcome::Unchanged;
    } else if !run.args.dry_run && run.args.harbor.is_none() {
        write(run, &lying, &steps, &made, extra_text.as_deref(), &mut row);
    }
    Ok(row)
}

fn no_evidence(target: &Target) -> Trouble {
    let Target { cluster, ns, .. } = target;
    let next = format!("Run `sluice discover -n {ns} --cluster {cluster} --write` first.");
    Trouble::new(
        &target.to_string(),
        "there is no evidence of it, and without evidence nothing is written",
        &next,
    )
}

fn make(run: &Run<'_>, target: &Target, part: &Part, extras: &[Extra]) -> Result<Made, Vec<Trouble>> {
    let told = &run.told;
    let unknown = Facts::default();
    let flagged: Vec<_> = part.flagged.iter().collect();
    let reviews: Option<Vec<_>> = told.reviews.as_ref().map(|all| all.iter().collect());
    let settings = settings(run, target);
    let input = Input {
        facts: told.facts.get(&target.cluster).unwrap_or(&unknown),
        settings: &settings,
        evidence: Evidence {
            window: part.seen.window,
            edges: &part.seen.edges,
            destinations: &part.destinations,
        },
        extras,
        known: Known {
            target,
            uid: told.uids.get(&target.cluster),
            catalogue: Some(&run.rules.catalogue),
            evidence: Some(&flagged),
            reviews: reviews.as_deref(),
            people: &run.fleet.settings.people,
            now: told.now,
        },
    };
    let draft = author::draft(&input);
    let mut texts = Vec::new();
    for drafted in &draft.policies {
        let text = written::text(&draft, drafted);
        // What is written must read back: the same reader that apply uses.
        let policy = authored::policy_of(&text, target, drafted.pinned).map_err(|trouble| vec![trouble])?;
        texts.push((drafted.pinned, text, policy));
    }
    Ok(Made { draft, texts })
}

fn settings(run: &Run<'_>, target: &Target) -> Settings {
    let mut settings = run.fleet.settings.author.of(&target.cluster);
    if let (Some(flip), Some(harbor)) = (run.args.harbor, settings.harbor.as_mut()) {
        harbor.landed = flip == Flip::Landed;
    }
    settings
}

/// Rules of people in files of ours go into the extra file; `None`: there are none.
fn adopt(
    run: &Run<'_>,
    target: &Target,
    lying: &[Lying],
    made: &Made,
) -> Result<Option<(String, Vec<Extra>)>, Vec<Trouble>> {
    let new: Vec<&Policy> = made.texts.iter().map(|(.., policy)| policy).collect();
    let mut rules: Vec<Rule> = Vec::new();
    let mut from = Vec::new();
    for one in lying {
        let theirs = one.theirs(&new).map_err(|trouble| vec![trouble])?;
        if !theirs.is_empty() {
            from.push(one.pinned.file_name());
        }
        rules.extend(theirs);
    }
    rules.sort();
    rules.dedup();
    if rules.is_empty() {
        return Ok(None);
    }
    let why = format!("taken over from {} by --adopt", from.join(" and "));
    authored::adopted(&run.place.root, target, &rules, &why).map(Some)
}

fn files(lying: &[Lying], steps: &[Step]) -> Vec<File> {
    let one = |(lying, step): (&Lying, &Step)| File { shown: lying.shown.clone(), step: step.as_str() };
    let is_there = |(lying, _): &(&Lying, &Step)| lying.text.is_some() || lying.pinned.is_required();
    lying.iter().zip(steps).filter(is_there).map(one).collect()
}

/// What the new set opens and closes against what lies there, as far as that can be read.
fn difference(target: &Target, lying: &[Lying], made: &Made) -> Change {
    let old = lying.iter().filter_map(|lying| lying.policy.as_ref()?.as_ref().ok());
    let new = made.texts.iter().map(|(.., policy)| policy);
    change::between(&ways::ways(old, target.direction), &ways::ways(new, target.direction))
}

/// The extra file first: what a person wrote is safe before its old place changes.
fn write(run: &Run<'_>, lying: &[Lying], steps: &[Step], made: &Made, extra: Option<&str>, row: &mut Row) {
    let root = &run.place.root;
    let extra = extra.map_or(Ok(()), |text| authored::put_extra(root, &row.target, text));
    let put =
        |(lying, _): (&Lying, &Step)| authored::put(root, lying, made.of(lying.pinned).map(|(text, _)| text));
    let all = lying.iter().zip(steps).filter(|(_, step)| step.writes());
    let done = extra.and_then(|()| all.map(put).collect::<Result<Vec<()>, Trouble>>());
    row.result = match done {
        Ok(_) => Outcome::Written,
        Err(trouble) => {
            row.troubles.push(trouble);
            Outcome::Failed
        }
    };
}
