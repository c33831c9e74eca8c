//! What each decoder is fed with, and what must be true of whatever it makes of it.

use std::{collections::BTreeMap, fs};

use chrono::{DateTime, TimeDelta};
use prost::Message as _;
use sluice::{
    cockpit::{plan::FeedEntry, ports::Link},
    documents::{
        discovery::companion,
        notes::{self, Kind},
    },
    domain::{
        names::{Text, is_hostile},
        preflight::{
            corefile::{self, Around},
            report,
        },
        sighting::{Outcome, Told},
        suspect::Catalogue,
    },
    edges,
    flows::{
        baseline::{read, wire},
        dnstap::{decode, frames},
        hubble,
        offline::{self, Input, Job},
        records::{Context, Decoder, Format, sniff},
        tail::Tail,
    },
    k8s::preflight::manifests,
    pb::{
        flow as pb,
        observer::{GetFlowsResponse, get_flows_response::ResponseTypes},
    },
    workspace::{feeds, fleet_file},
};

use super::seeds::{self, File};

type Read = Box<dyn FnMut(&[u8])>;

pub struct Target {
    pub name: String,
    pub seeds: Vec<Vec<u8>>,
    pub rounds: u64,
    pub read: Read,
}

fn target(name: &str, seeds: Vec<Vec<u8>>, rounds: u64, read: impl FnMut(&[u8]) + 'static) -> Target {
    Target { name: name.to_owned(), seeds, rounds, read: Box::new(read) }
}

/// Formats that come as lines.
pub const LINES: [Format; 5] =
    [Format::HubbleJson, Format::CalicoJson, Format::AntreaCsv, Format::AntreaLog, Format::KernelLog];

/// One decoder reads all of them, as it does in a file: what it remembers must not break it either.
pub fn lines(format: Format) -> Target {
    let context = Context { logged: Some(Outcome::Allowed), ..Context::default() };
    let mut decoder = Decoder::new(format, context);
    let seeds = seeds::recorded(&format!("records/{format}"));
    target(&format!("{format} line"), seeds, 6_000, move |bytes| {
        sniff(bytes);
        let _ = decoder.line(bytes, &mut |told| holds_together(&told));
    })
}

/// What a decoder remembers of lines (their shapes, the ends of flows) makes it fast and nothing
/// else: it says of every line what one says that has seen no other. Only of the two events of a
/// denied packet it may leave out one, and a bare flow needs no second look.
pub fn remembered_lines() -> Target {
    let lines = |file: File| file.bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let is_plain = |file: &File| file.format == Format::HubbleJson && !file.bytes.starts_with(b"\x1f\x8b");
    let mut seeds: Vec<Vec<u8>> =
        seeds::files().into_iter().filter(is_plain).flat_map(|file| -> Vec<_> { lines(file) }).collect();
    seeds.extend(seeds::recorded("records/hubble-json"));
    let mut decoder = Decoder::new(Format::HubbleJson, Context::default());
    target("hubble-json line, remembered", seeds, 6_000, move |bytes| {
        let said = |decoder: &mut Decoder| {
            let (mut told, mut denied) = (Vec::new(), false);
            let read = decoder.line(bytes, &mut |it| {
                denied |= matches!(&it, Told::Flow(flow) if flow.outcome == Outcome::Denied);
                told.push(format!("{it:?}"));
            });
            (read, told, denied)
        };
        let (with, alone) =
            (said(&mut decoder), said(&mut Decoder::new(Format::HubbleJson, Context::default())));
        let is_twin = alone.2 && with.1.iter().all(|told| told.starts_with("Other"));
        assert!(is_twin || with == alone, "{with:?}\n{alone:?}");
    })
}

fn holds_together(told: &Told<'_>) {
    match told {
        Told::Flow(flow) => assert!(flow.at <= flow.until, "{flow:?}"),
        Told::Answer(answer) => assert!(!answer.addresses.is_empty(), "{answer:?}"),
        Told::Lost(lost) => assert!(lost.from <= lost.until, "{lost:?}"),
        Told::Other { .. } => {}
    }
}

