//! Installs what the shared state needs into its cluster: previewed by the server's own dry run,
//! written by server-side apply under sluice's name, the same again changes nothing. Bindings of
//! people are the team's own: those that are missing are said.

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};
use tokio::time::sleep;

use crate::{
    cockpit::{
        orders::{DiffLine, Sign},
        ports::Trouble,
        shared::Share,
    },
    domain::{
        journal::{Act, Entry, Hash},
        names::{ClusterName, NsName, Text},
        rollout::Stamp,
        time::Timestamp,
        valve::shell_word,
    },
    k8s::{
        connect::Access,
        failure::Failure,
        identity,
        wire::{APPLY, Call, Server},
    },
    manifest,
};

use super::{
    assets, journal,
    kind::{self, JOURNAL, Kind},
    object::MANAGER,
    write::Desk,
};

/// A definition is served after a moment; one that is not by then has something wrong with it.
const SERVED: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// Where to, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub cluster: ClusterName,
    /// Of the kubeconfig, for commands.
    pub context: Text,
    pub ns: NsName,
    pub people: Vec<Vec<Text>>,
}

/// What an install would do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub target: Target,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Step {
    /// `CustomResourceDefinition reviews.sluice.dev`.
    pub object: Text,
    pub change: Change,
    manifest: Value,
    path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    New,
    Same,
    Differs(Vec<DiffLine>),
    /// The server's dry run said no.
    Refused(Trouble),
}

impl Plan {
    /// Steps that write something.
    pub fn writes(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.change != Change::Same)
    }

    pub fn refusals(&self) -> impl Iterator<Item = &Trouble> {
        self.steps.iter().filter_map(|step| match &step.change {
            Change::Refused(trouble) => Some(trouble),
            Change::New | Change::Same | Change::Differs(_) => None,
        })
    }
}

/// The same in the words of kubectl.
pub fn command(context: &str) -> String {
    format!(
        "sluice install --print | kubectl --context {} apply --server-side --force-conflicts --field-manager {MANAGER} -f -",
        shell_word(context)
    )
}

/// Every object as YAML.
pub fn print(target: &Target) -> Result<String, Trouble> {
    let documents: Vec<String> = objects(target)?.iter().map(manifest::yaml).collect();
    Ok(documents.join("---\n"))
}

fn objects(target: &Target) -> Result<Vec<Value>, Trouble> {
    assets::objects(&target.ns, &target.people)
        .map_err(|why| Trouble::new("sluice install", why.as_str(), "This is a fault of sluice: report it."))
}

/// Asks the server what would change. Changes nothing.
pub async fn plan(access: &Access, target: &Target) -> Result<Plan, Trouble> {
    let server = access.server().await?;
    let mut steps = Vec::new();
    let mut has_ns = true;
    for manifest in objects(target)? {
        let Some(path) = assets::path(&manifest) else { continue };
        let object = words(&manifest);
        // A dry run in a namespace that is not there yet would only say so.
        let in_ns = manifest["metadata"]["namespace"].is_string();
        let change = if in_ns && !has_ns { Change::New } else { change(&server, &path, &manifest).await? };
        has_ns &= !(manifest["kind"] == "Namespace" && change == Change::New);
        steps.push(Step { object, change, manifest, path });
    }
    Ok(Plan { target: target.clone(), steps })
}

fn words(manifest: &Value) -> Text {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    Text::from(format!("{} {}", text(&manifest["kind"]), text(&manifest["metadata"]["name"])))
}

/// `Err`: the server cannot be asked at all.
async fn change(server: &Server, path: &str, manifest: &Value) -> Result<Change, Trouble> {
    let object = words(manifest);
    let live = match server.ask::<Value>(Call::get(path)).await {
        Ok(live) => Some(live),
        Err(failure) if failure.code() == Some(404) => None,
        Err(failure) => return Err(failure.trouble(object.as_str())),
    };
    let answer = match apply(server, path, manifest, true).await {
        Ok(answer) => answer,
        Err(failure @ Failure::Refused(_)) => return Ok(Change::Refused(failure.trouble(object.as_str()))),
        Err(failure) => return Err(failure.trouble(object.as_str())),
    };
    let Some(live) = live else { return Ok(Change::New) };
    let (before, after) = (manifest::yaml(&told(&live)), manifest::yaml(&told(&answer)));
    Ok(if before == after { Change::Same } else { Change::Differs(diff(&before, &after)) })
}

/// What people wrote, without what the server keeps of its own.
fn told(object: &Value) -> Value {
    let mut out = Map::new();
    for (field, value) in object.as_object().into_iter().flatten() {
        match field.as_str() {
            "status" | "apiVersion" | "kind" => {}
            "metadata" => {
                let kept = ["labels", "annotations"]
                    .into_iter()
                    .filter_map(|field| Some((field.to_owned(), value.get(field)?.clone())));
                out.insert(field.clone(), Value::Object(kept.collect()));
            }
            _ => {
                out.insert(field.clone(), value.clone());
            }
        }
    }
    Value::Object(out)
}

