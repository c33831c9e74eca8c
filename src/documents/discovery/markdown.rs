//! The document of a namespace that people review: per cluster the suspects, the destinations by
//! category, the callers, then what the window has not seen, with places for notes. Pure: same pages and notes,
//! same bytes. Hostile strings stay text: nothing of theirs becomes markup.

use chrono::NaiveDate;

use super::page::{self, Page};
use crate::{
    documents::{
        markdown::{Rows, code, md},
        notes::{self, Notes, Writer},
    },
    domain::{
        destination::{Category, Finding},
        flow::Direction,
        names::NsName,
        time::{Timestamp, span},
    },
};
use parties::Party;

mod parties;

/// What a document is written from.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'d> {
    pub ns: &'d NsName,
    /// One a cluster, in the order of the clusters' names.
    pub pages: &'d [Page],
    /// What people wrote before.
    pub notes: &'d Notes,
    /// The due date that the document had before.
    pub due: Option<NaiveDate>,
    pub generated: Timestamp,
}

/// Most gaps and nodes that are listed one by one.
const LISTED: usize = 40;

/// The whole file.
pub fn text(document: &Document<'_>) -> String {
    let today = document.generated.date_naive();
    let reviewed = notes::reviewed(document.notes, today).map(|one| one.day);
    let due = notes::due(reviewed, document.due, today);
    let mut writer = Writer::new(document.notes.clone());
    writer.head(document, reviewed, due);
    for page in document.pages {
        writer.page(page);
    }
    writer.orphans("## Notes on what was not seen this time");
    notes::seal(notes::Kind::Discovery, document.generated, due, &writer.out)
}

impl Writer {
    fn head(&mut self, document: &Document<'_>, reviewed: Option<NaiveDate>, due: NaiveDate) {
        self.line("");
        self.para(&format!("# Discovery of namespace {}", code(document.ns.as_str())));
        self.para(
            "Written by `sluice discover --write`, which writes it again from newer evidence. Write between \
             the lines `notes` and `end of notes`: that is kept. Edits elsewhere are refused, not lost. The \
             edges themselves lie beside this file in `.edges.jsonl`.",
        );
        let mut table = Rows::new(&["", ""]);
        table.row(["Generated".to_owned(), format!("{} UTC", page::minute(document.generated))]);
        let clusters: Vec<_> = document.pages.iter().map(|page| code(page.cluster.as_str())).collect();
        table.row(["Clusters".to_owned(), clusters.join(", ")]);
        table.row(["Last review".to_owned(), reviewed.map_or("not yet".to_owned(), |day| day.to_string())]);
        table.row(["Next review due".to_owned(), format!("{due} (monthly)")]);
        self.para(&table.out);
        self.reviews();
        self.notes(notes::NAMESPACE, "the namespace", "");
    }

    fn page(&mut self, page: &Page) {
        self.para(&format!("## Cluster {}", code(page.cluster.as_str())));
        let (word, why) = page::readiness(&page.evidence.readiness);
        let mut table = Rows::new(&["", ""]);
        let window = format!(
            "{} to {} UTC, {} hours",
            page::minute(page.window.from),
            page::minute(page.window.to),
            page::credit(page).of
        );
        table.row(["Window".to_owned(), window]);
        let why: Vec<_> = why.iter().map(|why| md(why)).collect();
        let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
        table.row(["Readiness".to_owned(), format!("**{word}**{why}")]);
        if let Some(ingress) = &page.evidence.ingress {
            let (word, why) = page::readiness(ingress);
            let why: Vec<_> = why.iter().map(|why| md(why)).collect();
            let why = if why.is_empty() { String::new() } else { format!(": {}", why.join("; ")) };
            table.row(["Readiness for ingress".to_owned(), format!("**{word}**{why}")]);
        }
        let parties = parties::of(page);
        let (callers, parties): (Vec<_>, Vec<_>) =
            parties.into_iter().partition(|party| party.direction == Direction::Ingress);
        let suspect = parties.iter().filter(|party| party.is_suspect()).count();
        table.row(["Destinations".to_owned(), format!("{}, of them {suspect} suspect", parties.len())]);
        table.row(["Callers".to_owned(), callers.len().to_string()]);
        table.row(["Evidence taken".to_owned(), format!("{} UTC", page::minute(page.generated))]);
        self.para(&table.out);
        let title = format!("cluster {}", page.cluster);
        self.notes(&notes::id(&["cluster", page.cluster.as_str()]), &title, "");
        self.suspects(page, &parties);
        self.categories(page, &parties);
        self.callers(page, &callers);
        self.coverage(page);
    }

