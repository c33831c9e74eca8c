//! Fuzz targets, one for every decoder of bytes that come from outside: each gets damaged copies of
//! what it is made for, the same ones in every run. What it reads must hold together; nothing may
//! panic. `SLUICE_FUZZ_ROUNDS=1000000 cargo test --release --test judged fuzz::` digs deeper, other bytes with
//! `SLUICE_FUZZ_SEED`. A failure names target, seed and round, and shows the bytes.

mod damage;
mod seeds;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};

use targets::Target;

#[test]
fn lines_of_flow_files() {
    for format in targets::LINES {
        run(targets::lines(format));
    }
}

#[test]
fn what_is_remembered_of_lines_changes_nothing() {
    run(targets::remembered_lines());
}

#[test]
fn whole_files_of_every_format_plain_and_packed() {
    seeds::files().into_iter().for_each(|file| run(targets::whole_file(file)));
}

#[test]
fn files_that_are_followed() {
    run(targets::followed());
}

#[test]
fn dnstap_frames_and_streams() {
    run(targets::dnstap_frame());
    run(targets::frame_stream());
}

#[test]
fn messages_of_hubble_relay() {
    run(targets::hubble());
}

#[test]
fn what_a_collector_says() {
    run(targets::edges());
    run(targets::collector_state());
}

#[test]
fn files_of_the_workspace() {
    run(targets::companion());
    run(targets::notes());
    run(targets::fleet_file());
    run(targets::feed());
}

#[test]
fn what_a_pre_flight_reads() {
    run(targets::corefile());
    run(targets::manifest());
}

fn run(mut target: Target) {
    let rounds = said("SLUICE_FUZZ_ROUNDS").unwrap_or(target.rounds);
    let seed = said("SLUICE_FUZZ_SEED").unwrap_or(11);
    assert!(!target.seeds.is_empty(), "{}: nothing to damage", target.name);
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..rounds {
        let mut bytes = target.seeds[round as usize % target.seeds.len()].clone();
        // Each one as it is, first.
        if round as usize >= target.seeds.len() {
            (0..random.usize(1..6)).for_each(|_| damage::damage(&mut bytes, &target.seeds, &mut random));
        }
        let read = catch_unwind(AssertUnwindSafe(|| (target.read)(&bytes)));
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).escape_debug().to_string();
        assert!(read.is_ok(), "{}: seed {seed}, round {round}: {}", target.name, shown());
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to dig is asked for from outside")]
fn said(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
