//! `sluice explain`: what the policies of a cluster do with a connection, and why. From manifests, or
//! from one look at a live cluster; one question, or many as lines of JSON. Changes nothing.

use std::{
    io::{self, BufRead, IsTerminal as _, Read as _},
    path::PathBuf,
};

use clap::Args;

use super::{
    args::{Format, Global},
    exit::Exit,
    print::Printer,
    run::with_runtime,
    session::{self, Need, NoStart},
};
use crate::{
    cockpit::ports::Trouble,
    documents::explain,
    domain::{
        eval::{
            answer::{Ask, Endpoint},
            cluster::Cluster,
            model::Model,
            plugin::{Plugin, Traits},
            verdict::Verdict,
        },
        flow::Protocol,
    },
    k8s::snapshot,
    manifest::cluster::{Complaint, Gathering},
    workspace::manifests,
};

pub const HELP: &str = "\
Manifests: Namespaces, Pods with status.podIP, NetworkPolicies, as YAML or JSON, lists too; also
Services, Nodes and workloads where they matter. Without --manifests the one cluster named by
--cluster is looked at. Without --from, questions are read from standard input, one JSON object a
line:
  {\"from\": \"shop/cart-0\", \"to\": \"203.0.113.7\", \"port\": 443, \"protocol\": \"TCP\"}
and answered in the same order; a line that is no question is answered by {\"error\", \"line\"}.

Exit codes of one question: 0 allowed, 3 denied, 4 unknown (every reason is printed).
Of many: 0 each was answered, 4 some were no questions, 1 none was one.
Of both: 1 what decides could not be read, 2 usage.";

/// Longest question.
const LINE_LIMIT: u64 = 64 << 10;
/// Answers are written in blocks of this size, and whenever no question waits.
const BLOCK: usize = 64 << 10;

#[derive(Clone, Debug, Args)]
#[command(after_long_help = HELP)]
pub struct Explain {
    /// Files, and folders of files, that hold the objects
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub manifests: Vec<PathBuf>,
    /// Who connects
    #[arg(long, value_name = "NAMESPACE/POD|ADDRESS", value_parser = explain::endpoint, requires_all = ["to", "port"])]
    pub from: Option<Endpoint>,
    /// To whom; a Service by its address
    #[arg(long, value_name = "NAMESPACE/POD|ADDRESS", value_parser = explain::endpoint, requires = "from")]
    pub to: Option<Endpoint>,
    /// At the destination; TCP if no protocol is said
    #[arg(long, value_name = "PORT/PROTOCOL", value_parser = explain::port, requires = "from")]
    pub port: Option<(u16, Protocol)>,
    /// The network plugin; left out: the one of the live cluster, or for manifests what the API says
    /// and Kubernetes' own tests hold, with a note where plugins differ
    #[arg(long, value_name = "NAME", value_parser = plugin)]
    pub cni: Option<Plugin>,
    /// How to print one answer; many are always JSON, one a line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Format,
}

pub(super) fn plugin(raw: &str) -> Result<Plugin, String> {
    Plugin::parse(raw).ok_or_else(|| {
        let names: Vec<_> = Plugin::ALL.iter().map(|plugin| plugin.as_str()).collect();
        format!("write one of {}", names.join(", "))
    })
}

pub fn main(global: &Global, args: &Explain, printer: &mut Printer<'_>) -> Exit {
    let is_live = args.manifests.is_empty();
    if !is_live && !global.contexts.is_empty() {
        printer.say("--manifests: a cluster is named too. Name one of the two.\n");
        return Exit::Usage;
    }
    if args.from.is_none() && io::stdin().is_terminal() {
        printer.say("Nothing is asked. Write --from, --to and --port, or pipe lines of JSON; see --help.\n");
        return Exit::Usage;
    }
    if is_live {
        return with_runtime(printer, async |printer| {
            let cluster = look(global, args.cni, snapshot::Need::Verdicts, printer).await?;
            Ok(answer(args, &cluster, printer))
        });
    }
    match offline(args, printer) {
        Ok(cluster) => answer(args, &cluster, printer),
        Err(troubles) => {
            troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
            Exit::Failed
        }
    }
}

fn offline(args: &Explain, printer: &mut Printer<'_>) -> Result<Cluster, Vec<Trouble>> {
    let mut gathering = Gathering::new(args.cni.unwrap_or(Plugin::Reference).traits());
    let read = manifests::read(&args.manifests, &mut gathering);
    let (cluster, complaints) = gathering.done();
    complain(&complaints, printer);
    read.map(|()| cluster)
}

/// The one cluster that is meant, as it is now.
pub(super) async fn look(
    global: &Global,
    cni: Option<Plugin>,
    need: snapshot::Need,
    printer: &mut Printer<'_>,
) -> Result<Cluster, NoStart> {
    let setup = session::setup(global, Need::Clusters, false)?;
    let [entry] = setup.fleet.clusters.as_slice() else {
        let fact = format!("{} clusters are meant", setup.fleet.clusters.len());
        let next = "Name one with --cluster, or files with --manifests.";
        return Err(NoStart { exit: Exit::Usage, troubles: vec![Trouble::new("--cluster", &fact, next)] });
    };
    let access = (setup.reach)(entry);
    let name = entry.name.as_str();
    let seen = snapshot::look(&access, name, need)
        .await
        .map_err(|trouble| NoStart { exit: Exit::Failed, troubles: vec![trouble] })?;
    seen.troubles.iter().for_each(|trouble| printer.say(&format!("{trouble}\n")));
    complain(&seen.complaints, printer);
    let mut cluster = seen.cluster;
    if let Some(plugin) = cni.filter(|plugin| *plugin != cluster.traits.plugin) {
        cluster.traits = Traits { enforces: cluster.traits.enforces, ..plugin.traits() };
    } else if cluster.traits.plugin == Plugin::Unknown {
        printer.say(&format!(
            "{name}: its network plugin is not known well ({}). Name it with --cni where verdicts are unknown for it.\n",
            seen.cni.evidence
        ));
    }
    Ok(cluster)
}

pub(super) fn complain(complaints: &[Complaint], printer: &mut Printer<'_>) {
    for complaint in complaints {
        let object = format!("{}: {}", complaint.place, complaint.object);
        let trouble = Trouble::new(&object, complaint.fact.as_str(), complaint.next);
        printer.say(&format!("{trouble}\n"));
    }
}

fn answer(args: &Explain, cluster: &Cluster, printer: &mut Printer<'_>) -> Exit {
    let model = Model::new(cluster);
    match (&args.from, &args.to, args.port) {
        (Some(from), Some(to), Some((port, protocol))) => {
            let ask = Ask { from: from.clone(), to: to.clone(), protocol, port };
            one(&model, &ask, args.output, printer)
        }
        _ => many(&model, &mut io::BufReader::new(io::stdin()), printer),
    }
}

/// One question, and its verdict as an exit code.
fn one(model: &Model, ask: &Ask, format: Format, printer: &mut Printer<'_>) -> Exit {
    let answer = match model.answer(ask) {
        Ok(answer) => answer,
        Err(why) => {
            printer.say(&format!("{why}\n"));
            return Exit::Failed;
        }
    };
    printer.out(&match format {
        Format::Text => explain::text(ask, &answer),
        Format::Json => explain::json(&answer),
    });
    match answer.verdict {
        Verdict::Allowed => Exit::Done,
        Verdict::Denied => Exit::Refused,
        Verdict::Unknown => Exit::Partial,
    }
}

/// Questions to the end of the input, each answered in its place.
pub fn many<R: io::Read>(model: &Model, input: &mut io::BufReader<R>, printer: &mut Printer<'_>) -> Exit {
    let (mut out, mut line, mut number) = (String::new(), Vec::new(), 0);
    let (mut good, mut bad) = (0_u64, 0_u64);
    loop {
        line.clear();
        number += 1;
        match input.by_ref().take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                printer.out(&out);
                printer.say(&format!("Standard input could not be read ({error}).\n"));
                return Exit::Failed;
            }
        }
        let is_cut = line.len() as u64 == LINE_LIMIT && !line.ends_with(b"\n");
        if is_cut && let Err(error) = skip_line(input) {
            printer.say(&format!("Standard input could not be read ({error}).\n"));
            return Exit::Failed;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let answered =
            if is_cut { Err("it is longer than 64 KiB".to_owned()) } else { answered(model, &line) };
        match answered {
            Ok(text) => {
                good += 1;
                out.push_str(&text);
            }
            Err(why) => {
                bad += 1;
                out.push_str(&explain::error_json(number, &why));
            }
        }
        if out.len() >= BLOCK || input.buffer().is_empty() {
            printer.out(&out);
            out.clear();
            if printer.is_closed() {
                return Exit::Done;
            }
        }
    }
    printer.out(&out);
    match (good, bad) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Failed,
        (_, _) => Exit::Partial,
    }
}

fn answered(model: &Model, line: &[u8]) -> Result<String, String> {
    let text = str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
    let (ask, unread) = explain::question(text.trim())?;
    let mut answer = model.answer(&ask).map_err(|why| why.to_string())?;
    answer.notes.extend(unread);
    Ok(explain::json(&answer))
}

fn skip_line<R: io::Read>(input: &mut io::BufReader<R>) -> io::Result<()> {
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (used, is_over) = match end {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        input.consume(used);
        if is_over {
            return Ok(());
        }
    }
}
