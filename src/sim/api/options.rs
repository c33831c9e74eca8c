//! The options of requests, judged: which may not stand together, which values there are. What a
//! real server says about each comes from scenes 09, 12, 21, 33, 40 and 44.

use serde_json::{Value, json};

use crate::sim::api::query::Query;
use crate::sim::api::status::Status;
use crate::sim::rules::decode::Validation;
use crate::sim::rules::errors::{self, FieldError};

const MANAGER_LIMIT: usize = 128;

/// The options of a create, replace or patch.
#[derive(Debug, Clone, PartialEq)]
pub struct WriteOptions {
    pub dry_run: bool,
    pub validation: Validation,
    /// As given; empty if not.
    pub manager: String,
    pub force: bool,
}

/// Which write the options belong to; names the 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    Create,
    Update,
    Patch,
    Apply,
}

impl WriteOptions {
    pub fn parse(query: &Query, kind: WriteKind) -> Result<Self, Status> {
        let mut found = Vec::new();
        let force = query.has("force").then(|| query.flag("force"));
        match kind {
            WriteKind::Patch if force == Some(true) => {
                found.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
            }
            WriteKind::Apply if query.get("fieldManager").is_empty() => {
                found.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
            WriteKind::Create | WriteKind::Update | WriteKind::Patch | WriteKind::Apply => {}
        }
        found.extend(manager_errors(query.get("fieldManager")));
        found.extend(dry_run_errors(&all_values(query, "dryRun")));
        let word = query.get("fieldValidation");
        let validation = Validation::parse(word).unwrap_or_else(|| {
            let supported = ["", "Ignore", "Strict", "Warn"];
            found.push(FieldError::not_supported("fieldValidation", &json!(word), &supported));
            Validation::Warn
        });
        refuse(kind.options(), &found)?;
        Ok(Self {
            dry_run: query.has("dryRun"),
            validation,
            manager: query.get("fieldManager").to_owned(),
            force: force == Some(true),
        })
    }
}

impl WriteKind {
    fn options(self) -> &'static str {
        match self {
            Self::Create => "CreateOptions",
            Self::Update => "UpdateOptions",
            Self::Patch | Self::Apply => "PatchOptions",
        }
    }
}

fn all_values(query: &Query, name: &str) -> Vec<String> {
    query.all(name).map(str::to_owned).collect()
}

fn manager_errors(manager: &str) -> Option<FieldError> {
    if manager.len() > MANAGER_LIMIT {
        return Some(FieldError::too_long("fieldManager", MANAGER_LIMIT));
    }
    let (position, odd) = manager.chars().enumerate().find(|(_, c)| c.is_control())?;
    let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(odd));
    Some(FieldError::invalid_text("fieldManager", manager, detail))
}

fn dry_run_errors(values: &[String]) -> Option<FieldError> {
    let odd = values.iter().any(|value| value != "All");
    odd.then(|| FieldError::not_supported("dryRun", &json!(values), &["All"]))
}

fn refuse(kind: &str, found: &[FieldError]) -> Result<(), Status> {
    if found.is_empty() { Ok(()) } else { Err(errors::invalid("meta.k8s.io", kind, "", found)) }
}

/// Judges the options of a list.
pub fn check_list(query: &Query) -> Result<(), Status> {
    let mut found = Vec::new();
    let (version, rule) = (query.get("resourceVersion"), query.get("resourceVersionMatch"));
    let field = "resourceVersionMatch";
    if query.has("sendInitialEvents") {
        let detail = "sendInitialEvents is forbidden for list";
        found.push(FieldError::forbidden("sendInitialEvents", detail));
    }
    match rule {
        "" => {}
        _ if version.is_empty() => {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            found.push(FieldError::forbidden(field, detail));
        }
        "Exact" if version == "0" => {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            found.push(FieldError::forbidden(field, detail));
        }
        "Exact" | "NotOlderThan" => {}
        _ => {
            let supported = ["Exact", "NotOlderThan", ""];
            found.push(FieldError::not_supported(field, &json!(rule), &supported));
        }
    }
    refuse("ListOptions", &found)
}

/// Judges the options of a watch.
pub fn check_watch(query: &Query) -> Result<(), Status> {
    let mut found = Vec::new();
    let rule = query.get("resourceVersionMatch");
    let field = "resourceVersionMatch";
    if query.has("sendInitialEvents") {
        if rule != "NotOlderThan" {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            found.push(FieldError::forbidden(field, detail));
        }
        if !rule.is_empty() && rule != "NotOlderThan" {
            found.push(FieldError::not_supported(field, &json!(rule), &["NotOlderThan"]));
        }
    } else if !rule.is_empty() {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        found.push(FieldError::forbidden(field, detail));
    }
    refuse("ListOptions", &found)
}

/// The options of a delete, from the body and the query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub dry_run: bool,
    pub propagation: Propagation,
    /// The uid the object must have; empty for any.
    pub uid: String,
    /// The resourceVersion the object must have; empty for any.
    pub version: String,
    pub grace_period_secs: Option<i64>,
}

/// What becomes of an object's dependents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl DeleteOptions {
    pub fn parse(body: &[u8], query: &Query) -> Result<Self, Status> {
        let body = if body.is_empty() { json!({}) } else { delete_body(body)? };
        let word = |name: &str| match body[name].as_str() {
            Some(text) => text.to_owned(),
            None => query.get(name).to_owned(),
        };
        let mut dry_run: Vec<String> = body["dryRun"]
            .as_array()
            .map(|values| values.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect())
            .unwrap_or_default();
        dry_run.extend(all_values(query, "dryRun"));
        let policy = word("propagationPolicy");
        let orphan = body["orphanDependents"].as_bool();
        let mut found: Vec<FieldError> = propagation_errors(&policy, orphan).into_iter().collect();
        found.extend(dry_run_errors(&dry_run));
        refuse("DeleteOptions", &found)?;
        let given = query.get("gracePeriodSeconds").parse().ok();
        let condition = |name: &str| body["preconditions"][name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            dry_run: !dry_run.is_empty(),
            propagation: match (policy.as_str(), orphan) {
                ("Foreground", _) => Propagation::Foreground,
                ("Orphan", _) | ("", Some(true)) => Propagation::Orphan,
                _ => Propagation::Background,
            },
            uid: condition("uid"),
            version: condition("resourceVersion"),
            grace_period_secs: body["gracePeriodSeconds"].as_i64().or(given),
        })
    }
}

fn propagation_errors(policy: &str, orphan: Option<bool>) -> Option<FieldError> {
    let field = "propagationPolicy";
    match policy {
        "" => None,
        _ if orphan.is_some() => {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            Some(FieldError::invalid_text(field, policy, detail))
        }
        "Foreground" | "Background" | "Orphan" => None,
        _ => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            Some(FieldError::not_supported(field, &json!(policy), &supported))
        }
    }
}

/// Reads the body of a delete; its kind may be absent.
fn delete_body(body: &[u8]) -> Result<Value, Status> {
    let tree = crate::sim::rules::tree::Tree::parse(body).map_err(|said| {
        Status::bad_request(format!("couldn't get version/kind; json parse error: {said}"))
    })?;
    let value = tree.to_value();
    let kind = value["kind"].as_str().unwrap_or("DeleteOptions");
    if kind != "DeleteOptions" {
        let version = value["apiVersion"].as_str().unwrap_or_default();
        return Err(Status::bad_request(format!(
            "no kind \"{kind}\" is registered for version \"{version}\" in scheme \
             \"pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    Ok(value)
}
