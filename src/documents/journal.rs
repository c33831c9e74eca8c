//! The journal as JSON lines and as text, and back: one entry a line, its own hash at the end, so that
//! a copy can be verified without the cluster it came from. Reading is total: whatever the bytes are,
//! the answer names the line and what is wrong with it.

use chrono::{FixedOffset, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::wire::line;
use crate::domain::{
    journal::{Act, Broken, Chain, Entry, Hash},
    names::Text,
    rollout::Stamp,
    time::Timestamp,
};

/// One line. The hash covers every other field; a key that it would not cover is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename = "journal entry")]
struct EntryOut {
    number: u64,
    /// Hash of the entry before; of the first, 64 zeros.
    previous: String,
    /// RFC 3339 in UTC, to the microsecond.
    at: String,
    by: String,
    act: String,
    object: String,
    facts: Vec<String>,
    hash: String,
}

/// Longest line read, in bytes; one entry of sluice is far shorter.
pub const LINE: usize = 256 * 1024;

/// A line that is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(Text);

/// Where a copy does not hold together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("line {line} is no entry: {why}")]
    NoEntry { line: usize, why: Malformed },
    #[error("line {line}: entry {number} was changed: its hash says {said}, its fields give {is}")]
    Changed { line: usize, number: u64, said: Hash, is: Hash },
    #[error("line {line}: {why}")]
    Chain { line: usize, why: Broken },
    #[error("the last hash is {is}, and it should be {wanted}: entries at the end are missing or changed")]
    Head { is: Hash, wanted: Hash },
}

/// A copy that holds together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub entries: u64,
    /// Hash of the last entry: who keeps it elsewhere notices a copy that was cut or written anew.
    pub head: Hash,
}

pub fn json_line(entry: &Entry) -> String {
    line(&EntryOut {
        number: entry.number,
        previous: entry.previous.to_string(),
        at: moment(entry.stamp.at),
        by: entry.stamp.by.to_string(),
        act: entry.act.as_str().to_owned(),
        object: entry.object.to_string(),
        facts: entry.facts.iter().map(ToString::to_string).collect(),
        hash: entry.hash().to_string(),
    })
}

/// An entry, and the hash that its line gives it.
pub fn parse_line(raw: &str) -> Result<(Entry, Hash), Malformed> {
    if raw.len() > LINE {
        return Err(Malformed(Text::from(format!("it is longer than {LINE} bytes"))));
    }
    let read: EntryOut = serde_json::from_str(raw).map_err(|bad| Malformed(Text::from(format!("{bad}"))))?;
    let stamp = Stamp { by: whole("by", &read.by)?, at: parse_moment(&read.at)? };
    let entry = Entry {
        number: read.number,
        previous: hash("previous", &read.previous)?,
        stamp,
        act: Act::parse(&read.act).ok_or_else(|| odd("act", &read.act))?,
        object: whole("object", &read.object)?,
        facts: read.facts.iter().map(|fact| whole("facts", fact)).collect::<Result<_, _>>()?,
    };
    Ok((entry, hash("hash", &read.hash)?))
}

/// Verifies a copy line by line, each with its number counted from 1; empty lines are passed over.
/// With `head`: it must end with this hash.
pub fn verify<'l>(
    lines: impl IntoIterator<Item = (usize, &'l str)>,
    head: Option<Hash>,
) -> Result<Verified, Fault> {
    let mut check = Check::default();
    lines.into_iter().try_for_each(|(number, raw)| check.line(number, raw))?;
    check.end(head)
}

/// A copy that is being read.
#[derive(Default)]
pub struct Check {
    chain: Chain,
}

impl Check {
    pub fn line(&mut self, line: usize, raw: &str) -> Result<(), Fault> {
        if raw.trim().is_empty() {
            return Ok(());
        }
        let (entry, said) = parse_line(raw).map_err(|why| Fault::NoEntry { line, why })?;
        let is = entry.hash();
        if said != is {
            return Err(Fault::Changed { line, number: entry.number, said, is });
        }
        self.chain.follow(&entry).map_err(|why| Fault::Chain { line, why })
    }

