//! The monthly review of discovery documents as text and JSON: which are due, and what changed since one
//! was written. From the rows of the screen (law 10); unknown is `null`, never fresh. Pure.

use serde::Serialize;

use super::{
    table::Table,
    wire::{pretty, time},
};
use crate::{
    cockpit::monthly::{self, Compared, ComparedPart, DocumentRow, Newer, Prepared, Reviewed},
    domain::{
        names::{Text, plural},
        renewal::{Changed, Cover, Difference},
        time::Timestamp,
    },
};

#[derive(Debug, Serialize)]
pub(super) struct DocumentOut {
    namespace: String,
    path: String,
    /// `vanished`, `due`, `unwritten`, `unknown`, `new`, `current`.
    standing: &'static str,
    why: String,
    /// `null`: not known.
    due: Option<String>,
    reviewed: Option<ReviewedOut>,
    generated: Option<String>,
    clusters: Vec<PartOut>,
    /// Clusters for which the workspace has policies of it.
    policies: Vec<String>,
    owner: Option<String>,
    contact: Option<String>,
}

#[derive(Debug, Serialize)]
struct ReviewedOut {
    day: String,
    by: Option<String>,
}

#[derive(Debug, Serialize)]
struct PartOut {
    cluster: String,
    /// When its evidence was taken.
    generated: String,
    /// `null`: whether the cluster has the namespace is not known.
    namespace_there: Option<bool>,
}

impl From<&DocumentRow> for DocumentOut {
    fn from(row: &DocumentRow) -> Self {
        let text = |text: &Option<Text>| text.as_ref().map(ToString::to_string);
        let reviewed = |it: &Reviewed| ReviewedOut { day: it.day.to_string(), by: text(&it.by) };
        Self {
            namespace: row.ns.to_string(),
            path: row.path.to_string(),
            standing: row.standing.as_str(),
            why: row.words(),
            due: row.due.map(|day| day.to_string()),
            reviewed: row.reviewed.as_ref().map(reviewed),
            generated: row.generated.map(time),
            clusters: row
                .parts
                .iter()
                .map(|part| PartOut {
                    cluster: part.cluster.to_string(),
                    generated: time(part.generated),
                    namespace_there: part.is_there,
                })
                .collect(),
            policies: row.policies.iter().map(ToString::to_string).collect(),
            owner: text(&row.owner),
            contact: text(&row.contact),
        }
    }
}

pub(super) fn out(rows: &[DocumentRow]) -> Vec<DocumentOut> {
    rows.iter().map(DocumentOut::from).collect()
}

/// `null`: the documents could not be read.
pub fn json(rows: Option<&[DocumentRow]>) -> String {
    pretty(&rows.map(out))
}

const UNKNOWN: &str = "Discovery documents are not known: they were not read.\n";

/// A line a document, what is open first.
pub fn text(rows: Option<&[DocumentRow]>, now: Timestamp) -> String {
    let Some(rows) = rows else { return UNKNOWN.to_owned() };
    if rows.is_empty() {
        return "No discovery document needs anybody.\n".to_owned();
    }
    let (rows, unwritten) = monthly::folded(rows.to_vec());
    let open = rows.iter().filter(|row| row.standing.is_open()).count();
    let mut table = Table::new(&["DOCUMENT", "STANDING", "DUE", "CLUSTERS", "OWNER", "WHY"]);
    for row in &rows {
        table.row([
            row.ns.to_string(),
            row.standing.as_str().to_owned(),
            monthly::due_words(row, now),
            row.parts.len().to_string(),
            row.owner.as_ref().map_or("-".to_owned(), ToString::to_string),
            row.words(),
        ]);
    }
    let mut out = if rows.is_empty() { String::new() } else { table.text("") + "\n" };
    if let Some(one) = &unwritten {
        out.push_str(&format!("{}\n", one.line()));
    }
    out.push_str(&format!(
        "{}, {open} of them open. `sluice documents NAMESPACE` says what changed since.\n",
        plural(rows.len(), "document")
    ));
    out
}

#[derive(Debug, Serialize)]
struct ComparedOut<'c> {
    namespace: String,
    at: String,
    summary: String,
    clusters: Vec<ComparedPartOut<'c>>,
    /// What would be written; `null`: nothing can be.
    would_write: Option<PreparedOut>,
    cannot_write: Option<String>,
    /// What was written, with `--write`.
    written: Option<String>,
    failed: Option<String>,
}

