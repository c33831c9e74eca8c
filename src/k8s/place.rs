//! One namespace on one API server, to read and write its policies: the requests behind previews,
//! applies and rollbacks, each with its equivalent kubectl command. Decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    cockpit::{orders::Target, ports::Trouble},
    domain::{
        fleet::{Isolation, Pod},
        flow::Direction,
        names::{NsName, Text},
        policy::{Pinned, Policy, PolicyKind},
        valve::{Set, shell_word},
    },
    manifest,
};

use super::{
    decode::{self, PodWire},
    failure::{Failure, Refused},
    served,
    wire::{self, APPLY, Call, JSON, Server},
};

/// Our name in `managedFields`.
pub const MANAGER: &str = "sluice";

/// A namespace on a server.
pub struct Place {
    pub server: Server,
    pub target: Target,
    pub context: String,
}

/// A policy object with what tells this very object from a later one of the same name.
#[derive(Clone, Debug)]
pub struct Live {
    pub policy: Policy,
    pub uid: String,
    /// What the server warned of as it answered a write.
    pub warnings: Vec<Text>,
}

/// Kinds that are there and may not be read.
pub type Unread = BTreeSet<PolicyKind>;

/// Whether a write is for real, and whether it may take fields over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    DryRun,
    Real,
    /// For rollbacks only: opens whatever was made of the valve.
    Force,
}