fn diff(before: &str, after: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(before, after);
    let groups = diff.grouped_ops(2);
    let changes = groups.iter().flatten().flat_map(|op| diff.iter_changes(op));
    let line = |change: similar::Change<&str>| DiffLine {
        sign: match change.tag() {
            ChangeTag::Equal => Sign::Same,
            ChangeTag::Insert => Sign::Added,
            ChangeTag::Delete => Sign::Removed,
        },
        text: Text::new(change.value().trim_end_matches('\n')),
    };
    changes.map(line).collect()
}

async fn apply(server: &Server, path: &str, manifest: &Value, dry: bool) -> Result<Value, Failure> {
    let dry = if dry { "&dryRun=All" } else { "" };
    let path = format!("{path}?fieldManager={MANAGER}&force=true{dry}");
    server.ask(Call::send(Method::PATCH, path, APPLY, manifest)).await
}

/// Writes what the plan showed, in its order, and records it in the journal. The first failure ends it; what
/// was written until then is recorded too, where there is a journal by then.
pub async fn install(access: &Access, plan: &Plan, now: Timestamp) -> Result<(), Trouble> {
    let server = access.server().await?;
    let mut facts = vec![Text::from(command(plan.target.context.as_str()))];
    let ended = write_all(&server, plan, &mut facts).await;
    if facts.len() == 1 {
        return ended;
    }
    if let Err(trouble) = &ended {
        facts.push(Text::from(format!("stopped: {trouble}")));
    }
    // Why it stopped says more than that there is no journal yet.
    ended.and(record(&server, &plan.target, facts, now).await)
}

async fn write_all(server: &Server, plan: &Plan, facts: &mut Vec<Text>) -> Result<(), Trouble> {
    for step in plan.writes() {
        let landed = apply(server, &step.path, &step.manifest, false).await;
        landed.map_err(|failure| failure.trouble(step.object.as_str()))?;
        facts.push(Text::from(format!("{}: written", step.object)));
    }
    for kind in kind::ALL {
        served(server, kind, &plan.target.ns).await?;
    }
    Ok(())
}

/// Until its objects can be listed: a new definition answers 404, then 429 for a moment.
async fn served(server: &Server, kind: &Kind, ns: &NsName) -> Result<(), Trouble> {
    let mut last = None;
    for wait in SERVED {
        match server.bytes(Call::get(format!("{}?limit=1", kind.path(ns)))).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is_busy() || failure.code() == Some(404) => last = Some(failure),
            Err(failure) => return Err(failure.trouble(kind.words)),
        }
        sleep(wait).await;
    }
    let why = last.map_or_else(Text::default, |failure| failure.trouble(kind.words).fact);
    let fact = format!("its definition was taken, but it is not served: {why}");
    Err(Trouble::new(kind.words, &fact, "Look at the conditions of the definition with kubectl."))
}

/// The journal's own entry about it.
async fn record(server: &Server, target: &Target, facts: Vec<Text>, now: Timestamp) -> Result<(), Trouble> {
    let object = format!("journal of {}", target.cluster);
    let trouble = |failure: Failure| failure.trouble(&object);
    let who = identity::who(server).await.map_err(trouble)?;
    let user = who.map_or_else(|| Text::new("unknown"), |who| who.user);
    let list: Value = server.ask(Call::get(JOURNAL.path(&target.ns))).await.map_err(trouble)?;
    let last = list["items"].as_array().and_then(|items| items.last());
    let last = last.and_then(|entry| journal::decode(entry).ok());
    let (number, previous) =
        last.map_or((1, Hash::NOTHING), |last| (last.value.number + 1, last.value.hash()));
    let stamp = Stamp { by: user.clone(), at: now };
    let words = Text::from(format!("state cluster {}", target.cluster));
    let entry = Entry { number, previous, stamp, act: Act::Install, object: words, facts };
    let desk = Desk { server, ns: &target.ns, user: user.as_str(), people: &[], now };
    desk.write(&Share::Journal(Box::new(entry))).await
}

/// What is still missing after an install: Roles that nobody is bound to, as commands. `None`: that
/// cannot be seen.
pub async fn unbound(access: &Access, target: &Target) -> Option<Vec<Text>> {
    let server = access.server().await.ok()?;
    let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", target.ns);
    let bindings: Value = server.ask(Call::get(path)).await.ok()?;
    let bindings = bindings["items"].as_array()?;
    let is_bound = |role: &str| {
        bindings.iter().any(|it| {
            it["roleRef"]["kind"] == "Role"
                && it["roleRef"]["name"] == role
                && it["subjects"].as_array().is_some_and(|subjects| !subjects.is_empty())
        })
    };
    let objects = assets::objects(&target.ns, &[]).ok()?;
    let roles = objects.iter().filter(|object| object["kind"] == "Role");
    let roles = roles.filter_map(|role| role["metadata"]["name"].as_str()).filter(|role| !is_bound(role));
    let command = |role: &str| {
        Text::from(format!(
            "kubectl --context {} --namespace {} create rolebinding {role} --role={role} --group=GROUP",
            shell_word(target.context.as_str()),
            target.ns
        ))
    };
    Some(roles.map(command).collect())
}

impl Change {
    pub fn word(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "unchanged",
            Self::Differs(_) => "changes",
            Self::Refused(_) => "refused",
        }
    }
}
