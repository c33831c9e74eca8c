//! Text cases of the pre-flight: manifests as the projects ship them, what cannot be read, and what
//! each check says. Expected words are written by hand from the projects' documentation.

use std::{collections::BTreeMap, fs};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use sluice::{
    domain::{
        names::{Text, is_hostile},
        preflight::{
            check::{CheckId, Reach, Verdict},
            cni,
            corefile::{self, Around},
            reading::{CUSTOM, Known, Measured, Object, Probing, Reading, Right},
            report::{self, Report},
            rights::{ASKED, PROBES},
        },
        resolver::DnsPath,
    },
    k8s::preflight::manifests,
};

/// Cases of a file stand below lines of `=== name`: directives, then `---` and manifests.
fn cases(file: &str) -> Vec<(String, Vec<String>, String)> {
    let path = format!("{}/tests/cases/preflight/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).expect("a readable file of cases");
    let cases = text.split("\n=== ").skip(1).map(|case| {
        let (name, rest) = case.split_once('\n').expect("a case has lines");
        let (head, body) = rest.split_once("\n---\n").unwrap_or((rest, ""));
        let lines = head.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        (format!("{file}: {name}"), lines.map(str::to_owned).collect(), body.to_owned())
    });
    cases.collect()
}

fn files() -> Vec<String> {
    let folder = format!("{}/tests/cases/preflight", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder of cases")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    names.sort();
    names
}

/// Makes lists unknown and adds what manifests cannot say, as the directives ask.
fn arrange(reading: &mut Reading, directive: &str) -> bool {
    let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
    match word {
        "unread" => {
            let (what, why) = rest.split_once(": ").expect("unread LIST: why");
            let why = Text::new(why);
            match what {
                "version" => reading.version = Known::Unknown(why),
                "groups" => reading.groups = Known::Unknown(why),
                "daemonsets" => reading.daemonsets = Known::Unknown(why),
                "workloads" => reading.workloads = Known::Unknown(why),
                "services" => reading.services = Known::Unknown(why),
                "nodes" => reading.nodes = Known::Unknown(why),
                "namespaces" => reading.namespaces = Known::Unknown(why),
                "accounts" => reading.accounts = Known::Unknown(why),
                "hooks" => reading.hooks = Known::Unknown(why),
                "some hooks" => reading.unread_hooks = Some(why),
                _ => match what.split_once('/') {
                    Some((ns, name)) => {
                        reading.config_maps.refused.push((Object::new("ConfigMap", ns, name), why));
                    }
                    None => {
                        let kind = CUSTOM.iter().find(|kind| kind.id == what).expect("a custom kind");
                        reading.custom.insert(kind.id, Known::Unknown(why));
                    }
                },
            }
        }
        "version" => reading.version = Known::Read(rest.to_owned()),
        "rights" => {
            let answers = rest.split(' ').map(|word| match word {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            });
            let rights = ASKED.iter().zip(answers);
            reading.rights = Known::Read(
                rights
                    .map(|((verb, what), allowed)| Right { verb, what, ns: Text::default(), allowed })
                    .collect(),
            );
        }
        // Probes are on; where they may not run everywhere, each namespace has an answer of its own.
        "probes" => {
            let word = |word: &str| match word {
                "yes" => Some(true),
                "no" => Some(false),
                _ => None,
            };
            let mut words = rest.split(' ');
            let everywhere = word(words.next().expect("an answer"));
            let right = |verb, ns: &str, allowed| Right { verb, what: "pods", ns: Text::new(ns), allowed };
            let all = PROBES.map(|(verb, _)| right(verb, "", everywhere));
            let single =
                words.filter_map(|one| one.split_once('=')).map(|(ns, it)| right("create", ns, word(it)));
            reading.said.probes = Some(Probing::default());
            let Known::Read(rights) = &mut reading.rights else { panic!("rights go first") };
            rights.extend(all.into_iter().chain(single));
        }
        "measured" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let at = |raw: &str| raw.parse::<DateTime<Utc>>().expect("a time");
            reading.measured = Some(Known::Read(Measured {
                source: Text::new("collector"),
                from: at(words[0]),
                to: at(words[1]),
                empty_hours: words[2].parse().expect("a number"),
                only_denials: words.get(3) == Some(&"denials"),
            }));
        }
        "relay" => reading.said.relay = Some(rest == "told"),
        "unmeasured" => reading.measured = Some(Known::Unknown(Text::new(rest))),
        _ => return false,
    }
    true
}

/// `check ID VERDICT: why`, `seen ID: evidence`, `fix ID: command or text`.
fn expect(report: &Report, directive: &str, name: &str, wrong: &mut Vec<String>) {
    let (word, rest) = directive.split_once(' ').expect("a directive");
    let (head, expected) = rest.split_once(": ").unwrap_or_else(|| panic!("{name}: {directive}"));
    let (id, verdict) = head.split_once(' ').unwrap_or((head, ""));
    let check = report.checks.iter().find(|check| check.id.as_str() == id);
    let check = check.unwrap_or_else(|| panic!("{name}: no check {id}"));
    match word {
        "check" => {
            let said = format!("{}: {}", check.verdict.as_str(), check.why);
            if said != format!("{verdict}: {expected}") {
                wrong.push(format!("{name}: {id}\n  expected {verdict}: {expected}\n  said     {said}"));
            }
        }
        "seen" => {
            let seen: Vec<String> = check.evidence.iter().map(ToString::to_string).collect();
            if !seen.iter().any(|line| line == expected) {
                wrong.push(format!("{name}: {id}: not seen {expected}\n  {}", seen.join("\n  ")));
            }
        }
        "fix" => {
            let fix = check.fix.as_ref().unwrap_or_else(|| panic!("{name}: {id} has no fix"));
            let all: Vec<&str> = std::iter::once(&fix.text).chain(&fix.commands).map(Text::as_str).collect();
            assert!(all.contains(&expected), "{name}: {id}: {all:#?}");
        }
        "reach" => {
            let said = match &check.reach {
                Reach::Cluster => "cluster".to_owned(),
                Reach::Nodes(nodes) => {
                    format!("nodes {}", nodes.iter().map(Text::as_str).collect::<Vec<_>>().join(", "))
                }
                Reach::Unready(agent) => format!("unready {agent}"),
            };
            if said != expected {
                wrong.push(format!("{name}: {id} reaches {said}"));
            }
        }
        other => panic!("{name}: {other} is no directive"),
    }
}

/// `cni KIND VERSION ENFORCEMENT: evidence` and `dns MODE: evidence`: what the rest of sluice takes.
fn taken(reading: &Reading, directive: &str) -> Option<String> {
    match directive.split(' ').next() {
        Some("cni") => {
            let cni = cni::cni(reading);
            let version = cni.version.as_ref().map_or("-", |version| version.as_str());
            Some(format!("cni {} {version} {:?}: {}", cni.kind.as_str(), cni.enforcement, cni.evidence))
        }
        Some("dns") => {
            let path = cni::dns_path(reading);
            let (DnsPath::Direct { evidence }
            | DnsPath::NodeCache { evidence }
            | DnsPath::Unknown { evidence }) = &path;
            Some(format!("dns {}: {evidence}", path.mode().unwrap_or("unknown")))
        }
        _ => None,
    }
}

fn read(name: &str, body: &str) -> Reading {
    let (reading, complaints) = manifests::read([("case.yaml", body)]);
    assert_eq!(complaints, [], "{name}");
    reading
}

#[test]
fn each_check_says_what_the_manifests_mean() {
    let mut wanted: BTreeMap<(CheckId, Verdict), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, directives, body) in files().iter().flat_map(|file| cases(file)) {
        let mut reading = read(&name, &body);
        let rest: Vec<&String> =
            directives.iter().filter(|directive| !arrange(&mut reading, directive)).collect();
        let report = report::run(&reading);
        let ids: Vec<CheckId> = report.checks.iter().map(|check| check.id).collect();
        assert_eq!(ids, CheckId::ALL, "{name}: each check once, in order");
        for check in &report.checks {
            let closed = !check.is_open();
            if !closed && check.fix.is_none() {
                wrong.push(format!("{name}: {} says no fix", check.id.as_str()));
            }
        }
        for directive in rest {
            if let Some(said) = taken(&reading, directive) {
                if said != *directive {
                    wrong.push(format!("{name}:\n  expected {directive}\n  said     {said}"));
                }
                continue;
            }
            expect(&report, directive, &name, &mut wrong);
            if let Some(id) = directive.strip_prefix("check ").and_then(|rest| rest.split(' ').next()) {
                let check =
                    report.checks.iter().find(|check| check.id.as_str() == id).expect("checked above");
                *wanted.entry((check.id, check.verdict)).or_default() += 1;
            }
        }
    }
    for id in CheckId::ALL {
        for verdict in [Verdict::Pass, Verdict::Fail, Verdict::Unknown] {
            if !wanted.contains_key(&(*id, verdict)) {
                wrong.push(format!("no case of {} {}", id.as_str(), verdict.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_reading_of_which_nothing_is_known_passes_nothing() {
    let report = report::run(&Reading::unknown(&Text::new("forbidden (HTTP 403)")));
    for check in &report.checks {
        assert_eq!(check.verdict, Verdict::Unknown, "{check:?}");
    }
    assert_eq!(report.verdict(), Verdict::Unknown);
    assert_eq!((report.engine, report.dns_mode), (None, None));
}

/// Cases below `=== name`: the Corefile, then `---` with files after `@ path`, `---` and the outcome.
#[test]
fn corefiles_are_read_as_coredns_reads_them() {
    let path = format!("{}/tests/cases/preflight/corefiles", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).expect("a readable file of cases");
    let mut wrong = Vec::new();
    for case in text.split("\n=== ").skip(1) {
        let (name, rest) = case.split_once('\n').expect("a case has lines");
        let parts: Vec<&str> = rest.split("\n~~~\n").collect();
        let [main, more, expected] = parts[..] else { panic!("{name}: three parts") };
        let (mut files, mut env) = (BTreeMap::new(), BTreeMap::new());
        for part in more.split("@ ").skip(1) {
            let (path, text) = part.split_once('\n').unwrap_or((part, ""));
            match path.split_once('=') {
                Some((variable, "?")) => drop(env.insert(variable.to_owned(), None)),
                Some((variable, value)) => drop(env.insert(variable.to_owned(), Some(value.to_owned()))),
                None => drop(files.insert(path.to_owned(), text.to_owned())),
            }
        }
        let around = Around { files: &files, env: &env, folder: "/etc/coredns" };
        let said = match corefile::parse(main, around) {
            Err(broken) => format!("broken {broken}\n"),
            Ok(file) => file
                .blocks
                .iter()
                .map(|block| {
                    let plugins: Vec<String> = block
                        .plugins
                        .iter()
                        .map(|one| [std::slice::from_ref(&one.name), one.args.as_slice()].concat().join(" "))
                        .collect();
                    format!("{} | {}\n", block.zones.join(" "), plugins.join("; "))
                })
                .collect(),
        };
        if said.trim_end() != expected.trim_end() {
            wrong.push(format!("{name}:\n{said}"));
        }
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

/// Words that a Corefile is made of, and some that it is not.
fn pieces() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "{",
        "}",
        "import",
        "(x)",
        "x",
        "*.server",
        "../a",
        ".:53",
        "dns://a.b:53,",
        ",",
        "\"",
        "\\",
        "#",
        "{$A}",
        "{%A%}",
        "{$",
        "dnstap",
        "full",
        "\n",
        "\r\n",
        "\t",
        "custom/*.override",
        "**",
        "\u{feff}",
        "\u{202e}",
        "é",
    ]);
    prop::collection::vec((word, prop::sample::select(vec!["", " ", "\n"])), 0..60)
        .prop_map(|all| all.into_iter().map(|(word, space)| format!("{word}{space}")).collect())
}

proptest! {
    #[test]
    fn no_corefile_breaks_its_reader(main in pieces(), other in pieces(), raw in ".{0,200}") {
        let files = BTreeMap::from([
            ("/etc/coredns/custom/a.server".to_owned(), other),
            ("/etc/coredns/x".to_owned(), main.clone()),
        ]);
        let env = BTreeMap::from([("A".to_owned(), Some("a b".to_owned()))]);
        let around = Around { files: &files, env: &env, folder: "/etc/coredns" };
        for text in [main, raw] {
            match corefile::parse(&text, around) {
                Ok(file) => prop_assert!(file.blocks.iter().all(|block| block.place.line > 0)),
                Err(broken) => {
                    prop_assert!(broken.place.line > 0);
                    prop_assert!(!broken.to_string().chars().any(is_hostile), "{broken}");
                }
            }
        }
    }

    #[test]
    fn no_manifest_breaks_the_pre_flight(text in "[a-z{}:\\[\\], \\n-]{0,200}") {
        let (reading, _) = manifests::read([("x.yaml", text.as_str())]);
        prop_assert_eq!(report::run(&reading).checks.len(), CheckId::ALL.len());
    }
}
