//! Denied flows as `sluice denials` prints them: groups, single denials, gaps and sources, as JSON
//! lines or as a table. What was lost is printed beside what was seen.

use serde::Serialize;

use super::{
    table::Table,
    wire::{SourceOut, line, rate, rate_word, source_line, time},
};
use crate::{
    cockpit::{
        ports::Gap,
        rows,
        world::{Source, World},
    },
    domain::{
        denial::{Class, Denial, Group},
        fleet::Cluster,
        names::{ClusterName, NsName},
        time::{age, span},
    },
};

/// Which denials are printed. Empty lists leave nothing out.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub namespaces: Vec<NsName>,
    pub direction: Option<crate::domain::flow::Direction>,
}

impl Wanted {
    pub fn takes(&self, group: &Group) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(&group.key.ns))
            && self.direction.is_none_or(|direction| direction == group.key.direction)
    }
}

/// One line of `-o json`; `type` tells them apart.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum LineOut {
    Group(GroupOut),
    Denial(DenialOut),
    Gap(GapOut),
    Source {
        cluster: String,
        #[serde(flatten)]
        source: SourceOut,
    },
    /// Denials that came too fast to be printed one by one.
    Missed {
        count: u64,
    },
}

#[derive(Debug, Serialize)]
struct KeyOut {
    cluster: String,
    namespace: String,
    workload: Option<String>,
    workload_kind: Option<String>,
    direction: &'static str,
    destination: String,
    port: u16,
    protocol: &'static str,
    class: &'static str,
    /// The rule that makes it noise.
    rule: Option<&'static str>,
    owner: Option<String>,
    contact: Option<String>,
}

#[derive(Debug, Serialize)]
struct GroupOut {
    #[serde(flatten)]
    key: KeyOut,
    count: u64,
    per_minute: Option<f64>,
    first: String,
    last: String,
    /// The data plane's own word.
    said: String,
    /// Our evaluator's word on the newest of them; `null`: it was not asked yet.
    ours: Option<OursOut>,
    /// The data plane denies what the policies allow by our evaluator.
    disagrees: bool,
    address: Option<String>,
    node: Option<String>,
    pods: Vec<String>,
    more_pods: bool,
}

#[derive(Debug, Serialize)]
struct OursOut {
    /// `allowed`, `denied` or `unknown`.
    verdict: &'static str,
    why: String,
    /// The policies that it rests on were seen to be live then; else it is by those of now.
    of_then: bool,
}

#[derive(Debug, Serialize)]
struct DenialOut {
    at: String,
    #[serde(flatten)]
    key: KeyOut,
    pod: Option<String>,
    address: Option<String>,
    said: String,
}

#[derive(Debug, Serialize)]
struct GapOut {
    cluster: String,
    node: Option<String>,
    from: String,
    until: Option<String>,
    /// `null`: not counted by the source.
    lost: Option<u64>,
    why: String,
}

/// All groups, hurting first, then the newest; then every source with its losses.
pub fn json_lines(world: &World, wanted: &Wanted) -> String {
    let groups = world.denials().groups().chain(world.denials().would()).filter(|group| wanted.takes(group));
    let mut out: String = groups.map(|group| line(&LineOut::Group(group_out(world, group)))).collect();
    for cluster in world.clusters() {
        let gaps = world.source(&cluster.name).into_iter().flat_map(|source| &source.gaps);
        out.extend(gaps.map(|gap| gap_json(&cluster.name, gap)));
        let row = rows::source_of(world, cluster);
        out.push_str(&line(&LineOut::Source { cluster: cluster.name.to_string(), source: (&row).into() }));
    }
    if world.denials().forgotten() > 0 {
        out.push_str(&missed_json(world.denials().forgotten()));
    }
    out
}

/// One denied attempt on one line; `None` if its group is gone.
pub fn denial_json(world: &World, denial: &Denial) -> Option<String> {
    let group = world.denials().group(denial.group)?;
    Some(line(&LineOut::Denial(DenialOut {
        at: time(denial.at),
        key: key_out(world, group),
        pod: denial.pod.as_ref().map(ToString::to_string),
        address: denial.address.map(|address| address.to_string()),
        said: group.said.to_string(),
    })))
}

pub fn gap_json(cluster: &ClusterName, gap: &Gap) -> String {
    line(&LineOut::Gap(GapOut {
        cluster: cluster.to_string(),
        node: gap.node.as_ref().map(ToString::to_string),
        from: time(gap.from),
        until: gap.until.map(time),
        lost: gap.lost,
        why: gap.why.to_string(),
    }))
}

pub fn missed_json(count: u64) -> String {
    line(&LineOut::Missed { count })
}

fn group_out(world: &World, group: &Group) -> GroupOut {
    GroupOut {
        key: key_out(world, group),
        count: group.count,
        per_minute: rows::group_rate(world, group, world.now()).map(rate),
        first: time(group.first),
        last: time(group.last),
        said: group.said.to_string(),
        ours: group.ours.as_ref().map(|ours| OursOut {
            verdict: ours.opinion.verdict.as_str(),
            why: ours.opinion.why.to_string(),
            of_then: ours.of_then,
        }),
        disagrees: group.disagrees(),
        address: group.address.map(|address| address.to_string()),
        node: group.node.as_ref().map(ToString::to_string),
        pods: group.pods.keys().map(ToString::to_string).collect(),
        more_pods: group.more_pods,
    }
}

