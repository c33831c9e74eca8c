//! What was wrong with files: one sentence each with the file, the fact and the next step, counted,
//! with the line of the first. Everything that was whole counts all the same.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    cockpit::ports::Trouble,
    domain::names::Text,
    flows::{dnstap, records},
};

/// One kind of thing wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    pub path: PathBuf,
    pub why: Why,
    pub count: u64,
    /// Line of the first (of dnstap: frame), from 1; 0 where it concerns the whole file.
    pub first: u64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// It cannot be opened or read any further, in the system's words.
    Unreadable(Text),
    /// A folder, or nothing that can be read.
    NoFile,
    Empty,
    /// Compressed in a way that is not read.
    Packed(&'static str),
    /// The compressed data end or break in the middle.
    CutShort(Text),
    /// Nobody knows the format by its first bytes.
    NoFormat,
    /// None of its lines is of the format.
    OtherFormat {
        named: records::Format,
        looks: Option<records::Format>,
    },
    /// It holds answers where flows were asked for.
    NoFlows(records::Format),
    /// It holds no answers.
    NoAnswers(records::Format),
    /// Standard input or a pipe, where two passes are needed.
    Once,
    /// Standard input, asked for twice.
    Again,
    /// The last line has no end and is not whole.
    HalfLine,
    Line(records::Malformed),
    Frame(dnstap::decode::Malformed),
    Frames(Text),
    /// A `Log` rule's line, and nobody said what the rule stands for.
    Unjudged,
    /// A time more than an hour from now.
    Ahead,
    /// The same of a frame.
    FrameAhead,
}

const AHEAD: &str = "its time is more than an hour in the future, so it is not counted";

impl Complaint {
    pub(super) fn file(path: &std::path::Path, why: Why) -> Self {
        Self { path: path.to_owned(), why, count: 1, first: 0 }
    }

    /// Was something of the file not read?
    pub fn is_loss(&self) -> bool {
        !matches!(self.why, Why::Empty)
    }

    /// File, fact and next step.
    pub fn trouble(&self) -> Trouble {
        let path = self.path.to_string_lossy();
        let shown = if path == "-" { "standard input".into() } else { path };
        Trouble::new(&shown, &self.fact(), &self.next())
    }

    fn fact(&self) -> String {
        let times = |what: &str| match self.count {
            1 => format!("line {}: {what}", self.first),
            count => format!("{count} lines, the first is line {}: {what}", self.first),
        };
        let frames = |what: &str| match self.count {
            1 => format!("frame {}: {what}", self.first),
            count => format!("{count} frames, the first is frame {}: {what}", self.first),
        };
        match &self.why {
            Why::Unreadable(said) => format!("it cannot be read ({said})"),
            Why::NoFile => "it is a folder, not a file".to_owned(),
            Why::Empty => "it is empty".to_owned(),
            Why::Packed(with) => format!("it is packed with {with}, which is not read"),
            Why::CutShort(said) => {
                format!(
                    "its compressed data break off or are damaged ({said}); what came out whole before that counts"
                )
            }
            Why::NoFormat => "its first lines are of no known format, so nothing of it was read".to_owned(),
            Why::OtherFormat { named, looks: None } => {
                format!("none of its {} lines is {named}", self.count)
            }
            Why::OtherFormat { named, looks: Some(looks) } => {
                format!("none of its {} lines is {named}; it looks like {looks}", self.count)
            }
            Why::NoFlows(format) => format!("it is {format}, which holds DNS answers and no flows"),
            Why::NoAnswers(format) => format!("it is {format}, which holds no DNS answers"),
            Why::Once => {
                "it can be read only once, and this needs two passes: answers first, then flows".to_owned()
            }
            Why::Again => "standard input is named more than once".to_owned(),
            Why::HalfLine => times("the file ends within it; the lines before it count"),
            Why::Line(bad) => times(&bad.to_string()),
            Why::Frame(bad) => frames(&bad.to_string()),
            Why::Frames(said) => format!("{said}; everything whole before that counts"),
            Why::Unjudged => {
                times("it does not say what became of the packet, so it is no more than a sign of its node")
            }
            Why::Ahead => times(AHEAD),
            Why::FrameAhead => frames(AHEAD),
        }
    }

