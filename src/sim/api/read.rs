//! GET of one object and of lists: resourceVersion rules, pages, and when too old or too new is an
//! error. It never changes the store.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, NO_PAD};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sim::api::cluster::Cluster;
use crate::sim::api::object;
use crate::sim::api::query::Query;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::select::Selection;
use crate::sim::api::status::Status;
use crate::sim::api::store::Key;

/// How continue tokens are written; read as leniently as the real server reads them.
const TOKENS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);
const LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
/// How long a read waits for a version that is not there yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// The options of a list, read and judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListOptions {
    limit: usize,
    version: VersionRule,
    page: Option<Page>,
    bare_version: String,
}

/// Which version of the store a list may show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum VersionRule {
    Newest,
    /// Anything: what a real server has in its cache.
    Any,
    NotOlderThan(u64),
    Exact(u64),
}

/// What a continue token says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    /// -1 for "from where you are now", which an expired token is replaced with.
    version: i64,
    start: String,
}

/// One object.
pub async fn get(cluster: &Cluster, id: ResourceId, key: &Key, query: &Query) -> Result<Arc<Value>, Status> {
    let version = query.get("resourceVersion");
    if !version.is_empty() && version != "0" {
        wait_for(cluster, parse_version(version).map_err(Status::internal)?).await?;
    }
    let found = cluster.store().get(key).cloned();
    let name = key.path.rsplit('/').next().unwrap_or_default();
    let resource = cluster.resource(id);
    let object = found.ok_or_else(|| not_found(&resource, name))?;
    Ok(resource.view(&resource.api_version(), object))
}

/// The 404 about one object.
pub fn not_found(resource: &Resource, name: &str) -> Status {
    Status::new(404, "NotFound", format!("{} \"{name}\" not found", resource.qualified()))
        .with_details(resource.details(name))
}

/// A list with its metadata and items, items without their type unless the resource is custom; and
/// the objects in it.
pub async fn list(
    cluster: &Cluster,
    selection: &Selection,
    options: &ListOptions,
) -> Result<(Value, Vec<Arc<Value>>), Status> {
    match options.version {
        VersionRule::NotOlderThan(version) | VersionRule::Exact(version) => {
            wait_for(cluster, version).await?;
        }
        VersionRule::Newest | VersionRule::Any => {}
    }
    let shown = options.pick(cluster, selection)?;
    let resource = cluster.resource(selection.resource);
    let items = shown.items.iter().map(|o| item(&resource, o)).collect();
    let mut metadata = json!({ "resourceVersion": shown.version.to_string() });
    if let Some(token) = shown.next {
        metadata["continue"] = json!(token);
        if !selection.is_narrowed() {
            metadata["remainingItemCount"] = json!(shown.remaining);
        }
    } else if resource.custom {
        metadata["continue"] = json!("");
    }
    let list = json!({
        "kind": resource.list_kind(), "apiVersion": resource.api_version(),
        "metadata": metadata, "items": Value::Array(items),
    });
    Ok((list, shown.items))
}

fn item(resource: &Resource, object: &Value) -> Value {
    if resource.custom { object.clone() } else { object::without_type(object) }
}

/// What one list shows.
struct Shown {
    version: u64,
    items: Vec<Arc<Value>>,
    next: Option<String>,
    remaining: usize,
}

impl ListOptions {
    /// Reads the numbers: what is malformed here is refused before anything else is looked at.
    pub fn limits(query: &Query) -> Result<usize, Status> {
        let timeout = query.get("timeoutSeconds");
        if !timeout.is_empty() && timeout.parse::<i64>().is_err() {
            return Err(not_a_number(timeout));
        }
        parse_limit(query.get("limit"))
    }

