//! What a flood of denied flows costs between the wire and the world: `cargo bench --bench flows`.
//! Prints figures with their limits and asserts no time; input is made here, seeded by a counter.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

#[path = "../tests/hubble/relay.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod relay;

use std::{fs, time::Instant};

use chrono::TimeDelta;
use prost::Message as _;
use sluice::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        ports::{Change, ClusterFact, Fact},
        world::World,
    },
    domain::{
        fleet::{Environment, NamespaceSeen},
        flow::Flow,
        names::{ClusterName, NsName, Text},
        time::Timestamp,
    },
    flows::{
        batch::Batch,
        hubble::{
            self,
            decode::{Seen, Sighting, decode},
        },
    },
    pb::{
        flow as pb,
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    },
};

/// The load of the README's figure.
const PER_SECOND: u64 = 50_000;
const SECONDS: u64 = 60;
const NAMESPACES: u64 = 50;

fn main() {
    wire();
    stream();
    absorb("500 groups, 1 % of them new each minute", |n| (n % 500 + n / 600_000, 443));
    absorb("a port scan: every flow a group of its own", |n| (n / 60_000, (n % 60_000) as u16));
}

/// Bytes of the stream to flows in batches.
fn wire() {
    let count = 500_000_u64;
    let bytes: Vec<Vec<u8>> = (0..50_000).map(|n| message(n, n % 500, 443).encode_to_vec()).collect();
    let size = bytes.iter().map(Vec::len).sum::<usize>() / bytes.len();
    let mut batch = Batch::default();
    let (mut kept, mut batches) = (0_u64, 0_u64);
    let start = Instant::now();
    for n in 0..count {
        let response = GetFlowsResponse::decode(bytes[(n % 50_000) as usize].as_slice()).expect("our own");
        let Ok(Seen::Flow(seen)) = decode(response) else { panic!("a flow") };
        let Sighting { mut flow, event, .. } = *seen;
        flow.id.0 = format!("{n:036}").into();
        batch.push(flow, event, tokio::time::Instant::now());
        if batch.is_full() {
            kept += batch.close().len() as u64;
            batches += 1;
        }
    }
    let rate = count as f64 / start.elapsed().as_secs_f64();
    println!(
        "wire to batch: {rate:.0} flows a second of {size} bytes ({kept} flows in {batches} batches); {:.1} % of a core at {PER_SECOND}/s",
        PER_SECOND as f64 / rate * 100.0
    );
}

/// From a relay's stream (gRPC over memory, the server in the same process) to the inbox.
fn stream() {
    const COUNT: u64 = 300_000;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let (took, lag) = runtime.expect("a runtime").block_on(async {
        let relay = relay::Relay::new(&["east/worker-1"]);
        let (sender, mut inbox) = tokio::sync::mpsc::channel(256);
        let (_wanted, wanting) = tokio::sync::watch::channel(Vec::new());
        let cluster = ClusterName::parse("east").expect("a name");
        tokio::spawn(hubble::run(cluster, relay.dial(), wanting, sender));
        while relay.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        (0..COUNT).for_each(|n| relay.send(&message(n, n % 500, 443)));
        let start = Instant::now();
        let (mut flows, mut batches) = (0, 0_u64);
        while flows < COUNT {
            if let Some(Fact::Cluster(_, ClusterFact::Flows(batch))) = inbox.recv().await {
                flows += batch.len() as u64;
                batches += 1;
            }
        }
        (start.elapsed(), batches)
    });
    println!(
        "stream to inbox: {:.0} flows a second in {lag} batches, the server's work included (limit {PER_SECOND})",
        COUNT as f64 / took.as_secs_f64(),
    );
}

