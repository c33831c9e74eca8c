//! Writes a generated week for measurements, as fast as the disk takes it:
//! `cargo bench --bench week -- FOLDER [hubble|hubble-dnstap|calico|antrea|antrea-log] [small|medium|large] [SEED]`.
//! Large is 10 million flows, 2 million answers, 100,000 edges; medium has a tenth of the flows between
//! as many. Without a folder it writes a small one into a temporary folder and prints the pace.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{collections::BTreeSet, fs, path::PathBuf, time::Instant};

use sluice::sim::week::{
    cases::{self, Case, Settings, Size},
    files::{self, Form},
};

/// Monday, 2 March 2026.
const START: i64 = 1_772_409_600 * 1_000_000_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let word = |at: usize, or: &str| words.get(at).cloned().unwrap_or_else(|| or.to_owned());
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = words.first().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let form = match word(1, "hubble-dnstap").as_str() {
        "hubble" => Form::Hubble,
        "calico" => Form::Calico,
        "antrea" => Form::AntreaAndDnstap,
        "antrea-log" => Form::AntreaLogAndDnstap,
        _ => Form::HubbleAndDnstap,
    };
    let size = match word(2, "small").as_str() {
        "large" => Size::LARGE,
        "medium" => Size { visits_a_day: Size::LARGE.visits_a_day / 10.0, ..Size::LARGE },
        _ => Size { visits_a_day: 60.0, ..Size::SMALL },
    };
    let seed = word(3, "1").parse().expect("a seed is a number");
    let cases: BTreeSet<Case> = Case::ALL.into_iter().collect();
    fs::create_dir_all(&folder).expect("the folder can be made");
    let begun = Instant::now();
    let week = cases::week(&Settings { seed, start: START, days: 7, size, cases });
    let written = files::write(week, form, &folder, seed).expect("the disk has room");
    let (secs, edges) = (begun.elapsed().as_secs_f64(), written.truth.len());
    let (flows, answers) = (written.truth.flows(), written.answers);
    println!(
        "{form:?}: {flows} flows, {answers} answers with an address, {edges} edges, {:.2} GB in {secs:.1} s ({:.0} MB/s)",
        written.bytes as f64 / 1e9,
        written.bytes as f64 / 1e6 / secs
    );
    for (path, _) in written.flows.iter().chain(&written.dns) {
        println!("{}", path.display());
    }
}
