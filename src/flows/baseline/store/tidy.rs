//! Forgets what is older than the collector keeps: hours, edges without an hour left, coverage,
//! holes, answers. Run now and then; one transaction, as everything else here.

use chrono::TimeDelta;
use redb::{Database, ReadableTable, WriteTransaction};

use super::{ANSWERS, EDGES, HOLES, HOURS, Store, open};
use crate::{
    cockpit::ports::Trouble,
    domain::{
        edge::{Hours, hour_of},
        time::Timestamp,
    },
    flows::baseline::encode,
};

/// Names are good for a window of discovery, and a day more.
const ANSWERS_KEPT: TimeDelta = TimeDelta::days(8);

impl Store {
    /// Drops what is older than `now` less the time kept. After an error the database is closed.
    pub fn forget(&mut self, now: Timestamp) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        match shared.with(|database| self.forget_in(database, now)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                self.shared.set(None);
                Err(self.opener.trouble(&error))
            }
            None => Err(self.opener.trouble(&redb::Error::DatabaseClosed)),
        }
    }

    fn forget_in(&mut self, database: &Database, now: Timestamp) -> Result<(), redb::Error> {
        let before = now - self.limits.keep;
        let transaction = database.begin_write()?;
        let gone = forget_edges(&transaction, hour_of(before))?;
        forget_coverage(&transaction, before)?;
        let gone_answers = forget_answers(&transaction, now - ANSWERS_KEPT.min(self.limits.keep))?;
        transaction.commit()?;
        self.answers = self.answers.saturating_sub(gone_answers);
        for (ns, parties) in gone.iter().filter_map(|(key, value)| open::parties(key, value)) {
            self.total = self.total.saturating_sub(1);
            if let Some(count) = self.counts.get_mut(&ns) {
                *count = (count.0.saturating_sub(1), count.1.minus(parties));
            }
        }
        self.counts.retain(|_, (edges, _)| *edges > 0);
        Ok(())
    }
}

/// Key and value of an edge.
type Row = (Vec<u8>, Vec<u8>);

/// The edges that have no hour left.
fn forget_edges(transaction: &WriteTransaction, first: i64) -> Result<Vec<Row>, redb::Error> {
    let mut table = transaction.open_table(EDGES)?;
    let (mut gone, mut shorter) = (Vec::new(), Vec::new());
    for row in table.iter()? {
        let (key, value) = row?;
        let Some(mut edge) = encode::edge_of(value.value()) else {
            gone.push((key.value().to_vec(), Vec::new()));
            continue;
        };
        let Some(hours) = later(&edge.hours, first) else { continue };
        if hours.is_empty() {
            gone.push((key.value().to_vec(), value.value().to_vec()));
        } else {
            edge.hours = hours;
            shorter.push((key.value().to_vec(), encode::edge(&edge)));
        }
    }
    for (key, _) in &gone {
        table.remove(key.as_slice())?;
    }
    for (key, edge) in &shorter {
        table.insert(key.as_slice(), edge.as_slice())?;
    }
    Ok(gone)
}

fn forget_coverage(transaction: &WriteTransaction, before: Timestamp) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(HOURS)?;
    let mut left = Vec::new();
    for row in table.iter()? {
        let (node, hours) = row?;
        let hours = encode::hours_of(hours.value()).and_then(|hours| later(&hours, hour_of(before)));
        left.extend(hours.map(|hours| (node.value().to_owned(), hours)));
    }
    for (node, hours) in &left {
        if hours.is_empty() {
            table.remove(node.as_str())?;
        } else {
            table.insert(node.as_str(), encode::hours(hours).as_slice())?;
        }
    }
    let goes_on = |value: &[u8]| encode::times_of::<2>(value).is_some_and(|[_, to]| to >= before);
    transaction.open_table(HOLES)?.retain(|_, value| goes_on(value))?;
    Ok(())
}

fn forget_answers(transaction: &WriteTransaction, oldest: Timestamp) -> Result<u64, redb::Error> {
    let mut gone = 0;
    transaction.open_table(ANSWERS)?.retain(|_, value| {
        let stays = encode::answered(value).is_some_and(|at| at >= oldest);
        gone += u64::from(!stays);
        stays
    })?;
    Ok(gone)
}

/// The hours from `first` on; `None`: there are no others.
fn later(hours: &Hours, first: i64) -> Option<Hours> {
    let begins = hours.iter().next()?;
    (begins < first).then(|| hours.iter().filter(|hour| *hour >= first).collect())
}
