//! The rules of the simulated API server against recordings of a real one: bodies in, answers out,
//! without a server around them. Only steps that need nothing but the rule are replayed here; the
//! whole scenes are replayed against the server.

use std::path::Path;

use serde_json::Value;
use sluice::sim::api::status::Status;
use sluice::sim::rules::decode::{self, Format, Validation};
use sluice::sim::rules::schema::{self, Kind};
use sluice::sim::rules::tree::Tree;
use sluice::sim::rules::{errors, kinds};

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

fn create(step: &Step) -> Result<(Value, Vec<String>), Status> {
    let request = &step.value["request"];
    let body = step.body.as_deref().unwrap_or_default().as_bytes();
    let format = match request["headers"]["Content-Type"].as_str() {
        Some("application/yaml") => Format::Yaml,
        _ => Format::Json,
    };
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
