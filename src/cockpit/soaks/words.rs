//! A soak in words, the same ones on every page and in text output: what is credited, what is not and
//! why, what is missing to clean, and what the credit rests on.

use std::collections::BTreeMap;

use chrono::FixedOffset;

use crate::domain::{
    evidence::{Pause, Restart},
    soak::{Verdict, hours},
    time::{Timestamp, age, minute, span},
};

use super::SoakRow;

impl SoakRow {
    /// The verdict in a line: `soaking: 17h40m of 48h00m credited in 20h00m, 30h20m left`.
    pub fn headline(&self, zone: FixedOffset) -> String {
        let judged = &self.judged;
        let credited = format!("{} credited in {}", judged.words(), hours(judged.wall));
        match &judged.verdict {
            Verdict::Soaking { left, .. } => {
                format!("soaking: {credited}, {} left", hours(left.num_minutes()))
            }
            Verdict::Clean { since } => {
                format!("clean since {}: {credited}", minute(*since, zone))
            }
            Verdict::Idle => format!("idle, no pods: {credited}; it does not hold its wave"),
            Verdict::Withheld { .. } | Verdict::NotStarted => {
                format!("{}: {credited}", judged.verdict.word())
            }
        }
    }

    /// Why it is not clean, a sentence each.
    pub fn reasons(&self) -> Vec<String> {
        self.judged.verdict.reasons().iter().map(ToString::to_string).collect()
    }

    /// Where the wall time went that is not credited: `loss 12m (node a: ring buffer)`.
    pub fn uncredited(&self) -> Vec<String> {
        let judged = &self.judged;
        let kinds = [("idle", judged.idle), ("lapsed", judged.lapsed), ("not proved yet", judged.pending)];
        let kinds = kinds.into_iter().filter(|(_, minutes)| *minutes > 0);
        let kinds = kinds.map(|(word, minutes)| format!("{word} {}", hours(minutes)));
        judged.pauses.iter().map(pause_words).chain(kinds).collect()
    }

    /// What was seen before the bytes and not since, and would not surely pass if it reconnected.
    pub fn old_words(&self) -> String {
        let unknown = (self.unseen.len() + self.more_unseen).saturating_sub(self.refused);
        let count = |n: usize| if n == 1 { "1 connection".to_owned() } else { format!("{n} connections") };
        let older = "older than the policy would be refused on reconnecting";
        match (self.refused, unknown) {
            (refused, 0) => format!("{} {older}", count(refused)),
            (0, unknown) => format!("it is not known whether {} {older}", count(unknown)),
            (refused, unknown) => format!("{} {older}, of {unknown} more it is not known", count(refused)),
        }
    }

    /// Whose evidence is joined with ours: `sluice watch on ops-1 up to 2026-11-23 13:02 UTC`.
    pub fn joined_words(&self, zone: FixedOffset) -> Option<String> {
        let (observer, until) = self.joined.as_ref()?;
        Some(format!("{observer} up to {}", minute(*until, zone)))
    }

    /// What the newest probes could not show: nodes with the same reason in one line.
    fn unproved_words(&self) -> Vec<String> {
        let mut by_why: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (node, why) in &self.unproved {
            by_why.entry(why.as_str()).or_default().push(node.as_str());
        }
        let line = |(why, nodes): (&str, Vec<&str>)| {
            let more = nodes.len().saturating_sub(3);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let nodes = nodes.into_iter().take(3).collect::<Vec<_>>().join(", ");
            format!("the probe shows nothing on {nodes}{more}: {why}")
        };
        by_why.into_iter().map(line).collect()
    }

    /// Everything beside the headline, a line each.
    pub fn lines(&self, now: Timestamp, zone: FixedOffset) -> Vec<String> {
        let mut out = Vec::new();
        if self.judged.wall > 0 {
            out.push(format!("since it began {} (full: credited)", self.bar));
        }
        out.extend(self.reasons().into_iter().map(|reason| format!("not clean: {reason}")));
        let uncredited = self.uncredited();
        if !uncredited.is_empty() {
            out.push(format!("not credited: {}", uncredited.join(", ")));
        }
        out.push(format!("rests on {}", self.rests));
        out.extend(self.unproved_words());
        let days = self.judged.weekday_words();
        if !days.is_empty() {
            out.push(format!("days covered (UTC): {days}"));
        }
        out.push(match self.exercised {
            Some((again, of)) => format!("exercised {again} of {of} destinations of the week"),
            None => "exercised ?: the week's destinations are not read here".to_owned(),
        });
        out.extend(self.restarts.last().map(|last| restart_words(last, self.restarts.len(), zone)));
        out.extend(self.joined_words(zone).map(|joined| format!("joined with the evidence of {joined}")));
        for caused in self.caused.iter().take(3) {
            let ours = caused.workload.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
            out.push(format!(
                "{ours}: {} denied at the other end on {}/{}, caused by {}",
                caused.count, caused.port, caused.protocol, caused.by
            ));
        }
        if let Some(first) = self.unseen.first() {
            out.push(format!(
                "{}; the newest: {} {} ({} ago)",
                self.old_words(),
                first.destination,
                first.port,
                span(age(first.last, now)),
            ));
        }
        out
    }
}

pub fn pause_words(pause: &Pause) -> String {
    let why = if pause.why.is_empty() { String::new() } else { format!(" ({})", pause.why) };
    format!("{} {}{why}", pause.cause.as_str(), hours(pause.spans.minutes()))
}

fn restart_words(last: &Restart, count: usize, zone: FixedOffset) -> String {
    let more = if count > 1 { format!(", {count} restarts in all") } else { String::new() };
    let at = minute(last.at, zone);
    format!("restarted {at}: {} ({}){more}", last.cause.as_str(), last.why)
}
