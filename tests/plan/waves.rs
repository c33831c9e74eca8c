//! Waves by hand-written cases (`tests/cases/plan`: rows, and after `plan` what is made of them) and by
//! laws over generated rows.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use sluice::{
    cockpit::settings::Settings,
    domain::{
        fleet::Environment,
        flow::Direction,
        hold::{Hold, HoldKind, Scope},
        names::{ClusterName, NsName, Text},
        risk::Risk,
        rollout::{Stamp, Target},
        wave::{Candidate, RowState, Since, Wave, WavePlan, WaveSettings, WaveSize},
    },
};

#[test]
fn rows_are_cut_into_waves_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/plan");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    let mut wrong = String::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        if text != actual {
            let diff = diff.unified_diff().context_radius(4).header("written", "played").to_string();
            let _ = writeln!(wrong, "{} differs:\n{diff}", file.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn play(text: &str) -> String {
    let mut out = String::new();
    let (mut direction, mut rows) = (Direction::Egress, Vec::new());
    let settings = Settings::default();
    let mut sizes = None;
    for line in text.lines().filter(|line| !line.starts_with("=>")) {
        let _ = writeln!(out, "{line}");
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            [] | ["#", ..] => {}
            ["ingress"] => direction = Direction::Ingress,
            ["sizes", "staging", staging, "production", production, "at", "most", percent] => {
                sizes = Some(WaveSettings {
                    staging: list(staging),
                    production: list(production),
                    at_most_percent: percent.parse().expect("a number"),
                });
            }
            ["rows", count, name, rest @ ..] => {
                for nth in 1..=count.parse().expect("a number") {
                    let mut row = row(&format!("{name}-{nth:02}"), rest, direction);
                    row.risk.configured = Some(nth);
                    rows.push(row);
                }
            }
            // Told again, it takes the place of what was told of it.
            ["row", name, rest @ ..] => {
                let row = row(name, rest, direction);
                rows.retain(|other: &Candidate| other.target != row.target);
                rows.push(row);
            }
            ["plan"] => {
                let plain = match direction {
                    Direction::Egress => &settings.egress,
                    Direction::Ingress => &settings.ingress,
                };
                // Whatever the order in which they come.
                rows.reverse();
                print(&mut out, &WavePlan::of(direction, sizes.as_ref().unwrap_or(plain), rows.clone()));
            }
            other => panic!("not understood: {other:?}"),
        }
    }
    out
}

fn print(out: &mut String, plan: &WavePlan) {
    for wave in &plan.waves {
        let size = wave.size.map_or("rest".to_owned(), |size| size.to_string());
        let _ = write!(
            out,
            "=> wave {} {} of {size} {}:",
            wave.number,
            wave.environment.as_str(),
            wave.verdict.as_str()
        );
        for row in &wave.rows {
            let _ = write!(out, " {}/{}", row.target.cluster, row.target.ns);
            match &row.state {
                _ if row.exclusion.is_some() => out.push_str(" excluded"),
                RowState::Waiting => {}
                state => out.extend([" ", state.word()]),
            }
        }
        out.push('\n');
    }
    for group in &plan.cycles {
        out.push_str("=> cycle:");
        group.iter().for_each(|target| out.push_str(&format!(" {}/{}", target.cluster, target.ns)));
        out.push('\n');
    }
}

fn list(text: &str) -> Vec<WaveSize> {
    let size = |word: &str| match word {
        "rest" => WaveSize::Rest,
        number => WaveSize::Rows(number.parse().expect("a number")),
    };
    text.split(',').map(size).collect()
}

fn target(name: &str, direction: Direction) -> Target {
    let (cluster, ns) = name.split_once('/').expect("cluster/namespace");
    Target {
        cluster: ClusterName::parse(cluster).expect("a name"),
        ns: NsName::parse(ns).expect("a name"),
        direction,
    }
}

fn bare(target: Target) -> Candidate {
    Candidate {
        target,
        environment: Environment::Production,
        risk: Risk::default(),
        priority: None,
        shared: false,
        largest: false,
        after: Vec::new(),
        recorded: None,
        state: RowState::Waiting,
        since: Since::Unknown,
        exclusion: None,
    }
}

