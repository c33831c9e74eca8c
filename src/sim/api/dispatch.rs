//! From a request that may be answered to the handler that does: paths, resources and subresources.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sim::api::access::Caller;
use crate::sim::api::call::Call;
use crate::sim::api::cluster::Cluster;
use crate::sim::api::definitions;
use crate::sim::api::delete;
use crate::sim::api::discovery;
use crate::sim::api::forms::{self, EventShape};
use crate::sim::api::negotiate::{self, Form, Offer};
use crate::sim::api::options::{self, DeleteOptions};
use crate::sim::api::pods;
use crate::sim::api::query::Query;
use crate::sim::api::read::{self, ListOptions};
use crate::sim::api::reply::Reply;
use crate::sim::api::resources::{Resource, ResourceId};
use crate::sim::api::reviews;
use crate::sim::api::route::{Route, Target};
use crate::sim::api::select::Selection;
use crate::sim::api::status::Status;
use crate::sim::api::store::Key;
use crate::sim::api::watch::{self, WatchOptions};
use crate::sim::api::write::{Write, Written};

/// Answers a request whose sender has the right to it.
pub async fn answer(cluster: &Cluster, call: &mut Call, caller: &Caller) -> Result<Reply, Status> {
    match call.route.clone() {
        Route::Path { path, .. } => discovery::answer(cluster, call, &path),
        Route::Resource(target) => answer_resource(cluster, call, caller, &target).await,
    }
}

async fn answer_resource(
    cluster: &Cluster,
    call: &mut Call,
    caller: &Caller,
    target: &Target,
) -> Result<Reply, Status> {
    let catalog = cluster.catalog();
    // Definitions answer for their groups alone, and where there is none, nobody does.
    let nobody = || Status::text(404, "404 page not found\n");
    if !catalog.has_group(&target.group) {
        return Err(nobody());
    }
    let unserved = || if catalog.is_defined_group(&target.group) { nobody() } else { no_route() };
    let id = catalog.find(&target.group, &target.version, &target.resource).ok_or_else(unserved)?;
    let resource = cluster.resource(id);
    check_route(call, &resource, target)?;
    if catalog.is_starting(id, Instant::now()) {
        return Err(starting());
    }
    if target.verb == "create" && definitions::is_ending(cluster, &resource) {
        let message = "create not allowed while custom resource definition is terminating";
        return Err(Status::new(405, "MethodNotAllowed", message).with_details(resource.details("")));
    }
    if pods::is_stream(target) {
        return pods::answer(cluster, call, caller, target).await;
    }
    let offer = if target.verb == "watch" { Offer::Watch } else { Offer::Objects };
    let form = negotiate::accept(call.header("accept"), offer)?.form;
    let asked = Asked { cluster, call, caller, target, id, resource: &resource, form };
    match target.verb.as_str() {
        "get" => asked.get().await,
        "list" => asked.list().await,
        "watch" => asked.watch(),
        "delete" => asked.delete(),
        "deletecollection" => asked.delete_all().await,
        "create" if reviews::is_review(&resource) => {
            let review = reviews::answer(cluster, caller, &asked.as_write()?)?;
            asked.shaped(201, review, false)
        }
        _ => asked.write(),
    }
}

/// One request for a resource that is served.
struct Asked<'a> {
    cluster: &'a Cluster,
    call: &'a Call,
    caller: &'a Caller,
    target: &'a Target,
    id: ResourceId,
    resource: &'a Arc<Resource>,
    form: Form,
}

