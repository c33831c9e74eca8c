//! Bodies of writes: JSON or YAML in, an object of the expected kind out, with the complaints of
//! `fieldValidation` (scenes 41 and 43). Never looks at stored objects; validation is elsewhere.

use serde_json::{Value, json};

use super::errors::{self, FieldError};
use super::schema::{self, Kind};
use super::shape::{self, Complaints};
use super::tree::Tree;
use super::yaml;
use crate::sim::api::status::Status;

/// What to do about unknown and repeated fields; the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    Strict,
    Warn,
    Ignore,
}

impl Validation {
    /// The parameter's value; Warn where it is absent or empty, None where it is unknown.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "Strict" => Some(Self::Strict),
            "" | "Warn" => Some(Self::Warn),
            "Ignore" => Some(Self::Ignore),
            _ => None,
        }
    }
}

/// The language of a body, by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Yaml,
}

/// A body understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// With `kind` and `apiVersion`, empty fields left out, no defaults yet.
    pub object: Value,
    /// Texts for `Warning` headers, without the code and the quotes around.
    pub warnings: Vec<String>,
}

/// The object in a POST or PUT body, or the 400 of scene 41 or 43.
pub fn decode(body: &[u8], format: Format, kind: &Kind, validation: Validation) -> Result<Decoded, Status> {
    let unrecognized = |said: &str| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {said} ({})",
            kind.kind,
            summary(body)
        ))
    };
    let mut complaints = Complaints::new();
    let tree = match format {
        Format::Json => Tree::parse(body)
            .map_err(|said| unrecognized(&format!("couldn't get version/kind; json parse error: {said}")))?,
        Format::Yaml => {
            let read = yaml::read(body).map_err(|said| unrecognized(&format!("yaml: {said}")))?;
            complaints.extend(read.repeated);
            read.tree
        }
    };
    match kind.custom {
        Some(_) => check_custom_type(&tree, body, kind, &unrecognized)?,
        None => check_type(&tree, kind, &unrecognized)?,
    }
    let object = shape::shape(&tree, kind, &mut complaints).map_err(|said| cannot_handle(kind, &said))?;
    let warnings = settle(complaints, validation).map_err(|said| cannot_handle(kind, &said))?;
    Ok(Decoded { object: typed(object, kind), warnings })
}

/// The result of a merge, JSON or strategic patch, read again; or the 422 of scene 41 that quotes
/// the whole patched object. `text` is that object as the server would show it.
pub fn patched(object: &Value, text: &str, kind: &Kind, validation: Validation) -> Result<Decoded, Status> {
    let refuse = |said: String| errors::invalid("", "", "", &[FieldError::invalid_text("patch", text, said)]);
    let mut complaints = Complaints::new();
    let tree = Tree::from(object);
    let object = shape::shape(&tree, kind, &mut complaints).map_err(refuse)?;
    let warnings = settle(complaints, validation).map_err(refuse)?;
    Ok(Decoded { object: typed(object, kind), warnings })
}

/// The body of an apply as it stands, before its schema is checked; or the 400s of scene 33.
pub fn apply_body(body: &[u8], kind: &Kind, validation: Validation) -> Result<Value, Status> {
    let read =
        yaml::read(body).map_err(|said| Status::bad_request(format!("error decoding YAML: {said}")))?;
    if let (Validation::Strict, Some(said)) = (validation, &read.repeated) {
        let message = format!("error strict decoding YAML: error converting YAML to JSON: {said}");
        return Err(Status::bad_request(message));
    }
    let object = match &read.tree {
        Tree::Null => json!({}),
        Tree::Map(_) => read.tree.to_value(),
        Tree::Bool(_) | Tree::Number(_) | Tree::Text(_) | Tree::List(_) => {
            return Err(Status::bad_request(format!(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                read.tree.sort()
            )));
        }
    };
    let given_version = object["apiVersion"].as_str().unwrap_or("");
    let given_kind = object["kind"].as_str().unwrap_or("");
    if given_version != kind.api_version() || given_kind != kind.kind {
        let version = if given_version.is_empty() { "/" } else { given_version };
        return Err(Status::bad_request(format!("invalid object type: {version}, Kind={given_kind}")));
    }
    Ok(object)
}

