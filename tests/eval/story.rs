//! One file of cases: a cluster in words, then questions. `##` begins a new cluster.
//!
//! `cni NAME`; `ns NAME key=value…`; `ns NAME ?` has pods but no object; `pod NS/NAME [key=value…]
//! [ip=A[,B]] [node=N] [port=NAME:NUMBER/PROTOCOL] [hostNetwork] [finished] [no-containers]`;
//! `node NAME ADDRESS`; `service NS/NAME ip=A [key=value…] port=NUMBER[:TARGET]/PROTOCOL`;
//! `policy NS/NAME` with its spec, and `object` with any other, as YAML below;
//! `ask FROM -> TO PORT/PROTOCOL` with the answer behind ` => `; `isolated` with what is isolated.

use serde_json::{Value, json};
use sluice::{
    documents::explain,
    domain::{
        eval::{
            answer::{Answer, Ask},
            isolation::Isolation,
            model::Model,
            plugin::Plugin,
            verdict::{Decision, Verdict},
        },
        flow::Direction,
    },
    manifest::cluster::Gathering,
};

/// The same text with every answer as it is.
pub fn play(text: &str) -> String {
    let mut out = String::new();
    let mut told = Told::default();
    for (line, block) in lines(text) {
        if line.starts_with("##") {
            told = Told::default();
        }
        out.push_str(&told.line(line, &block));
        out.push('\n');
        out.push_str(&block);
    }
    out
}

/// Every line, with the indented ones below it.
pub fn lines(text: &str) -> Vec<(&str, String)> {
    let mut out: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        match out.last_mut() {
            Some((_, block)) if line.starts_with("  ") => {
                block.push_str(line);
                block.push('\n');
            }
            Some(_) | None => out.push((line, String::new())),
        }
    }
    out
}

#[derive(Default)]
pub struct Told {
    cni: Option<Plugin>,
    objects: Vec<Value>,
}

impl Told {
    pub fn line(&mut self, line: &str, block: &str) -> String {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let yaml = || serde_yaml::from_str::<Value>(block).unwrap_or_else(|error| panic!("{error}: {line}"));
        match word {
            "" | "##" | "#" => {}
            "cni" => self.cni = Some(Plugin::parse(rest).unwrap_or_else(|| panic!("{line}"))),
            "ns" if rest.ends_with(" ?") => {}
            "ns" => self.objects.push(namespace(rest)),
            "node" => {
                let (name, address) = rest.split_once(' ').expect(line);
                self.objects.push(json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
                    "status": { "addresses": [{ "type": "InternalIP", "address": address }] } }));
            }
            "pod" => self.objects.push(pod(rest)),
            "service" => self.objects.push(service(rest)),
            "policy" => {
                let (ns, name) = rest.split_once('/').expect(line);
                self.objects.push(json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
                    "metadata": { "name": name, "namespace": ns }, "spec": yaml() }));
            }
            "object" => self.objects.push(yaml()),
            "ask" => {
                let asked = rest.split(" => ").next().expect("there is always one").trim_end();
                return format!("ask {asked} => {}", self.ask(asked));
            }
            "isolated" => return format!("isolated => {}", self.isolated()),
            "complaints" => return format!("complaints => {}", self.complaints()),
            _ => panic!("{line}"),
        }
        line.to_owned()
    }

    pub fn gathered(&self) -> Gathering {
        let mut gathering = Gathering::new(self.cni.unwrap_or(Plugin::Reference).traits());
        self.objects.iter().for_each(|object| gathering.object("case", object));
        gathering
    }

    fn model(&self) -> Model {
        Model::new(&self.gathered().done().0)
    }

    fn complaints(&self) -> String {
        let (_, complaints) = self.gathered().done();
        let said: Vec<_> = complaints.iter().map(|one| format!("{}: {}", one.object, one.fact)).collect();
        if said.is_empty() { "none".to_owned() } else { said.join(" | ") }
    }

    fn ask(&self, asked: &str) -> String {
        let (from, rest) = asked.split_once(" -> ").expect(asked);
        let (to, port) = rest.split_once(' ').expect(asked);
        let (port, protocol) = explain::port(port).expect(asked);
        let end = |raw| explain::endpoint(raw).expect(asked);
        match self.model().answer(&Ask { from: end(from), to: end(to), protocol, port }) {
            Ok(answer) => words(&answer),
            Err(why) => format!("refused: {why}"),
        }
    }

    fn isolated(&self) -> String {
        let model = self.model();
        let mut out = Vec::new();
        for (id, ns, name, _) in model.pods() {
            for direction in Direction::ALL {
                match model.isolates(id, direction) {
                    Isolation::Open => {}
                    Isolation::Isolated => out.push(format!("{ns}/{name} {direction}")),
                    Isolation::Unknown => out.push(format!("{ns}/{name} {direction}?")),
                    Isolation::Exempt => out.push(format!("{ns}/{name} exempt")),
                }
            }
        }
        out.dedup();
        if out.is_empty() { "nothing".to_owned() } else { out.join(", ") }
    }
}

