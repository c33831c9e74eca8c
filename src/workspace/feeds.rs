//! Feeds: text files of the workspace with one name or network a line, for lists too long or too
//! local for the built-in catalogue. Class, severity, origin and date stand in a header of
//! `# key: value` lines, or in `sluice.yaml`, which goes before. A line that is neither is counted
//! and named; the others still count. Never fetches anything.

use std::{
    fs::File,
    io::{self, Read},
    net::IpAddr,
    path::Path,
};

use chrono::NaiveDate;
use ipnet::IpNet;

use crate::{
    cockpit::{plan::FeedEntry, ports::Trouble},
    domain::{
        destination::Severity,
        edge::DnsName,
        names::Text,
        suspect::{Catalogue, Class, Entries, Group, Ports, Purpose},
    },
};

/// Largest feed that is read, bytes.
const LIMIT: u64 = 64 << 20;
/// Malformed lines that are named; more are only counted.
const NAMED: usize = 3;

/// Reads the feeds into the catalogue. Relative files are below `root`.
pub fn add(catalogue: &mut Catalogue, root: &Path, feeds: &[FeedEntry]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for entry in feeds {
        let path = root.join(entry.file.as_str());
        let shown = path.to_string_lossy();
        match read_limited(&path) {
            Ok(text) => put(catalogue, entry, &shown, &parse(&text), &mut troubles),
            Err(error) => troubles.push(Trouble::new(
                &shown,
                &format!("the feed cannot be read ({error})"),
                "Correct the file or its rights; until then its names are not looked for.",
            )),
        }
    }
    troubles
}

/// A network, or an address as a network of its own.
pub(super) fn network(raw: &str) -> Option<IpNet> {
    let single = || raw.parse::<IpAddr>().ok().map(IpNet::from);
    raw.parse().ok().or_else(single)
}

fn read_limited(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it has more than {LIMIT} bytes, which is the limit")));
    }
    Ok(text)
}

/// What a feed's text holds.
#[derive(Debug, Default, PartialEq)]
struct Feed {
    header: Header,
    entries: Entries,
    /// Line and text of what is neither name nor network, the first ones.
    named: Vec<(usize, Text)>,
    malformed: usize,
}

#[derive(Debug, Default, PartialEq)]
struct Header {
    name: Option<Text>,
    class: Option<Text>,
    severity: Option<Severity>,
    origin: Option<Text>,
    date: Option<NaiveDate>,
}

fn parse(text: &str) -> Feed {
    let mut feed = Feed::default();
    let mut in_header = true;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            if in_header {
                feed.header.take(comment);
            }
            continue;
        }
        // `name  # remark`
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        in_header = false;
        if let Err(bad) = take(&mut feed.entries, line) {
            feed.malformed += 1;
            if feed.named.len() < NAMED {
                feed.named.push((at + 1, bad));
            }
        }
    }
    feed
}

impl Header {
    fn take(&mut self, comment: &str) {
        let Some((key, value)) = comment.split_once(':') else { return };
        let value = value.trim();
        let text = || Some(Text::new(value)).filter(|text| !text.is_empty());
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => self.name = text(),
            "class" => self.class = text(),
            "severity" => self.severity = Severity::parse(&value.to_ascii_lowercase()),
            "origin" => self.origin = text(),
            "date" => self.date = value.get(..10).and_then(|day| day.parse().ok()),
            _ => {}
        }
    }
}

/// A network, or a name with everything below it; `*.` and a leading dot say the same.
fn take(entries: &mut Entries, line: &str) -> Result<(), Text> {
    if let Some(network) = network(line) {
        entries.networks.push(network);
        return Ok(());
    }
    let name = line.strip_prefix("*.").or_else(|| line.strip_prefix('.')).unwrap_or(line);
    let parsed = DnsName::parse(name).filter(|_| !name.contains('*'));
    parsed.map(|name| entries.suffixes.push(name)).ok_or_else(|| Text::new(line))
}