    /// Reads the options of a list that is no watch.
    pub fn parse(query: &Query, limit: usize) -> Result<Self, Status> {
        let token = query.get("continue");
        let version = query.get("resourceVersion");
        if !token.is_empty() && !version.is_empty() && version != "0" {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let page = if token.is_empty() { None } else { Some(Page::parse(token)?) };
        let rule = match (version, query.get("resourceVersionMatch")) {
            ("", _) => VersionRule::Newest,
            ("0", _) => VersionRule::Any,
            (text, "Exact") => VersionRule::Exact(list_version(text)?),
            (text, _) => VersionRule::NotOlderThan(list_version(text)?),
        };
        Ok(Self { limit, version: rule, page, bare_version: version.to_owned() })
    }

    fn pick(&self, cluster: &Cluster, selection: &Selection) -> Result<Shown, Status> {
        let store = cluster.store();
        let exact = match (&self.page, self.version) {
            (Some(page), _) if page.version >= 0 => Some(page.version as u64),
            (None, VersionRule::Exact(version)) => Some(version),
            _ => None,
        };
        let version = exact.unwrap_or(store.version());
        let all: Vec<(String, Arc<Value>)> = match exact {
            None => store
                .list(selection.storage, &selection.namespace)
                .into_iter()
                .map(|(path, object)| (path.to_owned(), object))
                .collect(),
            Some(version) => {
                store.list_at(selection.storage, &selection.namespace, version).map_err(|_| self.expired())?
            }
        };
        let start = self.page.as_ref().map_or("", |page| page.start.as_str());
        drop(store);
        let rest = all.into_iter().filter(|(path, _)| path.as_str() >= start);
        let rest = rest.map(|(path, object)| (path, selection.view(object)));
        let mut matching = rest.filter(|(_, object)| selection.matches(object));
        let limit = if self.bare_version == "0" || self.limit == 0 { usize::MAX } else { self.limit };
        let items: Vec<(String, Arc<Value>)> = matching.by_ref().take(limit).collect();
        let left: Vec<(String, Arc<Value>)> = matching.collect();
        let next = left.first().and_then(|_| {
            let (last, _) = items.last()?;
            Some(Page { version: version as i64, start: format!("{last}\0") }.token())
        });
        let items = items.into_iter().map(|(_, object)| object).collect();
        Ok(Shown { version, items, next, remaining: left.len() })
    }

    fn expired(&self) -> Status {
        let Some(page) = &self.page else {
            let message = "The resourceVersion for the provided list is too old.";
            return Status::new(410, "Expired", message);
        };
        let message = "The provided continue parameter is too old to display a consistent list \
                       result. You can start a new list without the continue parameter, or use the \
                       continue token in this response to retrieve the remainder of the results. \
                       Continuing with the provided token results in an inconsistent list - objects \
                       that were created, modified, or deleted between the time the first chunk was \
                       returned and now may show up in the list.";
        let token = Page { version: -1, start: page.start.clone() }.token();
        Status { next_page: Some(token.into()), ..Status::new(410, "Expired", message) }
    }
}

impl Page {
    fn token(&self) -> String {
        let text = json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.start});
        TOKENS.encode(text.to_string())
    }

    fn parse(token: &str) -> Result<Self, Status> {
        let invalid = |why: &str| {
            Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
        };
        let bytes = TOKENS.decode(token).map_err(|_| invalid("illegal base64 data"))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let first = bytes.first().copied().unwrap_or_default();
            invalid(&format!("invalid character {} looking for beginning of value", quoted(first)))
        })?;
        Ok(Self {
            version: value["rv"].as_i64().unwrap_or(-1),
            start: value["start"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

/// A byte as Go's JSON errors quote it.
fn quoted(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("'{}'", char::from(byte)) } else { format!("'\\u{byte:04x}'") }
}

fn parse_limit(text: &str) -> Result<usize, Status> {
    if text.is_empty() {
        return Ok(0);
    }
    let limit: i64 = text.parse().map_err(|_| not_a_number(text))?;
    Ok(usize::try_from(limit).unwrap_or(0))
}

/// The 400 for an option that should be a number.
pub fn not_a_number(text: &str) -> Status {
    Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))
}

fn list_version(text: &str) -> Result<u64, Status> {
    parse_version(text).map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))
}

/// A resourceVersion of a request, or what is wrong with it in the server's words.
pub fn parse_version(text: &str) -> Result<u64, String> {
    let valid = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| valid).ok_or_else(|| {
        format!(
            "resourceVersion: Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": \
             invalid syntax"
        )
    })
}

/// Waits until the store has come to a version; gives up as a real server does.
async fn wait_for(cluster: &Cluster, version: u64) -> Result<(), Status> {
    let mut changes = cluster.subscribe();
    let deadline = Instant::now() + PATIENCE;
    while cluster.store().version() < version {
        let moved = tokio::time::timeout_at(deadline, changes.changed()).await;
        if moved.is_err() {
            return Err(too_new(version, cluster.store().version()));
        }
    }
    Ok(())
}

fn too_new(wanted: u64, current: u64) -> Status {
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    Status::new(504, "Timeout", message)
        .with_details(json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }))
        .with_header("retry-after", "1")
}
