//! Keeps the evaluator's view in step with what the API server holds: reads only what changed.

use std::{collections::HashMap, sync::Arc};

use serde_json::Value;

use crate::sim::{
    api::cluster::Cluster,
    fleet::{
        cilium,
        plan::Labels,
        verdict::{Enforcement, View},
    },
};

/// What the evaluator has to know, read from the API server only where it changed.
pub struct Views {
    pub view: View,
    seen: HashMap<String, Vec<Arc<Value>>>,
    namespaces: Vec<Arc<Value>>,
}

impl Views {
    pub fn new(enforcement: Enforcement) -> Self {
        Self { view: View::new(enforcement), seen: HashMap::new(), namespaces: Vec::new() }
    }

    /// Reads what changed; false if nothing did.
    pub fn refresh(&mut self, server: &Cluster) -> bool {
        self.refresh_namespaces(server) | self.refresh_policies(server)
    }

    fn refresh_namespaces(&mut self, server: &Cluster) -> bool {
        let namespaces = server.objects("v1", "Namespace");
        if same(&namespaces, &self.namespaces) {
            return false;
        }
        let labels = |ns: &Value| -> Labels {
            let pairs = ns["metadata"]["labels"].as_object().into_iter().flatten();
            pairs.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
        };
        let name = |ns: &Value| ns["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.view.namespaces = namespaces.iter().map(|ns| (name(ns), Arc::new(labels(ns)))).collect();
        self.namespaces = namespaces;
        true
    }

    fn refresh_policies(&mut self, server: &Cluster) -> bool {
        let mut now: HashMap<String, Vec<Arc<Value>>> = HashMap::new();
        let own_kind = server.objects(cilium::API_VERSION, cilium::KIND);
        for policy in server.policies().into_iter().chain(own_kind) {
            let namespace = namespace_of(&policy).to_owned();
            now.entry(namespace).or_default().push(policy);
        }
        let mut changed = false;
        let gone: Vec<String> = self.seen.keys().filter(|ns| !now.contains_key(*ns)).cloned().collect();
        for namespace in gone {
            self.view.set_policies(&namespace, &[]);
            changed = true;
        }
        for (namespace, policies) in &now {
            if !self.seen.get(namespace).is_some_and(|seen| same(seen, policies)) {
                self.view.set_policies(namespace, policies);
                changed = true;
            }
        }
        self.seen = now;
        changed
    }
}

pub fn namespace_of(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

fn same(left: &[Arc<Value>], right: &[Arc<Value>]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(l, r)| Arc::ptr_eq(l, r))
}