/// Kind and apiVersion must be absent or those of the path.
fn check_type(tree: &Tree, kind: &Kind, unrecognized: &dyn Fn(&str) -> Status) -> Result<(), Status> {
    if !matches!(tree, Tree::Map(_) | Tree::Null) {
        return Err(unrecognized(&format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
            tree.sort()
        )));
    }
    let word = |field: &str| match tree.get(field) {
        None | Some(Tree::Null) => Ok(String::new()),
        Some(Tree::Text(text)) => Ok(text.clone()),
        Some(other) => Err(unrecognized(&format!(
            "couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go struct field .{field} of type string",
            other.sort()
        ))),
    };
    let (api_version, name) = (word("apiVersion")?, word("kind")?);
    if api_version.matches('/').count() > 1 {
        return Err(unrecognized(&format!("unexpected GroupVersion string: {api_version}")));
    }
    let api_version = if api_version.is_empty() { kind.api_version() } else { api_version };
    let name = if name.is_empty() { kind.kind.clone() } else { name };
    if api_version == kind.api_version() && name == kind.kind {
        return Ok(());
    }
    let (_, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let said = if schema::kind(&api_version, &name).is_some() || name == "List" {
        format!(
            "converting ({version}.{name}) to ({}.{}): unknown conversion",
            package(&kind.group),
            kind.kind
        )
    } else {
        format!(
            "no kind \"{name}\" is registered for version \"{api_version}\" in scheme \"pkg/api/legacyscheme/scheme.go:30\""
        )
    };
    Err(Status::bad_request(format!(
        "{name} in version \"{version}\" cannot be handled as a {}: {said}",
        kind.kind
    )))
}

/// A custom resource must say what it is; that it is of another kind is found out later.
fn check_custom_type(
    tree: &Tree,
    body: &[u8],
    kind: &Kind,
    unrecognized: &dyn Fn(&str) -> Status,
) -> Result<(), Status> {
    if !matches!(tree, Tree::Map(_)) {
        return check_type(tree, kind, unrecognized);
    }
    let word = |field: &str| tree.get(field).map(Tree::to_value).and_then(|v| v.as_str().map(str::to_owned));
    for (field, name) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
        if word(field).unwrap_or_default().is_empty() {
            let text = String::from_utf8_lossy(body);
            return Err(unrecognized(&format!("Object '{name}' is missing in '{text}'")));
        }
    }
    let given = word("apiVersion").unwrap_or_default();
    if given != kind.api_version() {
        return Err(Status::bad_request(format!(
            "the API version in the data ({given}) does not match the expected API version ({})",
            kind.api_version()
        )));
    }
    Ok(())
}

/// The name of the server's own package for a group.
fn package(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

fn settle(complaints: Complaints, validation: Validation) -> Result<Vec<String>, String> {
    match validation {
        Validation::Ignore => Ok(Vec::new()),
        Validation::Warn => Ok(complaints),
        Validation::Strict if complaints.is_empty() => Ok(complaints),
        Validation::Strict => Err(format!("strict decoding error: {}", complaints.join(", "))),
    }
}

fn cannot_handle(kind: &Kind, said: &str) -> Status {
    Status::bad_request(format!(
        "{} in version \"{}\" cannot be handled as a {}: {said}",
        kind.kind, kind.version, kind.kind
    ))
}

fn typed(mut object: Value, kind: &Kind) -> Value {
    if kind.custom.is_some() {
        return object;
    }
    object["kind"] = json!(kind.kind);
    object["apiVersion"] = json!(kind.api_version());
    object
}

/// The start of a body, as the server quotes it.
fn summary(body: &[u8]) -> String {
    const LONGEST: usize = 30;
    let start = &body[..body.len().min(LONGEST)];
    let shown = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    if body.len() > LONGEST { format!("{shown} ...") } else { shown }
}