    pub fn end(self, head: Option<Hash>) -> Result<Verified, Fault> {
        let is = self.chain.previous;
        match head.filter(|wanted| *wanted != is) {
            Some(wanted) => Err(Fault::Head { is, wanted }),
            None => Ok(Verified { entries: self.chain.number - 1, head: is }),
        }
    }
}

/// For people: a line of who, what and when, then the facts, then what the copy can be checked by.
pub fn text<'e>(entries: impl IntoIterator<Item = &'e Entry>, zone: FixedOffset) -> String {
    let mut out = String::new();
    let mut last = None;
    for entry in entries {
        out.push_str(&entry_text(entry, zone));
        last = Some(entry);
    }
    match last {
        None => "The journal is empty.\n".to_owned(),
        Some(entry) => {
            out.push_str(&format!("last hash {}\n", entry.hash()));
            out
        }
    }
}

pub fn entry_text(entry: &Entry, zone: FixedOffset) -> String {
    let at = entry.stamp.at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S %:z");
    let mut out =
        format!("#{} {at} {} by {}: {}\n", entry.number, entry.act.as_str(), entry.stamp.by, entry.object);
    out.extend(entry.facts.iter().map(|fact| format!("{}\n", format!("    {fact}").trim_end())));
    out
}

/// A copy that was verified, in words.
pub fn verified_text(verified: &Verified) -> String {
    match verified.entries {
        0 => "The copy has no entries.\n".to_owned(),
        1 => format!("1 entry holds together; the last hash is {}\n", verified.head),
        more => format!("{more} entries hold together; the last hash is {}\n", verified.head),
    }
}

