//! The cockpit on a real terminal, with a collector that it reaches at the address of sluice.yaml: three
//! processes on loopback. A wrong address is told, a corrected one takes effect without a restart, and
//! the namespace's destinations are those that the collector gathered from the relay.

use std::{fs, path::Path, time::Duration};

use crate::support::terminal::{Fleet, Terminal};

use super::process::Collector;

const LIMIT: Duration = Duration::from_secs(60);

fn fleet_file(folder: &Path, collector: &str) {
    let text = format!("clusters: [{{name: east, environment: staging, collector: '{collector}'}}]\n");
    fs::write(folder.join("sluice.yaml"), text).expect("written");
}

fn see(screen: &Terminal, what: &[&str]) {
    let seen = screen.wait(|text| what.iter().all(|word| text.contains(word)), LIMIT);
    assert!(seen.is_some(), "{what:?} did not come:\n{}", screen.text());
}

#[test]
fn destinations_come_from_the_collector_at_the_address_that_is_given() {
    let home = tempfile::tempdir().expect("a folder");
    let demo = home.path().join("demo").to_string_lossy().into_owned();
    let fleet = Fleet::serve(&["--scenario", "two", "--directory", &demo, "--relay-address"]);
    let relay = fleet.said.iter().find_map(|line| line.strip_prefix("relay of east: ")).expect("a relay");
    let collector = Collector::start(home.path(), &["--hubble", relay]);

    // Nobody listens on port 1.
    fleet_file(home.path(), "127.0.0.1:1");
    let workspace = home.path().to_string_lossy();
    let screen = Terminal::start(&fleet, home.path(), &["--workspace", &workspace], (140, 40));
    see(&screen, &["collector broken: collector of east: 127.0.0.1:1: Connection refused", "listens there"]);
    fleet_file(home.path(), &collector.address.to_string());
    screen.send("\u{c}");
    see(&screen, &["collector live"]);

    let both = |edges: &str| edges.contains(r#""name":"redis""#) && edges.contains("203.0.113.30");
    collector.until("shop has talked to redis and outside", "/v1/edges?namespace=shop", both);
    // Unfolds the cluster; shop is the last of its namespaces.
    screen.send("lGd");
    see(&screen, &["east › shop › destinations", "data/redis", "6379/TCP", "203.0.113.30", "443/TCP"]);
    screen.send("\r");
    see(&screen, &["dossier", "no DNS answer to this workload led to this address"]);
}