#[derive(Debug, Serialize)]
struct PreparedOut {
    document: String,
    companion: String,
    edges: usize,
    notes_kept: usize,
    /// In whose name it would be reviewed.
    reviewer: Option<String>,
}

#[derive(Debug, Serialize)]
struct ComparedPartOut<'c> {
    cluster: String,
    /// When the document's evidence was taken; `null`: it has none.
    document_taken: Option<String>,
    /// Why nothing newer is known, and the part stays as it is.
    not_read: Option<String>,
    from: Option<String>,
    to: Option<String>,
    destinations: Option<usize>,
    /// Why what is called gone may only not have been seen.
    doubts: Vec<String>,
    /// `null`: not known.
    changes: Option<Vec<ChangedOut<'c>>>,
}

#[derive(Debug, Serialize)]
struct ChangedOut<'c> {
    direction: &'static str,
    name: String,
    category: &'static str,
    differences: Vec<DifferenceOut<'c>>,
    last_seen: String,
    /// `covered`, `denied`, `unknown`, `not-isolated`; `null`: it is gone.
    cover: Option<&'static str>,
    cover_words: Option<String>,
}

#[derive(Debug, Serialize)]
struct DifferenceOut<'c> {
    what: &'static str,
    more: Vec<&'c str>,
    less: Vec<&'c str>,
}

/// How writing it ended; `None`: nobody asked for it.
pub type Written<'w> = Option<Result<&'w Text, String>>;

pub fn compared_json(compared: &Compared, written: &Written<'_>) -> String {
    let prepared = |it: &Prepared| PreparedOut {
        document: it.path.to_string(),
        companion: it.beside.to_string(),
        edges: it.lines,
        notes_kept: it.notes,
        reviewer: it.reviewed.as_ref().map(|(by, _)| by.to_string()),
    };
    pretty(&ComparedOut {
        namespace: compared.ns.to_string(),
        at: time(compared.at),
        summary: compared.summary(),
        clusters: compared.parts.iter().map(part_out).collect(),
        would_write: compared.prepared.as_ref().ok().map(prepared),
        cannot_write: compared.prepared.as_ref().err().map(ToString::to_string),
        written: written.as_ref().and_then(|it| it.as_ref().ok()).map(ToString::to_string),
        failed: written.as_ref().and_then(|it| it.as_ref().err()).cloned(),
    })
}

fn part_out(part: &ComparedPart) -> ComparedPartOut<'_> {
    let newer = part.now.as_ref().ok();
    ComparedPartOut {
        cluster: part.cluster.to_string(),
        document_taken: part.before.map(time),
        not_read: part.now.as_ref().err().map(ToString::to_string),
        from: newer.map(|newer| time(newer.window.from)),
        to: newer.map(|newer| time(newer.window.to)),
        destinations: newer.map(|newer| newer.destinations),
        doubts: newer.iter().flat_map(|newer| &newer.doubts).map(ToString::to_string).collect(),
        changes: newer.map(|newer| newer.changes.iter().map(changed_out).collect()),
    }
}

fn changed_out(changed: &Changed) -> ChangedOut<'_> {
    fn strs(all: &[Text]) -> Vec<&str> {
        all.iter().map(Text::as_str).collect()
    }
    let difference = |one| {
        let (more, less) = match one {
            &Difference::New | &Difference::Gone => (Vec::new(), Vec::new()),
            Difference::Ports { more, less } | Difference::Workloads { more, less } => {
                (strs(more), strs(less))
            }
            Difference::Category { was, is } => (vec![is.as_str()], vec![was.as_str()]),
            Difference::Flagged(classes) => (strs(classes), Vec::new()),
            Difference::Cleared(classes) => (Vec::new(), strs(classes)),
        };
        DifferenceOut { what: one.as_str(), more, less }
    };
    ChangedOut {
        direction: changed.direction.as_str(),
        name: changed.title.to_string(),
        category: changed.category.as_str(),
        differences: changed.differences.iter().map(difference).collect(),
        last_seen: time(changed.last),
        cover: changed.cover.as_ref().map(Cover::as_str),
        cover_words: changed.cover.as_ref().map(ToString::to_string),
    }
}

pub fn compared_text(compared: &Compared, written: &Written<'_>) -> String {
    let mut out = format!("Document of {}: {}.\n", compared.ns, compared.summary());
    for part in &compared.parts {
        out.push_str(&format!("\n{}\n", monthly::heading(part, compared.at)));
        if let Ok(newer) = &part.now {
            out.push_str(&changes(newer));
        }
    }
    out.push('\n');
    match (written, &compared.prepared) {
        (Some(Ok(said)), _) => out.push_str(&format!("{said}\n")),
        (Some(Err(why)), _) => out.push_str(&format!("{why}\n")),
        (None, Ok(prepared)) => out.push_str(&format!("{}\n", would(prepared))),
        (None, Err(trouble)) => out.push_str(&format!("It cannot be written: {trouble}\n")),
    }
    out
}

