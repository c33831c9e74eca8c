//! The keys of `sluice.yaml` about how the rollout goes: state, soak, baseline, people, escalation;
//! waves, calendar and what leaves the machine stand in files of their own. Reads no file.

use std::collections::BTreeMap;

use super::{
    fleet_file::{Fields, Reader},
    yaml::Node,
};
use crate::{
    cockpit::{
        plan::{ClusterEntry, FleetFile},
        settings::{Settings, SoakSettings, StatePlace},
    },
    domain::names::{NsName, Text},
};

/// Those of the top level that belong here.
pub(super) const KEYS: [&str; 13] = [
    "state",
    "soak",
    "baseline",
    "waves",
    "risks",
    "dependencies",
    "hours",
    "blocked",
    "people",
    "escalation",
    "notify",
    "probes",
    "author",
];

/// Where sluice's custom resources stand if nobody says otherwise.
const NAMESPACE: &str = "sluice";

impl Reader<'_> {
    /// The clusters and the scope of `fleet` are read already.
    pub(super) fn settings(&mut self, top: &Fields<'_>, fleet: &FleetFile) -> Settings {
        let plain = Settings::default();
        let get = |key: &str| top.get(key).copied();
        let soak = self.soak(get("soak"), plain.soak);
        let (egress, ingress) = self.waves(get("waves"), plain.egress, plain.ingress);
        Settings {
            state: self.state(get("state"), &fleet.clusters),
            soak,
            baseline: self.span(get("baseline"), "baseline", true).unwrap_or(plain.baseline),
            egress,
            ingress,
            risks: self.risks(get("risks")),
            dependencies: self.dependencies(get("dependencies"), fleet),
            hours: self.hours(get("hours")),
            blocked: self.blocked(get("blocked")),
            people: self.people(get("people")),
            escalation: self.texts(get("escalation"), "escalation"),
            notify: self.notify(get("notify")),
            probes: self.probes(get("probes"), &fleet.clusters),
            author: self.author(get("author"), &fleet.clusters),
        }
    }

    fn state(&mut self, node: Option<&Node>, clusters: &[ClusterEntry]) -> Option<StatePlace> {
        let node = node.filter(|node| !node.is_null())?;
        let fields = self.map(node, "state", &["cluster", "namespace"]);
        let cluster = self.cluster_of(fields.get("cluster").copied(), node, "state.cluster", clusters);
        let ns_node = fields.get("namespace").copied().filter(|node| !node.is_null());
        let ns = match ns_node {
            Some(_) => self.namespace(ns_node, node, "state.namespace"),
            None => NsName::parse(NAMESPACE).ok(),
        };
        Some(StatePlace { cluster: cluster?.name.clone(), ns: ns? })
    }

    /// One of the clusters of the file, which must be named.
    pub(super) fn cluster_of<'c>(
        &mut self,
        node: Option<&Node>,
        parent: &Node,
        key: &str,
        clusters: &'c [ClusterEntry],
    ) -> Option<&'c ClusterEntry> {
        let known: Vec<_> = clusters.iter().map(|entry| entry.name.as_str()).collect();
        let next = format!("Write one of the clusters: {}.", known.join(", "));
        let raw = self.needed(node, parent, key, &next)?;
        let found = clusters.iter().find(|entry| entry.name.as_str() == raw.as_str());
        if found.is_none() {
            let line = node.map_or(parent.line, |node| node.line);
            self.error(line, &format!("`{key}` is {raw:?}, which is no cluster of this file"), &next);
        }
        found
    }

    fn soak(&mut self, node: Option<&Node>, plain: SoakSettings) -> SoakSettings {
        let Some(node) = node.filter(|node| !node.is_null()) else { return plain };
        let fields = self.map(node, "soak", &["needed", "lapses"]);
        let get = |key: &str| fields.get(key).copied();
        let needed = self.span(get("needed"), "soak.needed", false).unwrap_or(plain.needed);
        let lapses = self.span(get("lapses"), "soak.lapses", false).unwrap_or(plain.lapses);
        if needed > lapses {
            let next = "Let credit count for longer than a soak takes.";
            self.error(
                node.line,
                "`soak.lapses` is shorter than `soak.needed`, so nothing ever gets clean",
                next,
            );
        }
        if needed < plain.needed {
            let fact = format!(
                "`soak.needed` is shorter than the {} h of the rollout plan",
                plain.needed.num_hours()
            );
            self.notice(node.line, &fact, "Write a longer one, or be sure that two nights need not be seen.");
        }
        SoakSettings { needed, lapses }
    }

    /// Each entry: the user names of one person.
    fn people(&mut self, node: Option<&Node>) -> Vec<Vec<Text>> {
        let mut out: Vec<Vec<Text>> = Vec::new();
        let mut owner: BTreeMap<Text, usize> = BTreeMap::new();
        for (i, item) in self.list(node, "people").iter().enumerate() {
            let key = format!("people[{i}]");
            let names = self.texts(Some(item), &key);
            if names.len() < 2 && matches!(item.value, super::yaml::Value::List(_)) {
                let next = "Write every user name of that person, or leave the entry out.";
                self.error(item.line, &format!("`{key}` needs two names at least"), next);
            }
            for name in &names {
                if let Some(other) = owner.insert(name.clone(), i) {
                    let fact = format!("{name} stands in `people[{other}]` and in `{key}`");
                    let next = "Put all names of one person into one entry.";
                    self.error(item.line, &fact, next);
                }
            }
            out.push(names);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use chrono::{NaiveTime, TimeDelta, Weekday};

    use super::super::fleet_file::{Parsed, parse};
    use crate::cockpit::settings::{Settings, WaveSize};

    fn read(text: &str) -> Result<Parsed, String> {
        let text = format!(
            "clusters: [{{name: a, environment: staging}}, {{name: b, environment: staging}}]\n{text}"
        );
        let say = |troubles: &[crate::cockpit::ports::Trouble]| {
            troubles.iter().map(|trouble| format!("{trouble}\n")).collect::<String>()
        };
        match parse("sluice.yaml", &text) {
            Ok(parsed) if parsed.notices.is_empty() => Ok(parsed),
            Ok(parsed) => Err(say(&parsed.notices)),
            Err(errors) => Err(say(&errors)),
        }
    }

    fn complaints(text: &str) -> String {
        read(text).expect_err("something is wrong")
    }

    #[test]
    fn without_a_word_the_plan_is_the_products() {
        assert_eq!(read("").expect("fine").fleet.settings, Settings::default());
        for empty in
            ["state:", "soak:", "baseline:", "waves:", "waves: {egress: }", "risks: []", "hours:", "notify:"]
        {
            assert_eq!(read(empty).expect("fine").fleet.settings, Settings::default(), "{empty}");
        }
    }

    /// The documented example, word for word.
    #[test]
    fn what_the_example_says_is_what_is_read() {
        let text = include_str!("../../assets/sluice.example.yaml");
        let settings = parse("sluice.yaml", text).expect("valid").fleet.settings;
        let state = settings.state.expect("named");
        assert_eq!((state.cluster.as_str(), state.ns.as_str()), ("staging-eu", "sluice"));
        // Written out there as they are without a word.
        let plain = Settings::default();
        assert_eq!((settings.soak, settings.baseline), (plain.soak, plain.baseline));
        assert_eq!((settings.egress, settings.ingress), (plain.egress, plain.ingress));
        let risks: Vec<_> = settings
            .risks
            .iter()
            .map(|entry| (entry.namespaces[0].as_str(), entry.risk, entry.priority, entry.shared))
            .collect();
        assert_eq!(risks, [("shop-jobs", Some(5), Some(1), false), ("harbor", None, None, true)]);
        let waits = &settings.dependencies[0];
        assert_eq!((waits.ns.as_str(), waits.after[0].as_str()), ("shop", "shop-jobs"));
        let hours = settings.hours.expect("there");
        use Weekday::{Mon, Thu, Tue, Wed};
        let winter = "2026-12-01T00:00:00Z".parse().expect("a time");
        let offset = hours.zone.offset(winter).local_minus_utc();
        assert_eq!((offset, hours.days), (3_600, vec![Mon, Tue, Wed, Thu]));
        let at = |hour| NaiveTime::from_hms_opt(hour, 0, 0).expect("a time");
        assert_eq!((hours.from, hours.until), (at(9), at(16)));
        let days = &settings.blocked[0];
        let freeze = ("2026-12-18".to_owned(), "2027-01-03".to_owned(), "year-end freeze");
        assert_eq!((days.from.to_string(), days.to.to_string(), days.why.as_str()), freeze);
        assert_eq!(
            settings.people[0].iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            ["ann", "ann@example.net"]
        );
        assert_eq!(settings.escalation.len(), 2);
        let notify = settings.notify.expect("there");
        assert_eq!(notify.webhook.expect("there").as_str(), "https://hooks.example.net/sluice");
        assert!(notify.bell && notify.body.expect("there").as_str().contains("{{event}}"));
        let probe = &settings.probes[0];
        assert_eq!(
            (probe.cluster.as_str(), probe.destination.to_string(), probe.port),
            ("staging-eu", "192.0.2.1/32".to_owned(), 9)
        );
    }

    #[test]
    fn waves_may_be_cut_otherwise() {
        let text = "waves: {ingress: {production: [2, rest], atMostPercent: 50}}\nsoak: {lapses: 30d}\nbaseline: 0d\n";
        let settings = read(text).expect("fine").fleet.settings;
        assert_eq!(settings.ingress.production, [WaveSize::Rows(2), WaveSize::Rest]);
        assert_eq!((settings.ingress.at_most_percent, settings.egress.at_most_percent), (50, 20));
        assert_eq!((settings.soak.lapses, settings.baseline), (TimeDelta::days(30), TimeDelta::zero()));
    }

    #[test]
    fn unknown_keys_are_named_everywhere() {
        let text = "\
state: {cluster: a, ns: x}
soak: {hours: 48}
waves: {Egress: {}, egress: {size: 3}}
risks:
- {namespaces: [shop], shared: true, level: 3}
dependencies:
- {namespace: shop, after: [pay], before: [x]}
hours: {from: '09:00', until: '16:00', zone: Z, tz: x}
blocked:
- {from: 2026-12-18, why: x, reason: y}
notify: {bell: true, mail: x}
probes:
- {cluster: a, image: i, destination: 192.0.2.1, port: 9, every: 5m}
";
        insta::assert_snapshot!(complaints(text), @"
        sluice.yaml line 3: the key `hours` is not known and not read. Known in soak: needed, lapses.
        sluice.yaml line 4: the key `Egress` is not known and not read. Known in waves: egress, ingress.
        sluice.yaml line 4: the key `size` is not known and not read. Known in waves.egress: staging, production, atMostPercent.
        sluice.yaml line 2: the key `ns` is not known and not read. Known in state: cluster, namespace.
        sluice.yaml line 6: the key `level` is not known and not read. Known in risks[0]: namespaces, risk, priority, shared.
        sluice.yaml line 8: the key `before` is not known and not read. Known in dependencies[0]: namespace, after.
        sluice.yaml line 9: the key `tz` is not known and not read. Known in hours: zone, days, from, until.
        sluice.yaml line 11: the key `reason` is not known and not read. Known in blocked[0]: from, to, why.
        sluice.yaml line 12: the key `mail` is not known and not read. Known in notify: webhook, body, bell.
        sluice.yaml line 14: the key `every` is not known and not read. Known in probes[0]: cluster, image, destination, port, from.
        ");
    }

    #[test]
    fn every_wrong_value_of_the_rollout_is_told_with_its_line() {
        let text = "\
state: {cluster: c, namespace: Sluice}
soak: {needed: 48, lapses: 1d12h30m}
baseline: -1d
waves:
  egress: {staging: [1], production: [], atMostPercent: 0}
  ingress: {staging: [rest, 1, rest], production: [0, all, 10001], atMostPercent: 101}
risks:
- {namespaces: [Shop], risk: 101, priority: 0, shared: often}
- {risk: 3}
- {namespaces: [shop]}
- shop
dependencies:
- {namespace: shop}
- {after: [pay]}
- {namespace: pay, after: [shop, x]}
- {namespace: x, after: [pay]}
- {namespace: self, after: [self]}
hours: {zone: Europe/Berln, days: [mon, day], from: 9, until: '24:00'}
blocked:
- {from: 2026-12-18, to: 2026-12-17, why: x}
- {from: yesterday, why: x}
- {to: 2026-12-18}
people: [[ann], [bob, ann], eve]
escalation: [1]
";
        insta::assert_snapshot!(complaints(text), @r#"
        sluice.yaml line 3: `soak.needed` is 48. Write a duration such as 48h or 14d, a year at most.
        sluice.yaml line 3: `soak.lapses` is "1d12h30m". Write a duration such as 48h or 14d, a year at most.
        sluice.yaml line 6: `waves.egress.staging` does not end with rest. End it with rest, as in [1, rest]: all of staging goes before production.
        sluice.yaml line 6: `waves.egress.atMostPercent` is 0. Write a number from 1 to 100.
        sluice.yaml line 6: `waves.egress.production` is empty. Write sizes such as [1, 2, 4], or leave the key out.
        sluice.yaml line 7: `waves.ingress.staging` goes on after rest. Let rest stand last, or take it out.
        sluice.yaml line 7: `waves.ingress.atMostPercent` is 101. Write a number from 1 to 100.
        sluice.yaml line 7: `waves.ingress.production[0]` is 0. Write a number from 1 to 10000, or rest.
        sluice.yaml line 7: `waves.ingress.production[1]` is "all". Write a number from 1 to 10000, or rest.
        sluice.yaml line 7: `waves.ingress.production[2]` is 10001. Write a number from 1 to 10000, or rest.
        sluice.yaml line 2: `state.cluster` is "c", which is no cluster of this file. Write one of the clusters: a, b.
        sluice.yaml line 2: `state.namespace`: namespace "Sluice" is not valid: it must start and end with a lower-case letter or digit. Write the namespace's exact name.
        sluice.yaml line 4: `baseline` is "-1d". Write a duration such as 7d or 36h, a year at most; 0d asks for none.
        sluice.yaml line 12: `risks[3]` is text. Write a mapping with the keys namespaces, risk, priority, shared there.
        sluice.yaml line 9: `risks[0].namespaces[0]`: namespace "Shop" is not valid: it must start and end with a lower-case letter or digit. Write the namespace's exact name.
        sluice.yaml line 9: `risks[0].risk` is 101. Write a number from 0 to 100.
        sluice.yaml line 9: `risks[0].priority` is 0. Write a number from 1 to 1000000.
        sluice.yaml line 9: `risks[0].shared` is "often". Write true or false.
        sluice.yaml line 10: risks[1] names no namespace. Write `namespaces: [...]`.
        sluice.yaml line 11: risks[2] says nothing of its namespaces. Write `risk:`, `priority:` or `shared: true`.
        sluice.yaml line 14: `dependencies[0].after` is missing. Write the namespaces that go first.
        sluice.yaml line 15: `dependencies[1].namespace` is missing. Write the namespace's exact name.
        sluice.yaml line 14: `dependencies` go round in a circle: pay, x. Take one of them out: each waits for the others.
        sluice.yaml line 14: `dependencies` go round in a circle: self. Take one of them out: each waits for the others.
        sluice.yaml line 19: `hours.zone` is "Europe/Berln". Write a zone of the IANA database such as Europe/Berlin, or an offset from UTC in quotes, as in "+01:00".
        sluice.yaml line 19: `hours.days[1]` is "day". Write a day of the week: mon, tue, wed, thu, fri, sat or sun.
        sluice.yaml line 19: `hours.from` is 9. Write a time of the day in quotes, as in "09:00".
        sluice.yaml line 19: `hours.until` is "24:00". Write a time of the day in quotes, as in "09:00".
        sluice.yaml line 21: `blocked[0].to` lies before `blocked[0].from`. Turn them round.
        sluice.yaml line 22: `blocked[1].from` is "yesterday". Write a day of the calendar, as in 2026-12-18.
        sluice.yaml line 23: `blocked[2].from` is missing. Write the first day, as in 2026-12-18; `to:` may be left out for one day.
        sluice.yaml line 23: `blocked[2].why` is missing. Write a word or two: it is shown as the reason.
        sluice.yaml line 24: `people[0]` needs two names at least. Write every user name of that person, or leave the entry out.
        sluice.yaml line 24: ann stands in `people[0]` and in `people[1]`. Put all names of one person into one entry.
        sluice.yaml line 24: `people[2]` is text. Write a list there.
        sluice.yaml line 25: `escalation[0]` is a number. Write text (in quotes if it looks like something else) there.
        "#);
    }

    #[test]
    fn what_leaves_the_machine_holds_no_secret_and_reaches_nothing() {
        let text = "\
notify: {webhook: 'https://ann:hunter2@hooks.example/x', body: '{text: 1}', bell: yes}
probes:
- {cluster: c, image: 'a b', destination: 10.0.0.0/8, port: 0}
- {cluster: a, image: i, destination: 169.254.169.254, port: 80}
- {cluster: a, image: i, destination: 127.0.0.1, port: 80}
- {cluster: a, image: i, destination: 192.0.2.1, port: 80}
- {cluster: a, image: i, destination: '2001:db8::1', port: 80}
- {}
";
        let said = complaints(text);
        assert!(!said.contains("hunter2"), "{said}");
        insta::assert_snapshot!(said, @r#"
        sluice.yaml line 2: `notify.webhook` holds a secret, and this file is in git. Take user, password and token out: they come from the environment of sluice.
        sluice.yaml line 2: `notify.body` is not JSON (key must be a string at line 1 column 2). Write JSON with places such as "{{row}}" inside quotes.
        sluice.yaml line 4: `probes[0].cluster` is "c", which is no cluster of this file. Write one of the clusters: a, b.
        sluice.yaml line 4: `probes[0].image` is "a b". Write an image such as registry.example/tools/probe:1.2.
        sluice.yaml line 4: `probes[0].destination` is "10.0.0.0/8". Write one address that nothing may reach, such as 192.0.2.1.
        sluice.yaml line 4: `probes[0].port` is 0. Write a number from 1 to 65535.
        sluice.yaml line 5: `probes[1].destination` 169.254.169.254 is never judged by a policy in the same way everywhere. Write one address that nothing may reach, such as 192.0.2.1.
        sluice.yaml line 6: `probes[2].destination` 127.0.0.1 is never judged by a policy in the same way everywhere. Write one address that nothing may reach, such as 192.0.2.1.
        sluice.yaml line 8: there are two probes for a. Keep one of them.
        sluice.yaml line 9: `probes[5].cluster` is missing. Write one of the clusters: a, b.
        sluice.yaml line 9: `probes[5].image` is missing. Write an image that the cluster may pull.
        sluice.yaml line 9: `probes[5].destination` is missing. Write one address that nothing may reach, such as 192.0.2.1.
        sluice.yaml line 9: `probes[5].port` is missing. Write a number from 1 to 65535.
        "#);
        for bad in [
            "ftp://x/y",
            "hooks.example",
            "https://",
            "https:///x",
            "https://x/y?a=1&Token=s3cret",
            "https://:80/x",
        ] {
            let said = complaints(&format!("notify: {{webhook: '{bad}'}}\n"));
            assert!(said.contains("`notify.webhook`") && !said.contains("s3cret"), "{bad}: {said}");
        }
    }

    #[test]
    fn odd_but_possible_settings_are_told_and_read() {
        let text = "\
namespaces: {exclude: [pay]}
soak: {needed: 24h}
dependencies: [{namespace: shop, after: [pay]}]
hours: {from: '09:00', until: '16:00'}
notify: {body: '{}'}
";
        insta::assert_snapshot!(complaints(text), @r#"
        sluice.yaml line 3: `soak.needed` is shorter than the 48 h of the rollout plan. Write a longer one, or be sure that two nights need not be seen.
        sluice.yaml line 4: dependencies[0] waits for pay, which is left out of the rollout: it is passed over. Take it out of `after`, or into the rollout.
        sluice.yaml line 5: `hours` names no zone and is read as UTC. Write `zone:`, as in Europe/Berlin or "+01:00".
        sluice.yaml line 6: `notify.body` stands without `webhook`. Write `webhook:` too.
        "#);
        let never =
            complaints("soak: {needed: 20d}\nhours: {zone: Z, from: '16:00', until: '09:00', days: []}\n");
        insta::assert_snapshot!(never, @"
        sluice.yaml line 2: `soak.lapses` is shorter than `soak.needed`, so nothing ever gets clean. Let credit count for longer than a soak takes.
        sluice.yaml line 3: `hours.days` is empty, so nothing would ever be applied. Name the days.
        sluice.yaml line 3: `hours.until` is not after `hours.from`. Let it end later on the same day.
        ");
    }
}
