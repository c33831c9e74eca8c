//! The recorded scenes and the fixture as they stand in the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::ordered::JsonText;

/// One recording.
#[derive(Debug, Deserialize)]
pub struct Scene {
    #[serde(default)]
    pub cluster: String,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub rv_order: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub request: Option<Request>,
    pub response: Option<Response>,
    pub action: Option<Action>,
    pub repeat: Option<Repeat>,
    pub wait_s: Option<f64>,
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Deserialize)]
pub struct Action {
    pub name: String,
}

#[derive(Debug, Deserialize)]
pub struct Repeat {
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, Deserialize)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub user: Option<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    pub body: Option<JsonText>,
    pub body_text: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Response {
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    pub body: Option<Value>,
    pub body_text: Option<String>,
    pub events: Option<Vec<Event>>,
    pub ended: Option<Ended>,
}

#[derive(Debug, Deserialize)]
pub struct Event {
    pub event: Value,
    pub at_step: usize,
}

#[derive(Debug, Deserialize)]
pub struct Ended {
    pub by: String,
    pub how: String,
    pub at_step: Option<usize>,
}

/// The state every recording starts from.
#[derive(Debug, Deserialize)]
pub struct Fixture {
    pub namespaces: Vec<String>,
    pub users: Vec<User>,
    pub clusterroles: Vec<Value>,
    pub clusterrolebindings: Vec<Value>,
}

#[derive(Debug, Deserialize)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    pub token_uid: String,
}

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

pub fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = directory().join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