/// `allowed: out shop/p 1; in not isolated`.
fn words(answer: &Answer) -> String {
    let mut parts = Vec::new();
    for (direction, short) in [(Direction::Egress, "out"), (Direction::Ingress, "in")] {
        let by = answer.by.iter().filter(|by| by.direction == direction);
        let mut said: Vec<String> = by
            .map(|by| match (by.decision, &by.policy, by.rule) {
                (Decision::Allowed(_), Some(policy), Some(rule)) => format!("{policy} {rule}"),
                (Decision::Denied, Some(policy), None) => format!("denied by {policy}"),
                (Decision::Unknown(_), Some(policy), Some(rule)) => format!("unknown by {policy} {rule}"),
                (Decision::Unknown(_), Some(policy), None) => format!("unknown by {policy}"),
                (decision, None, None) => decision.as_str().to_owned(),
                other => panic!("{other:?}"),
            })
            .collect();
        said.dedup();
        parts.push(format!("{short} {}", said.join(" and ")));
    }
    let mut out = format!("{}: {}", answer.verdict.as_str(), parts.join("; "));
    if answer.verdict == Verdict::Unknown {
        assert!(!answer.why.is_empty(), "an unknown verdict says why: {answer:?}");
        let why: Vec<_> = answer.why.iter().map(|why| why.as_str()).collect();
        out.push_str(&format!(" | {}", why.join(" | ")));
    }
    for note in &answer.notes {
        out.push_str(&format!(" ({note})"));
    }
    out
}

fn labels<'w>(words: impl Iterator<Item = &'w str>) -> Value {
    Value::Object(
        words
            .filter_map(|word| word.split_once('='))
            .filter(|(key, _)| !matches!(*key, "ip" | "node" | "port" | "target"))
            .map(|(key, value)| (key.to_owned(), json!(value)))
            .collect(),
    )
}

fn namespace(rest: &str) -> Value {
    let mut words = rest.split(' ');
    let name = words.next().expect("a name");
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels(words) } })
}

/// The value of every `key=`.
fn all<'w>(rest: &'w str, key: &str) -> Vec<&'w str> {
    rest.split(' ').filter_map(|word| word.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn pod(rest: &str) -> Value {
    let (ns, name) = rest.split(' ').next().expect("a name").split_once('/').expect(rest);
    let has = |flag: &str| rest.split(' ').any(|word| word == flag);
    let ips: Vec<Value> =
        all(rest, "ip").iter().flat_map(|ips| ips.split(',')).map(|ip| json!({ "ip": ip })).collect();
    let ports: Vec<Value> = all(rest, "port")
        .iter()
        .map(|port| {
            let (name, number) = port.split_once(':').expect(rest);
            let (number, protocol) = number.split_once('/').expect(rest);
            json!({ "name": name, "containerPort": number.parse::<u16>().expect(rest), "protocol": protocol })
        })
        .collect();
    let mut spec =
        json!({ "containers": [{ "name": "c", "ports": ports }], "hostNetwork": has("hostNetwork") });
    if has("no-containers") {
        spec.as_object_mut().expect("an object").remove("containers");
    }
    if let [node] = all(rest, "node")[..] {
        spec["nodeName"] = json!(node);
    }
    json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "namespace": ns, "name": name, "labels": labels(rest.split(' ')) },
        "spec": spec,
        "status": { "phase": if has("finished") { "Succeeded" } else { "Running" }, "podIPs": ips } })
}

fn service(rest: &str) -> Value {
    let (ns, name) = rest.split(' ').next().expect("a name").split_once('/').expect(rest);
    let ports: Vec<Value> = all(rest, "port")
        .iter()
        .map(|port| {
            let (numbers, protocol) = port.split_once('/').expect(rest);
            let (own, target) = numbers.split_once(':').unwrap_or((numbers, numbers));
            let target = target.parse::<u16>().map_or_else(|_| json!(target), |number| json!(number));
            json!({ "port": own.parse::<u16>().expect(rest), "targetPort": target, "protocol": protocol })
        })
        .collect();
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": ns, "name": name },
        "spec": { "clusterIP": all(rest, "ip")[0], "selector": labels(rest.split(' ')), "ports": ports } })
}
