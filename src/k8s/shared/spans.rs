//! Sets of minutes and of nodes as short text: `29540160+1440,3+57` is 1440 minutes from that minute
//! since 1970 on, then a gap of 3, then 57 more; `0-12,15` are nodes by their place in the list.
//! Reading is total and bounded.

use std::{collections::BTreeSet, fmt::Write as _};

use crate::domain::spans::{Minute, Spans};

/// Stretches that are read of one set.
const STRETCHES: usize = 20_000;
/// Minutes since 1970 that are taken for real: up to the year 9999.
const LAST: Minute = 4_223_376_000;

pub fn text(spans: &Spans) -> String {
    let mut out = String::new();
    let mut end = 0;
    for range in spans.iter() {
        let comma = if out.is_empty() { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{}+{}", range.start - end, range.end - range.start);
        end = range.end;
    }
    out
}

pub fn read(raw: &str) -> Option<Spans> {
    let mut ranges = Vec::new();
    let mut end: Minute = 0;
    for part in raw.split(',').filter(|_| !raw.is_empty()) {
        let (gap, length) = part.split_once('+')?;
        let (gap, length) = (number(gap)?, number(length)?);
        if length == 0 || ranges.len() == STRETCHES {
            return None;
        }
        let start = end.checked_add(gap)?;
        end = start.checked_add(length).filter(|end| *end <= LAST)?;
        ranges.push(start..end);
    }
    Some(Spans::of(ranges))
}

fn number(raw: &str) -> Option<Minute> {
    let digits = (1..=10).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| raw.parse().ok()).flatten()
}

/// Places in a list, as ranges.
pub fn places(places: &BTreeSet<usize>) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for place in places {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *place => *last = *place,
            _ => ranges.push((*place, *place)),
        }
    }
    let words =
        ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    words.collect::<Vec<_>>().join(",")
}

/// Places in a list of this length.
pub fn read_places(raw: &str, length: usize) -> Option<BTreeSet<usize>> {
    let mut out = BTreeSet::new();
    for part in raw.split(',').filter(|_| !raw.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to) = (usize::try_from(number(from)?).ok()?, usize::try_from(number(to)?).ok()?);
        if from > to || to >= length {
            return None;
        }
        out.extend(from..=to);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn minutes_are_written_as_gaps_and_lengths() {
        let spans = Spans::of([29_540_160..29_541_600, 29_541_603..29_541_660]);
        assert_eq!(text(&spans), "29540160+1440,3+57");
        assert_eq!(read("29540160+1440,3+57"), Some(spans));
        assert_eq!((text(&Spans::default()).as_str(), read("")), ("", Some(Spans::default())));
    }

    #[test]
    fn what_is_no_set_of_minutes_is_refused() {
        for raw in [
            "x",
            "1",
            "1+",
            "+1",
            "1+0",
            "1+1,",
            ",1+1",
            "-1+1",
            "1+-1",
            "1+1 ",
            "4223376000+1",
            "9999999999+9999999999",
            "99999999999+1",
            "1+1;1+1",
        ] {
            assert_eq!(read(raw), None, "{raw}");
        }
        assert_eq!(read(&vec!["1+1"; STRETCHES + 1].join(",")), None);
    }

    #[test]
    fn nodes_are_written_as_ranges_of_places() {
        let set = BTreeSet::from([0, 1, 2, 5, 7, 8]);
        assert_eq!(places(&set), "0-2,5,7-8");
        assert_eq!(read_places("0-2,5,7-8", 9), Some(set));
        for (raw, length) in
            [("0-2", 2), ("3", 3), ("2-1", 5), ("0-99999999", 5), ("a", 5), ("1,", 5), ("-1", 5)]
        {
            assert_eq!(read_places(raw, length), None, "{raw}");
        }
    }

    proptest! {
        #[test]
        fn every_set_is_read_back(ranges in prop::collection::vec((0i64..40_000, 0i64..2_000), 0..50)) {
            let spans = Spans::of(ranges.into_iter().map(|(from, length)| from..from + length));
            prop_assert_eq!(read(&text(&spans)), Some(spans));
        }
    }
}
