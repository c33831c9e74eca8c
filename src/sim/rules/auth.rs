//! Who somebody is: certificate, bearer token, nobody, or somebody else by impersonation (scenes 51
//! and 53). Tokens are compared by the caller; this file decides order, groups and refusals.

use std::collections::BTreeMap;

use super::errors::quote;
use super::rbac::{self, Attributes, Rights, User};
use crate::sim::api::status::Status;

/// The subject of a verified client certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    pub name: String,
    pub groups: Vec<String>,
    /// SHA-256 of the certificate, in hex.
    pub hash: String,
}

/// The user behind a request. A certificate comes before a token, whatever the token is worth; a
/// token nobody has is 401 even where anonymous may go; other schemes count as no credentials.
pub fn authenticate(
    authorization: Option<&str>,
    certificate: Option<&Certificate>,
    by_token: impl Fn(&str) -> Option<User>,
) -> Result<User, Status> {
    if let Some(certificate) = certificate {
        let key = "authentication.kubernetes.io/credential-id".to_owned();
        let user = User {
            name: certificate.name.clone(),
            uid: String::new(),
            groups: certificate.groups.clone(),
            extra: BTreeMap::from([(key, vec![format!("X509SHA256={}", certificate.hash)])]),
        };
        return Ok(with_group(user, "system:authenticated"));
    }
    let token = authorization.and_then(|header| header.split_once(' ')).and_then(|(scheme, token)| {
        let token = token.trim();
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
    });
    match token {
        None => Ok(anonymous()),
        Some(token) => match by_token(token) {
            Some(user) => Ok(with_group(user, "system:authenticated")),
            None => Err(Status::new(401, "Unauthorized", "Unauthorized")),
        },
    }
}

/// Somebody without credentials.
pub fn anonymous() -> User {
    User {
        name: "system:anonymous".to_owned(),
        groups: vec!["system:unauthenticated".to_owned()],
        ..User::default()
    }
}

fn with_group(mut user: User, group: &str) -> User {
    if !user.groups.iter().any(|own| own == group) {
        user.groups.push(group.to_owned());
    }
    user
}

/// The user a request is to be done as: the one signed in, or the one its headers name, if that is
/// allowed. `headers` are all of the request, names in any case; `what` is the request itself.
pub fn impersonate<'a>(
    user: User,
    headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    what: &Attributes,
    rights: &Rights,
) -> Result<User, Status> {
    let Some(wanted) = wanted(headers) else { return Ok(user) };
    if wanted.name.is_empty() {
        return Err(Status::bad_request(format!(
            "requested &user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:{}}} without impersonating a user name",
            quote(&wanted.uid),
            go_list(&wanted.groups),
            go_map(&wanted.extra)
        )));
    }
    allowed(&user, &wanted, what, rights)?;
    Ok(completed(wanted))
}

fn wanted<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<User> {
    let mut wanted = User::default();
    let mut any = false;
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let Some(what) = name.strip_prefix("impersonate-") else { continue };
        any = true;
        match what {
            "user" => wanted.name = value.to_owned(),
            "uid" => wanted.uid = value.to_owned(),
            "group" => wanted.groups.push(value.to_owned()),
            _ => {
                let Some(key) = what.strip_prefix("extra-") else { continue };
                wanted.extra.entry(unescaped(key)).or_default().push(value.to_owned());
            }
        }
    }
    any.then_some(wanted)
}

/// Each part of the wanted user needs the right to impersonate it.
fn allowed(user: &User, wanted: &User, what: &Attributes, rights: &Rights) -> Result<(), Status> {
    let may = |what: &Attributes| rbac::authorize(user, what, rights).is_allowed();
    for part in parts(wanted) {
        if may(&part) {
            continue;
        }
        // The newer server first asks for a right on the request itself and says so, except to those
        // who hold some right to impersonate or may not make the request anyway (scenes 44 and 53).
        if may(what) && !holds_any(user, rights) {
            let sort = if part.resource == "serviceaccounts" { "serviceaccount" } else { "user-info" };
            let verb = format!("impersonate-on:{sort}:{}", what.verb);
            return Err(rbac::forbidden(user, &Attributes { verb, ..what.clone() }));
        }
        return Err(rbac::forbidden(user, &part));
    }
    Ok(())
}

fn holds_any(user: &User, rights: &Rights) -> bool {
    let (rules, _) = rbac::rules_for(user, "", rights);
    rules.iter().any(|rule| {
        let verbs = rule["verbs"].as_array().into_iter().flatten();
        verbs.into_iter().any(|verb| verb == "impersonate" || verb == "*")
    })
}

fn parts(wanted: &User) -> Vec<Attributes> {
    let one = |group: &str, resource: &str, name: &str| Attributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    let mut out = vec![match service_account(&wanted.name) {
        Some((namespace, name)) => {
            Attributes { namespace: namespace.to_owned(), ..one("", "serviceaccounts", name) }
        }
        None => one("", "users", &wanted.name),
    }];
    out.extend(wanted.groups.iter().map(|group| one("", "groups", group)));
    if !wanted.uid.is_empty() {
        out.push(one("authentication.k8s.io", "uids", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        out.extend(values.iter().map(|value| Attributes {
            subresource: key.clone(),
            ..one("authentication.k8s.io", "userextras", value)
        }));
    }
    out
}

fn service_account(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// The groups the server adds to an impersonated user.
fn completed(mut wanted: User) -> User {
    if wanted.name == "system:anonymous" {
        return with_group(wanted, "system:unauthenticated");
    }
    let namespace = service_account(&wanted.name).map(|(namespace, _)| namespace.to_owned());
    if let (Some(namespace), true) = (namespace, wanted.groups.is_empty()) {
        wanted.groups.push("system:serviceaccounts".to_owned());
        wanted.groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    with_group(wanted, "system:authenticated")
}

/// Percent signs in a header's name stand for other characters.
fn unescaped(key: &str) -> String {
    let mut out = Vec::new();
    let mut rest = key.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        match code {
            Some(code) => {
                out.push(code);
                rest = &after[2..];
            }
            None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn go_list(list: &[String]) -> String {
    if list.is_empty() {
        return "[]string(nil)".to_owned();
    }
    let items: Vec<String> = list.iter().map(|one| quote(one)).collect();
    format!("[]string{{{}}}", items.join(", "))
}

fn go_map(map: &BTreeMap<String, Vec<String>>) -> String {
    if map.is_empty() {
        return "map[string][]string(nil)".to_owned();
    }
    let items: Vec<String> =
        map.iter().map(|(key, list)| format!("{}:{}", quote(key), go_list(list))).collect();
    format!("map[string][]string{{{}}}", items.join(", "))
}
