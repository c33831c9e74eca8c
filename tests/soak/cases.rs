//! Each file of `tests/cases/soak` writes evidence as timelines, one character a minute, and after
//! `judge` what is made of it (`=>`). In a node's line `#` is a minute in which it ran pods and was
//! heard, `r` ran and not heard, `h` heard without running, `x` ran, heard and lost something; in the
//! others `#` is yes. `.` is no. The bytes went live at minute 0.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use sluice::domain::{
    denial::Class,
    evidence::{Cause, Evidence, Exercised, Ground, OpenGroup, Pause, Restart, Trail, Verdicts},
    flow::{Direction, Protocol},
    hold::DenialKey,
    names::{ClusterName, NodeName, NsName, Text},
    policy::PolicyDigest,
    rollout::Target,
    soak::{Context, Judged, Source, Verdict, judge},
    source::SourceKind,
    spans::{Spans, minute_of},
};

#[test]
fn evidence_is_judged_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/soak");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a case file");
        let actual = play(&text);
        let diff = similar::TextDiff::from_lines(&text, &actual);
        let diff = diff.unified_diff().context_radius(4).header("written", "played").to_string();
        assert!(text == actual, "{} differs:\n{diff}", file.display());
    }
}

/// A Monday.
pub fn at(minute: i64) -> DateTime<Utc> {
    "2026-03-02T00:00:00Z".parse::<DateTime<Utc>>().expect("a time") + TimeDelta::minutes(minute)
}

pub fn target() -> Target {
    Target {
        cluster: ClusterName::parse("east").expect("a name"),
        ns: NsName::parse("shop").expect("a name"),
        direction: Direction::Egress,
    }
}

pub fn node(name: &str) -> NodeName {
    NodeName::parse(name).expect("a name")
}

pub fn empty() -> Evidence {
    Evidence {
        target: target(),
        uid: Text::new("uid-1"),
        digest: PolicyDigest::of([]),
        ground: Ground::default(),
        since: at(0),
        until: at(0),
        observer: Text::new("watch"),
        looked: Spans::default(),
        nodes: BTreeMap::new(),
        pauses: Vec::new(),
        restarts: Vec::new(),
        verdicts: Verdicts::default(),
        groups: Vec::new(),
        more_groups: 0,
        jobs: BTreeMap::new(),
        exercised: Exercised::default(),
    }
}

/// One evidence in the making, and what stands beside it.
struct Case {
    evidence: Evidence,
    now: i64,
    needed: i64,
    lapses: i64,
    source: Source,
    expected: Vec<DenialKey>,
    quiet_waived: bool,
    jobs: Option<Vec<Text>>,
}

impl Case {
    fn new() -> Self {
        let mut evidence = empty();
        evidence.verdicts.allowed = 1;
        Self {
            evidence,
            now: 0,
            needed: 10,
            lapses: 14 * 24 * 60,
            source: Source::Known(SourceKind::Hubble),
            expected: Vec::new(),
            quiet_waived: false,
            jobs: None,
        }
    }

    fn line(&mut self, words: &[&str]) {
        let number = |word: &str| word.parse::<i64>().expect("a number");
        let evidence = &mut self.evidence;
        match words {
            ["needed", minutes] => self.needed = number(minutes),
            ["lapses", minutes] => self.lapses = number(minutes),
            ["now", minute] => self.now = number(minute),
            ["source", "none"] => self.source = Source::None,
            ["source", "silent-unless-probed"] => self.source = Source::Known(SourceKind::Unknown),
            ["looked", line] => evidence.looked.union(&marks(line, "#")),
            ["pause", cause, line] => evidence.pauses.push(pause(cause, &marks(line, "#"))),
            ["restart", cause, minute] => evidence.restarts.push(Restart {
                at: at(number(minute)),
                cause: cause_of(cause),
                why: Text::default(),
            }),
            ["in-force", minute, nodes @ ..] => {
                evidence.verdicts.in_force.extend(nodes.iter().map(|name| (node(name), at(number(minute)))));
            }
            ["proved", minute, nodes @ ..] => {
                evidence.verdicts.proved.extend(nodes.iter().map(|name| (node(name), at(number(minute)))));
            }
            ["leaks", minute, nodes @ ..] => {
                evidence.verdicts.breached.extend(nodes.iter().map(|name| (node(name), at(number(minute)))));
            }
            ["quiet"] => evidence.verdicts.allowed = 0,
            ["quiet", "waived"] => self.quiet_waived = true,
            ["denied", class, destination] => evidence.groups.push(group(class, destination)),
            ["expected", destination] => self.expected.push(key(destination)),
            ["more-groups", count] => evidence.more_groups = number(count) as u64,
            ["jobs", names @ ..] => self.jobs = Some(names.iter().map(|name| Text::new(name)).collect()),
            ["ran", job, minute] => drop(evidence.jobs.insert(Text::new(job), at(number(minute)))),
            ["node", name, line] => drop(evidence.nodes.insert(node(name), trail(line, "loss"))),
            ["node", name, line, cause] => drop(evidence.nodes.insert(node(name), trail(line, cause))),
            other => panic!("{other:?} is no line of a case"),
        }
    }