/// Which object of a name is to be deleted.
#[derive(Clone, Copy)]
pub enum Only<'a> {
    Any,
    /// The one with this uid.
    Object(&'a str),
    /// The one with this uid, unchanged since.
    Version(&'a Live),
}

impl Place {
    pub fn ns(&self) -> &NsName {
        &self.target.ns
    }

    fn path(&self, pinned: &Pinned) -> String {
        format!("{}/{}", wire::policies_path(pinned.kind, Some(self.ns())), pinned.name)
    }

    /// The object as people call it.
    pub fn object(&self, pinned: &Pinned) -> String {
        format!("{} {}/{}", pinned.kind, self.ns(), pinned.name)
    }

    pub async fn get(&self, pinned: &Pinned) -> Result<Option<Live>, Failure> {
        match self.server.ask::<Value>(Call::get(self.path(pinned))).await {
            Ok(value) => read(pinned.kind, &value).map(Some),
            Err(failure) if self.is_absent(pinned.kind, &failure).await => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The object or its kind is not there. Cilium's kinds are forbidden to most where there are none;
    /// one that is there and forbidden is not absent but unknown.
    async fn is_absent(&self, kind: PolicyKind, failure: &Failure) -> bool {
        match failure.code() {
            Some(404) => true,
            Some(403) if kind != PolicyKind::NetworkPolicy => {
                served::of_cilium(&self.server).await.is_ok_and(|served| !served.contains(&kind))
            }
            Some(_) | None => false,
        }
    }

    /// The pinned objects of a direction that are there.
    pub async fn live(&self, direction: Direction) -> Result<BTreeMap<&'static str, Live>, Failure> {
        let all = futures::future::join_all(Pinned::of(direction).map(|pinned| self.get(pinned))).await;
        let found: Result<Vec<_>, _> = all.into_iter().collect();
        let named = Pinned::of(direction).map(|pinned| pinned.name).zip(found?);
        Ok(named.filter_map(|(name, live)| Some((name, live?))).collect())
    }

    /// Every policy that may concern the namespace, and which of Cilium's kinds are served and may not
    /// be listed.
    pub async fn policies(&self) -> Result<(Vec<Policy>, Unread), Failure> {
        let ns = Some(self.ns());
        let (network, cilium, wide) = tokio::join!(
            self.list(wire::policies_path(PolicyKind::NetworkPolicy, ns), PolicyKind::NetworkPolicy),
            self.list(
                wire::policies_path(PolicyKind::CiliumNetworkPolicy, ns),
                PolicyKind::CiliumNetworkPolicy
            ),
            self.list(
                wire::policies_path(PolicyKind::CiliumClusterwideNetworkPolicy, None),
                PolicyKind::CiliumClusterwideNetworkPolicy
            ),
        );
        let (mut all, mut unread) = (network?, Unread::new());
        for (kind, more) in
            [(PolicyKind::CiliumNetworkPolicy, cilium), (PolicyKind::CiliumClusterwideNetworkPolicy, wide)]
        {
            match more {
                Ok(more) => all.extend(more),
                Err(failure) if self.is_absent(kind, &failure).await => {}
                Err(failure) if failure.code() == Some(403) => {
                    unread.insert(kind);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok((all, unread))
    }

    async fn list(&self, path: String, kind: PolicyKind) -> Result<Vec<Policy>, Failure> {
        let list = self.server.ask::<List<Value>>(Call::get(path)).await?;
        let unreadable = |why: Text| Failure::Foreign(Text::from(format!("a policy cannot be read: {why}")));
        list.items.iter().flatten().map(|value| decode::policy(kind, value).map_err(unreadable)).collect()
    }

    /// The pods of the namespace. One that cannot be read is left out.
    pub async fn pods(&self) -> Result<Vec<Pod>, Failure> {
        let path = format!("/api/v1/namespaces/{}/pods", self.ns());
        let list = self.server.ask::<List<PodWire>>(Call::get(path)).await?;
        Ok(list.items.iter().flatten().filter_map(|wire| decode::pod(wire).ok()).collect())
    }

    /// What isolates pods of the namespace now. Without a right to read pods: the policies that
    /// would isolate any.
    pub async fn isolation(&self) -> Result<(Isolation, Vec<Policy>), Failure> {
        let (policies, pods) = tokio::join!(self.policies(), self.pods());
        let (policies, unread) = policies?;
        let isolation = match pods {
            Ok(pods) => isolation(&pods, policies.iter(), self.target.direction),
            Err(_) => by_policies_alone(&policies, self.target.direction),
        };
        Ok((Isolation { unread, ..isolation }, policies))
    }

    /// Server-side apply. The answer is the object as it is, or would be.
    pub async fn apply(&self, pinned: &Pinned, manifest: &Value, mode: Mode) -> Result<Live, Failure> {
        let more = match mode {
            Mode::DryRun => "&dryRun=All",
            Mode::Real => "",
            Mode::Force => "&force=true",
        };
        let call = Call {
            method: Method::PATCH,
            path: format!("{}?fieldManager={MANAGER}&fieldValidation=Strict{more}", self.path(pinned)),
            accept: JSON,
            body: Some((APPLY, manifest.to_string().into())),
        };
        let answer = self.server.answer(call).await?;
        let live = read(pinned.kind, &wire::json(&answer.body)?)?;
        Ok(Live { warnings: answer.warnings, ..live })
    }

    pub async fn delete(&self, pinned: &Pinned, only: Only<'_>) -> Result<(), Failure> {
        let preconditions = match only {
            Only::Any => None,
            Only::Object(uid) => Some(json!({ "uid": uid })),
            Only::Version(live) => {
                Some(json!({ "uid": live.uid, "resourceVersion": live.policy.version.as_deref() }))
            }
        };
        let body = preconditions.map(|preconditions| {
            json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions }).to_string()
        });
        let call = Call {
            method: Method::DELETE,
            path: self.path(pinned),
            accept: JSON,
            body: body.map(|body| (JSON, body.into())),
        };
        self.server.bytes(call).await.map(|_| ())
    }

    fn kubectl(&self) -> String {
        format!("kubectl --context {}", shell_word(&self.context))
    }

    fn apply_words(&self, mode: Mode) -> String {
        let force = if mode == Mode::Force { " --force-conflicts" } else { "" };
        format!("{} apply --server-side --field-manager={MANAGER}{force} -n {}", self.kubectl(), self.ns())
    }

    /// The command that applies the workspace's file.
    pub fn file_command(&self, pinned: &Pinned) -> String {
        let file = format!("network-policies/{}/{}/{}", self.target.cluster, self.ns(), pinned.file_name());
        format!("{} -f {}", self.apply_words(Mode::Real), shell_word(&file))
    }

    /// The command that applies exactly these bytes.
    pub fn exact_command(&self, manifest: &Value, mode: Mode) -> String {
        format!("printf %s {} | {} -f -", shell_word(&manifest.to_string()), self.apply_words(mode))
    }

    pub fn delete_command(&self, pinned: &Pinned) -> String {
        format!("{} delete {} {} -n {}", self.kubectl(), pinned.kind.resource(), pinned.name, self.ns())
    }

    /// Why a write of a pinned object was not done, with who stands against it.
    pub fn trouble(&self, pinned: &Pinned, failure: &Failure) -> Trouble {
        let object = self.object(pinned);
        match failure {
            Failure::Refused(refused) if refused.code == 409 => conflict(&object, refused),
            Failure::Refused(refused) if refused.message.as_str().contains("webhook") => Trouble::new(
                &object,
                &format!("an admission webhook refuses it: {}", refused.message),
                "Change the policy, or ask the owner of that webhook.",
            ),
            _ => failure.trouble(&object),
        }
    }
}

/// A 409: of fields that another manager owns, or of an object that is not the expected one.
fn conflict(object: &str, refused: &Refused) -> Trouble {
    let owned: Vec<String> = refused
        .causes
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| format!("{} by {}", cause.field.trim_start_matches('.'), manager(&cause.message)))
        .collect();
    if owned.is_empty() {
        return Trouble::new(
            object,
            &format!("it is not the object that was expected: {}", refused.message),
            "Somebody changed it meanwhile: look at it, then preview again.",
        );
    }
    Trouble::new(
        object,
        &format!("fields are owned by another manager: {}", owned.join(", ")),
        "sluice never forces: change it where that manager takes it from, or have it give the object up.",
    )
}

/// `conflict with "kubectl-edit" using networking.k8s.io/v1` names kubectl-edit.
fn manager(message: &str) -> Text {
    Text::new(message.split('"').nth(1).unwrap_or(message))
}

#[derive(Deserialize)]
struct List<T> {
    items: Option<Vec<T>>,
}

fn read(kind: PolicyKind, value: &Value) -> Result<Live, Failure> {
    let policy = decode::policy(kind, value)
        .map_err(|why| Failure::Foreign(Text::from(format!("the answer cannot be read: {why}"))))?;
    let uid = value.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Live { policy, uid, warnings: Vec::new() })
}

/// The pods that policies can act on, judged by these policies.
pub fn isolation<'a>(
    pods: &'a [Pod],
    policies: impl Iterator<Item = &'a Policy> + Clone,
    direction: Direction,
) -> Isolation {
    Isolation::of(pods.iter().filter(|pod| !pod.finished && !pod.host_network), policies, direction)
}

