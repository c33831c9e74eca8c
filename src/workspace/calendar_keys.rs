//! The keys `hours:` and `blocked:` of `sluice.yaml`: when rows may be applied. Rollback never asks
//! for them. Reads no file.

use chrono::{NaiveTime, Weekday};

use super::{
    fleet_file::Reader,
    yaml::{Node, Value},
};
use crate::{
    cockpit::settings::{BlockedDays, WorkingHours},
    domain::zone::Zone,
};

const WORKDAYS: [Weekday; 5] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];

impl Reader<'_> {
    pub(super) fn hours(&mut self, node: Option<&Node>) -> Option<WorkingHours> {
        let node = node.filter(|node| !node.is_null())?;
        let fields = self.map(node, "hours", &["zone", "days", "from", "until"]);
        let get = |key: &str| fields.get(key).copied();
        let zone = self.zone(get("zone"), "hours.zone");
        let days = self.days(get("days"));
        let (from, until) =
            (self.time_of_day(get("from"), "hours.from"), self.time_of_day(get("until"), "hours.until"));
        for name in ["from", "until"] {
            if get(name).is_none_or(Node::is_null) {
                let next = "Write a time of the day in quotes, as in \"09:00\".";
                self.error(node.line, &format!("`hours.{name}` is missing"), next);
            }
        }
        if get("zone").is_none_or(Node::is_null) {
            let next = "Write `zone:`, as in Europe/Berlin or \"+01:00\".";
            self.notice(node.line, "`hours` names no zone and is read as UTC", next);
        }
        let (from, until): (NaiveTime, NaiveTime) = (from?, until?);
        if from >= until {
            let next = "Let it end later on the same day.";
            self.error(node.line, "`hours.until` is not after `hours.from`", next);
        }
        Some(WorkingHours { zone: zone.unwrap_or_else(|| Zone::fixed(0)), days, from, until })
    }

    fn days(&mut self, node: Option<&Node>) -> Vec<Weekday> {
        let Some(node) = node.filter(|node| !node.is_null()) else { return WORKDAYS.to_vec() };
        let mut out = Vec::new();
        for (i, item) in self.list(Some(node), "hours.days").iter().enumerate() {
            let wanted = "a day of the week: mon, tue, wed, thu, fri, sat or sun";
            let day = |value: &Value| match value {
                Value::Text(text) => text.parse::<Weekday>().ok(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
            };
            out.extend(self.value(Some(item), &format!("hours.days[{i}]"), wanted, day));
        }
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            self.error(
                node.line,
                "`hours.days` is empty, so nothing would ever be applied",
                "Name the days.",
            );
        }
        out
    }

    pub(super) fn blocked(&mut self, node: Option<&Node>) -> Vec<BlockedDays> {
        let mut out = Vec::new();
        for (key, item, fields) in self.entries_of(node, "blocked", &["from", "to", "why"]) {
            let get = |key: &str| fields.get(key).copied();
            let at = |name: &str| format!("{key}.{name}");
            let from = self.day(get("from"), &at("from"));
            if get("from").is_none_or(Node::is_null) {
                let next = "Write the first day, as in 2026-12-18; `to:` may be left out for one day.";
                self.error(item.line, &format!("`{key}.from` is missing"), next);
            }
            let to = self.day(get("to"), &at("to"));
            let why =
                self.needed(get("why"), item, &at("why"), "Write a word or two: it is shown as the reason.");
            let Some(from) = from else { continue };
            let to = to.unwrap_or(from);
            if to < from {
                self.error(item.line, &format!("`{key}.to` lies before `{key}.from`"), "Turn them round.");
            }
            out.extend(why.map(|why| BlockedDays { from, to, why }));
        }
        out
    }
}
