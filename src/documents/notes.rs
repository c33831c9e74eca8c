//! The places of a generated document where people write, and whether anything else was edited.
//! Pure: text in, notes out. A marker that is not as it was written is an error with its line, so
//! that nothing of a person's is ever overwritten by mistake.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, SecondsFormat};
use sha2::{Digest as _, Sha256};

use super::markdown::md;
use crate::{
    cockpit::monthly::Reviewed,
    domain::{names::Text, renewal::month_after, time::Timestamp},
};

/// Notes by their id.
pub type Notes = BTreeMap<String, Note>;

/// What people wrote in one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    /// What it is on, as the marker says.
    pub title: String,
    /// Lines as they were, each with its newline.
    pub body: String,
}

/// A document as it lies in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Old {
    pub generated: Timestamp,
    pub due: NaiveDate,
    pub notes: Notes,
    /// Something outside the notes is not as it was written.
    pub is_edited: bool,
}

/// Why a document cannot be regenerated without losing something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("its first line is not the one that sluice writes")]
    NotOurs,
    #[error("it was written by another version of sluice (form {0})")]
    Form(u32),
    #[error("line {line}: {why}")]
    Marker { line: usize, why: &'static str },
}

/// Id of the note that holds the reviews.
pub const REVIEW: &str = "review";
/// Id of the note on the namespace as a whole.
pub const NAMESPACE: &str = "namespace";

/// Which document it is, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Discovery,
    Runbook,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Runbook => "runbook",
        }
    }
}

const FORM: u32 = 1;
const SEAL: &str = ", content sha256:";
const BEGIN: &str = "<!-- notes ";
const END: &str = "<!-- end of notes ";
const CLOSE: &str = " -->";

/// A stable id for what a note is on.
pub fn id(parts: &[&str]) -> String {
    hex(&Sha256::digest(parts.join("\n").as_bytes())[..6])
}

/// One place for notes, with what was written there before.
pub fn block(id: &str, title: &str, body: &str) -> String {
    let body = if body.is_empty() { "\n" } else { body };
    format!("{BEGIN}{id}: {}{CLOSE}\n{body}{END}{id}{CLOSE}\n", plain(title))
}

/// A title that cannot end a comment or begin a marker.
fn plain(title: &str) -> String {
    let safe = |c: char| c.is_alphanumeric() || " ._-/:@*,".contains(c);
    title.chars().take(160).map(|c| if safe(c) { c } else { '?' }).collect::<String>().trim().to_owned()
}

/// The document with its first line, which holds the hash of everything outside the notes.
pub fn seal(kind: Kind, generated: Timestamp, due: NaiveDate, body: &str) -> String {
    let at = generated.to_rfc3339_opts(SecondsFormat::Secs, true);
    let head = format!("<!-- sluice {} {FORM}, generated {at}, review due {due}", kind.word());
    let unsealed = format!("{head}{CLOSE}\n{body}");
    format!("{head}{SEAL}{}{CLOSE}\n{body}", content(&unsealed))
}

/// Reads what people wrote and whether the rest is untouched.
pub fn read(kind: Kind, text: &str) -> Result<Old, Broken> {
    let head = text.lines().next().unwrap_or_default().trim_end();
    let (generated, due, sealed) = header(kind, head)?;
    let notes = notes(text)?;
    Ok(Old { generated, due, notes, is_edited: content(text) != sealed })
}

