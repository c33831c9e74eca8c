//! What a core reads of flow files, from bytes in memory to what they tell: `cargo bench --bench
//! records`. Prints bytes and lines a second; input is made here, seeded by a counter.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{fmt::Write as _, time::Instant};

use sluice::{
    domain::sighting::Told,
    flows::records::{Context, Decoder, Format},
};

const LINES: u64 = 100_000;
const SLICE: usize = 1_000;
const ROUNDS: u32 = 8;

fn main() {
    row(Format::HubbleJson, "an exporter's lines, labels and all", hubble);
    row(Format::CalicoJson, "merged flows", calico);
    row(Format::AntreaCsv, "flowLogger 2.7", antrea_csv);
    row(Format::AntreaLog, "np.log", antrea_log);
}

/// Each thousand lines at the best of some rounds: what else the machine does is not what is measured.
fn row(format: Format, what: &str, line: fn(u64, &mut String)) {
    let mut text = String::new();
    for n in 0..LINES {
        line(n, &mut text);
        text.push('\n');
    }
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let mut best = vec![f64::INFINITY; ends.len().div_ceil(SLICE)];
    let (mut told, mut ports) = (0_u64, 0_u64);
    for _ in 0..ROUNDS {
        let mut decoder = Decoder::new(format, Context::default());
        let mut from = 0;
        for (slice, best) in ends.chunks(SLICE).zip(&mut best) {
            let start = Instant::now();
            for end in slice {
                let read = decoder.line(&text.as_bytes()[from..*end], &mut |said| {
                    told += 1;
                    if let Told::Flow(flow) = said {
                        ports += u64::from(flow.port);
                    }
                });
                read.expect("a line of this bench is whole");
                from = end + 1;
            }
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    let seconds: f64 = best.iter().sum();
    println!(
        "{format}, {what}: {:.2} GB/s, {:.2} million lines a second of {} bytes ({told} told, check {ports})",
        text.len() as f64 / seconds / 1e9,
        LINES as f64 / seconds / 1e6,
        text.len() as u64 / LINES,
    );
}

/// The members in the exporter's order; in eight lines one denial, two traces and five allowed.
fn hubble(n: u64, out: &mut String) {
    let (pod, peer, port) = (n % 200, n / 7 % 250, 30_000 + n % 30_000);
    let micros = n % 1_000_000;
    let (verdict, kind) = match n % 8 {
        0 => ("DROPPED", 5),
        1 | 2 => ("FORWARDED", 4),
        _ => ("FORWARDED", 5),
    };
    let denied =
        if n.is_multiple_of(8) { ",\"drop_reason_desc\":\"POLICY_DENIED\"" } else { ",\"is_reply\":false" };
    let _ = write!(
        out,
        r#"{{"flow":{{"time":"2026-03-02T09:15:04.{micros:06}Z","uuid":"{n:08x}-4a39-4a57-9c63-1f6f6f3f0a11","verdict":"{verdict}","ethernet":{{"source":"0a:58:0a:2a:03:11","destination":"0a:58:0a:2a:03:01"}},"IP":{{"source":"10.42.3.{pod}","destination":"203.0.113.{peer}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{port},"destination_port":443,"flags":{{"SYN":true}}}}}},"source":{{"ID":912,"identity":48211,"cluster_name":"east-1","namespace":"shop","labels":["k8s:app=cart","k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=shop","k8s:io.cilium.k8s.policy.cluster=east-1","k8s:io.cilium.k8s.policy.serviceaccount=cart","k8s:io.kubernetes.pod.namespace=shop","k8s:tier=backend"],"pod_name":"cart-6c9f7d8b5-x{pod:04}","workloads":[{{"name":"cart","kind":"Deployment"}}]}},"destination":{{"identity":16777300,"labels":["cidr:203.0.113.0/24","reserved:world"]}},"Type":"L3_L4","node_name":"east-1/worker-3","node_labels":["kubernetes.io/arch=amd64","kubernetes.io/os=linux","topology.kubernetes.io/zone=a"],"destination_names":["api.payments.example"],"event_type":{{"type":{kind}}},"traffic_direction":"EGRESS"{denied},"Summary":"TCP Flags: SYN"}},"node_name":"east-1/worker-3","time":"2026-03-02T09:15:04.{micros:06}Z"}}"#
    );
}

fn calico(n: u64, out: &mut String) {
    let (pod, peer) = (n % 200, n / 7 % 250);
    let _ = write!(
        out,
        r#"{{"start_time":1772443500,"end_time":1772443800,"source_ip":"10.42.3.{pod}","source_name":"-","source_name_aggr":"cart-6c9f7d8b5-*","source_namespace":"shop","nat_outgoing_ports":null,"source_port":null,"source_type":"wep","source_labels":{{"labels":["app=cart","tier=web"]}},"dest_ip":"203.0.113.{peer}","dest_name":"-","dest_name_aggr":"pub","dest_namespace":"-","dest_port":443,"dest_type":"net","dest_labels":null,"dest_service_namespace":"-","dest_service_name":"-","dest_service_port":"-","dest_service_port_num":null,"dest_domains":["api.payments.example"],"proto":"tcp","action":"allow","reporter":"src","policies":{{"enforced_policies":["0|default|default.shop/knp.default.egress|allow|0"],"pending_policies":[]}},"bytes_in":1800,"bytes_out":180,"num_flows":3,"num_flows_started":3,"num_flows_completed":3,"packets_in":10,"packets_out":3,"http_requests_allowed_in":0,"http_requests_denied_in":0,"process_name":"-","process_id":"-","original_source_ips":null,"num_original_source_ips":0}}"#
    );
}

fn antrea_csv(n: u64, out: &mut String) {
    let (pod, peer, port, start) = (n % 200, n / 7 % 250, 30_000 + n % 30_000, 1_772_443_500 + n / 100);
    let _ = write!(
        out,
        "{start},{start},10.42.3.{pod},203.0.113.{peer},{port},443,TCP,cart-6c9f7d8b5-x{pod:04},shop,worker-3,,,,,,0,,,,,,,allow-egress,shop,r1,Allow,K8sNetworkPolicy,,,"
    );
}

fn antrea_log(n: u64, out: &mut String) {
    let (pod, peer, port) = (n % 200, n / 7 % 250, 30_000 + n % 30_000);
    let _ = write!(
        out,
        "2026/03/02 09:15:05.{:06} EgressDefaultRule K8sNetworkPolicy <nil> Egress Drop <nil> shop/cart-6c9f7d8b5-x{pod:04} 10.42.3.{pod} {port} 203.0.113.{peer} 443 TCP 60 <nil> [3 packets in 1.000412s]",
        n % 1_000_000
    );
}
