//! CronJobs as the API server sends them: schedule, last run, and the longest time between two runs.
//! Pure: no clock, so the pause is that of the schedule itself, over nine years with two leap days. The
//! database of time zones is not asked: where a zone is set, the hour that clocks go back is added.

use std::time::Duration;

use chrono::{Datelike, NaiveDate, TimeDelta};
use croner::{
    Cron, Weekday,
    parser::{CronParser, Seconds, Year},
};
use serde::Deserialize;

use crate::{
    cockpit::ports::{Change, ClusterFact, Fact, Trouble},
    domain::{
        coverage::CronJob,
        fleet::Part,
        names::{ClusterName, NsName, Text},
    },
};

use super::{
    decode::{Meta, time},
    follow::{Watched, partial},
    wire,
};

/// Nothing waits for CronJobs: the lists that a decision needs come first.
pub const LATER: Duration = Duration::from_secs(5);

pub struct CronJobs;

impl Watched for CronJobs {
    type Wire = CronJobWire;
    type Seen = CronJob;
    type Key = (NsName, Text);
    type Told = Fact;
    fn name(&self) -> &'static str {
        "cron jobs"
    }
    fn path(&self) -> String {
        "/apis/batch/v1/cronjobs".to_owned()
    }
    fn accept(&self) -> (&'static str, &'static str) {
        (wire::JSON, wire::JSON)
    }
    fn head(wire: &CronJobWire) -> (String, Option<String>) {
        wire.metadata.head()
    }
    fn decode(&self, wire: &CronJobWire) -> Result<CronJob, Text> {
        cron_job(wire)
    }
    fn key(&self, seen: CronJob) -> (NsName, Text) {
        (seen.ns, seen.name)
    }
    fn fact(&self, cluster: &ClusterName, change: Change<CronJob, (NsName, Text)>) -> Fact {
        Fact::Cluster(cluster.clone(), ClusterFact::CronJobs(change))
    }
    fn trouble(&self, cluster: &ClusterName, trouble: Option<Trouble>) -> Fact {
        partial(cluster, Part::CronJobs, trouble)
    }
}

/// A CronJob, slim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CronJobWire {
    pub metadata: Meta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    schedule: String,
    time_zone: Option<String>,
    suspend: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    last_schedule_time: Option<String>,
    last_successful_time: Option<String>,
}

fn cron_job(wire: &CronJobWire) -> Result<CronJob, Text> {
    let Spec { schedule, time_zone, suspend } = &wire.spec;
    let (zone, fields) = zone_of(schedule);
    let zone = time_zone.as_deref().filter(|zone| !zone.is_empty()).or(zone);
    let status = &wire.status;
    // A run that succeeded began before, but that is all there is where the start is not noted.
    let ran = status.last_schedule_time.as_deref().or(status.last_successful_time.as_deref());
    Ok(CronJob {
        ns: NsName::parse(&wire.metadata.namespace).map_err(|bad| Text::from(format!("a CronJob: {bad}")))?,
        name: Text::new(&wire.metadata.name),
        schedule: Text::new(schedule),
        zone: zone.map(Text::new),
        suspended: suspend.unwrap_or(false),
        last_run: ran.and_then(time),
        longest_pause: longest_pause(fields, zone),
    })
}

/// Older servers took a zone at the head of the schedule (`CRON_TZ=Europe/Paris 0 3 * * *`).
fn zone_of(schedule: &str) -> (Option<&str>, &str) {
    let named = schedule.trim().strip_prefix("CRON_TZ=").or(schedule.trim().strip_prefix("TZ="));
    match named.and_then(|rest| rest.split_once(' ')) {
        Some((zone, fields)) => (Some(zone), fields.trim()),
        None => (None, schedule.trim()),
    }
}

/// `None`: it cannot be read, or it never runs twice.
fn longest_pause(schedule: &str, zone: Option<&str>) -> Option<TimeDelta> {
    if let Some(every) = schedule.strip_prefix("@every ") {
        return every_span(every.trim());
    }
    let schedule = if schedule == "@midnight" { "@daily" } else { schedule };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(schedule).ok()?;
    let clocks_change = zone.is_some_and(|zone| !matches!(zone, "UTC" | "Etc/UTC" | "GMT" | "Etc/GMT"));
    let pause = pause_of(&cron)?;
    Some(if clocks_change { pause + TimeDelta::hours(1) } else { pause })
}

fn pause_of(cron: &Cron) -> Option<TimeDelta> {
    let minutes: Vec<i64> = minutes_of_day(cron);
    let (first, last) = (*minutes.first()?, *minutes.last()?);
    let days = longest_days(cron)?;
    let across = days * 24 * 60 + first - last;
    let inside = minutes.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    Some(TimeDelta::minutes(across.max(inside)))
}

/// When it runs on a day that it runs on, ascending.
fn minutes_of_day(cron: &Cron) -> Vec<i64> {
    let (hours, minutes) = (cron.pattern.hours.values(), cron.pattern.minutes.values());
    let at = |hour: u16| minutes.iter().map(move |minute| i64::from(hour) * 60 + i64::from(*minute));
    hours.into_iter().flat_map(at).collect()
}

