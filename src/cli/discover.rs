//! `sluice discover`: files of flows and answers, or what a cluster's collector has -> destinations,
//! printed or written for review. With files no cluster is needed. Everything it prints comes from pages; here they are only made and passed on.

use std::{collections::BTreeMap, io::IsTerminal as _, time::Duration};

use chrono::{TimeDelta, Timelike as _};

use super::{
    args::{Discover, DiscoverFormat, Global},
    discover_live,
    exit::Exit,
    print::Printer,
    records, review,
    session::{self, Session},
};
use crate::{
    cockpit::ports::Trouble,
    documents::discovery::{
        companion::Part,
        gather::{self, Known},
        json, markdown,
        notes::Notes,
        page::{self, Page, Shown},
        text,
    },
    domain::{
        discovery::{Everywhere, Rules},
        edge::{Edge, EdgeKey, Window},
        names::{ClusterName, NsName, Text, plural},
        resolver::Askers,
        time::Timestamp,
    },
    engine::{Clock, Engine},
    flows::offline::{self, Found, Job, Progress, Stage},
    workspace::{self, root::Place},
};

pub const HELP: &str = "\
FORMAT is one of hubble-json, dnstap, calico-json, antrea-csv, antrea-log, kernel-log, or auto: by
the first bytes. Files may be plain or gzip, whatever they are called. A path without FORMAT: is
read like the one before it, so a pattern that the shell expands stands apart:
  --flows hubble-json: logs/*.gz
FORMAT@NODE:PATH says of which node a file is, where its lines do not. Lines of a Log rule do not
say what became of the packet: kernel-log=allowed:PATH or kernel-log=denied:PATH does.
- is standard input, for what is read in one pass: answers, and flows that need none.

Exit codes: 0 done, 1 failed, 2 usage, 4 done in part: something of the input could not be read.";

/// What a run knows before it reads.
pub(super) struct Run<'r> {
    pub args: &'r Discover,
    pub place: Option<Place>,
    pub cluster: ClusterName,
    pub rules: Rules,
    pub now: Timestamp,
}

/// What was found, by namespace, and what a person should know about it.
pub(super) struct Discovered {
    pub parts: std::collections::BTreeMap<NsName, Part>,
    pub everywhere: Everywhere,
}

/// From files: nothing else is needed.
pub fn run(global: &Global, args: &Discover, printer: &mut Printer<'_>) -> Exit {
    let (run, window) = match begin(global, args, printer) {
        Ok(begun) => begun,
        Err((exit, trouble)) => return refuse(exit, &trouble, printer),
    };
    let job = Job {
        flows: records::inputs(&args.flows),
        dns: records::inputs(&args.dns),
        window,
        now: run.now,
        threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
    };
    let found = read(&job, printer);
    finish(&run, of_files(&run, found, window), printer)
}

/// From the cluster's collector.
pub async fn run_live(
    global: &Global,
    args: &Discover,
    printer: &mut Printer<'_>,
) -> Result<Exit, session::NoStart> {
    if let Err(trouble) = named(global) {
        return Ok(refuse(Exit::Usage, &trouble, printer));
    }
    let setup = session::setup(global, session::Need::Clusters, true)?;
    let mut session = Session::new(Engine::start(setup));
    Ok(in_session(&mut session, global, args, printer).await)
}

/// The same in a session that runs already.
pub async fn in_session(
    session: &mut Session,
    global: &Global,
    args: &Discover,
    printer: &mut Printer<'_>,
) -> Exit {
    let (run, window) = match begin(global, args, printer) {
        Ok(begun) => begun,
        Err((exit, trouble)) => return refuse(exit, &trouble, printer),
    };
    match discover_live::read(session, &run.cluster, window, args.deadline, printer).await {
        Ok(told) => finish(&run, of_collector(told), printer),
        Err(trouble) => refuse(Exit::Failed, &trouble, printer),
    }
}

fn named(global: &Global) -> Result<ClusterName, Trouble> {
    let [said] = global.contexts.as_slice() else {
        let fact = "a discovery is of one cluster, and it must be named";
        return Err(Trouble::new("--cluster", fact, "Write --cluster NAME, once."));
    };
    let next = "Write the cluster's name.";
    ClusterName::parse(said).map_err(|bad| Trouble::new("--cluster", &bad.to_string(), next))
}

fn refuse(exit: Exit, trouble: &Trouble, printer: &mut Printer<'_>) -> Exit {
    printer.say(&format!("{trouble}\n"));
    exit
}

fn begin<'r>(
    global: &Global,
    args: &'r Discover,
    printer: &mut Printer<'_>,
) -> Result<(Run<'r>, Option<Window>), (Exit, Trouble)> {
    let now = Clock::system().now();
    let window = window(args, now).map_err(|trouble| (Exit::Usage, trouble))?;
    let cluster = named(global).map_err(|trouble| (Exit::Usage, trouble))?;
    let place = session::place(global).map_err(|trouble| (Exit::Usage, trouble))?;
    let place = place.map(|place| Place { only: Vec::new(), ..place });
    let cluster = review::name_in(place.as_ref(), cluster, args.write).map_err(|t| (Exit::Failed, t))?;
    let (rules, troubles) = workspace::rules(place.as_ref());
    for trouble in &troubles {
        printer.say(&format!("note: {trouble}\n"));
    }
    Ok((Run { args, place, cluster, rules, now }, window))
}

/// The window that was asked for; a week where only its end was said.
fn window(args: &Discover, now: Timestamp) -> Result<Option<Window>, Trouble> {
    let (from, to) = (args.from.map(|at| at.resolve(now)), args.to.map(|at| at.resolve(now)));
    let window = match (from, to) {
        (None, None) => return Ok(None),
        (from, to) => {
            let to = to.unwrap_or(now);
            Window { from: from.unwrap_or(to - TimeDelta::days(7)), to }
        }
    };
    if window.from < window.to {
        return Ok(Some(window));
    }
    let fact = format!("the window ends at {} before it begins at {}", window.to, window.from);
    Err(Trouble::new("--from", &fact, "Write --from before --to."))
}

/// Reads the files, with progress where somebody watches.
fn read(job: &Job, printer: &mut Printer<'_>) -> Found {
    let is_watched = std::io::stderr().is_terminal();
    let found = offline::run(job, &mut |progress| {
        if is_watched {
            printer.say(&format!("\r\x1b[K{}", progress_line(&progress)));
        }
    });
    if is_watched {
        printer.say("\r\x1b[K");
    }
    found
}

fn progress_line(progress: &Progress) -> String {
    let what = match progress.stage {
        Stage::Answers => "1 of 2, answers",
        Stage::Flows => "2 of 2, flows",
    };
    let secs = progress.elapsed.as_secs_f64().max(0.001);
    let share = (progress.bytes * 100).checked_div(progress.of).map_or(100, |share| share.min(100));
    let left = progress.left().map_or(String::new(), |left| format!(", {} left", short(left)));
    format!(
        "{what}: {share} % of {}, {} records, {} a second{left}",
        bytes(progress.of),
        progress.records,
        (progress.records as f64 / secs) as u64
    )
}

fn short(time: Duration) -> String {
    crate::domain::time::span(TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX))
}

fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{} kB", count / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", count / 1_000_000),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

/// Failed where nothing at all was read, done in part where something was not.
fn exit_of(found: &Found) -> Exit {
    let is_loss = found.complaints.iter().any(offline::Complaint::is_loss);
    match (found.complaints.is_empty(), found.counts.lines) {
        (false, 0) => Exit::Failed,
        _ if is_loss => Exit::Partial,
        _ => Exit::Done,
    }
}

/// Hours that hold everything that was seen, where no window was asked for.
fn seen(span: Option<(Timestamp, Timestamp)>, now: Timestamp) -> Window {
    let hour = |at: Timestamp| {
        at.with_minute(0).and_then(|at| at.with_second(0)).and_then(|at| at.with_nanosecond(0))
    };
    let (first, last) = span.unwrap_or((now - TimeDelta::hours(1), now));
    let to = last + TimeDelta::hours(1);
    Window { from: hour(first).unwrap_or(first), to: hour(to).unwrap_or(to) }
}

/// Edges with all that is known of them, wherever they come from.
struct Gathered {
    edges: Vec<(EdgeKey, Edge)>,
    known: Known,
    /// What was read, in a line.
    summary: String,
    complaints: Vec<String>,
    exit: Exit,
}

fn of_files(run: &Run<'_>, found: Found, window: Option<Window>) -> Gathered {
    let window = window.unwrap_or_else(|| seen(found.span, run.now));
    let complaints: Vec<_> =
        found.complaints.iter().map(|complaint| complaint.trouble().to_string()).collect();
    let (summary, exit) = (summary(&found), exit_of(&found));
    let mut coverage = found.credit.coverage(window);
    let askers = Askers {
        nodes: found.counts.from_nodes,
        unknown: found.counts.from_nobody,
        pods: found.counts.answers.saturating_sub(found.counts.from_nodes + found.counts.from_nobody),
    };
    coverage.doubts.extend(askers.doubt());
    let known = Known {
        window,
        generated: run.now,
        coverage,
        crons: None,
        waived: BTreeMap::new(),
        workloads: None,
        nodes: None,
        remarks: remarks(&complaints),
    };
    Gathered { edges: found.ledger.into_edges(), known, summary, complaints, exit }
}

fn of_collector(told: discover_live::Told) -> Gathered {
    let complaints: Vec<_> = told.troubles.iter().map(ToString::to_string).collect();
    let exit = if complaints.is_empty() { Exit::Done } else { Exit::Partial };
    let mut known = told.known;
    known.remarks.extend(remarks(&complaints));
    let summary = format!("Read {} edges from the collector.", told.edges.len());
    Gathered { edges: told.edges, known, summary, complaints, exit }
}

fn finish(run: &Run<'_>, gathered: Gathered, printer: &mut Printer<'_>) -> Exit {
    let Gathered { edges, mut known, summary, mut complaints, exit } = gathered;
    known.generated = known.generated.with_nanosecond(0).unwrap_or(known.generated);
    let mut everywhere = Everywhere::default();
    everywhere.note(&run.cluster, edges.iter().map(|(key, edge)| (key, edge)));
    let parts = gather::parts(edges, &known, &run.args.namespaces);
    if let Some(place) = &run.place {
        complaints.extend(review::note_others(place, &run.cluster, &mut everywhere));
    }
    let discovered = Discovered { parts, everywhere };
    let is_text = run.args.output == DiscoverFormat::Text && !run.args.write;
    let exit = if run.args.write {
        review::write(run, discovered, exit, printer)
    } else {
        print(run, &discovered, printer);
        exit
    };
    let said: String = complaints.iter().map(|complaint| format!("{complaint}\n")).collect();
    match is_text {
        true => printer.out(&format!("{summary}\n{said}")),
        false => printer.say(&said),
    }
    exit
}

fn remarks(complaints: &[String]) -> Vec<Text> {
    let count = complaints.len();
    let said = format!("{} about the input: something of it was not read", plural(count, "complaint"));
    (count > 0).then(|| Text::from(said)).into_iter().collect()
}

fn print(run: &Run<'_>, discovered: &Discovered, printer: &mut Printer<'_>) {
    let shown = if run.args.denied { Shown::All } else { Shown::Passed };
    for (ns, part) in &discovered.parts {
        let page = page::of(&run.cluster, ns, part, &run.rules, &discovered.everywhere, shown);
        printer.out(&printed(&page, run));
        if printer.is_closed() {
            return;
        }
    }
    if discovered.parts.is_empty() && run.args.output == DiscoverFormat::Text {
        printer.out("No destinations were seen.\n");
    }
}

fn printed(page: &Page, run: &Run<'_>) -> String {
    match run.args.output {
        DiscoverFormat::Json => json::lines(page),
        DiscoverFormat::Text => format!("{}\n", text::text(page)),
        DiscoverFormat::Md => markdown::text(&markdown::Document {
            ns: &page.ns,
            pages: std::slice::from_ref(page),
            notes: &Notes::new(),
            due: None,
            generated: page.generated,
        }),
    }
}

/// What was read and what of it made no edge.
fn summary(found: &Found) -> String {
    let counts = &found.counts;
    let many = |count: u64, word| plural(usize::try_from(count).unwrap_or(usize::MAX), word);
    let mut out = format!(
        "Read {}: {}, {}.",
        many(counts.lines, "line"),
        many(counts.flows, "flow record"),
        many(counts.answers, "DNS answer")
    );
    let left: Vec<_> =
        found.ledger.left_out().map(|(why, count)| format!("{count} {}", why.as_str())).collect();
    if !left.is_empty() {
        out.push_str(&format!(" Left out: {}.", left.join(", ")));
    }
    out
}
