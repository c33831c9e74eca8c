//! Dates worked out by hand: pace, working hours, what is stuck. 2026-11-23 is a Monday.

use chrono::{TimeDelta, Weekday};
use sluice::domain::{
    calendar::{Calendar, WorkingHours},
    fleet::Environment,
    flow::Direction,
    forecast::{Forecast, Given, forecast, pace_of},
    names::Text,
    risk::Risk,
    rollout::Target,
    wave::{Candidate, Pace, RowState, Since, WavePlan, WaveSettings, WaveSize},
    zone::Zone,
};

use super::{
    fixture::{at, now, row},
    waves::exclusion,
};

fn candidate(name: &str, risk: u8, recorded: Option<u32>, state: RowState) -> Candidate {
    let is_staging = name.starts_with("stg");
    Candidate {
        target: row(name),
        environment: if is_staging { Environment::Staging } else { Environment::Production },
        risk: Risk { configured: Some(risk), ..Risk::default() },
        priority: None,
        shared: false,
        largest: false,
        after: Vec::new(),
        recorded,
        state,
        since: Since::Unknown,
        exclusion: None,
    }
}

/// So many hours of 48 are credited, and so many of the last day.
fn soaking(credited: i64, day: i64) -> RowState {
    let hours = TimeDelta::hours;
    let day = Some(Pace { credited: hours(day), wall: hours(24) });
    RowState::Soaking { credited: Some(hours(credited)), needed: hours(48), day }
}

fn plan(rows: Vec<Candidate>) -> WavePlan {
    let sizes = WaveSettings {
        staging: vec![WaveSize::Rest],
        production: vec![WaveSize::Rows(1)],
        at_most_percent: 100,
    };
    WavePlan::of(Direction::Egress, &sizes, rows)
}

fn dates(plan: &WavePlan, hours: Option<&WorkingHours>) -> Forecast {
    let calendar = Calendar { hours, blocked: &[] };
    let given =
        Given { now: now(), needed: TimeDelta::hours(48), pace: pace_of([plan]), calendar, egress: None };
    forecast(plan, &given)
}

fn hours() -> WorkingHours {
    use Weekday::{Mon, Thu, Tue, Wed};
    let time = |text: &str| text.parse().expect("a time");
    let days = vec![Mon, Tue, Wed, Thu];
    WorkingHours { zone: Zone::fixed(3_600), days, from: time("09:00:00"), until: time("16:00:00") }
}

/// Half of the wall time is credited: 24 hours that are missing take 48, and 48 take 96.
#[test]
fn each_wave_starts_when_the_one_before_ends_and_hours_allow() {
    let rows = vec![
        candidate("stg/job", 1, Some(1), soaking(24, 12)),
        candidate("eu/api", 1, None, RowState::Waiting),
        candidate("eu/pay", 2, None, RowState::Waiting),
    ];
    let forecast = dates(&plan(rows), Some(&hours()));
    assert_eq!(forecast.pace.and_then(Pace::percent), Some(50));
    let told: Vec<_> = forecast.waves.iter().map(|dates| (dates.number, dates.starts, dates.ends)).collect();
    let at = |text| Some(at(text));
    assert_eq!(
        told,
        [
            (1, at("2026-11-23T12:00:00Z"), at("2026-11-25T12:00:00Z")),
            // Wednesday, 13:00 there; four days later is a Sunday.
            (2, at("2026-11-25T12:00:00Z"), at("2026-11-29T12:00:00Z")),
            (3, at("2026-11-30T08:00:00Z"), at("2026-12-04T08:00:00Z")),
        ]
    );
    assert_eq!(forecast.end, at("2026-12-04T08:00:00Z"));
    // 24 hours from now, then 48, then from Thursday 13:00 another 48.
    assert_eq!(forecast.earliest, at("2026-11-28T12:00:00Z"));
}

#[test]
fn a_row_goes_on_at_its_own_pace_and_the_slowest_ends_the_wave() {
    let rows = vec![
        candidate("stg/job", 1, Some(1), soaking(24, 24)),
        candidate("stg/shop", 2, Some(1), soaking(40, 6)),
    ];
    let forecast = dates(&plan(rows), None);
    // All together 30 of 48 hours; eight hours at a quarter take 32, 24 at full pace take 24.
    assert_eq!(forecast.pace.and_then(Pace::percent), Some(62));
    assert_eq!(forecast.end, Some(now() + TimeDelta::hours(32)));
    let delays: Vec<_> = forecast
        .delays
        .iter()
        .map(|delay| (delay.target.ns.as_str(), delay.left.map(|left| left.num_hours())))
        .collect();
    assert_eq!(delays, [("shop", Some(32)), ("job", Some(24))]);
}

#[test]
fn without_any_pace_there_is_no_date_but_the_best_one() {
    for state in [RowState::Waiting, soaking(0, 0)] {
        let recorded = (state != RowState::Waiting).then_some(1);
        let forecast = dates(&plan(vec![candidate("stg/job", 1, recorded, state)]), None);
        assert_eq!((forecast.pace, forecast.end), (None, None));
        assert_eq!(forecast.earliest, Some(now() + TimeDelta::hours(48)));
        assert_eq!(forecast.delays[0].left, None);
    }
    let forecast = dates(&plan(vec![candidate("stg/job", 1, Some(1), RowState::Clean)]), None);
    assert_eq!((forecast.waves.len(), forecast.end), (0, Some(now())), "it is at its end");
}

