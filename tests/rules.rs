//! The rules of the simulated API server against recordings of a real one: bodies in, answers out,
//! without a server around them. Only steps that need nothing but the rule are replayed here; the
//! whole scenes are replayed against the server.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use sluice::sim::api::status::Status;
use sluice::sim::rules::apply::{self, ApplyOptions, UpdateOptions};
use sluice::sim::rules::auth::{self, Certificate};
use sluice::sim::rules::decode::{self, Format, Validation};
use sluice::sim::rules::patch::{self, Sort};
use sluice::sim::rules::rbac::{self, Attributes, Rights, User};
use sluice::sim::rules::schema::{self, Kind};
use sluice::sim::rules::tree::Tree;
use sluice::sim::rules::{errors, kinds, reviews};

/// One step, with its body as it was sent: Value forgets the order of keys, which answers name.
struct Step {
    value: Value,
    body: Option<String>,
}

/// The steps of a scene, by the start of its file name.
fn steps(scene: &str) -> Vec<Step> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let file = std::fs::read_dir(&folder)
        .expect("the recordings are in the repository")
        .filter_map(Result::ok)
        .find(|file| file.file_name().to_string_lossy().starts_with(scene))
        .expect("the scene is recorded");
    let text = std::fs::read_to_string(file.path()).expect("a recording is text");
    let recording = Tree::parse(text.as_bytes()).expect("a recording is JSON");
    let Some(Tree::List(steps)) = recording.get("steps") else { panic!("a recording has steps") };
    steps
        .iter()
        .map(|step| {
            let request = step.get("request");
            let body = request.and_then(|request| match request.get("body_text") {
                Some(raw) => raw.to_value().as_str().map(str::to_owned),
                None => request.get("body").map(Tree::to_text),
            });
            Step { value: step.to_value(), body: body.map(|raw| repeat(&raw)) }
        })
        .collect()
}

fn policy() -> &'static Kind {
    schema::kind("networking.k8s.io/v1", "NetworkPolicy").expect("policies are served")
}

fn text(of: &Value) -> &str {
    of.as_str().unwrap_or_default()
}

/// Writes out `<repeat:N:x>`.
fn repeat(raw: &str) -> String {
    let Some((before, rest)) = raw.split_once("<repeat:") else { return raw.to_owned() };
    let Some((inner, after)) = rest.split_once('>') else { return raw.to_owned() };
    let (count, unit) = inner.split_once(':').expect("a count and a text");
    format!("{before}{}{after}", unit.repeat(count.parse().expect("a number")))
}

fn validation(path: &str) -> Validation {
    let word = path.split("fieldValidation=").nth(1).and_then(|rest| rest.split('&').next());
    Validation::parse(word.unwrap_or_default()).expect("the recordings of this test use known words")
}

fn is_policy_create(step: &Value) -> bool {
    let request = &step["request"];
    let path = text(&request["path"]);
    request["method"] == "POST"
        && path.split('?').next().is_some_and(|path| path.ends_with("/networkpolicies"))
        && !path.contains("Loud")
        && !path.contains("dryRun=Some")
        && request["headers"]["Content-Type"]
            .as_str()
            .is_none_or(|kind| kind.contains("json") || kind.contains("application/yaml"))
}

fn format(request: &Value) -> Format {
    if request["headers"]["Content-Type"] == "application/yaml" { Format::Yaml } else { Format::Json }
}

fn create(step: &Step) -> Result<(Value, Vec<String>), Status> {
    let request = &step.value["request"];
    let body = step.body.as_deref().unwrap_or_default().as_bytes();
    let format = format(request);
    let decoded = decode::decode(body, format, policy(), validation(text(&request["path"])))?;
    let mut object = decoded.object;
    kinds::default(&mut object, policy());
    let findings = kinds::validate(&object, policy());
    if findings.is_empty() {
        return Ok((object, decoded.warnings));
    }
    let name = text(&object["metadata"]["name"]);
    Err(errors::invalid("networking.k8s.io", "NetworkPolicy", name, &findings))
}