fn row(name: &str, words: &[&str], direction: Direction) -> Candidate {
    let mut row = bare(target(name, direction));
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("a value");
        let why = Text::new("why");
        match word {
            "staging" => row.environment = Environment::Staging,
            "environment" => row.environment = Environment::parse(next()).expect("one"),
            "risk" => row.risk.configured = Some(next().parse().expect("a number")),
            "callers" => row.risk.callers = Some(next().parse().expect("a number")),
            "callees" => row.risk.callees = Some(next().parse().expect("a number")),
            "flows" => row.risk.flows = Some(next().parse().expect("a number")),
            "controllers" => row.risk.controllers = Some(next().parse().expect("a number")),
            "webhooks" => row.risk.webhooks = Some(next().parse().expect("a number")),
            "priority" => row.priority = Some(next().parse().expect("a number")),
            "wave" => row.recorded = Some(next().parse().expect("a number")),
            "after" => row.after = next().split(',').map(|ns| NsName::parse(ns).expect("a name")).collect(),
            "shared" => row.shared = true,
            "largest" => row.largest = true,
            "excluded" => row.exclusion = Some(Box::new(exclusion(&row.target))),
            "soaking" => row.state = soaking(),
            "clean" => row.state = RowState::Clean,
            "idle" => row.state = RowState::Idle,
            "rolled-back" => row.state = RowState::RolledBack,
            "withheld" => row.state = RowState::Withheld(why),
            "blocked" => row.state = RowState::Blocked(why),
            "unreachable" => row.state = RowState::Unreachable(why),
            "unknown" => row.state = RowState::Unknown(why),
            other => panic!("not understood: {other}"),
        }
    }
    row
}

fn soaking() -> RowState {
    RowState::Soaking { credited: Some(TimeDelta::hours(3)), needed: TimeDelta::hours(48), day: None }
}

pub fn exclusion(target: &Target) -> Hold {
    let at: DateTime<Utc> = "2026-11-23T12:00:00Z".parse().expect("a time");
    Hold {
        scope: Scope::Rollout(target.clone()),
        kind: HoldKind::Exclusion,
        reason: Text::new("later"),
        stamp: Stamp { by: Text::new("ann"), at },
        expires: Some(at + TimeDelta::days(3)),
    }
}

/// Rows of three clusters with unlike names; those that wait for others name only what may be there.
fn rows() -> impl Strategy<Value = Vec<Candidate>> {
    let state = prop_oneof![
        6 => Just(RowState::Waiting),
        1 => Just(RowState::Clean),
        1 => Just(soaking()),
        1 => Just(RowState::RolledBack),
        1 => Just(RowState::Unreachable(Text::new("why"))),
    ];
    let one = (
        (0..3_usize, any::<bool>(), any::<bool>(), prop::option::of(0..5_u8)),
        prop::collection::vec(0..24_usize, 0..3),
        (state, prop::option::weighted(0.2, 1..9_u32), prop::bool::weighted(0.1)),
    );
    prop::collection::vec(one, 0..24).prop_map(|all| {
        type Parts = ((usize, bool, bool, Option<u8>), Vec<usize>, (RowState, Option<u32>, bool));
        let build = |(nth, parts): (usize, Parts)| {
            let ((cluster, shared, largest, risk), after, (state, recorded, is_excluded)) = parts;
            let clusters = ["stg", "eu", "us"];
            let mut row = bare(target(&format!("{}/n-{nth}", clusters[cluster]), Direction::Egress));
            if cluster == 0 {
                row.environment = Environment::Staging;
            }
            (row.shared, row.largest, row.risk.configured) = (shared, largest, risk);
            row.after = after.iter().map(|n| NsName::parse(&format!("n-{n}")).expect("a name")).collect();
            (row.state, row.recorded) = (state, recorded);
            row.exclusion = is_excluded.then(|| Box::new(exclusion(&row.target)));
            row
        };
        all.into_iter().enumerate().map(build).collect()
    })
}

fn sizes() -> impl Strategy<Value = WaveSettings> {
    let size = prop_oneof![4 => (1..5_u32).prop_map(WaveSize::Rows), 1 => Just(WaveSize::Rest)];
    (prop::collection::vec(size, 1..4), prop::bool::ANY, 1..=100_u8).prop_map(|(production, one, percent)| {
        let mut staging = vec![WaveSize::Rest];
        if one {
            staging.insert(0, WaveSize::Rows(1));
        }
        WaveSettings { staging, production, at_most_percent: percent }
    })
}

fn numbers(plan: &WavePlan) -> BTreeMap<Target, u32> {
    let rows =
        |wave: &Wave| wave.rows.iter().map(|row| (row.target.clone(), wave.number)).collect::<Vec<_>>();
    plan.waves.iter().flat_map(rows).collect()
}