/// What is stuck has no date of its own; it is told first, and how many of a wave there are.
#[test]
fn what_is_stuck_is_named_before_what_is_slow() {
    let rows = vec![
        candidate("stg/job", 1, Some(1), soaking(0, 24)),
        candidate("stg/shop", 2, Some(1), RowState::RolledBack),
        candidate("eu/api", 1, None, RowState::Unreachable(Text::new("VPN"))),
        candidate("eu/pay", 2, None, RowState::Waiting),
    ];
    let forecast = dates(&plan(rows), None);
    let stuck: Vec<_> = forecast.waves.iter().map(|dates| (dates.number, dates.stuck)).collect();
    assert_eq!(stuck, [(1, 1), (2, 1)]);
    let names: Vec<_> = forecast.delays.iter().map(|delay| (delay.target.ns.as_str(), delay.wave)).collect();
    assert_eq!(names, [("shop", 1), ("api", 2), ("job", 1)]);
    // Both soak 48 hours at full pace, then the row of production.
    assert_eq!(forecast.end, Some(now() + TimeDelta::hours(96)));
}

/// Seen when every API server went away: the end must not read "now".
#[test]
fn rows_that_all_wait_for_somebody_have_no_date() {
    let away = || RowState::Unreachable(Text::new("no answer"));
    let all = [candidate("stg/a", 1, Some(1), away()), candidate("prod/a", 1, Some(2), away())];
    let of = dates(&plan(all.to_vec()), None);
    assert_eq!((of.end, of.waves.iter().filter_map(|wave| wave.ends).count()), (None, 0));
    assert!(of.earliest.is_some(), "the best case takes them to be cleared");
}

/// Egress of job is clean in 12 hours, that of shop 48 later in its own wave; all at full pace.
#[test]
fn ingress_of_a_namespace_is_not_dated_before_its_egress() {
    let before = |shop: Candidate| {
        let rows = vec![
            candidate("stg/job", 1, Some(1), soaking(36, 24)),
            candidate("eu/api", 1, Some(2), RowState::Clean),
            shop,
        ];
        plan(rows)
    };
    let egress = |shop: RowState| before(candidate("eu/shop", 2, None, shop));
    let ingress = || {
        let inward = |one: Candidate| Candidate {
            target: Target { direction: Direction::Ingress, ..one.target.clone() },
            ..one
        };
        let rows = [
            candidate("stg/job", 1, None, RowState::Waiting),
            candidate("eu/api", 1, None, RowState::Waiting),
            candidate("eu/shop", 2, None, RowState::Waiting),
        ];
        let sizes = WaveSettings {
            staging: vec![WaveSize::Rest],
            production: vec![WaveSize::Rows(2)],
            at_most_percent: 100,
        };
        WavePlan::of(Direction::Ingress, &sizes, rows.map(inward).to_vec())
    };
    let dates = |egress: &WavePlan| {
        let given = Given {
            now: now(),
            needed: TimeDelta::hours(48),
            pace: Some(Pace::FULL),
            calendar: Calendar { hours: None, blocked: &[] },
            egress: Some(egress),
        };
        let hours = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| (at - now()).num_hours());
        let forecast = forecast(&ingress(), &given);
        let told: Vec<_> = forecast.waves.iter().map(|it| (hours(it.starts), hours(it.ends))).collect();
        (told, hours(forecast.end), hours(forecast.earliest))
    };
    // Wave 1: 12 and 48. Wave 2: api may go at 60; egress of shop starts at 12 and is clean at 60 too.
    let (told, end, _) = dates(&egress(RowState::Waiting));
    assert_eq!(told, [(Some(12), Some(60)), (Some(60), Some(108))]);
    assert_eq!(end, Some(108));
    // Half of its soak is missing, at a quarter of the pace: 96 hours, then 48.
    let (told, end, earliest) = dates(&egress(soaking(24, 6)));
    assert_eq!(told, [(Some(12), Some(60)), (Some(60), Some(144))]);
    assert_eq!((end, earliest), (Some(144), Some(108)));
    // Nobody knows when somebody clears it.
    let (told, end, earliest) = dates(&egress(RowState::Unreachable(Text::new("VPN"))));
    assert_eq!(told, [(Some(12), Some(60)), (Some(60), None)]);
    assert_eq!((end, earliest), (None, Some(108)));
    // Taken out of its wave it is never clean: the gate of its ingress opens by an override only.
    let shop = candidate("eu/shop", 2, None, RowState::Waiting);
    let exclusion = Some(Box::new(exclusion(&shop.target)));
    let (told, end, _) = dates(&before(Candidate { exclusion, ..shop }));
    assert_eq!(told, [(Some(12), Some(60)), (Some(60), None)]);
    assert_eq!(end, None);
}