    fn judge(&self) -> Judged {
        let expected = |key: &DenialKey| self.expected.contains(key);
        judge(
            &self.evidence,
            &Context {
                now: at(self.now),
                needed: TimeDelta::minutes(self.needed),
                lapses: TimeDelta::minutes(self.lapses),
                expected: &expected,
                quiet_waived: self.quiet_waived,
                jobs: self.jobs.as_deref(),
                source: self.source,
            },
        )
    }
}

fn play(text: &str) -> String {
    let (mut out, mut case) = (String::new(), Case::new());
    for line in text.lines().filter(|line| !line.starts_with("=>")) {
        let _ = writeln!(out, "{line}");
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            [] => case = Case::new(),
            ["#", ..] => {}
            ["judge"] => tell(&case.judge(), &mut out),
            words => case.line(words),
        }
    }
    out
}

fn tell(judged: &Judged, out: &mut String) {
    let more = match &judged.verdict {
        Verdict::Soaking { left, .. } => format!(", {} left", left.num_minutes()),
        Verdict::Clean { since } => format!(" since {}", minute_of(*since) - minute_of(at(0))),
        Verdict::NotStarted | Verdict::Idle | Verdict::Withheld { .. } => String::new(),
    };
    let Judged { verdict, wall, credited, idle, lapsed, pending, .. } = judged;
    let paused: i64 = judged.pauses.iter().map(|pause| pause.spans.minutes()).sum();
    assert_eq!(*wall, credited + idle + lapsed + pending + paused, "every minute stands in one place");
    let _ = writeln!(
        out,
        "=> {}{more}: {credited} of {wall}, idle {idle}, pending {pending}, lapsed {lapsed}",
        verdict.word()
    );
    for pause in &judged.pauses {
        let _ = writeln!(out, "=> {} {}", pause.cause.as_str(), pause.spans.minutes());
    }
    for reason in verdict.reasons() {
        let _ = writeln!(out, "=> not clean: {reason}");
    }
    let bar: String = judged.bar(*wall as usize).into_iter().map(|cell| cell.glyph()).collect();
    let _ = writeln!(out, "=> |{bar}|");
}

fn marks(line: &str, yes: &str) -> Spans {
    let minutes = line.chars().enumerate().filter(|(_, c)| yes.contains(*c));
    Spans::of(minutes.map(|(nth, _)| minute_of(at(nth as i64))).map(|minute| minute..minute + 1))
}

fn trail(line: &str, cause: &str) -> Trail {
    let lost = marks(line, "x");
    Trail {
        ran: marks(line, "#rx"),
        heard: marks(line, "#hx"),
        void: if lost.is_empty() { Vec::new() } else { vec![pause(cause, &lost)] },
    }
}

fn cause_of(word: &str) -> Cause {
    Cause::parse(&word.replace('-', " ")).unwrap_or_else(|| panic!("{word} is no cause"))
}

fn pause(cause: &str, spans: &Spans) -> Pause {
    Pause { cause: cause_of(cause), spans: spans.clone(), why: Text::default() }
}

fn key(destination: &str) -> DenialKey {
    let (name, port) = destination.rsplit_once(':').expect("a port");
    let port = port.parse().expect("a port");
    DenialKey { workload: None, destination: Text::new(name), port, protocol: Protocol::Tcp }
}

fn group(class: &str, destination: &str) -> OpenGroup {
    let class = match class {
        "hurting" => Class::Hurting,
        "unattributed" => Class::Unattributed,
        "start-up" => Class::StartUp,
        other => panic!("{other} is no class here"),
    };
    OpenGroup { key: key(destination), class, count: 1, first: at(0), last: at(1), said: Text::default() }
}
