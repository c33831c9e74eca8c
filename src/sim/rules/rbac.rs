//! Who may do what: RBAC as the server decides and words it (scenes 50 and 52), with the bootstrap
//! roles that matter here. Roles and bindings come as stored objects; nothing is cached.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::errors::quote;
use crate::sim::api::status::Status;

/// Somebody who signed in, or did not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct User {
    pub name: String,
    /// Empty for those who signed in by certificate.
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What somebody wants to do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes {
    pub verb: String,
    pub group: String,
    /// Empty for a path that is no resource.
    pub resource: String,
    pub subresource: String,
    /// Empty for the cluster scope.
    pub namespace: String,
    /// Empty where the request names no object.
    pub name: String,
    /// The path, where it is no resource.
    pub path: String,
}

impl Attributes {
    fn is_resource(&self) -> bool {
        self.path.is_empty()
    }

    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// The answer. RBAC never denies; it has nothing to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// With the reason; empty for members of `system:masters`.
    Allowed(String),
    NoOpinion,
}

impl Decision {
    /// Whether it may be done.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// All roles and bindings in force.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// Roles and cluster roles, as objects.
    pub roles: Vec<Value>,
    /// Role bindings and cluster role bindings, as objects.
    pub bindings: Vec<Value>,
}

impl Rights {
    /// The stored roles and bindings with the bootstrap ones.
    pub fn new(roles: impl IntoIterator<Item = Value>, bindings: impl IntoIterator<Item = Value>) -> Self {
        let mut all = Self { roles: bootstrap_roles(), bindings: bootstrap_bindings() };
        all.roles.extend(roles);
        all.bindings.extend(bindings);
        all
    }

    /// Every rule that holds for somebody in a namespace, with the binding it comes from. Rules of
    /// the cluster come first.
    fn rules<'a>(
        &'a self,
        user: &'a User,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Value, &'a Value, &'a Value)> {
        let here = move |binding: &&Value| match namespace_of(binding) {
            None => true,
            Some(own) => !namespace.is_empty() && own == namespace,
        };
        let bindings = self.bindings.iter().filter(here);
        bindings.flat_map(move |binding| {
            let subjects = binding["subjects"].as_array().into_iter().flatten();
            let subject = subjects.into_iter().find(|subject| means(subject, user, binding));
            let role = subject.and_then(|_| self.role(binding));
            let rules = role.and_then(|role| role["rules"].as_array()).into_iter().flatten();
            let subject = subject.unwrap_or(&Value::Null);
            rules.map(move |rule| (rule, binding, subject))
        })
    }

    fn role(&self, binding: &Value) -> Option<&Value> {
        let wanted = &binding["roleRef"];
        let namespace = if wanted["kind"] == "Role" { namespace_of(binding) } else { None };
        self.roles
            .iter()
            .find(|role| role["metadata"]["name"] == wanted["name"] && namespace_of(role) == namespace)
    }
}

fn namespace_of(object: &Value) -> Option<&str> {
    object["metadata"]["namespace"].as_str().filter(|namespace| !namespace.is_empty())
}

fn means(subject: &Value, user: &User, binding: &Value) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str().unwrap_or_default() {
        "User" => name == user.name,
        "Group" => user.groups.iter().any(|group| group == name),
        "ServiceAccount" => {
            let namespace = subject["namespace"].as_str().or(namespace_of(binding)).unwrap_or_default();
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        _ => false,
    }
}

/// Whether somebody may do something, and why.
pub fn authorize(user: &User, what: &Attributes, rights: &Rights) -> Decision {
    if user.groups.iter().any(|group| group == "system:masters") {
        return Decision::Allowed(String::new());
    }
    let found = rights.rules(user, &what.namespace).find(|(rule, _, _)| covers(rule, what));
    match found {
        Some((_, binding, subject)) => Decision::Allowed(reason(binding, subject)),
        None => Decision::NoOpinion,
    }
}

fn reason(binding: &Value, subject: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&binding["metadata"]["name"]);
    let (kind, name) = match namespace_of(binding) {
        Some(namespace) => ("RoleBinding", format!("{name}/{namespace}")),
        None => ("ClusterRoleBinding", name),
    };
    let who = match subject["kind"].as_str() {
        Some("ServiceAccount") => format!("{}/{}", text(&subject["name"]), text(&subject["namespace"])),
        _ => text(&subject["name"]),
    };
    format!(
        "RBAC: allowed by {kind} {} of {} {} to {} {}",
        quote(&name),
        text(&binding["roleRef"]["kind"]),
        quote(&text(&binding["roleRef"]["name"])),
        text(&subject["kind"]),
        quote(&who)
    )
}

fn covers(rule: &Value, what: &Attributes) -> bool {
    if !holds(&rule["verbs"], &what.verb) {
        return false;
    }
    if !what.is_resource() {
        return list(&rule["nonResourceURLs"]).any(|url| match url.strip_suffix('*') {
            Some(start) => what.path.starts_with(start),
            None => url == what.path,
        });
    }
    let full = what.full_resource();
    let any = format!("*/{}", what.subresource);
    let resource = list(&rule["resources"])
        .any(|own| own == "*" || own == full || (!what.subresource.is_empty() && own == any));
    let mut names = list(&rule["resourceNames"]).peekable();
    let named = names.peek().is_none() || names.any(|name| !what.name.is_empty() && name == what.name);
    holds(&rule["apiGroups"], &what.group) && resource && named
}

fn holds(own: &Value, wanted: &str) -> bool {
    list(own).any(|one| one == "*" || one == wanted)
}