/// All of `sluice discover`'s reading, with the format named and guessed: complaints that can be
/// shown, and edges inside the calendar.
pub fn whole_file(file: File) -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let now = DateTime::from_timestamp_nanos(seeds::START) + TimeDelta::days(2);
    let format = file.format;
    let mut is_named = false;
    target(&format!("{format} file"), vec![file.bytes], 60, move |bytes| {
        let path = folder.path().join("input");
        fs::write(&path, bytes).expect("written");
        is_named = !is_named;
        let input = || {
            vec![Input { format: is_named.then_some(format), path: path.clone(), node: None, logged: None }]
        };
        let (flows, dns) = match format {
            Format::Dnstap => (Vec::new(), input()),
            Format::CalicoJson => (input(), input()),
            _ => (input(), Vec::new()),
        };
        let found = offline::run(&Job { flows, dns, window: None, now, threads: 1 }, &mut |_| {});
        for complaint in &found.complaints {
            let said = complaint.trouble().to_string();
            assert!(!said.chars().any(is_hostile), "{said:?}");
        }
        for (key, edge) in found.ledger.into_edges() {
            assert!(edge.first <= edge.last && !edge.hours.is_empty(), "{key:?} {edge:?}");
            assert!(edge.first <= now + TimeDelta::hours(1), "{key:?} {edge:?}");
        }
    })
}

/// A growing file is read in steps and gone on with behind the last whole line.
pub fn followed() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("events.log");
    let lines = seeds::recorded("records/hubble-json").concat();
    let seeds = vec![lines.clone(), seeds::gzip(&lines)];
    target("followed file", seeds, 300, move |bytes| {
        let half = bytes.len() / 2;
        fs::write(&path, &bytes[..half]).expect("written");
        fs::write(folder.path().join("events.log.1.gz"), &bytes[half..]).expect("written");
        let mut tail = Tail::new(&path, None);
        let mut heard = 0_u64;
        for _ in 0..20 {
            tail.step(4_096, &mut |_| heard += 1).expect("the disk is well");
        }
        fs::write(&path, bytes).expect("written");
        let mut again = Tail::new(&path, tail.position());
        for _ in 0..20 {
            again.step(4_096, &mut |_| heard += 1).expect("the disk is well");
        }
        assert!(heard <= 2 * bytes.len() as u64 * 1_100 + 100, "lines out of nothing");
    })
}

pub fn dnstap_frame() -> Target {
    target("dnstap frame", seeds::dnstap_frames(), 6_000, |bytes| {
        let _ = decode::decode(bytes, &mut |told| holds_together(&told));
    })
}

/// A stream that comes in two pieces says the same as in one.
pub fn frame_stream() -> Target {
    let events = |pieces: &[&[u8]]| {
        let mut reader = frames::Reader::default();
        let (mut out, mut end) = (Vec::new(), None);
        for piece in pieces {
            reader.feed(piece);
            while end.is_none() {
                match reader.event() {
                    Ok(Some(event)) => out.push(event),
                    Ok(None) => break,
                    Err(broken) => end = Some(broken),
                }
            }
        }
        (out, end)
    };
    let handshake = [frames::accept(), frames::finish().to_vec()].concat();
    let files = seeds::files().into_iter().filter(|file| file.format == Format::Dnstap);
    let mut seeds: Vec<_> = files.map(|file| file.bytes).collect();
    seeds.truncate(1);
    seeds.push(handshake);
    target("frame stream", seeds, 2_000, move |bytes| {
        let (head, rest) = bytes.split_at(bytes.len() / 3);
        assert_eq!(events(&[bytes]), events(&[head, rest]));
    })
}

pub fn hubble() -> Target {
    let seeds = [flow(), lost()].map(|message| message.encode_to_vec()).to_vec();
    target("Hubble message", seeds, 6_000, |bytes| {
        if let Ok(message) = GetFlowsResponse::decode(bytes) {
            let _ = hubble::decode::decode(message.clone());
            let _ = hubble::sight::sight(message);
        }
    })
}