/// The most days from one on which it runs to the next.
fn longest_days(cron: &Cron) -> Option<i64> {
    let pattern = &cron.pattern;
    let all_months = pattern.months.values().len() == 12;
    if all_months && pattern.is_dom_wildcard() && pattern.is_dow_wildcard() {
        return Some(1);
    }
    let (begin, end) = (NaiveDate::from_ymd_opt(2024, 1, 1)?, NaiveDate::from_ymd_opt(2033, 1, 1)?);
    let mut longest = None;
    let mut previous: Option<NaiveDate> = None;
    for day in begin.iter_days().take_while(|day| *day < end) {
        let weekday = Weekday::from_days_from_sunday(day.weekday().num_days_from_sunday());
        let runs = pattern.month_match(day.month()).ok()?
            && pattern.day_match(day.year(), day.month(), day.day(), weekday).ok()?;
        if runs {
            let since = previous.replace(day).map(|before| (day - before).num_days());
            longest = longest.max(since);
        }
    }
    longest
}

/// Hours, minutes and seconds as Go writes them: `1h30m`.
fn every_span(raw: &str) -> Option<TimeDelta> {
    let (mut secs, mut rest) = (0_i64, raw);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest[..digits].parse().ok()?;
        let unit = match rest.as_bytes()[digits] {
            b'h' => 3_600,
            b'm' => 60,
            b's' => 1,
            _ => return None,
        };
        secs = secs.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    if secs == 0 { None } else { TimeDelta::try_seconds(secs) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hours(schedule: &str, zone: Option<&str>) -> Option<f64> {
        longest_pause(schedule, zone).map(|pause| pause.num_minutes() as f64 / 60.0)
    }

    #[test]
    fn the_longest_pause_is_that_of_the_schedule() {
        for (schedule, expected) in [
            ("* * * * *", Some(1.0 / 60.0)),
            ("*/15 * * * *", Some(0.25)),
            ("0 * * * *", Some(1.0)),
            ("@hourly", Some(1.0)),
            ("10 2 * * *", Some(24.0)),
            ("@midnight", Some(24.0)),
            ("0 8-18 * * *", Some(14.0)),
            ("0 3 * * 1-5", Some(72.0)),
            ("0 3 * * MON", Some(168.0)),
            ("@weekly", Some(168.0)),
            ("0 0 1 * *", Some(31.0 * 24.0)),
            ("0 0 31 * *", Some(61.0 * 24.0)),
            ("0 0 1 */3 *", Some(92.0 * 24.0)),
            ("@yearly", Some(366.0 * 24.0)),
            ("0 0 29 2 *", Some(1_461.0 * 24.0)),
            ("0 0 13 * 5", Some(168.0)),
            ("@every 1h30m", Some(1.5)),
            ("0 0 30 2 *", None),
            ("0 0 0 * * *", None),
            ("61 * * * *", None),
            ("every day", None),
            ("@every soon", None),
            ("@every 0s", None),
            ("", None),
        ] {
            assert_eq!(hours(schedule, None), expected, "{schedule}");
        }
    }

    #[test]
    fn a_zone_adds_the_hour_that_clocks_go_back() {
        assert_eq!(hours("0 3 * * *", Some("Europe/Paris")), Some(25.0));
        assert_eq!(hours("0 3 * * *", Some("Etc/UTC")), Some(24.0));
        assert_eq!(hours("@every 2h", Some("Europe/Paris")), Some(2.0), "counted from run to run");
    }

    #[test]
    fn a_cron_job_is_read_slim() {
        let read = |spec, status| {
            let wire = json!({ "metadata": { "name": "report", "namespace": "shop" }, "spec": spec, "status": status });
            cron_job(&serde_json::from_value(wire).expect("a CronJob")).expect("a CronJob")
        };
        let seen = read(
            json!({ "schedule": "0 3 * * *", "timeZone": "Europe/Paris", "suspend": true }),
            json!({ "lastScheduleTime": "2026-11-23T02:00:00Z", "lastSuccessfulTime": "2026-11-23T02:04:00Z" }),
        );
        assert_eq!((seen.ns.as_str(), seen.name.as_str()), ("shop", "report"));
        assert_eq!(seen.zone.as_ref().map(Text::as_str), Some("Europe/Paris"));
        assert!(seen.suspended);
        assert_eq!(seen.last_run.map(|at| at.to_rfc3339()).as_deref(), Some("2026-11-23T02:00:00+00:00"));
        assert_eq!(seen.longest_pause, Some(TimeDelta::hours(25)));
        let seen = read(json!({ "schedule": "CRON_TZ=Asia/Tokyo 0 3 * * 0" }), json!({}));
        assert_eq!(seen.zone.as_ref().map(Text::as_str), Some("Asia/Tokyo"));
        assert_eq!((seen.last_run, seen.suspended), (None, false));
        assert_eq!(seen.longest_pause, Some(TimeDelta::hours(169)));
        assert_eq!(read(json!({ "schedule": "whenever\u{1b}[2J" }), json!({})).longest_pause, None);
    }
}
