//! Authored sets, judged by the second evaluator of `tests/eval`, which has no line of the product: what was
//! to be opened is open, nothing flagged is without its grant, and nothing beyond evidence, grants and
//! the baseline is. What is to be open is decided here, item by item, before anything is authored.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice::{
    domain::{
        author::{draft::Draft, facts::Callback},
        edge::{Edge, EdgeKey},
        flow::Direction,
        names::Text,
    },
    manifest::written,
};

use super::{
    naive::{self, End},
    story::{Story, edge, granted, ns},
};

/// One thing that the week showed.
#[derive(Clone, Debug)]
enum Item {
    /// A name with one address.
    Named(u8, u16),
    /// A receiver of webhooks, which is flagged; with a grant or without.
    Flagged(u8, bool),
    Metadata,
    /// Only denied attempts.
    Refused(u8),
    /// A name whose addresses change.
    Churning(u8),
    Pods(&'static str, u16),
    /// A pod of the host's network.
    Exporter,
    ApiServer,
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        4 => (0_u8..20, prop::sample::select(vec![443, 444])).prop_map(|(low, port)| Item::Named(low, port)),
        2 => (0_u8..4, any::<bool>()).prop_map(|(low, granted)| Item::Flagged(low, granted)),
        1 => Just(Item::Metadata),
        1 => (0_u8..4).prop_map(Item::Refused),
        1 => (0_u8..4).prop_map(Item::Churning),
        2 => (prop::sample::select(vec!["pay/gw", "pay/books"]), prop::sample::select(vec![443, 8080]))
            .prop_map(|(place, port)| Item::Pods(place, port)),
        1 => Just(Item::Exporter),
        1 => Just(Item::ApiServer),
    ]
}