fn flow() -> GetFlowsResponse {
    let end = |name: &str| pb::Endpoint {
        identity: 4_711,
        namespace: "shop".into(),
        pod_name: format!("{name}-6c9f7d8b5-x2x7q"),
        labels: vec!["k8s:app=cart".into()],
        workloads: vec![pb::Workload { name: name.into(), kind: "Deployment".into() }],
        ..pb::Endpoint::default()
    };
    let time = Some(prost_types::Timestamp { seconds: 1_772_442_000, nanos: 5 });
    let dns = pb::Dns {
        query: "api.payments.example.".into(),
        ips: vec!["203.0.113.80".into()],
        cnames: vec!["edge.payments.example.".into()],
        ttl: 30,
        ..pb::Dns::default()
    };
    let flow = pb::Flow {
        time,
        verdict: 1,
        ip: Some(pb::Ip { source: "10.0.0.1".into(), destination: "10.0.0.2".into(), ip_version: 1 }),
        source: Some(end("cart")),
        destination: Some(end("web")),
        l7: Some(pb::Layer7 {
            r#type: 2,
            record: Some(pb::layer7::Record::Dns(dns)),
            ..pb::Layer7::default()
        }),
        r#type: 2,
        node_name: "east/w1".into(),
        event_type: Some(pb::CiliumEventType { r#type: 129, sub_type: 0 }),
        traffic_direction: 2,
        is_reply: Some(true),
        ..pb::Flow::default()
    };
    GetFlowsResponse { node_name: "east/w1".into(), time, response_types: Some(ResponseTypes::Flow(flow)) }
}

fn lost() -> GetFlowsResponse {
    let event = pb::LostEvent { source: 1, num_events_lost: 7, cpu: Some(3), ..pb::LostEvent::default() };
    let time = Some(prost_types::Timestamp { seconds: 1_772_442_000, nanos: 5 });
    GetFlowsResponse { node_name: "w1".into(), time, response_types: Some(ResponseTypes::LostEvents(event)) }
}

/// What is read is written as it was read.
pub fn edges() -> Target {
    let text = String::from_utf8(seeds::golden(COMPANION)).expect("text");
    let lines = text.lines().skip(1).map(|line| {
        let (_, rest) = line.split_once(',').expect("a cluster first");
        format!("{{{rest}").into_bytes()
    });
    target("edge of a collector", lines.collect(), 6_000, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok((key, edge)) = edges::from_line(text) {
            let line = edges::to_line(&key, &edge);
            assert!(!line.chars().any(is_hostile), "{line:?}");
            assert_eq!(edges::from_line(&line), Ok((key, edge)), "{line}");
        }
    })
}

const COMPANION: &str = "discover/snapshots/servers__discover__documents__week.edges.jsonl.snap";

pub fn collector_state() -> Target {
    const STATE: &[u8] = br#"{"schema":1,"version":"0.1.0","window":{"from":"2026-03-02T09:00:00Z","to":"2026-03-03T09:00:00Z"},"sources":[{"name":"hubble","link":"live","lagMillis":12,"nodesConnected":3,"malformed":1,"repeats":0}],"coverage":{"credited":[{"node":"w1","hours":[[492345,492350]]}],"gaps":[{"from":"2026-03-02T10:00:00Z","to":"2026-03-02T11:00:00Z","node":"w1","lost":7,"why":"ring buffer"}],"doubts":["x"]},"edges":[{"namespace":"shop","edges":12}],"troubles":[{"object":"a","fact":"b","next":"c"}]}"#;
    let bare = wire::to_json(&read::bare(Link::Connecting)).into_bytes();
    target("state of a collector", vec![STATE.to_vec(), bare], 6_000, |bytes| {
        if let Ok(state) = wire::from_json(bytes) {
            let said = wire::to_json(&state);
            let again = wire::from_json(said.as_bytes()).expect("our own");
            assert_eq!(again, state, "{said}");
        }
    })
}

/// Whatever is read of a companion is written and read the same.
pub fn companion() -> Target {
    target("companion", vec![seeds::golden(COMPANION)], 1_500, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok((read, _)) = companion::from_text(text) {
            let text = companion::to_text(&read);
            let (again, bad) = companion::from_text(&text).expect("our own");
            assert_eq!((companion::to_text(&again), bad.len()), (text, 0));
        }
    })
}