    fn suspects(&mut self, page: &Page, parties: &[Party<'_>]) {
        let suspects: Vec<_> = parties.iter().filter(|party| party.is_suspect()).collect();
        self.para(&format!("### Suspects ({})", suspects.len()));
        if suspects.is_empty() {
            self.para("None.");
        }
        for party in suspects {
            self.heading(party);
            for finding in party.findings() {
                self.line(&said(finding));
            }
            self.line("");
            self.party(page, party, "Decision: none yet\n");
        }
    }

    fn categories(&mut self, page: &Page, parties: &[Party<'_>]) {
        for category in Category::ALL {
            let these: Vec<_> =
                parties.iter().filter(|party| !party.is_suspect() && party.category() == category).collect();
            if these.is_empty() {
                continue;
            }
            self.para(&format!("### {} ({})", capital(category.as_str()), these.len()));
            for party in these {
                self.heading(party);
                self.party(page, party, "");
            }
        }
    }

    /// Who calls the namespace, in the order of their categories.
    fn callers(&mut self, page: &Page, callers: &[Party<'_>]) {
        self.para(&format!("### Callers ({})", callers.len()));
        if callers.is_empty() {
            self.para("None was seen, which is not the same as nobody calling.");
        }
        for party in callers {
            self.heading(party);
            self.party(page, party, "");
        }
    }

    fn heading(&mut self, party: &Party<'_>) {
        self.para(&format!("#### {}, {}", code(&party.title), party.direction));
    }

    /// What is known of the party, who talks to it, and the place for notes.
    fn party(&mut self, page: &Page, party: &Party<'_>, fresh: &str) {
        self.para(&facts(party));
        let mut table = Rows::new(&[
            "Workload",
            "Port",
            "Grade",
            "Flows",
            "Hours",
            "First (UTC)",
            "Last (UTC)",
            "7 days",
        ]);
        for destination in &party.destinations {
            table.row([
                code(&page::workload(&destination.workload)),
                page::port(destination),
                destination.grade.as_str().to_owned(),
                destination.seen.flows.to_string(),
                page::hours(&destination.seen.hours, &page.window).to_string(),
                page::minute(destination.seen.first),
                page::minute(destination.seen.last),
                page::heat(&destination.seen.hours, page),
            ]);
        }
        self.para(&table.out);
        let title = format!("{}, {} in {}", party.title, party.direction, page.cluster);
        self.notes(&party.id(page), &title, fresh);
    }

    fn coverage(&mut self, page: &Page) {
        self.para("### Coverage");
        let credit = page::credit(page);
        let credited = &page.evidence.coverage.credited;
        self.para(&match credit.nodes {
            0 => "Unknown: no node gave a sign.".to_owned(),
            nodes => {
                format!("{} of {} hours were watched on each of {nodes} nodes.", credit.everywhere, credit.of)
            }
        });
        let short: Vec<_> = credited
            .iter()
            .map(|(node, hours)| (node, hours.count_in(page.window.hours())))
            .filter(|(_, hours)| *hours < credit.of)
            .collect();
        if !short.is_empty() {
            let mut table = Rows::new(&["Node", "Hours watched", "of"]);
            for (node, hours) in short.iter().take(LISTED) {
                let node = node.as_ref().map_or("not said".to_owned(), |node| code(node.as_str()));
                table.row([node, hours.to_string(), credit.of.to_string()]);
            }
            self.para(&table.out);
            self.and_more(short.len());
        }
        self.gaps(page);
        self.doubts(page);
        self.crons(page);
        self.silent(page);
    }

    fn gaps(&mut self, page: &Page) {
        let gaps = &page.evidence.coverage.gaps;
        if gaps.is_empty() {
            return;
        }
        let mut table = Rows::new(&["Gap from (UTC)", "To", "Node", "Lost", "Why"]);
        for hole in gaps.iter().take(LISTED) {
            table.row([
                page::minute(hole.from),
                page::minute(hole.to),
                hole.node.as_ref().map_or("all".to_owned(), |node| code(node.as_str())),
                hole.lost.map_or("unknown".to_owned(), |lost| lost.to_string()),
                md(hole.why.as_str()),
            ]);
        }
        self.para(&table.out);
        self.and_more(gaps.len());
    }

    fn and_more(&mut self, count: usize) {
        if count > LISTED {
            self.para(&format!("And {} more; the companion holds all.", count - LISTED));
        }
    }

    fn doubts(&mut self, page: &Page) {
        let doubts: Vec<_> = page
            .evidence
            .coverage
            .doubts
            .iter()
            .chain(&page.evidence.remarks)
            .map(|d| md(d.as_str()))
            .collect();
        if !doubts.is_empty() {
            self.para(&doubts.iter().map(|doubt| format!("- {doubt}\n")).collect::<String>());
        }
    }

    fn crons(&mut self, page: &Page) {
        match &page.evidence.crons {
            None => self.para("CronJobs: unknown, nobody said which there are."),
            Some(crons) if crons.is_empty() => self.para("CronJobs: none."),
            Some(crons) => {
                let mut table =
                    Rows::new(&["CronJob", "Schedule", "Last run (UTC)", "In the window", "Longest pause"]);
                for cron in crons {
                    table.row([
                        code(cron.job.name.as_str()),
                        md(&page::schedule(cron)),
                        cron.job.last_run.map_or("never".to_owned(), page::minute),
                        page::ran(cron),
                        cron.job.longest_pause.map_or("unknown".to_owned(), span),
                    ]);
                }
                self.para(&table.out);
            }
        }
    }

    fn silent(&mut self, page: &Page) {
        match &page.evidence.silent {
            None => self.para("Workloads without traffic: unknown, nobody said which there are."),
            Some(silent) if silent.is_empty() => self.para("Workloads without traffic: none."),
            Some(silent) => {
                let names: Vec<_> = silent.iter().map(|w| code(&page::workload(w))).collect();
                self.para(&format!("Workloads without traffic (no evidence): {}.", names.join(", ")));
            }
        }
    }
}

fn said(finding: &Finding) -> String {
    let party =
        finding.party.as_ref().map_or(String::new(), |party| format!(" Label of {}.", md(party.as_str())));
    format!(
        "- **{}** {}: {}{party} Source: {}.",
        finding.severity.as_str(),
        md(finding.class.as_str()),
        md(finding.reason.as_str()),
        md(finding.source.as_str())
    )
}

/// Addresses and names of a party, in one line.
fn facts(party: &Party<'_>) -> String {
    let mut parts = vec![party.category().as_str().to_owned()];
    let by: Vec<_> = party.categories_by().map(md).collect();
    parts[0].push_str(&format!(" ({})", by.join("; ")));
    let (shown, total) = party.addresses();
    if total > 0 && party.is_named() {
        let more = total.saturating_sub(shown.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let shown: Vec<_> = shown.iter().map(|address| code(&address.to_string())).collect();
        parts.push(format!("addresses {}{more}", shown.join(", ")));
    }
    let list = |names: Vec<&str>| names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ");
    let (also, chain) = (party.also(), party.chain());
    if !also.is_empty() {
        parts.push(format!("asked for too, with the same address: {}", list(also)));
    }
    if !chain.is_empty() {
        parts.push(format!("through {}", list(chain)));
    }
    if let Some(churn) = party.churn() {
        parts.push(format!(
            "{} addresses a day, new ones in {:.0} % of the hours",
            churn.addresses_a_day,
            churn.new_share * 100.0
        ));
    }
    format!("{}.", parts.join(". "))
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