fn list(of: &Value) -> impl Iterator<Item = &str> {
    of.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The 403 for something nobody allowed.
pub fn forbidden(user: &User, what: &Attributes) -> Status {
    let who = quote(&user.name);
    if !what.is_resource() {
        let message = format!("forbidden: User {who} cannot {} path {}", what.verb, quote(&what.path));
        return Status::new(403, "Forbidden", message).with_details(json!({}));
    }
    let scope = if what.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {}", quote(&what.namespace))
    };
    let said = format!(
        "User {who} cannot {} resource {} in API group {} {scope}",
        what.verb,
        quote(&what.full_resource()),
        quote(&what.group)
    );
    refusal(&what.group, &what.resource, &what.name, &said)
}

/// A 403 about an object or a collection, with a sentence of one's own.
pub fn refusal(group: &str, resource: &str, name: &str, said: &str) -> Status {
    let mut about = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let mut details = json!({ "kind": resource });
    if !name.is_empty() {
        about = format!("{about} {}", quote(name));
        details["name"] = json!(name);
    }
    if !group.is_empty() {
        details["group"] = json!(group);
    }
    Status::new(403, "Forbidden", format!("{about} is forbidden: {said}")).with_details(details)
}

/// The rules for somebody in a namespace: those about resources, then those about paths.
pub fn rules_for(user: &User, namespace: &str, rights: &Rights) -> (Vec<Value>, Vec<Value>) {
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for (rule, _, _) in rights.rules(user, namespace) {
        let mut out = json!({"verbs": rule["verbs"]});
        let about_paths = list(&rule["nonResourceURLs"]).next().is_some();
        let fields: &[&str] =
            if about_paths { &["nonResourceURLs"] } else { &["apiGroups", "resources", "resourceNames"] };
        for field in fields.iter().filter(|field| rule[**field].is_array()) {
            out[*field] = rule[*field].clone();
        }
        if about_paths { &mut paths } else { &mut resources }.push(out);
    }
    (resources, paths)
}

/// Nobody may grant rights they do not hold (scene 50): the 403 for a new or changed role whose
/// rules go beyond those of its author.
pub fn may_grant(user: &User, role: &Value, resource: &str, rights: &Rights) -> Result<(), Status> {
    let namespace = namespace_of(role).unwrap_or_default();
    let escalate = Attributes {
        verb: "escalate".to_owned(),
        group: "rbac.authorization.k8s.io".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        ..Attributes::default()
    };
    if authorize(user, &escalate, rights).is_allowed() {
        return Ok(());
    }
    let rules = role["rules"].as_array().into_iter().flatten();
    let missing: Vec<String> =
        rules.filter(|rule| !is_held(user, rule, namespace, rights)).map(shown_rule).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| quote(group)).collect();
    let said = format!(
        "user {} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        quote(&user.name),
        groups.join(" "),
        missing.join("\n")
    );
    let name = role["metadata"]["name"].as_str().unwrap_or_default();
    Err(refusal("rbac.authorization.k8s.io", resource, name, &said))
}

fn is_held(user: &User, rule: &Value, namespace: &str, rights: &Rights) -> bool {
    let may = |what: Attributes| authorize(user, &what, rights).is_allowed();
    let names: Vec<&str> = list(&rule["resourceNames"]).collect();
    let names = if names.is_empty() { vec![""] } else { names };
    list(&rule["verbs"]).all(|verb| {
        let paths = list(&rule["nonResourceURLs"]).all(|path| {
            may(Attributes { verb: verb.to_owned(), path: path.to_owned(), ..Attributes::default() })
        });
        paths
            && list(&rule["apiGroups"]).all(|group| {
                list(&rule["resources"]).all(|resource| {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    names.iter().all(|name| {
                        may(Attributes {
                            verb: verb.to_owned(),
                            group: group.to_owned(),
                            resource: resource.to_owned(),
                            subresource: subresource.to_owned(),
                            namespace: namespace.to_owned(),
                            name: (*name).to_owned(),
                            path: String::new(),
                        })
                    })
                })
            })
    })
}

fn shown_rule(rule: &Value) -> String {
    let parts: Vec<String> = [
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("ResourceNames", "resourceNames"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("Verbs", "verbs"),
    ]
    .into_iter()
    .filter(|(_, field)| list(&rule[*field]).next().is_some())
    .map(|(name, field)| {
        let values: Vec<String> = list(&rule[field]).map(quote).collect();
        format!("{name}:[{}]", values.join(" "))
    })
    .collect();
    format!("{{{}}}", parts.join(", "))
}

/// The roles every cluster has from the start, as far as they matter here.
pub fn bootstrap_roles() -> Vec<Value> {
    let role = |name: &str, rules: Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
            "rules": rules})
    };
    vec![
        role(
            "cluster-admin",
            json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                {"verbs": ["*"], "nonResourceURLs": ["*"]}]),
        ),
        role(
            "system:basic-user",
            json!([{"verbs": ["create"], "apiGroups": ["authorization.k8s.io"],
                    "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]},
                {"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}]),
        ),
        role(
            "system:discovery",
            json!([{"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez",
                "/openapi", "/openapi/*", "/readyz", "/version", "/version/"]}]),
        ),
        role(
            "system:public-info-viewer",
            json!([{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"]}]),
        ),
    ]
}

/// Who has those roles.
pub fn bootstrap_bindings() -> Vec<Value> {
    let binding = |name: &str, groups: &[&str]| {
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": group}))
            .collect();
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"}},
            "subjects": subjects,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}})
    };
    vec![
        binding("cluster-admin", &["system:masters"]),
        binding("system:basic-user", &["system:authenticated"]),
        binding("system:public-info-viewer", &["system:authenticated", "system:unauthenticated"]),
        binding("system:discovery", &["system:authenticated"]),
    ]
}
