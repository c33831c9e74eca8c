//! Law 7, by twins: two fleets from one seed in which every row is live, and in one of them something
//! befalls one cluster. The rows of all other clusters are as far in both, minute for minute.

use sluice::{
    cockpit::{decide::Command, waves},
    domain::flow::Direction,
};

use super::{
    faults::Event,
    layout::{self, CLUSTERS, DAY, HOUR, MINUTE, Row, VENDOR_A, VENDOR_B},
    story::Story,
};

/// The watch and a cockpit: who reads flows.
const READERS: [usize; 2] = [0, 1];

/// How far a row is, as the readers see it.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    row: Row,
    credited: [i64; 2],
    states: [&'static str; 2],
}

/// Three days, from 5 h on with `befalls`. Answers the paces of all other clusters, and how many
/// minutes a rollback in another one took.
fn play(seed: u64, victim: usize, befalls: &[Event]) -> (Vec<Pace>, i64) {
    let mut story = Story::quiet(seed, false);
    // Nothing happens by chance here.
    story.calm = true;
    for row in Row::all() {
        for (name, made) in layout::set(row, VENDOR_A | VENDOR_B) {
            let fact = story.clusters[row.cluster].write((row.ns, name), Some(made), "kubectl", 0);
            fact.into_iter().for_each(|fact| story.tell(row.cluster, &fact));
        }
    }
    // Its twin looks up at the same moment.
    story.at(5 * HOUR, Event::Reachable(victim, 0));
    befalls.iter().for_each(|event| story.at(5 * HOUR, *event));
    while story.now < DAY {
        story.step();
    }
    let other = Row { cluster: (victim + 1) % CLUSTERS.len(), ns: 0, direction: Direction::Ingress };
    story.sluices[1].command(&Command::RollBack(vec![other.target()])).expect("a rollback always goes");
    let began = story.now;
    while !story.sluices[1].running.is_empty() {
        story.step();
    }
    let took = (story.now - began) / MINUTE;
    assert_eq!(story.clusters[other.cluster].live_set(other.ns, other.direction).count(), 0);
    while story.now < 3 * DAY {
        story.step();
    }
    READERS.into_iter().for_each(|who| story.settle(who));
    let pace = |row: Row| Pace {
        row,
        credited: READERS.map(|who| {
            let world = &story.sluices[who].world;
            world.soaks().judged(&row.target(), world).map_or(0, |judged| judged.credited)
        }),
        states: READERS.map(|who| waves::row_state(&story.sluices[who].world, &row.target()).0.word()),
    };
    (Row::all().filter(|row| row.cluster != victim && *row != other).map(pace).collect(), took)
}

#[test]
fn what_befalls_one_cluster_slows_no_row_of_another() {
    // The state cluster is the first one: without it nothing is recorded, which is another matter.
    let mut rng = fastrand::Rng::with_seed(7);
    for seed in 0..3 {
        let victim = rng.usize(1..CLUSTERS.len());
        let dead = [Event::Dead(victim)];
        let mute = [Event::Mute(victim, 0), Event::Mute(victim, 1)];
        let lying = [Event::Skew(victim, 0, 3_600), Event::Judge(victim, false), Event::Rebuilt(victim)];
        let deaf = [Event::RelayLost(victim, None), Event::PodsUnwatched(victim, 0), Event::Cni(victim)];
        let alone = play(seed, victim, &[]);
        // Three days without their last, unfinished minute.
        assert!(alone.0.iter().all(|pace| pace.credited == [4_319; 2]), "{alone:?}");
        for befalls in [&dead[..], &mute, &lying, &deaf] {
            assert_eq!(play(seed, victim, befalls), alone, "seed {seed}, {befalls:?}");
        }
    }
}