/// Address, protocol and port; pods by name.
type Ways = BTreeSet<(String, &'static str, u16)>;

const FACTS: &str = "\
cni Calico v3.30
api 10.0.0.1:6443 10.96.0.1:443
nodes 10.0.0.1 10.0.0.2
pods in 10.244.0.0/16
runs shop/cart app=cart
runs pay/gw app=gw
runs pay/books app=books
runs monitoring/exporter app=exporter host
resolver kube-system k8s-app=kube-dns 53 service=10.96.0.10 local=169.254.20.10
";

/// The story, and what of it is to be open.
fn told(items: &[Item], direction: Direction, published: bool) -> (Story, Ways) {
    let mut story = Story::told(FACTS);
    if published {
        let list = Story::told("published *.assets.example 203.0.113.128/26 a list\n");
        story.settings.published = list.settings.published;
    }
    story.settings.pod_to_pod = false;
    let mut week = Week { direction, published, story, edges: BTreeMap::new(), ways: Ways::new() };
    items.iter().for_each(|item| week.show(item));
    let Week { mut story, edges, mut ways, .. } = week;
    match direction {
        Direction::Egress => {
            for place in ["kube-system/coredns", "10.96.0.10", "169.254.20.10"] {
                ways.extend(["TCP", "UDP"].map(|protocol| (place.to_owned(), protocol, 53)));
            }
        }
        // Seen or not, a webhook of the namespace is called.
        Direction::Ingress => {
            let object = Text::new("ValidatingWebhookConfiguration prices");
            story.facts.callbacks = Some(vec![Callback { object, ns: ns("shop"), port: 9443 }]);
            ways.insert(("10.0.0.1".to_owned(), "TCP", 9443));
        }
    }
    story.edges = edges.into_iter().collect();
    (story, ways)
}

struct Week {
    direction: Direction,
    published: bool,
    story: Story,
    edges: BTreeMap<EdgeKey, Edge>,
    ways: Ways,
}

impl Week {
    fn see(&mut self, far: &str, port: &str, rest: &[&str]) {
        let (key, edge) = edge(self.direction, "cart", far, port, rest);
        self.edges.insert(key, edge);
    }

    fn show(&mut self, item: &Item) {
        let out = self.direction == Direction::Egress;
        match item {
            Item::Named(low, port) => {
                let address = format!("203.0.113.{low}");
                let name = format!("api-{low}.payments.example");
                let words: &[&str] = if out { &[&name] } else { &[] };
                self.see(&address, &format!("TCP/{port}"), words);
                self.ways.insert((address, "TCP", *port));
            }
            Item::Flagged(low, has_grant) if out => {
                let (address, name) = (format!("198.51.100.{low}"), format!("a{low}.webhook.site"));
                self.see(&address, "TCP/443", &[&name]);
                if *has_grant {
                    let review = granted(&format!("r-{low}"), &format!("{address}/32"), "TCP/443", None);
                    self.story.reviews.push(review);
                    self.ways.insert((address, "TCP", 443));
                }
            }
            Item::Metadata if out => self.see("169.254.169.254", "TCP/80", &[]),
            Item::Refused(low) => self.see(&format!("192.0.2.{low}"), "TCP/443", &["denied"]),
            Item::Churning(low) if out => self.churning(*low),
            Item::Pods(place, port) => {
                self.see(&format!("pods:{place}"), &format!("TCP/{port}"), &[]);
                self.ways.insert(((*place).to_owned(), "TCP", *port));
            }
            // What is to be opened to such a pod is its node, and pods move among nodes.
            Item::Exporter => {
                self.see("pods:monitoring/exporter", "TCP/9100", &[]);
                self.ways.extend(["10.0.0.1", "10.0.0.2"].map(|node| (node.to_owned(), "TCP", 9100)));
            }
            Item::ApiServer => {
                self.see("entity:kube-apiserver", "TCP/6443", &[]);
                self.ways.insert(("10.0.0.1".to_owned(), "TCP", 6443));
            }
            Item::Flagged(..) | Item::Metadata | Item::Churning(_) => {}
        }
    }

    fn churning(&mut self, low: u8) {
        let name = format!("cdn-{low}.assets.example");
        for nth in 0..4 {
            let address = format!("203.0.113.{}", 128 + low * 8 + nth);
            self.see(&address, "TCP/443", &[&name, &format!("hours={}", 10 + u32::from(nth) * 20)]);
        }
        if self.published {
            self.ways.extend((128..192).map(|low| (format!("203.0.113.{low}"), "TCP", 443)));
        }
    }
}

const POD: [(&str, &str, &str); 5] = [
    ("shop/cart", "app=cart", "10.244.0.1"),
    ("pay/gw", "app=gw", "10.244.0.2"),
    ("pay/books", "app=books", "10.244.0.3"),
    ("pay/spare", "app=spare", "10.244.0.4"),
    ("kube-system/coredns", "k8s-app=kube-dns", "10.244.0.5"),
];

/// The cluster as objects, with what was written as a YAML reader sees it.
fn objects(draft: &Draft) -> Vec<Value> {
    let namespaces = ["shop", "pay", "kube-system", "monitoring"];
    let namespaces =
        namespaces.map(|name| json!({ "kind": "Namespace", "metadata": { "name": name, "labels": {} } }));
    let pods = POD.map(|(place, label, address)| {
        let ((ns, name), (key, value)) =
            (place.split_once('/').expect("ns/name"), label.split_once('=').expect("a label"));
        json!({ "kind": "Pod", "metadata": { "namespace": ns, "name": name, "labels": { key: value } },
            "spec": { "containers": [] }, "status": { "podIP": address } })
    });
    let texts = draft.policies.iter().map(|drafted| written::text(draft, drafted));
    let written = texts.map(|text| serde_yaml::from_str::<Value>(&text).expect("YAML"));
    namespaces.into_iter().chain(pods).chain(written).collect()
}

/// Everybody that is asked about, by the word that stands in [`Ways`].
fn ends(objects: &[Value]) -> Vec<(String, End<'_>)> {
    let pods = POD.iter().skip(1).map(|(place, _, address)| {
        let name = place.split_once('/').expect("ns/name").1;
        let pod = objects.iter().find(|one| one["kind"] == "Pod" && one["metadata"]["name"] == name);
        ((*place).to_owned(), End { pod, address: address.parse().expect("an address") })
    });
    let named = (0..24).chain(124..196).map(|low| format!("203.0.113.{low}"));
    let few = |net: &'static str| (0..6).map(move |low| format!("{net}.{low}"));
    let others =
        ["169.254.169.254", "169.254.20.10", "10.96.0.10", "10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8"];
    let outside = named.chain(few("198.51.100")).chain(few("192.0.2")).chain(others.map(str::to_owned));
    let outside = outside.map(|raw| {
        let address: IpAddr = raw.parse().expect("an address");
        (raw, End { pod: None, address })
    });
    pods.chain(outside).collect()
}

const PORTS: [u16; 10] = [53, 80, 123, 443, 444, 6443, 8080, 9100, 9443, 10443];

/// Every way that the second evaluator lets pass.
fn open(draft: &Draft, direction: Direction) -> Ways {
    let objects = objects(draft);
    let own = objects.iter().find(|one| one["metadata"]["name"] == "cart").expect("the pod");
    let which = if direction == Direction::Egress { "Egress" } else { "Ingress" };
    let mut out = Ways::new();
    for (word, end) in ends(&objects) {
        for protocol in ["TCP", "UDP"] {
            for port in PORTS {
                let destination = if direction == Direction::Egress { end.pod } else { Some(own) };
                if naive::passes(&objects, which, own, end, destination, (protocol, port)) {
                    out.insert((word.clone(), protocol, port));
                }
            }
        }
    }
    out
}

/// Time servers may be at any address but that of metadata; a block means pods too on this plugin.
fn clocks(objects: &[Value]) -> Ways {
    let all = ends(objects).into_iter().filter(|(word, _)| word != "169.254.169.254");
    all.map(|(word, _)| (word, "UDP", 123)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn what_was_to_be_open_is_and_nothing_else(
        items in prop::collection::vec(item(), 0..16), published in any::<bool>(),
    ) {
        for direction in Direction::ALL {
            let (story, mut expected) = told(&items, direction, published);
            let draft = story.draft(direction);
            let found = open(&draft, direction);
            if direction == Direction::Egress {
                expected.extend(clocks(&objects(&draft)));
            }
            prop_assert_eq!(&found, &expected, "{}: {:#?}", direction, draft.left_out);
        }
    }
}

/// Both kinds have to be there for the law to say something.
#[test]
fn the_law_sees_what_is_shut_and_what_is_open() {
    let items = [Item::Named(1, 443), Item::Flagged(1, false), Item::Flagged(2, true), Item::Churning(1)];
    let (story, _) = told(&items, Direction::Egress, false);
    let found = open(&story.draft(Direction::Egress), Direction::Egress);
    let has = |word: &str| found.contains(&(word.to_owned(), "TCP", 443));
    assert_eq!(
        ["203.0.113.1", "203.0.113.2", "198.51.100.1", "198.51.100.2", "203.0.113.136"].map(has),
        [true, false, false, true, false]
    );
}