    fn next(&self) -> String {
        match &self.why {
            Why::Unreadable(_) if self.path.to_string_lossy().contains('*') => {
                "Write a space behind FORMAT: so that the shell finds the files.".to_owned()
            }
            Why::Unreadable(_) => "Correct the path or its rights.".to_owned(),
            Why::NoFile => "Name the files in it: FORMAT: FOLDER/*.".to_owned(),
            Why::Empty => "Check whether it was rotated or is still to be written.".to_owned(),
            Why::Packed(with) => format!("Unpack it with {with} first; gzip is read as it is."),
            Why::CutShort(_) | Why::Frames(_) => "Copy it once more from where it was written.".to_owned(),
            Why::NoFormat => {
                let names: Vec<_> = records::Format::ALL.iter().map(|format| format.as_str()).collect();
                format!("Name it: FORMAT:PATH, with one of {}.", names.join(", "))
            }
            Why::OtherFormat { looks: Some(looks), .. } => format!("Write {looks}:PATH, or auto:PATH."),
            Why::OtherFormat { looks: None, .. } => "Check which file it is.".to_owned(),
            Why::NoFlows(format) => format!("Give it as --dns {format}:PATH."),
            Why::NoAnswers(format) => format!("Give it as --flows {format}:PATH."),
            Why::Once => "Write it to a file and name that.".to_owned(),
            Why::Again => "Name - once.".to_owned(),
            Why::Unjudged => "Where the Log rule stands before a rule that allows or denies, write kernel-log=allowed:PATH or kernel-log=denied:PATH.".to_owned(),
            Why::HalfLine => "If it is still being written, run this again later.".to_owned(),
            Why::Line(_) | Why::Frame(_) => "Look at it; the rest of the file is read.".to_owned(),
            Why::Ahead | Why::FrameAhead => "Check the clock of the machine that wrote it.".to_owned(),
        }
    }
}

/// Counts by input and kind, in one worker.
#[derive(Debug, Default)]
pub(super) struct Tally {
    bad: BTreeMap<(usize, Why), (u64, u64)>,
    /// Lines and frames that were understood, by input.
    good: BTreeMap<usize, u64>,
}

impl Tally {
    pub(super) fn bad(&mut self, input: usize, why: Why, line: u64) {
        let (count, first) = self.bad.entry((input, why)).or_insert((0, line));
        *count += 1;
        *first = line.min(*first);
    }

    pub(super) fn good(&mut self, input: usize, count: u64) {
        *self.good.entry(input).or_default() += count;
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (key, (count, first)) in other.bad {
            let (all, line) = self.bad.entry(key).or_insert((0, first));
            *all += count;
            *line = first.min(*line);
        }
        for (input, count) in other.good {
            self.good(input, count);
        }
    }

    /// Complaints of the inputs. Where nothing at all was understood of a file, that is the only one.
    pub(super) fn complaints(self, inputs: &[super::input::Good]) -> Vec<Complaint> {
        let mut out = Vec::new();
        for (at, input) in inputs.iter().enumerate() {
            let of = self.bad.iter().filter(|((place, _), _)| *place == at);
            let lines = of.clone().filter(|((_, why), _)| matches!(why, Why::Line(_)));
            let bad: u64 = lines.map(|(_, (count, _))| count).sum();
            if bad > 0 && self.good.get(&at).copied().unwrap_or(0) == 0 {
                let looks = input.looks.filter(|looks| *looks != input.format);
                let why = Why::OtherFormat { named: input.format, looks };
                out.push(Complaint { path: input.path.clone(), why, count: bad, first: 0 });
                continue;
            }
            out.extend(of.map(|((_, why), (count, first))| Complaint {
                path: input.path.clone(),
                why: why.clone(),
                count: *count,
                first: *first,
            }));
        }
        out
    }
}

/// The same thing of the same file is one complaint with a count.
pub(super) fn summed(complaints: impl Iterator<Item = Complaint>) -> Vec<Complaint> {
    let mut out: Vec<Complaint> = Vec::new();
    for complaint in complaints {
        match out.iter_mut().find(|kept| kept.path == complaint.path && kept.why == complaint.why) {
            Some(kept) => kept.count += complaint.count,
            None => out.push(complaint),
        }
    }
    out
}

/// The same thing said by both passes is said once; the order stays.
pub(super) fn joined(complaints: Vec<Complaint>) -> Vec<Complaint> {
    let mut out: Vec<Complaint> = Vec::new();
    for complaint in complaints {
        match out.iter_mut().find(|kept| kept.path == complaint.path && kept.why == complaint.why) {
            Some(kept) => {
                kept.count = kept.count.max(complaint.count);
                kept.first = kept.first.min(complaint.first);
            }
            None => out.push(complaint),
        }
    }
    out
}

/// By file in the order given.
pub(super) fn in_order(mut complaints: Vec<Complaint>, job: &super::Job) -> Vec<Complaint> {
    let place = |path: &PathBuf| job.flows.iter().chain(&job.dns).position(|input| input.path == *path);
    complaints.sort_by_cached_key(|complaint| place(&complaint.path));
    complaints
}