fn moment(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Only as it is written: what the hash covers is then what is read.
fn parse_moment(raw: &str) -> Result<Timestamp, Malformed> {
    let at = chrono::DateTime::parse_from_rfc3339(raw).map_err(|_| odd("at", raw))?.to_utc();
    if moment(at) == raw { Ok(at) } else { Err(odd("at", raw)) }
}

fn hash(key: &str, raw: &str) -> Result<Hash, Malformed> {
    Hash::parse(raw).filter(|hash| hash.to_string() == raw).ok_or_else(|| odd(key, raw))
}

/// A text that would not be cut or cleaned: sluice writes no other.
fn whole(key: &str, raw: &str) -> Result<Text, Malformed> {
    let text = Text::new(raw);
    if text.as_str() == raw || is_cut(raw) { Ok(text) } else { Err(odd(key, raw)) }
}

/// A text of full length with the ellipsis that [`Text`] ends it with.
fn is_cut(raw: &str) -> bool {
    raw.chars().count() == Text::LIMIT + 1
        && raw.ends_with('…')
        && !raw.chars().any(crate::domain::names::is_hostile)
}

fn odd(key: &str, raw: &str) -> Malformed {
    let shown: String = raw.chars().take(60).collect();
    Malformed(Text::from(format!("{key} is not as sluice writes it: {:?}", Text::new(&shown))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::journal::tests::three;

    fn copy() -> String {
        three().iter().map(|(entry, _)| json_line(entry)).collect()
    }

    fn check(copy: &str) -> Result<Verified, String> {
        verify(copy.lines().enumerate().map(|(n, line)| (n + 1, line)), None)
            .map_err(|fault| fault.to_string())
    }

    #[test]
    fn the_wire_form_and_the_text_are_as_documented() {
        let entries = three().map(|(entry, _)| entry);
        insta::assert_snapshot!("journal.jsonl", copy());
        insta::assert_snapshot!(
            "journal.txt",
            text(&entries, FixedOffset::east_opt(3_600).expect("an offset"))
        );
        assert_eq!(text([], FixedOffset::east_opt(0).expect("an offset")), "The journal is empty.\n");
    }

    #[test]
    fn a_line_is_read_back_as_it_was() {
        for (entry, expected) in three() {
            let (back, said) = parse_line(&json_line(&entry)).expect("it is an entry");
            assert_eq!((back, said.to_string().as_str()), (entry, expected));
        }
        let mut long = three()[0].0.clone();
        long.facts = vec![Text::new(&"x".repeat(2_000)), Text::new("a\u{1b}[2Jb|`\"\\")];
        assert_eq!(parse_line(&json_line(&long)).map(|(entry, _)| entry), Ok(long));
    }

    #[test]
    fn a_whole_copy_says_how_many_and_its_last_hash() {
        let verified = check(&format!("\n{}\n\n", copy())).expect("it holds");
        assert_eq!((verified.entries, verified.head.to_string().as_str()), (3, three()[2].1));
        assert_eq!(
            verified_text(&verified),
            format!("3 entries hold together; the last hash is {}\n", three()[2].1)
        );
        assert_eq!(check("").map(|verified| verified.entries), Ok(0));
    }

    /// Each case: what is done to the copy, and what `verify` says.
    #[test]
    fn where_a_copy_breaks_is_said() {
        let lines: Vec<String> = copy().lines().map(str::to_owned).collect();
        let changed = lines[1].replace("Zoë", "Zoe");
        let hole = [lines[0].clone(), lines[2].clone()].join("\n");
        let [_, (second, _), (third, _)] = three();
        // Somebody who computes the hash of his own entry anew.
        let mut forged = second;
        forged.act = Act::Apply;
        let rehashed = [&lines[0], json_line(&forged).trim_end(), &lines[2]].join("\n");
        let cut: String = lines[..2].join("\n");
        let said = [
            check(&[lines[0].clone(), changed, lines[2].clone()].join("\n")),
            check(&hole),
            check(&rehashed),
            check(&format!("{}\nnonsense", lines[0])),
            verify(cut.lines().enumerate().map(|(n, line)| (n + 1, line)), Some(third.hash()))
                .map_err(|fault| fault.to_string()),
        ];
        let said: Vec<_> = said.into_iter().map(|said| said.expect_err("it is broken")).collect();
        insta::assert_snapshot!("journal-broken.txt", said.join("\n"));
    }

    /// What the hash would not cover, and what sluice would not have written, is no entry.
    #[test]
    fn hostile_lines_are_refused_with_their_reason() {
        let good = json_line(&three()[0].0);
        let with = |from: &str, to: &str| good.replacen(from, to, 1);
        let lines = [
            String::new(),
            "[]".to_owned(),
            "{}".to_owned(),
            with("\"number\":1", "\"number\":-1"),
            with("\"number\":1", "\"number\":1,\"number\":2"),
            with("\"number\":1", "\"note\":\"approved by all\",\"number\":1"),
            with("\"number\":1", "\"number\":99999999999999999999"),
            with(".000000Z", "Z"),
            with(".000000Z", ".0000001Z"),
            with("2026", "+999999"),
            with("\"apply\"", "\"Apply\""),
            with("\"previous\":\"0", "\"previous\":\"G"),
            with("lead@", "le\\u001b[31mad@"),
            with("east/shop", "east\\u202e/shop"),
            with("\"digest 1f2e\"", "7"),
            with("\"done\"", &format!("{:?}", "y".repeat(600))),
            good.replace("80eba", "80EBA"),
            format!("{good}{}", " ".repeat(LINE)),
        ];
        let said: Vec<_> = lines
            .iter()
            .map(|line| parse_line(line.trim_end_matches('\n')).expect_err(line).to_string())
            .collect();
        insta::assert_snapshot!("journal-hostile.txt", said.join("\n"));
        assert!(!said.concat().chars().any(crate::domain::names::is_hostile));
    }

    proptest! {
        /// Whatever one byte of a copy is changed to, `verify` notices or the copy means the same.
        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0usize..1_200, to in any::<char>()) {
            let good = copy();
            let mut chars: Vec<char> = good.chars().collect();
            let at = at % chars.len();
            chars[at] = to;
            let bad: String = chars.into_iter().collect();
            if let Ok(verified) = check(&bad) {
                prop_assert_eq!(verified, check(&good).expect("it holds"));
                let entries: Vec<_> = bad.lines().filter_map(|line| parse_line(line).ok()).map(|(e, _)| e).collect();
                prop_assert_eq!(entries, three().map(|(entry, _)| entry).to_vec());
            }
        }
    }
}