fn takes_a_place(row: &Candidate) -> bool {
    let is_dead = matches!(row.state, RowState::Unreachable(_)) || row.exclusion.is_some();
    row.recorded.is_some() || !is_dead
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_row_is_in_exactly_one_wave_and_started_ones_stay(rows in rows(), sizes in sizes()) {
        let plan = WavePlan::of(Direction::Egress, &sizes, rows.clone());
        let placed: usize = plan.waves.iter().map(|wave| wave.rows.len()).sum();
        let numbers = numbers(&plan);
        prop_assert_eq!((placed, numbers.len()), (rows.len(), rows.len()));
        for row in &rows {
            let number = numbers[&row.target];
            prop_assert!(row.recorded.is_none_or(|recorded| recorded == number));
            prop_assert_eq!(plan.row(&row.target).map(|(wave, found)| (wave.number, &found.target)), Some((number, &row.target)));
            let staging = row.environment == Environment::Staging;
            prop_assert!(row.recorded.is_some() || staging == (number <= sizes.staging.len() as u32));
        }
    }

    #[test]
    fn no_wave_gets_more_rows_than_its_size_and_the_cap(rows in rows(), sizes in sizes()) {
        let plan = WavePlan::of(Direction::Egress, &sizes, rows.clone());
        let production = rows.iter().filter(|row| row.environment != Environment::Staging).count();
        let cap = (production * usize::from(sizes.at_most_percent) / 100).max(1);
        for wave in &plan.waves {
            let taking = |row: &&Candidate| takes_a_place(row);
            let fresh = wave.rows.iter().filter(taking).filter(|row| row.recorded.is_none()).count();
            let all = wave.rows.iter().filter(taking).filter(|row| (row.environment == Environment::Staging) == (wave.environment == Environment::Staging)).count();
            let size = wave.size.map_or(usize::MAX, |size| size as usize);
            prop_assert!(fresh == 0 || all <= size, "wave {}", wave.number);
            prop_assert!(wave.environment == Environment::Staging || size <= cap);
        }
    }

    #[test]
    fn a_row_goes_after_those_that_it_waits_for(rows in rows(), sizes in sizes()) {
        let plan = WavePlan::of(Direction::Egress, &sizes, rows.clone());
        let numbers = numbers(&plan);
        let in_cycle = |target: &Target| plan.cycles.iter().any(|group| group.contains(target));
        for row in rows.iter().filter(|row| row.recorded.is_none() && !in_cycle(&row.target)) {
            for ns in &row.after {
                let other = Target { ns: ns.clone(), ..row.target.clone() };
                let Some(before) = numbers.get(&other) else { continue };
                let own = numbers[&row.target];
                // The last wave of staging takes all: there the gate makes it wait.
                let is_rest = row.environment == Environment::Staging && own == sizes.staging.len() as u32;
                prop_assert!(own > *before || is_rest, "{own} {before}");
            }
        }
    }

    #[test]
    fn the_order_in_which_rows_come_does_not_matter(rows in rows(), sizes in sizes(), seed in any::<u64>()) {
        let mut shuffled = rows.clone();
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, (state >> 33) as usize % (at + 1));
        }
        let (a, b) = (WavePlan::of(Direction::Egress, &sizes, rows), WavePlan::of(Direction::Egress, &sizes, shuffled));
        prop_assert_eq!(a, b);
    }

    /// Nobody waits longer because a row came that cannot go, or because one stopped being able to.
    #[test]
    fn a_dead_row_moves_no_other_row_backwards(
        rows in rows(),
        sizes in sizes(),
        cluster in 0..3_usize,
        risk in prop::option::of(0..5_u8),
        dies in any::<prop::sample::Index>(),
    ) {
        let before = numbers(&WavePlan::of(Direction::Egress, &sizes, rows.clone()));
        let mut more = rows.clone();
        let mut dead = bare(target(&format!("{}/dead", ["stg", "eu", "us"][cluster]), Direction::Egress));
        if cluster == 0 {
            dead.environment = Environment::Staging;
        }
        (dead.risk.configured, dead.state) = (risk, RowState::Blocked(Text::new("why")));
        more.push(dead);
        let after = numbers(&WavePlan::of(Direction::Egress, &sizes, more));
        for (target, number) in &before {
            prop_assert!(after[target] <= *number, "{target}");
        }
        let mut fewer = rows;
        if !fewer.is_empty() {
            let at = dies.index(fewer.len());
            let waits = fewer.iter().any(|row| row.after.contains(&fewer[at].target.ns));
            if fewer[at].recorded.is_none() && !waits {
                fewer[at].state = RowState::Unreachable(Text::new("why"));
                let after = numbers(&WavePlan::of(Direction::Egress, &sizes, fewer.clone()));
                for (target, number) in before.iter().filter(|(target, _)| **target != fewer[at].target) {
                    prop_assert!(after[target] <= *number, "{target}");
                }
            }
        }
    }
}