fn warnings(response: &Value) -> Vec<String> {
    let all = match &response["headers"]["warning"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(many) => many.iter().map(|one| text(one).to_owned()).collect(),
        _ => Vec::new(),
    };
    all.into_iter()
        .map(|one| {
            let said = one.strip_prefix("299 - \"").and_then(|rest| rest.strip_suffix('"'));
            said.expect("a warning has this form").replace("\\\"", "\"")
        })
        .collect()
}

#[test]
fn policies_are_read_filled_in_and_refused_as_recorded() {
    let mut compared = 0;
    for scene in ["20", "41", "42", "43"] {
        for (index, step) in steps(scene).iter().enumerate().filter(|(_, step)| is_policy_create(&step.value))
        {
            let response = &step.value["response"];
            let status = response["status"].as_u64().unwrap_or_default();
            // Conflicts, bodies over the limit, other namespaces and server-set versions are the server's.
            if matches!(status, 405 | 409 | 413 | 415 | 500)
                || text(&response["body"]["message"]).contains("namespace")
            {
                continue;
            }
            compared += 1;
            let at = format!("scene {scene} step {index}");
            match create(step) {
                Ok((object, said)) => {
                    assert_eq!(status, 201, "{at}: accepted");
                    assert_eq!(object["spec"], response["body"]["spec"], "{at}");
                    assert_eq!(said, warnings(response), "{at}");
                }
                Err(refusal) => {
                    assert_eq!(refusal.to_value(), response["body"], "{at}");
                }
            }
        }
    }
    assert!(compared > 90, "only {compared} steps were compared");
}

/// Policies as the rules leave them; versions, uids and generations are the server's.
#[derive(Default)]
struct Shelf {
    policies: BTreeMap<String, Value>,
}

/// The parts of an object that the rules decide.
fn decided(object: &Value) -> Value {
    let mut out = serde_json::json!({"spec": object["spec"]});
    for field in ["name", "generateName", "labels", "annotations", "finalizers"] {
        out[field] = object["metadata"][field].clone();
    }
    let mut managers = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    for one in &mut managers {
        if !one["time"].is_null() {
            one["time"] = "set".into();
        }
    }
    managers.sort_by_key(Value::to_string);
    out["managedFields"] = managers.into();
    out
}

impl Shelf {
    const NOW: &'static str = "2026-01-01T00:00:00Z";

    fn manager(request: &Value) -> String {
        let path = text(&request["path"]);
        if let Some(named) = path.split("fieldManager=").nth(1) {
            return named.split('&').next().unwrap_or_default().to_owned();
        }
        match request["headers"].get("User-Agent") {
            Some(Value::Null) => "unknown".to_owned(),
            Some(agent) => text(agent).split('/').next().unwrap_or_default().to_owned(),
            None => "sluice-conformance".to_owned(),
        }
    }

    fn update(&self, old: Option<&Value>, decoded: decode::Decoded, manager: &str) -> Result<Value, Status> {
        let mut new = decoded.object;
        kinds::default(&mut new, policy());
        let options = UpdateOptions { manager, subresource: "", now: Self::NOW };
        apply::track_update(old, &mut new, &options, policy());
        Ok(new)
    }