fn key_out(world: &World, group: &Group) -> KeyOut {
    let key = &group.key;
    let ns = world.namespace(&key.cluster, &key.ns);
    let (owner, contact) = ns.map_or((None, None), |ns| rows::owner(world, ns));
    KeyOut {
        cluster: key.cluster.to_string(),
        namespace: key.ns.to_string(),
        workload: key.workload.as_ref().map(ToString::to_string),
        workload_kind: key.workload.as_ref().map(|workload| workload.kind.to_string()),
        direction: key.direction.as_str(),
        destination: key.peer.to_string(),
        port: key.port,
        protocol: key.protocol.as_str(),
        class: group.class.word(),
        rule: match group.class {
            Class::Noisy(noise) => Some(noise.as_str()),
            Class::Hurting | Class::Unattributed | Class::StartUp | Class::Expected | Class::Would => None,
        },
        owner: owner.map(|owner| owner.to_string()),
        contact: contact.map(|contact| contact.to_string()),
    }
}

/// What our evaluator says of the newest denial, in a cell.
fn ours(group: &Group) -> &'static str {
    match &group.ours {
        _ if group.disagrees() => "ALLOWED",
        Some(ours) => ours.opinion.verdict.as_str(),
        None => "-",
    }
}

/// The groups as a table, then what the sources say of themselves.
pub fn text(world: &World, wanted: &Wanted) -> String {
    let mut table = Table::new(&[
        "CLASS",
        "OURS",
        "COUNT",
        "/MIN",
        "LAST",
        "CLUSTER",
        "NAMESPACE",
        "WORKLOAD",
        "DIRECTION",
        "PEER",
        "PORT",
        "OWNER",
    ]);
    let groups = world.denials().groups().chain(world.denials().would());
    for group in groups.filter(|group| wanted.takes(group)) {
        let key = key_out(world, group);
        table.row([
            key.class.to_owned(),
            ours(group).to_owned(),
            group.count.to_string(),
            rate_word(rows::group_rate(world, group, world.now())),
            format!("{} ago", span(age(group.last, world.now()))),
            key.cluster,
            key.namespace,
            key.workload.unwrap_or_else(|| "-".to_owned()),
            key.direction.to_owned(),
            key.destination,
            format!("{}/{}", key.port, key.protocol),
            key.owner.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let is_any_live =
        world.clusters().any(|cluster| world.source(&cluster.name).is_some_and(Source::is_live));
    let is_any_denied = world.denials().groups().any(|group| wanted.takes(group));
    let mut out = match (is_any_denied, is_any_live) {
        (true, _) => String::new(),
        (false, true) => "No denials were seen.\n".to_owned(),
        (false, false) => "Denials are unknown: no flow source is live.\n".to_owned(),
    };
    if !table.is_empty() {
        out.push_str(&table.text(""));
    }
    out.extend(world.denials().groups().filter(|group| wanted.takes(group)).filter_map(disagreement));
    out.push('\n');
    out.push_str(&sources_text(world));
    if world.denials().forgotten() > 0 {
        out.push_str(&format!(
            "{} denials are in none of these groups: there were too many\n",
            world.denials().forgotten()
        ));
    }
    out
}

/// What the data plane did and our evaluator would not have, as a line.
fn disagreement(group: &Group) -> Option<String> {
    let (key, ours) = (&group.key, group.ours.as_ref().filter(|_| group.disagrees())?);
    Some(format!(
        "DISAGREEMENT  {}/{} {} {}:{}/{}: the data plane said {}, by the live policies it is {} ({})\n",
        key.cluster,
        key.ns,
        key.direction,
        key.peer,
        key.port,
        key.protocol,
        group.said,
        ours.opinion.verdict.as_str(),
        ours.opinion.why,
    ))
}

/// One line a cluster: how its flow source is doing and what it lost.
pub fn sources_text(world: &World) -> String {
    let line = |cluster: &Cluster| {
        let row = rows::source_of(world, cluster);
        format!("{}: {}\n", cluster.name, source_line(&row, world.now(), world.zone()))
    };
    world.clusters().map(line).collect()
}

/// One denied attempt as a line of text; `None` if its group is gone.
pub fn denial_text(world: &World, denial: &Denial) -> Option<String> {
    let group = world.denials().group(denial.group)?;
    let key = key_out(world, group);
    let clock = denial.at.with_timezone(&world.zone()).format("%H:%M:%S%.3f");
    let who = denial.pod.as_ref().map(ToString::to_string).or(key.workload).unwrap_or_else(|| "-".to_owned());
    let address = denial.address.map(|address| format!(" ({address})")).unwrap_or_default();
    Some(format!(
        "{clock}  {}  {}/{}  {who}  {}  {}:{}/{}{address}  {}\n",
        key.class,
        key.cluster,
        key.namespace,
        key.direction,
        key.destination,
        key.port,
        key.protocol,
        group.said
    ))
}

pub fn gap_text(world: &World, cluster: &ClusterName, gap: &Gap) -> String {
    let clock =
        |at: crate::domain::time::Timestamp| at.with_timezone(&world.zone()).format("%H:%M:%S").to_string();
    let until = gap.until.map_or("now".to_owned(), clock);
    let node = gap.node.as_ref().map_or("the whole source".to_owned(), |node| format!("node {node}"));
    let lost = gap.lost.map_or("an unknown number of events".to_owned(), |lost| format!("{lost} events"));
    format!("GAP  {cluster}: {lost} lost from {} to {until}, {node}: {}\n", clock(gap.from), gap.why)
}