fn by_policies_alone(policies: &[Policy], direction: Direction) -> Isolation {
    let mut out = isolation(&[], policies.iter(), direction);
    let isolating = policies.iter().filter(|p| p.isolates(direction) == Some(true) && !p.is_open(direction));
    out.by.extend(isolating.map(|policy| policy.key.clone()));
    out
}

/// The pinned policies of a direction among others.
pub fn pinned_set(policies: &[Policy], direction: Direction) -> Set {
    policies
        .iter()
        .filter_map(|policy| policy.pinned().map(|pinned| (pinned, policy)))
        .filter(|(pinned, _)| pinned.direction == direction)
        .map(|(pinned, policy)| (pinned.name, policy.clone()))
        .collect()
}

/// A file's manifest as it is sent: in this namespace, without what only a server sets, and, if
/// `only` is given, for that very object in that very version.
pub fn sendable(manifest: &Value, ns: &NsName, only: Option<&Live>) -> Value {
    let mut out = manifest.clone();
    let Some(object) = out.as_object_mut() else { return out };
    object.remove("status");
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Some(metadata) = metadata.as_object_mut() {
        for set_by_server in
            ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"]
        {
            metadata.remove(set_by_server);
        }
        metadata.insert("namespace".to_owned(), json!(ns.as_str()));
        if let Some(live) = only {
            metadata.insert("uid".to_owned(), json!(live.uid));
            metadata.insert("resourceVersion".to_owned(), json!(live.policy.version.as_deref()));
        }
    }
    out
}

/// A manifest with one rule that allows everything in place of its own. Cilium has no such rule;
/// there it is every entity.
pub fn opened(pinned: &Pinned, ns: &NsName, manifest: Option<&Value>) -> Value {
    match pinned.kind {
        PolicyKind::NetworkPolicy => manifest::opened(pinned, ns, manifest),
        PolicyKind::CiliumNetworkPolicy | PolicyKind::CiliumClusterwideNetworkPolicy => {
            let mut out = manifest::opened(pinned, ns, manifest);
            out["spec"] = json!({ "endpointSelector": {}, "egress": [{ "toEntities": ["all"] }] });
            out
        }
    }
}