impl Asked<'_> {
    fn query(&self) -> &Query {
        &self.call.query
    }

    fn key(&self) -> Key {
        let namespace = if self.resource.namespaced { self.target.namespace.as_str() } else { "" };
        self.cluster.key(self.id, namespace, &self.target.name)
    }

    fn selection(&self) -> Result<Selection, Status> {
        Selection::parse(self.id, self.cluster.storage(self.id), self.resource, self.target, self.query())
    }

    async fn get(&self) -> Result<Reply, Status> {
        let object = read::get(self.cluster, self.id, &self.key(), self.query()).await?;
        self.shaped(200, Value::clone(&object), false)
    }

    async fn list(&self) -> Result<Reply, Status> {
        let limits = ListOptions::limits(self.query())?;
        let selection = self.selection()?;
        options::check_list(self.query())?;
        let (list, _) =
            read::list(self.cluster, &selection, &ListOptions::parse(self.query(), limits)?).await?;
        self.shaped(200, list, true)
    }

    fn watch(&self) -> Result<Reply, Status> {
        ListOptions::limits(self.query())?;
        let selection = self.selection()?;
        options::check_watch(self.query())?;
        let options = WatchOptions::parse(self.query())?;
        let shape = EventShape::new(self.form, self.resource, self.query())?;
        Ok(Reply::lines(watch::open(self.cluster, selection, options, shape)))
    }

    fn delete(&self) -> Result<Reply, Status> {
        let options = DeleteOptions::parse(self.call.body()?, self.query())?;
        let user = &self.caller.user;
        let (answer, warnings) = delete::delete(self.cluster, self.id, &self.key(), &options, user)?;
        let reply = if answer["kind"] == "Status" {
            Reply::json(200, answer)
        } else {
            self.shaped(200, answer, false)?
        };
        Ok(warned(reply, &warnings))
    }

    async fn delete_all(&self) -> Result<Reply, Status> {
        let limits = ListOptions::limits(self.query())?;
        let selection = self.selection()?;
        let options = DeleteOptions::parse(self.call.body()?, self.query())?;
        let (list, objects) =
            read::list(self.cluster, &selection, &ListOptions::parse(self.query(), limits)?).await?;
        let warnings = delete::delete_all(self.cluster, self.id, &objects, &options, &self.caller.user)?;
        Ok(warned(self.shaped(200, list, true)?, &warnings))
    }

    fn as_write(&self) -> Result<Write<'_>, Status> {
        Ok(Write {
            cluster: self.cluster,
            id: self.id,
            resource: self.resource,
            target: self.target,
            query: self.query(),
            body: self.call.body()?,
            content_type: self.call.header("content-type").unwrap_or_default(),
            user_agent: self.call.header("user-agent").unwrap_or_default(),
            caller: self.caller,
        })
    }

    fn write(&self) -> Result<Reply, Status> {
        let write = self.as_write()?;
        let Written { code, object, warnings } = match self.target.verb.as_str() {
            "create" => write.create()?,
            "update" => write.replace()?,
            _ => write.patch()?,
        };
        Ok(warned(self.shaped(code, object, false)?, &warnings))
    }

    fn shaped(&self, code: u16, value: Value, is_list: bool) -> Result<Reply, Status> {
        let now = self.cluster.clock().now();
        let shaped = forms::shape(value, self.form, is_list, self.resource, self.query(), now)?;
        Ok(Reply::json(code, shaped))
    }
}

fn warned(mut reply: Reply, warnings: &[String]) -> Reply {
    let quoted = warnings.iter().map(|w| format!("299 - \"{}\"", w.replace('"', "\\\"")));
    reply.headers.extend(quoted.map(|w| ("warning", w)));
    reply
}

/// Which methods a path takes.
fn check_route(call: &Call, resource: &Resource, target: &Target) -> Result<(), Status> {
    let named = target.named_in_path;
    let needs_namespace = resource.namespaced && target.namespace.is_empty();
    let sub = resource.subresources.iter().find(|s| s.name == target.subresource);
    let odd_name = target.name.contains('/');
    let lost = target.too_deep || (named && needs_namespace) || odd_name;
    if lost || (!target.subresource.is_empty() && sub.is_none()) {
        return Err(no_route());
    }
    let allowed = match (target.verb.as_str(), sub) {
        ("list" | "watch", _) => (!named || target.watch_prefix) && resource.serves("list"),
        (verb, Some(sub)) => sub.verbs.iter().any(|v| v == verb),
        ("create", None) => !named && (!needs_namespace) && resource.serves("create"),
        ("deletecollection", None) => resource.serves("deletecollection") && !needs_namespace,
        (verb @ ("get" | "update" | "patch" | "delete"), None) => named && resource.serves(verb),
        _ => false,
    };
    let allowed = allowed && call.method != hyper::Method::HEAD;
    if allowed { Ok(()) } else { Err(no_method()) }
}

/// The 404 of a path below a known group.
pub fn no_route() -> Status {
    Status::new(404, "NotFound", "the server could not find the requested resource").with_details(json!({}))
}

/// A definition in force whose storage is not.
fn starting() -> Status {
    Status::new(429, "TooManyRequests", "storage is (re)initializing")
        .with_details(json!({ "retryAfterSeconds": 1 }))
        .with_header("retry-after", "1")
}

fn no_method() -> Status {
    let message = "the server does not allow this method on the requested resource";
    Status::new(405, "MethodNotAllowed", message).with_details(json!({}))
}