fn header(kind: Kind, line: &str) -> Result<(Timestamp, NaiveDate, &str), Broken> {
    let ours = line.strip_prefix("<!-- sluice ").and_then(|rest| rest.strip_prefix(kind.word()));
    let rest = ours.and_then(|rest| rest.strip_prefix(' ')).ok_or(Broken::NotOurs)?;
    let (form, rest) = rest.split_once(", generated ").ok_or(Broken::NotOurs)?;
    let form: u32 = form.parse().map_err(|_| Broken::NotOurs)?;
    if form != FORM {
        return Err(Broken::Form(form));
    }
    let (generated, rest) = rest.split_once(", review due ").ok_or(Broken::NotOurs)?;
    let (due, rest) = rest.split_once(SEAL).ok_or(Broken::NotOurs)?;
    let sealed = rest.strip_suffix(CLOSE).ok_or(Broken::NotOurs)?;
    let generated = DateTime::parse_from_rfc3339(generated).map_err(|_| Broken::NotOurs)?.to_utc();
    let due = due.parse().map_err(|_| Broken::NotOurs)?;
    Ok((generated, due, sealed))
}

fn notes(text: &str) -> Result<Notes, Broken> {
    let mut out = Notes::new();
    let mut open: Option<(String, Note, usize)> = None;
    for (at, line) in text.lines().enumerate() {
        let bad = |why| Broken::Marker { line: at + 1, why };
        match (marker(line), open.as_mut()) {
            (Marker::None, Some((_, note, _))) => {
                note.body.push_str(line);
                note.body.push('\n');
            }
            (Marker::None, None) => {}
            (Marker::Bad, _) => return Err(bad("this marker of notes is not one that sluice wrote")),
            (Marker::Begin(..), Some(_)) => return Err(bad("notes begin inside other notes")),
            (Marker::Begin(id, title), None) => {
                let note = Note { title: title.to_owned(), body: String::new() };
                open = Some((id.to_owned(), note, at + 1));
            }
            (Marker::End(_), None) => return Err(bad("notes end that never began")),
            (Marker::End(end), Some((id, _, _))) if *end != **id => {
                return Err(bad("the notes that end here are not those that began above"));
            }
            (Marker::End(_), Some(_)) => {
                let Some((id, note, _)) = open.take() else { continue };
                if out.insert(id, note).is_some() {
                    return Err(bad("these notes are there twice"));
                }
            }
        }
    }
    match open {
        None => Ok(out),
        Some((_, _, line)) => Err(Broken::Marker { line, why: "the notes that begin here never end" }),
    }
}

enum Marker<'l> {
    None,
    Begin(&'l str, &'l str),
    End(&'l str),
    Bad,
}

fn marker(line: &str) -> Marker<'_> {
    let line = line.trim();
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if let Some(rest) = line.strip_prefix(BEGIN) {
        let inner = rest.strip_suffix(CLOSE).and_then(|rest| rest.split_once(": "));
        return inner.filter(|(id, _)| is_id(id)).map_or(Marker::Bad, |(id, title)| Marker::Begin(id, title));
    }
    if let Some(rest) = line.strip_prefix(END) {
        return rest.strip_suffix(CLOSE).filter(|id| is_id(id)).map_or(Marker::Bad, Marker::End);
    }
    let loose: String = line.split_whitespace().collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    match loose.contains("<!-- notes") || loose.contains("<!-- end of notes") || loose.contains("<!--notes") {
        true => Marker::Bad,
        false => Marker::None,
    }
}

/// Writes a document, and takes each note out of `left` once it found its place.
pub struct Writer {
    pub out: String,
    left: Notes,
}

impl Writer {
    pub fn new(notes: Notes) -> Self {
        Self { out: String::new(), left: notes }
    }

