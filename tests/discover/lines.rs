//! Lines of Hubble and files of them, written by hand.

use std::{fs, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use sluice::{
    domain::time::Timestamp,
    flows::{
        offline::{Found, Input},
        records::Format,
    },
};

/// `cart` of `shop` opens a connection to an address, as its node tells it.
pub fn flow(at: Timestamp, pod: &str, to: &str, port: u16) -> String {
    format!(
        r#"{{"flow":{{"time":"{}","verdict":"FORWARDED","IP":{{"source":"10.0.1.7","destination":"{to}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":40112,"destination_port":{port},"flags":{{"SYN":true}}}}}},"source":{{"identity":4711,"namespace":"shop","pod_name":"{pod}","workloads":[{{"name":"cart","kind":"Deployment"}}]}},"destination":{{"identity":2,"labels":["reserved:world"]}},"Type":"L3_L4","node_name":"node-1","event_type":{{"type":4,"sub_type":3}},"traffic_direction":"EGRESS","trace_observation_point":"TO_STACK","is_reply":false}},"node_name":"node-1","time":"{}"}}"#,
        time(at),
        time(at)
    )
}

/// The DNS proxy's record of an answer to a pod of `shop`.
pub fn answer(at: Timestamp, pod: &str, name: &str, address: &str) -> String {
    format!(
        r#"{{"flow":{{"time":"{}","verdict":"FORWARDED","IP":{{"source":"10.96.0.10","destination":"10.0.1.7","ipVersion":"IPv4"}},"l4":{{"UDP":{{"source_port":53,"destination_port":50123}}}},"source":{{"identity":99,"namespace":"kube-system","pod_name":"coredns-1"}},"destination":{{"identity":4711,"namespace":"shop","pod_name":"{pod}","workloads":[{{"name":"cart","kind":"Deployment"}}]}},"Type":"L7","node_name":"node-1","event_type":{{"type":129}},"traffic_direction":"INGRESS","is_reply":true,"l7":{{"type":"RESPONSE","dns":{{"query":"{name}.","ips":["{address}"],"ttl":30,"rcode":0,"qtypes":["A"],"observation_source":"proxy","rrtypes":["A"]}}}}}},"node_name":"node-1","time":"{}"}}"#,
        time(at),
        time(at)
    )
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

pub fn gz(text: &str) -> Vec<u8> {
    gz_of(text.as_bytes())
}

pub fn gz_of(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file");
    path
}

pub fn input(format: Option<Format>, path: &Path) -> Input {
    Input { format, path: path.to_owned(), node: None, logged: None }
}

/// Complaints without the folder's name.
pub fn said(found: &Found, folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    let lines = found.complaints.iter().map(|complaint| format!("{}\n", complaint.trouble()));
    let bare = folder.trim_end_matches('/');
    lines.map(|line| line.replace(&folder, "").replace(bare, "FOLDER")).collect()
}
