//! From a method and a path to what is asked of which resource, by the rules of a real server:
//! authorization looks at this before anybody knows whether the resource exists.

use hyper::Method;

use crate::sim::api::query::{Query, decode_segment};

/// What one request asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// A path below `/api/VERSION` or `/apis/GROUP/VERSION` that names a resource.
    Resource(Target),
    /// Any other path; the verb is the method in lower case.
    Path { path: String, verb: String },
}

/// A resource, and perhaps an object of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    pub verb: String,
    pub group: String,
    pub version: String,
    /// Empty for cluster scope and for all namespaces.
    pub namespace: String,
    pub resource: String,
    pub name: String,
    pub subresource: String,
    /// More segments than any route has.
    pub too_deep: bool,
    /// The name stands in the path, not only in a field selector.
    pub named_in_path: bool,
    /// The path has the old `watch` prefix.
    pub watch_prefix: bool,
}

impl Route {
    /// Reads a request.
    pub fn of(method: &Method, path: &str, query: &Query) -> Self {
        let parts: Vec<String> = path.trim_matches('/').split('/').map(decode_segment).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Self::Path { path: path.to_owned(), verb: method.as_str().to_lowercase() },
        };
        let mut target = Target { group: group.to_owned(), version: version.to_owned(), ..Target::default() };
        target.verb = verb_of(method);
        target.take_segments(rest);
        target.settle_verb(query);
        Self::Resource(target)
    }
}

impl Target {
    fn take_segments(&mut self, segments: &[&str]) {
        let mut rest = segments;
        if let ["watch", tail @ ..] = rest
            && !tail.is_empty()
        {
            self.watch_prefix = true;
            rest = tail;
        }
        if let ["namespaces", namespace, tail @ ..] = rest {
            let of_the_namespace_itself =
                tail.is_empty() || matches!(tail.first(), Some(&("status" | "finalize")));
            if of_the_namespace_itself {
                self.namespace = (*namespace).to_owned();
            } else {
                self.namespace = (*namespace).to_owned();
                rest = tail;
            }
        }
        let mut rest = rest.iter();
        self.resource = rest.next().map(|s| (*s).to_owned()).unwrap_or_default();
        self.name = rest.next().map(|s| (*s).to_owned()).unwrap_or_default();
        self.subresource = rest.next().map(|s| (*s).to_owned()).unwrap_or_default();
        let proxied = self.subresource == "proxy";
        self.too_deep = rest.next().is_some() && !proxied;
        self.named_in_path = !self.name.is_empty();
    }

    fn settle_verb(&mut self, query: &Query) {
        if self.watch_prefix && self.verb == "get" {
            self.verb = "watch".to_owned();
            return;
        }
        if self.named_in_path {
            return;
        }
        match self.verb.as_str() {
            "get" => {
                self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
                self.name = name_in_selector(query.get("fieldSelector"));
            }
            "delete" => self.verb = "deletecollection".to_owned(),
            _ => {}
        }
    }
}

fn verb_of(method: &Method) -> String {
    let verb = match method.as_str() {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    };
    verb.to_owned()
}

/// The name a field selector asks for, which authorization takes as the request's name.
fn name_in_selector(selector: &str) -> String {
    let wanted = selector.split(',').find_map(|term| {
        let (field, value) = term.split_once('=')?;
        (field == "metadata.name").then(|| value.trim_start_matches('=').to_owned())
    });
    wanted.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use hyper::Method;

    use super::{Route, Target};
    use crate::sim::api::query::Query;

    fn target(method: &Method, path: &str, query: &str) -> Target {
        match Route::of(method, path, &Query::parse(query)) {
            Route::Resource(target) => target,
            Route::Path { path, .. } => panic!("{path} is not a resource"),
        }
    }

    #[test]
    fn paths_read_as_a_real_server_reads_them() {
        let list = target(&Method::GET, "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies", "");
        assert_eq!((list.verb.as_str(), list.namespace.as_str()), ("list", "shop"));
        let one = target(&Method::GET, "/api/v1/namespaces/shop", "");
        assert_eq!((one.resource.as_str(), one.name.as_str()), ("namespaces", "shop"));
        let watch = target(&Method::GET, "/api/v1/namespaces", "watch=1&fieldSelector=metadata.name%3Dshop");
        assert_eq!((watch.verb.as_str(), watch.name.as_str()), ("watch", "shop"));
        let forward = target(&Method::GET, "/api/v1/namespaces/shop/pods/p/portforward", "ports=1");
        assert_eq!((forward.name.as_str(), forward.subresource.as_str()), ("p", "portforward"));
        let old = target(&Method::GET, "/api/v1/watch/namespaces/shop/pods", "");
        assert_eq!((old.verb.as_str(), old.resource.as_str()), ("watch", "pods"));
    }
}
