//! Documents and what changed since, in the words that screen, text and handover share.

use super::{ComparedPart, DocumentRow, Newer, Standing};
use crate::domain::{
    names::plural,
    renewal::Changed,
    time::{Timestamp, age, span},
};

/// `today`, `in 12d`, `9d over`.
pub fn due_words(row: &DocumentRow, now: Timestamp) -> String {
    let Some(due) = row.due else { return "?".to_owned() };
    match (due - now.date_naive()).num_days() {
        0 => "today".to_owned(),
        left @ 1.. => format!("in {left}d"),
        over => format!("{}d over", -over),
    }
}

/// `prod-eu: the document's evidence is 41d00h old; its collector has 11-22 11:00 to 11-29 11:00 UTC, 12
/// destinations`.
pub fn heading(part: &ComparedPart, now: Timestamp) -> String {
    let before = match part.before {
        Some(at) => format!("the document's evidence is {} old", span(age(at, now))),
        None => "the document has nothing of it".to_owned(),
    };
    match &part.now {
        Err(why) => format!("{}: {before} and stays as it is: {why}", part.cluster),
        Ok(newer) => format!(
            "{}: {before}; its collector has {} to {} UTC, {}",
            part.cluster,
            newer.window.from.format("%m-%d %H:%M"),
            newer.window.to.format("%m-%d %H:%M"),
            plural(newer.destinations, "destination")
        ),
    }
}

/// What is called gone, if the evidence is not whole.
pub fn doubt(newer: &Newer) -> Option<String> {
    let first = newer.doubts.first()?;
    let more = newer.doubts.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
    Some(format!("what is called gone may only not have been seen: {first}{more}"))
}

pub fn differences(changed: &Changed) -> String {
    changed.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The standing, for whoever reads a list of other things.
pub fn line(row: &DocumentRow, now: Timestamp) -> String {
    let head = match row.standing {
        Standing::Due => format!("the monthly review of {} is due ({})", row.path, due_words(row, now)),
        Standing::Vanished => format!("{} is of a namespace that vanished", row.path),
        Standing::Unwritten => "a discovery document is missing".to_owned(),
        Standing::Unknown(_) => format!("whether {} is due is not known", row.path),
        Standing::New | Standing::Current => format!("{} is not due ({})", row.path, due_words(row, now)),
    };
    format!("{head}: {}", row.words())
}