    pub fn line(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// A block of lines with an empty one after it.
    pub fn para(&mut self, text: &str) {
        self.line(text.trim_end_matches('\n'));
        self.line("");
    }

    /// A place for notes, with what was written there, or else `fresh`.
    pub fn notes(&mut self, id: &str, title: &str, fresh: &str) {
        let body = self.left.remove(id).map_or_else(|| fresh.to_owned(), |note| note.body);
        self.para(&block(id, title, &body));
    }

    /// The place where each review is written down.
    pub fn reviews(&mut self) {
        let title = "reviews, one a line, such as Reviewed: 2026-01-31 by Ann";
        self.notes(REVIEW, title, NOT_YET);
    }

    /// Notes that found no place this time are kept all the same, below a heading.
    pub fn orphans(&mut self, heading: &str) {
        let kept: Notes =
            std::mem::take(&mut self.left).into_iter().filter(|(_, note)| is_written(note)).collect();
        if kept.is_empty() {
            return;
        }
        self.para(heading);
        for (id, note) in kept {
            self.para(&md(&note.title));
            self.para(&block(&id, &note.title, &note.body));
        }
    }
}

/// Did a person write anything?
pub fn is_written(note: &Note) -> bool {
    let body = note.body.trim();
    !body.is_empty() && body != "Decision: none yet" && body != NOT_YET.trim()
}

/// Hash of everything outside the notes. What editors do to line ends and to the end of the file
/// does not count.
fn content(text: &str) -> String {
    let mut hash = Sha256::new();
    let mut is_inside = false;
    let mut blank = 0;
    for line in text.lines() {
        let found = marker(line);
        if matches!(found, Marker::End(_)) {
            is_inside = false;
        }
        if !is_inside {
            let line = line.trim_end();
            let line = line.split_once(SEAL).map_or(line, |(head, _)| head);
            let line = line.strip_suffix(CLOSE).unwrap_or(line);
            if line.is_empty() {
                blank += 1;
            } else {
                (0..blank).for_each(|_| hash.update(b"\n"));
                blank = 0;
                hash.update(line.as_bytes());
                hash.update(b"\n");
            }
        }
        if matches!(found, Marker::Begin(..)) {
            is_inside = true;
        }
    }
    hex(&hash.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The latest review that people wrote down (`Reviewed: 2026-11-24 by Ann`), not later than the day of
/// the document.
pub fn reviewed(notes: &Notes, today: NaiveDate) -> Option<Reviewed> {
    let body = &notes.get(REVIEW)?.body;
    let all = body.lines().filter_map(|line| {
        let line = line.trim_start_matches(['-', '*', ' ']);
        let word = line.get(..9).filter(|word| word.eq_ignore_ascii_case("reviewed:"))?;
        let rest = line[word.len()..].trim();
        let (date, who) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let day = date.trim_end_matches([',', ';', '.', ':']).parse::<NaiveDate>().ok()?;
        let who = who.trim().trim_start_matches("by ").trim();
        Some(Reviewed { day, by: (!who.is_empty()).then(|| Text::new(who)) })
    });
    all.filter(|one| one.day <= today).max_by_key(|one| one.day)
}

/// Writes a review down beside those that are there.
pub fn mark(notes: &mut Notes, day: NaiveDate, by: &str) {
    let note = notes.entry(REVIEW.to_owned()).or_default();
    if note.body.trim().is_empty() || note.body.trim() == NOT_YET.trim() {
        note.body.clear();
    }
    note.body.push_str(&format!("Reviewed: {day} by {}\n", plain(by)));
}

const NOT_YET: &str = "Reviewed: not yet\n";

/// A month after the last review; without one the date that was set before stays.
pub fn due(reviewed: Option<NaiveDate>, before: Option<NaiveDate>, today: NaiveDate) -> NaiveDate {
    reviewed.map(month_after).or(before).unwrap_or_else(|| month_after(today))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(raw: &str) -> NaiveDate {
        raw.parse().expect("a date")
    }

    fn document() -> String {
        let at = DateTime::from_timestamp(1_772_409_600, 0).expect("valid");
        let body = format!(
            "# Title\n\n{}\ntail\n",
            block("ab12", "vendor --> <b> `x` in eu", "- kept  \n\n<!-- mine -->\n")
        );
        seal(Kind::Discovery, at, day("2026-04-02"), &body)
    }

    #[test]
    fn notes_are_read_back_to_the_byte() {
        let old = read(Kind::Discovery, &document()).expect("ours");
        assert_eq!(old.notes["ab12"].body, "- kept  \n\n<!-- mine -->\n");
        assert_eq!(old.notes["ab12"].title, "vendor --? ?b? ?x? in eu");
        assert_eq!((old.due, old.is_edited), (day("2026-04-02"), false));
    }

    #[test]
    fn only_edits_outside_the_notes_count() {
        let text = document();
        for (from, to, is_edited) in [
            ("- kept", "- changed\nmore", false),
            ("# Title", "# Another", true),
            ("tail\n", "", true),
            ("tail\n", "tail\n\n\n", false),
            ("\n", "\r\n", false),
            ("review due 2026-04-02", "review due 2027-04-02", true),
            ("vendor", "seller", true),
        ] {
            let old = read(Kind::Discovery, &text.replace(from, to)).expect("ours");
            assert_eq!(old.is_edited, is_edited, "{from} -> {to}");
        }
    }

    #[test]
    fn broken_markers_are_told_with_their_line() {
        let text = document();
        let said = |from: &str, to: &str| {
            read(Kind::Discovery, &text.replace(from, to)).expect_err("broken").to_string()
        };
        let cases = [
            said("<!-- end of notes ab12 -->\n", ""),
            said("<!-- end of notes ab12 -->", "<!-- end of notes cd34 -->"),
            said("<!-- end of notes ab12 -->", "<!-- End of notes ab12-->"),
            said("- kept", "<!-- notes cd34: x -->"),
            said("tail", "<!-- end of notes ab12 -->"),
            said("tail", "<!-- notes ab12: x -->\n<!-- end of notes ab12 -->"),
            said("<!-- sluice discovery 1", "<!-- sluice discovery 7"),
            said("<!-- sluice", "<!-- SLUICE"),
        ];
        insta::assert_snapshot!(cases.join("\n"), @"
        line 4: the notes that begin here never end
        line 8: the notes that end here are not those that began above
        line 8: this marker of notes is not one that sluice wrote
        line 5: notes begin inside other notes
        line 10: notes end that never began
        line 11: these notes are there twice
        it was written by another version of sluice (form 7)
        its first line is not the one that sluice writes
        ");
    }

    #[test]
    fn a_review_is_due_a_month_after_the_last() {
        let note = |body: &str| {
            Notes::from([(REVIEW.to_owned(), Note { title: String::new(), body: body.to_owned() })])
        };
        let today = day("2026-03-31");
        for (body, last, next) in [
            ("Reviewed: not yet\n", None, "2026-04-30"),
            ("Reviewed: 2026-01-31 by Ann\n- reviewed: 2026-03-01, Bo\n", Some("2026-03-01"), "2026-04-01"),
            ("Reviewed: 2062-01-01 by a typo\n", None, "2026-04-30"),
        ] {
            let found = reviewed(&note(body), today).map(|one| one.day);
            assert_eq!(found, last.map(day), "{body}");
            assert_eq!(due(found, None, today), day(next), "{body}");
        }
        assert_eq!(due(None, Some(day("2026-03-15")), today), day("2026-03-15"));
    }

    #[test]
    fn a_review_is_written_down_with_who_and_kept_beside_the_others() {
        let mut notes = Notes::new();
        notes.insert(REVIEW.to_owned(), Note { title: String::new(), body: NOT_YET.to_owned() });
        mark(&mut notes, day("2026-01-31"), "ann@example.com");
        mark(&mut notes, day("2026-02-28"), "bo --> <!-- notes x: y -->\nline");
        assert_eq!(
            notes[REVIEW].body,
            "Reviewed: 2026-01-31 by ann@example.com\nReviewed: 2026-02-28 by bo --? ??-- notes x: y --??line\n"
        );
        let last = reviewed(&notes, day("2026-03-01")).expect("there");
        assert_eq!(
            (last.day, last.by),
            (day("2026-02-28"), Some(Text::new("bo --? ??-- notes x: y --??line")))
        );
        let first = reviewed(&notes, day("2026-02-01")).and_then(|one| one.by);
        assert_eq!(first, Some(Text::new("ann@example.com")));
    }
}