fn changes(newer: &Newer) -> String {
    let mut out = monthly::doubt(newer).map_or_else(String::new, |doubt| format!("  note: {doubt}\n"));
    if newer.changes.is_empty() {
        out.push_str("  nothing changed\n");
        return out;
    }
    let mut table = Table::new(&["DIRECTION", "WHERE", "CATEGORY", "WHAT CHANGED", "LIVE POLICIES"]);
    for changed in &newer.changes {
        table.row([
            changed.direction.to_string(),
            changed.title.to_string(),
            changed.category.as_str().to_owned(),
            monthly::differences(changed),
            changed.cover.as_ref().map_or("-".to_owned(), ToString::to_string),
        ]);
    }
    out.push_str(&table.text("  "));
    out
}

/// What a write would do.
pub fn would(prepared: &Prepared) -> String {
    let reviewed = match &prepared.reviewed {
        Some((by, _)) => format!("; --reviewed writes the review down, by {by}"),
        None => "; --reviewed-by NAME writes the review down".to_owned(),
    };
    format!(
        "--write writes {} and {} ({}); {} kept{reviewed}",
        prepared.path,
        prepared.beside,
        plural(prepared.lines, "edge"),
        plural(prepared.notes, "note")
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc};

    use chrono::TimeDelta;

    use super::*;
    use crate::{
        cockpit::{
            decide::{Command, decide},
            monthly::{DocumentFact, DocumentFile, Stamp},
            plan::Authored,
            ports::{Effect, Fact, Trouble},
            world::World,
        },
        documents::tests::{cluster, now, ns, world},
        domain::{destination::Category, edge::Window, flow::Direction},
    };

    fn file(name: &str, due: &str, reviewed: Option<&str>, parts: &[(&str, i64)]) -> DocumentFile {
        let parts = parts.iter().map(|(name, days)| (cluster(name), now() - TimeDelta::days(*days)));
        let parts: BTreeMap<_, _> = parts.collect();
        let reviewed =
            reviewed.map(|day| Reviewed { day: day.parse().expect("a day"), by: Some(Text::new("ann")) });
        let generated = parts.values().max().copied().unwrap_or(now());
        let due = due.parse().expect("a day");
        DocumentFile {
            ns: ns(name),
            path: Text::from(format!("network-policies/discovery/{name}.md")),
            is_written: true,
            stamp: Ok(Stamp { generated, due, reviewed, is_edited: false }),
            parts: Ok(parts),
        }
    }

    fn told(files: Vec<DocumentFile>) -> World {
        let mut world = world();
        world.absorb(Fact::Document(DocumentFact::Read(files)));
        world.settle();
        world
    }

    fn standings(world: &World) -> Vec<String> {
        let rows = monthly::documents(world).expect("read");
        let said = |row: &DocumentRow| {
            let due = row.due.map_or("?".to_owned(), |day| day.to_string());
            format!("{} {} {due}", row.ns, row.standing.as_str())
        };
        rows.iter().map(said).collect()
    }

    /// It is 2026-11-23. `prod-eu` has shop and pay; what `far` has is not known, since it is down.
    #[test]
    fn due_vanished_and_unknown_documents_come_first() {
        let unreadable = DocumentFile {
            is_written: true,
            stamp: Err(Text::new("network-policies/discovery/odd.md: its first line is not ours")),
            ..file("odd", "2026-12-01", None, &[("prod-eu", 1)])
        };
        let world = told(vec![
            file("shop", "2026-12-20", Some("2026-11-20"), &[("prod-eu", 3)]),
            // Reviewed a month ago to the day, and a day later.
            file("pay", "2026-12-20", Some("2026-10-23"), &[("prod-eu", 3)]),
            file("pay-2", "2026-12-20", Some("2026-10-24"), &[("far", 3)]),
            // Reviewed of late, but on evidence that is old.
            file("shop-3", "2026-12-20", Some("2026-11-20"), &[("far", 32)]),
            file("fresh", "2026-12-22", None, &[("far", 1)]),
            file("loyalty", "2026-12-22", Some("2026-11-20"), &[("prod-eu", 1), ("left-the-fleet", 80)]),
            unreadable,
        ]);
        assert_eq!(
            standings(&world),
            [
                "shop-3 due 2026-11-22",
                "pay due 2026-11-23",
                "loyalty vanished 2026-12-20",
                "odd unknown ?",
                "pay-2 current 2026-11-24",
                "shop current 2026-12-20",
                "fresh new 2026-12-22",
            ]
        );
        insta::assert_snapshot!("documents.txt", text(monthly::documents(&world).as_deref(), world.now()));
        insta::assert_snapshot!("documents.json", json(monthly::due(&world).as_deref()));
    }

    /// `--context stage`: the other clusters are asked nothing, which says nothing of their namespaces.
    #[test]
    fn a_cluster_that_this_run_leaves_out_did_not_lose_its_namespaces() {
        let mut world = told(vec![file("shop", "2026-12-20", Some("2026-11-20"), &[("prod-eu", 3)])]);
        let mut plan = world.plan().clone();
        plan.beside = plan.clusters.extract_if(.., |entry| entry.name == cluster("prod-eu")).collect();
        world.absorb(Fact::Fleet(plan));
        assert_eq!(standings(&world), ["shop current 2026-12-20"]);
        let Ok(orders) = decide(&world, &Command::Compare(ns("shop"), None)) else {
            panic!("it may be asked")
        };
        let [Effect::Compare(question)] = orders.effects.as_slice() else { panic!("{orders:?}") };
        assert_eq!(question.kept[&cluster("prod-eu")].as_str(), "this run leaves the cluster out");
    }

    /// A workspace with policies and hardly a document: one line, with how many and the command.
    #[test]
    fn what_was_never_written_is_one_line() {
        let mut world = told(vec![
            file("shop", "2026-12-20", Some("2026-11-20"), &[("prod-eu", 3)]),
            // Only its companion is there.
            DocumentFile {
                is_written: false,
                stamp: Err(Text::new("network-policies/discovery/cart.md is not there")),
                ..file("cart", "2026-12-20", None, &[("far", 3)])
            },
        ]);
        let mut files = world.files().clone();
        let blank = Authored {
            set: Default::default(),
            manifests: Default::default(),
            folder: Text::new("network-policies"),
            complaints: Vec::new(),
            left_out: Vec::new(),
        };
        let names = ["shop", "api", "billing", "data", "mail", "pay"];
        let places = names.iter().flat_map(|name| Direction::ALL.map(|direction| (*name, direction)));
        files.sets = places.map(|(name, on)| ((cluster("prod-eu"), ns(name), on), blank.clone())).collect();
        files.sets.insert((cluster("left-the-fleet"), ns("old"), Direction::Egress), blank);
        world.absorb(Fact::Files(files));
        world.settle();
        let said = |world: &World| {
            let (_, unwritten) = monthly::folded(monthly::due(world).expect("read"));
            unwritten.map(|one| one.line()).unwrap_or_default()
        };
        assert_eq!(
            said(&world),
            "2 clusters: 6 namespaces have no discovery document (far 1, prod-eu 5): `sluice discover --cluster \
             CLUSTER --write`"
        );
        let text = text(monthly::documents(&world).as_deref(), world.now());
        assert_eq!(text.lines().filter(|line| line.contains("unwritten")).count(), 0, "{text}");
        assert_eq!(text.lines().filter(|line| line.contains("no discovery document")).count(), 1, "{text}");
        assert!(text.contains("1 document, 0 of them open."), "{text}");
        let status = crate::documents::status::text(&world);
        assert_eq!(status.lines().filter(|line| line.starts_with("document: ")).count(), 1, "{status}");
        // Of one cluster by their names; of one namespace with its own command.
        let mut files = world.files().clone();
        files.sets.retain(|(cluster, ..), _| cluster.as_str() == "prod-eu");
        world.absorb(Fact::Files(files.clone()));
        world.absorb(Fact::Document(DocumentFact::Read(Vec::new())));
        assert_eq!(
            said(&world),
            "prod-eu: 6 namespaces have no discovery document (api, billing, data, mail and 2 more): `sluice \
             discover --cluster prod-eu --write`"
        );
        files.sets.retain(|(_, ns, _), _| ns.as_str() == "api");
        world.absorb(Fact::Files(files));
        assert_eq!(
            said(&world),
            "prod-eu: 1 namespace has no discovery document (api): `sluice discover -n api --cluster prod-eu \
             --write`"
        );
    }

    #[test]
    fn what_was_not_read_is_unknown_and_not_empty() {
        let world = world();
        assert_eq!(monthly::documents(&world), None);
        assert_eq!(json(None), "null\n");
        assert!(text(None, now()).starts_with("Discovery documents are not known"));
    }

    fn changed(title: &str, differences: Vec<Difference>, cover: Option<Cover>) -> Changed {
        Changed {
            direction: Direction::Egress,
            title: Text::new(title),
            category: Category::Vendor,
            differences,
            last: now(),
            cover,
        }
    }

    fn compared() -> Compared {
        let changes = vec![
            changed(
                "hooks.example",
                vec![Difference::New, Difference::Flagged(vec!["webhook".into()])],
                Some(Cover::Denied(vec!["443/TCP of Deployment cart".into()])),
            ),
            changed(
                "api.example",
                vec![Difference::Ports { more: vec!["8443/TCP".into()], less: Vec::new() }],
                Some(Cover::Covered),
            ),
            changed("old.example\u{1b}[2J", vec![Difference::Gone], None),
        ];
        let newer = Newer {
            window: Window { from: now() - TimeDelta::days(7), to: now() },
            doubts: vec!["1 gap in which nothing was recorded, 20m in all".into()],
            destinations: 12,
            changes,
        };
        let part = |name: &str, now_| ComparedPart {
            cluster: cluster(name),
            before: Some(now() - TimeDelta::days(41)),
            now: now_,
        };
        let prepared = Prepared {
            ns: ns("shop"),
            path: "network-policies/discovery/shop.md".into(),
            beside: "network-policies/discovery/shop.edges.jsonl".into(),
            document: Arc::from("new\n"),
            edges: Arc::from("{}\n"),
            reviewed: Some(("ann".into(), Arc::from("marked\n"))),
            was: [Some(Arc::from("old\n")), None],
            notes: 2,
            lines: 31,
        };
        let far = Err(Text::new("its collector is away (far: connection refused. Wait.)"));
        Compared {
            ns: ns("shop"),
            at: now(),
            parts: vec![part("far", far), part("prod-eu", Ok(newer))],
            prepared: Ok(prepared),
        }
    }

    #[test]
    fn what_changed_as_text_and_json() {
        insta::assert_snapshot!("compared.txt", compared_text(&compared(), &None));
        let said = Text::new("both are written");
        insta::assert_snapshot!("compared.json", compared_json(&compared(), &Some(Ok(&said))));
    }

    /// Only what was looked at is written, and a review only in somebody's name.
    #[test]
    fn what_was_not_compared_is_not_written() {
        let mut world = told(vec![file("shop", "2026-11-20", None, &[("prod-eu", 41), ("far", 41)])]);
        let write = |world: &World, reviewed| {
            let orders = decide(world, &Command::Renew { ns: ns("shop"), reviewed });
            orders.map(|orders| orders.effects.len()).map_err(|refusal| refusal.to_string())
        };
        assert!(write(&world, false).is_err_and(|why| why.contains("look at what changed first")));
        let Ok(orders) = decide(&world, &Command::Compare(ns("shop"), None)) else {
            panic!("it may be asked")
        };
        let [Effect::Compare(question)] = orders.effects.as_slice() else { panic!("{orders:?}") };
        assert_eq!(question.asked.iter().collect::<Vec<_>>(), [&cluster("prod-eu")]);
        assert_eq!(question.kept[&cluster("far")].as_str(), "its collector was not heard of yet");
        let begun = DocumentFact::Begun { ns: ns("shop"), waiting: question.asked.clone() };
        world.absorb(Fact::Document(begun));
        assert!(decide(&world, &Command::Compare(ns("shop"), None)).is_err(), "one at a time");
        let nobody = Prepared { reviewed: None, ..compared().prepared.expect("prepared") };
        let without = Compared { prepared: Ok(nobody), ..compared() };
        world.absorb(Fact::Document(DocumentFact::Compared(Arc::new(without))));
        assert_eq!(write(&world, false), Ok(1));
        assert!(write(&world, true).is_err_and(|why| why.contains("who reviewed it is not known")));
        world.absorb(Fact::ReadOnly);
        assert!(write(&world, false).is_err_and(|why| why.contains("read-only")));
        let edited = Trouble::new("shop.md", "it was edited outside its notes", "Move it.");
        let broken = Compared { prepared: Err(edited), ..compared() };
        world.absorb(Fact::Document(DocumentFact::Compared(Arc::new(broken))));
        assert!(write(&world, false).is_err_and(|why| why.contains("it was edited outside its notes")));
    }
}