    /// What becomes of one step; None for steps that write no policy.
    fn play(&self, step: &Step) -> Option<Result<Value, Status>> {
        let request = &step.value["request"];
        let path = text(&request["path"]).split('?').next().unwrap_or_default();
        let (_, name) = path.split_once("/networkpolicies")?;
        let name = name.trim_start_matches('/');
        let body = step.body.as_deref().unwrap_or_default().as_bytes();
        let manager = Self::manager(request);
        let live = self.policies.get(name);
        let validation = validation(text(&request["path"]));
        match text(&request["method"]) {
            "POST" if name.is_empty() => {
                let read = decode::decode(body, format(request), policy(), validation);
                Some(read.and_then(|read| self.update(None, read, &manager)))
            }
            "PUT" => {
                let read = decode::decode(body, Format::Json, policy(), validation);
                Some(read.and_then(|read| self.update(live, read, &manager)))
            }
            "PATCH" => match Sort::of(text(&request["headers"]["Content-Type"]))? {
                Sort::Apply => {
                    let force = text(&request["path"]).contains("force=")
                        && !text(&request["path"]).contains("force=false");
                    let options = ApplyOptions { manager: &manager, force, subresource: "", now: Self::NOW };
                    let read = decode::apply_body(body, policy(), validation);
                    Some(read.and_then(|read| apply::apply(live, &read, &options, policy())))
                }
                sort => {
                    let read = patch::patch(live?, body, sort, policy(), validation);
                    Some(read.and_then(|read| self.update(live, read, &manager)))
                }
            },
            _ => None,
        }
    }
}

#[test]
fn ownership_follows_the_recorded_writes() {
    let mut compared = 0;
    for scene in ["20", "23", "30", "31", "32", "33", "40", "41"] {
        let mut shelf = Shelf::default();
        for (index, step) in steps(scene).iter().enumerate() {
            if text(&step.value["request"]["path"]).contains("Loud") {
                continue;
            }
            let Some(outcome) = shelf.play(step) else { continue };
            let response = &step.value["response"];
            let body = &response["body"];
            let at = format!("scene {scene} step {index}");
            if body["kind"] == "NetworkPolicy" {
                let object = outcome.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
                assert_eq!(decided(&object)["managedFields"], decided(body)["managedFields"], "{at}");
                assert_eq!(decided(&object)["spec"], decided(body)["spec"], "{at}");
                assert_eq!(object["metadata"]["labels"], body["metadata"]["labels"], "{at}");
                compared += 1;
                if !text(&step.value["request"]["path"]).contains("dryRun") {
                    shelf.policies.insert(text(&body["metadata"]["name"]).to_owned(), body.clone());
                }
            } else if !body["details"]["causes"][0]["reason"].is_null() && outcome.is_err()
                || response["status"] == 500 && outcome.is_err()
            {
                let refusal = outcome.err().map(|refusal| refusal.to_value());
                let mut expected = body.clone();
                let mut refusal = refusal.unwrap_or_default();
                for one in [&mut expected, &mut refusal] {
                    if let Some(causes) = one.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
                        causes.sort_by_key(Value::to_string);
                    }
                }
                assert_eq!(refusal, expected, "{at}");
                compared += 1;
            }
        }
    }
    assert!(compared > 90, "only {compared} steps were compared");
}

/// The users and rights every recording begins with.
struct People {
    fixture: Value,
    rights: Rights,
}