/// A minute of the load through the world's door, sorted after each batch as the engine does.
fn absorb(what: &str, group: impl Fn(u64) -> (u64, u16)) {
    let mut world = world();
    let cluster = ClusterName::parse("east").expect("a name");
    let total = PER_SECOND * SECONDS;
    let (mut busy, mut worst) = (0.0_f64, 0.0_f64);
    let mut memory = Vec::new();
    let mut next = 0;
    while next < total {
        let until = (next + Batch::FLOWS as u64).min(total);
        let flows: Vec<Flow> = (next..until).map(|n| flow(n, group(n))).collect();
        let now = start() + TimeDelta::microseconds((until * 1_000_000 / PER_SECOND) as i64);
        let begin = Instant::now();
        world.absorb(Fact::Tick(now));
        world.absorb(Fact::Cluster(cluster.clone(), ClusterFact::Flows(flows)));
        world.settle();
        let took = begin.elapsed().as_secs_f64();
        busy += took;
        worst = worst.max(took);
        if next / (PER_SECOND * 10) != until / (PER_SECOND * 10) {
            memory.push(format!("{:.1}", resident_mib()));
        }
        next = until;
    }
    let denials = world.denials();
    let kept: u64 = denials.groups().map(|group| group.count).sum();
    println!(
        "absorb, {what}: {total} flows in {busy:.2} s, {:.1} % of a core at {PER_SECOND}/s, worst batch {:.2} ms; memory {} MiB every 10 s",
        busy / SECONDS as f64 * 100.0,
        worst * 1_000.0,
        memory.join(" "),
    );
    println!(
        "  {} groups with {kept} denials, {} forgotten, together {} of {}",
        denials.groups().len(),
        denials.forgotten(),
        kept + denials.forgotten(),
        denials.total(),
    );
}

fn world() -> World {
    let mut world = World::new(start());
    let name = ClusterName::parse("east").expect("a name");
    let entry = ClusterEntry {
        name: name.clone(),
        context: Text::new("east"),
        environment: Environment::Staging,
        relay: None,
        flows: Default::default(),
        collector: None,
    };
    world.absorb(Fact::Fleet(FleetFile { clusters: vec![entry], ..FleetFile::default() }));
    let namespaces = (0..NAMESPACES).map(|n| NamespaceSeen {
        name: NsName::parse(&format!("ns-{n}")).expect("a name"),
        labels: Default::default(),
        owner: None,
        contact: None,
        terminating: false,
    });
    world.absorb(Fact::Cluster(name, ClusterFact::Namespaces(Change::Reset(namespaces.collect()))));
    world
}

fn flow(n: u64, (group, port): (u64, u16)) -> Flow {
    match decode(message(n, group, port)) {
        Ok(Seen::Flow(seen)) => seen.flow,
        other => panic!("a flow, not {other:?}"),
    }
}

fn message(n: u64, group: u64, port: u16) -> GetFlowsResponse {
    let at = start() + TimeDelta::microseconds((n * 1_000_000 / PER_SECOND) as i64);
    let time =
        Some(prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 });
    let node = format!("east/worker-{}", n % 20);
    let flow = pb::Flow {
        time,
        uuid: format!("{n:08x}-4a39-4a57-9c63-1f6f6f3f0a11"),
        verdict: pb::Verdict::Dropped as i32,
        drop_reason: 133,
        drop_reason_desc: 133,
        ip: Some(pb::Ip {
            source: format!("10.42.{}.{}", n % 200, n % 250),
            destination: format!("203.0.{}.{}", group / 250 % 250, group % 250),
            ip_version: 1,
        }),
        l4: Some(pb::Layer4 {
            protocol: Some(pb::layer4::Protocol::Tcp(pb::Tcp {
                source_port: (n % 60_000) as u32,
                destination_port: u32::from(port),
                flags: Some(pb::TcpFlags { syn: true, ..pb::TcpFlags::default() }),
            })),
        }),
        source: Some(pb::Endpoint {
            id: 912,
            identity: 48_211,
            namespace: format!("ns-{}", group % NAMESPACES),
            pod_name: format!("cart-6c9f7d8b5-x{:04}", n % 100),
            workloads: vec![pb::Workload { name: "cart".into(), kind: "Deployment".into() }],
            ..pb::Endpoint::default()
        }),
        destination: Some(pb::Endpoint { identity: 2, ..pb::Endpoint::default() }),
        r#type: pb::FlowType::L3L4 as i32,
        node_name: node.clone(),
        event_type: Some(pb::CiliumEventType { r#type: 5, sub_type: 0 }),
        traffic_direction: pb::TrafficDirection::Egress as i32,
        ..pb::Flow::default()
    };
    GetFlowsResponse { node_name: node, time, response_types: Some(ResponseTypes::Flow(flow)) }
}

fn start() -> Timestamp {
    Timestamp::from_timestamp(1_772_442_000, 0).expect("in range")
}

fn resident_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1_024.0
}
