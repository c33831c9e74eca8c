//! Where we are, as the path above every page: the pages' words are ours, the rest are names.

use super::super::{
    masks::Shown,
    model::{Model, View},
};
use crate::{
    cockpit::world::World,
    domain::names::{ClusterName, NsName},
};

pub fn path(world: &World, model: &Model) -> Vec<Shown<'static>> {
    match model.view() {
        View::Main(main) => vec![main.word().into()],
        View::Namespace(cluster, ns) => {
            vec!["fleet".into(), cluster.to_string().into(), ns.to_string().into()]
        }
        View::Group(id) => match model.group(world, *id) {
            Some(group) => {
                vec!["denials".into(), group.key.cluster.to_string().into(), group.key.ns.to_string().into()]
            }
            None => vec!["denials".into(), "gone".into()],
        },
        View::Destinations(cluster, ns) => below((cluster, ns), "destinations"),
        View::Dossier(cluster, ns, _) => below((cluster, ns), "destination"),
        View::Timeline(target) => below((&target.cluster, &target.ns), "timeline"),
        View::Prediction(target) => below((&target.cluster, &target.ns), "prediction"),
        View::Review(name) => vec!["reviews".into(), name.to_string().into()],
        View::Document(ns) => vec!["open ends".into(), ns.to_string().into(), "document".into()],
        View::Preflight(cluster) => vec!["fleet".into(), cluster.to_string().into(), "pre-flight".into()],
        View::Coverage(cluster, ns) => below((cluster, ns), "coverage"),
    }
}

fn below((cluster, ns): (&ClusterName, &NsName), page: &'static str) -> Vec<Shown<'static>> {
    vec!["fleet".into(), cluster.to_string().into(), ns.to_string().into(), page.into()]
}