impl People {
    fn new() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/00-fixture.json");
        let text = std::fs::read_to_string(file).expect("the fixture is in the repository");
        let fixture: Value = serde_json::from_str(&text).expect("the fixture is JSON");
        let list = |field: &str| fixture[field].as_array().cloned().unwrap_or_default();
        let roles = list("clusterroles")
            .into_iter()
            .map(|role| serde_json::json!({"metadata": {"name": role["name"]}, "rules": role["rules"]}));
        let bindings = list("clusterrolebindings").into_iter().map(|one| {
            serde_json::json!({"metadata": {"name": one["name"]}, "subjects": one["subjects"],
                "roleRef": {"kind": "ClusterRole", "name": one["roleRef"]}})
        });
        let rights = Rights::new(roles, bindings);
        Self { fixture, rights }
    }

    fn find(&self, name: &str) -> Option<User> {
        let all = self.fixture["users"].as_array().into_iter().flatten();
        let user = all.into_iter().find(|user| user["name"] == name)?;
        let groups = user["groups"].as_array().into_iter().flatten();
        Some(User {
            name: name.to_owned(),
            uid: text(&user["token_uid"]).to_owned(),
            groups: groups.map(|group| text(group).to_owned()).collect(),
            ..User::default()
        })
    }

    fn user(&self, request: &Value) -> Result<User, Status> {
        let signed = text(&request["user"]);
        let header = request["headers"]["Authorization"].as_str().map(str::to_owned);
        let header = match signed.is_empty() || signed.starts_with("cert:") {
            true => header,
            false => Some(format!("Bearer <token:{signed}>")),
        };
        let certificate = signed
            .strip_prefix("cert:")
            .and_then(|name| self.find(name))
            .map(|user| Certificate { name: user.name, groups: user.groups, hash: "<hex>".to_owned() });
        auth::authenticate(header.as_deref(), certificate.as_ref(), |token| {
            self.find(token.strip_prefix("<token:")?.strip_suffix('>')?)
        })
    }

    fn review(&self, step: &Step) -> Option<Result<Value, Status>> {
        let request = &step.value["request"];
        let path: Vec<&str> = text(&request["path"]).trim_start_matches("/apis/").split('/').collect();
        let (group, plural) = (path[0], *path.last()?);
        let kind = schema::by_plural(group, plural).filter(|_| request["method"] == "POST")?;
        if !group.starts_with("auth") {
            return None;
        }
        let what = Attributes {
            verb: "create".to_owned(),
            group: group.to_owned(),
            resource: plural.to_owned(),
            namespace: if path.len() > 4 { path[3].to_owned() } else { String::new() },
            ..Attributes::default()
        };
        let body = step.body.as_deref().unwrap_or_default().as_bytes();
        Some(self.user(request).and_then(|user| {
            let headers = headers(request);
            let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let user = auth::impersonate(user, pairs, &what, &self.rights)?;
            if !rbac::authorize(&user, &what, &self.rights).is_allowed() {
                return Err(rbac::forbidden(&user, &what));
            }
            let read = decode::decode(body, Format::Json, kind, Validation::Warn)?.object;
            let options = UpdateOptions { manager: "sluice-conformance", subresource: "", now: "<time>" };
            match plural {
                "selfsubjectreviews" => Ok(reviews::who_am_i(&user, "<time>")),
                "selfsubjectrulesreviews" => reviews::what_may_i(&read, &user, &self.rights),
                _ => reviews::may(read, kind, &user, &self.rights, &options),
            }
        }))
    }
}

fn headers(request: &Value) -> Vec<(String, String)> {
    let all = request["headers"].as_object().into_iter().flatten();
    all.flat_map(|(name, value)| match value {
        Value::Array(many) => many.iter().map(|one| (name.clone(), text(one).to_owned())).collect(),
        one => vec![(name.clone(), text(one).to_owned())],
    })
    .collect()
}

/// The rules of a rules review come in any order.
fn ordered(mut answer: Value) -> Value {
    for list in ["resourceRules", "nonResourceRules"] {
        if let Some(rules) = answer["status"].get_mut(list).and_then(Value::as_array_mut) {
            rules.sort_by_key(Value::to_string);
        }
    }
    answer
}

#[test]
fn people_are_recognised_and_reviewed_as_recorded() {
    let mut compared = 0;
    for scene in ["51", "52", "53"] {
        let mut people = People::new();
        for (index, step) in steps(scene).iter().enumerate() {
            let body = &step.value["response"]["body"];
            match text(&body["kind"]) {
                "ClusterRole" => people.rights.roles.push(body.clone()),
                "ClusterRoleBinding" => people.rights.bindings.push(body.clone()),
                _ => {}
            }
            let Some(outcome) = people.review(step) else { continue };
            let answer = outcome.unwrap_or_else(|refusal| refusal.to_value());
            assert_eq!(ordered(answer), ordered(body.clone()), "scene {scene} step {index}");
            compared += 1;
        }
    }
    assert!(compared > 40, "only {compared} steps were compared");
}