pub fn notes() -> Target {
    let document = seeds::golden("discover/snapshots/servers__discover__documents__week.md.snap");
    target("notes of a document", vec![document], 2_000, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if let Ok(old) = notes::read(Kind::Discovery, text) {
            for note in old.notes.values() {
                assert!(text.replace("\r\n", "\n").contains(note.body.trim_end()), "{note:?}");
            }
        }
    })
}

pub fn fleet_file() -> Target {
    target("sluice.yaml", vec![seeds::asset("sluice.example.yaml")], 1_500, |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let said: Vec<_> = match fleet_file::parse("sluice.yaml", text) {
            Ok(parsed) => parsed.notices,
            Err(errors) => errors,
        };
        for trouble in said {
            let trouble = trouble.to_string();
            assert!(!trouble.chars().any(is_hostile), "{trouble:?}");
        }
    })
}

pub fn feed() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let seeds = ["ours.txt", "shady.txt"].map(|name| {
        let path = format!("{}/tests/cases/meaning/feeds/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::read(path).expect("the feed")
    });
    let entry = FeedEntry {
        file: Text::new("feed.txt"),
        name: None,
        class: Some(Text::new("tunnel")),
        severity: None,
        origin: None,
        date: None,
    };
    target("feed", seeds.to_vec(), 2_000, move |bytes| {
        fs::write(folder.path().join("feed.txt"), bytes).expect("written");
        let mut fresh = Catalogue::default();
        for trouble in feeds::add(&mut fresh, folder.path(), std::slice::from_ref(&entry)) {
            let said = trouble.to_string();
            assert!(!said.chars().any(is_hostile), "{said:?}");
        }
    })
}

/// A Corefile that imports what is damaged, too.
pub fn corefile() -> Target {
    let seeds = fs::read("tests/cases/preflight/corefiles").expect("readable");
    let seeds = String::from_utf8(seeds).expect("UTF-8");
    let seeds = seeds.split("\n=== ").map(|case| case.as_bytes().to_vec()).collect();
    target("Corefile", seeds, 6_000, move |bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let files = BTreeMap::from([
            ("/etc/coredns/custom/a.server".to_owned(), text.clone()),
            ("/etc/coredns/absent".to_owned(), text.clone()),
        ]);
        let around = Around { files: &files, env: &BTreeMap::new(), folder: "/etc/coredns" };
        if let Err(broken) = corefile::parse(&text, around) {
            assert!(!broken.to_string().chars().any(is_hostile), "{broken}");
        }
    })
}

/// Manifests, to the last sentence of the pre-flight.
pub fn manifest() -> Target {
    let cases = ["enforcement", "flows", "dns", "around"];
    let read = |name: &str| fs::read(format!("tests/cases/preflight/{name}.txt")).expect("readable");
    let texts: Vec<String> = cases.iter().map(|name| String::from_utf8(read(name)).expect("UTF-8")).collect();
    let bodies = texts.iter().flat_map(|text| text.split("\n=== "));
    let seeds = bodies.filter_map(|case| Some(case.split_once("\n---\n")?.1.as_bytes().to_vec())).collect();
    target("manifest", seeds, 1_000, move |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (reading, complaints) = manifests::read([("x", text.as_ref())]);
        assert!(complaints.iter().all(|one| !one.why.as_str().chars().any(is_hostile)));
        for check in report::run(&reading).checks {
            assert!(!check.why.as_str().chars().any(is_hostile), "{check:?}");
        }
    })
}