fn put(catalogue: &mut Catalogue, entry: &FeedEntry, shown: &str, feed: &Feed, troubles: &mut Vec<Trouble>) {
    let header = &feed.header;
    if feed.malformed > 0 {
        troubles.push(malformed(shown, feed));
    }
    let class = entry.class.clone().or_else(|| header.class.clone());
    let severity = entry.severity.or(header.severity);
    let known = class.as_ref().and_then(|class| catalogue.class(class.as_str()));
    let (Some(class), Some(severity)) = (&class, severity.or(known.map(|known| known.severity))) else {
        let missing = if class.is_none() { "class" } else { "severity" };
        troubles.push(Trouble::new(
            shown,
            &format!("neither the feed's header nor sluice.yaml says its {missing}"),
            &format!("Write `# {missing}: …` at its top, or `{missing}:` in sluice.yaml; until then it is not used."),
        ));
        return;
    };
    let file = Path::new(entry.file.as_str()).file_stem().map(|stem| stem.to_string_lossy());
    let named = entry.name.clone().or_else(|| header.name.clone());
    let name = named.unwrap_or_else(|| Text::new(&file.unwrap_or_default()));
    catalogue.add_class(Class {
        id: class.clone(),
        title: class.clone(),
        what: Text::from(format!("it is listed as {class}")),
        ask: Text::from(format!("what is it used for, being listed as {class}")),
        severity,
    });
    let group = Group {
        class: class.clone(),
        operator: Text::from(format!("feed {name}")),
        purpose: Purpose::Dedicated,
        severity,
        ports: Ports::default(),
        ask: None,
        source: source(&name, entry, header),
    };
    catalogue.add_group(group, &feed.entries);
}

/// `feed phishing of 2026-11-01 (https://…)`.
fn source(name: &Text, entry: &FeedEntry, header: &Header) -> Text {
    let date = entry.date.or(header.date).map_or("unknown date".to_owned(), |date| date.to_string());
    let origin = entry.origin.as_ref().or(header.origin.as_ref());
    let origin = origin.map(|origin| format!(" ({origin})")).unwrap_or_default();
    Text::from(format!("feed {name} of {date}{origin}"))
}

fn malformed(shown: &str, feed: &Feed) -> Trouble {
    let named: Vec<_> = feed.named.iter().map(|(line, text)| format!("line {line} {text:?}")).collect();
    let more = feed.malformed - feed.named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let fact = format!("neither a name nor a network: {}{more}", named.join(", "));
    Trouble::new(shown, &fact, "Correct or delete that; the other lines are used.")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = "\
# Name: shady
# class: phishing
# Severity: High
# date: 2026-11-01T00:00:00Z
# origin: https://feeds.example/shady

evil.example   # a remark
*.worse.example
.worst.example
198.51.100.0/24
2001:db8::1
# class: pastebin
not a name
<b>
a..b
 http://x.example/
ALSO.Example.
";

    fn entry() -> FeedEntry {
        let file = Text::new("feeds/shady.txt");
        FeedEntry { file, name: None, class: None, severity: None, origin: None, date: None }
    }

    fn told(entry: &FeedEntry, text: &str) -> (Catalogue, String) {
        let (mut catalogue, mut troubles) = (Catalogue::default(), Vec::new());
        put(&mut catalogue, entry, "feeds/shady.txt", &parse(text), &mut troubles);
        (catalogue, troubles.iter().map(|trouble| format!("{trouble}\n")).collect())
    }

    #[test]
    fn a_feed_says_what_it_is_and_its_bad_lines_are_named() {
        let (catalogue, troubles) = told(&entry(), FEED);
        insta::assert_snapshot!(troubles, @r#"feeds/shady.txt: neither a name nor a network: line 13 "not a name", line 14 "<b>", line 15 "a..b" and 1 more. Correct or delete that; the other lines are used."#);
        let group = &catalogue.groups()[0];
        assert_eq!((group.class.as_str(), group.severity), ("phishing", Severity::High));
        assert_eq!(group.source.as_str(), "feed shady of 2026-11-01 (https://feeds.example/shady)");
        let entries = parse(FEED).entries;
        let names: Vec<_> = entries.suffixes.iter().map(DnsName::as_str).collect();
        assert_eq!(names, ["evil.example", "worse.example", "worst.example", "also.example"]);
        let networks: Vec<_> = entries.networks.iter().map(ToString::to_string).collect();
        assert_eq!(networks, ["198.51.100.0/24", "2001:db8::1/128"]);
    }

    #[test]
    fn the_fleet_file_goes_before_the_header() {
        let own = FeedEntry {
            name: Some("ours".into()),
            class: Some("tunnel".into()),
            severity: Some(Severity::Low),
            date: NaiveDate::from_ymd_opt(2026, 1, 2),
            ..entry()
        };
        let (catalogue, _) = told(&own, FEED);
        let group = &catalogue.groups()[0];
        assert_eq!((group.class.as_str(), group.severity), ("tunnel", Severity::Low));
        assert_eq!(group.source.as_str(), "feed ours of 2026-01-02 (https://feeds.example/shady)");
    }

    #[test]
    fn a_feed_of_nothing_known_is_told_and_not_used() {
        for (text, part) in [
            ("evil.example\n", "neither the feed's header nor sluice.yaml says its class"),
            ("# class: x\nevil.example\n", "says its severity"),
        ] {
            let (catalogue, troubles) = told(&entry(), text);
            assert!(troubles.contains(part), "{troubles}");
            assert!(catalogue.groups().is_empty());
        }
    }
}
