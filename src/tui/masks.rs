//! Names and addresses hidden for screen sharing: the same thing has the same mask for a session.
//! Names are known from the world; addresses, DNS names and mail addresses are told by their shape,
//! so that one nobody listed is hidden too. The program's own words stay, also where a namespace is
//! called the same: see [`Shown`]; in a sentence that says both, the name's mask wins. Only what is shown is masked, never what is written or copied.

use std::{
    borrow::Cow,
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    net::IpAddr,
};

use ratatui::buffer::Buffer;

use crate::{
    cockpit::world::World,
    domain::{
        denial::Peer,
        fleet::{Cluster, Namespace},
        hold::Scope,
        rollout::Target,
    },
};

/// A word that is one of our files, not a DNS name.
const FILES: &[&str] = &["yaml", "yml", "md", "json", "toml", "log", "txt", "rs"];
/// Our own name, and that of the namespace we come with: it tells nothing, and stands in many sentences.
const OURS: &str = "sluice";
/// API groups in YAML and commands: the same in every cluster.
const GROUPS: &[&str] = &["networking.k8s.io", "cilium.io", "projectcalico.org", "sluice.dev"];

/// Behind each letter of the program's own words on their way to a masked screen: a character that takes
/// no room and that no text from outside can hold, because it is hostile.
const OWN: char = '\u{34f}';

/// A text on its way to the screen. What stands in the source is the program's own and is shown as it
/// is; everything else may hold a name. Which of both is told by its type, so that it cannot be forgotten.
pub enum Shown<'a> {
    Own(&'static str),
    Value(Cow<'a, str>),
}

impl From<&'static str> for Shown<'_> {
    fn from(own: &'static str) -> Self {
        Self::Own(own)
    }
}

impl From<String> for Shown<'_> {
    fn from(value: String) -> Self {
        Self::Value(Cow::Owned(value))
    }
}

impl<'a> From<&'a String> for Shown<'a> {
    fn from(value: &'a String) -> Self {
        Self::Value(Cow::Borrowed(value))
    }
}

impl<'a> Shown<'a> {
    /// Of which it is not known to live for ever.
    pub fn value(value: &'a str) -> Self {
        Self::Value(Cow::Borrowed(value))
    }
}

/// The program's own words, so that no mask takes them for names.
pub fn own(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for c in text.chars() {
        out.push(c);
        if is_of_a_word(c) {
            out.push(OWN);
        }
    }
    out
}

/// The same as people read them.
pub fn bare(text: &str) -> Cow<'_, str> {
    if text.contains(OWN) { Cow::Owned(text.replace(OWN, "")) } else { Cow::Borrowed(text) }
}

#[derive(Clone, Debug, Default)]
pub struct Masks {
    pub on: bool,
    /// Of this session: what is hidden by its shape cannot be looked up in another one's screens.
    pub salt: u64,
    /// Masks of single words.
    words: HashMap<String, String>,
    /// Names of several words, with their masks; the longest first.
    phrases: Vec<(String, String)>,
    counts: HashMap<&'static str, usize>,
    learned: Option<u64>,
}

impl Masks {
    /// What drawing asks; `None`: everything is shown.
    pub fn shown(&self) -> Option<&Self> {
        self.on.then_some(self)
    }

    /// Takes in every name that the world knows by now.
    pub fn learn(&mut self, world: &World) {
        let clusters = world.clusters().map(|cluster| cluster.revision).fold(0, u64::wrapping_add);
        let documents = world.discoveries().monthly().namespaces().count() as u64;
        let files = world.files().sets.len() as u64;
        let told = [world.shared().revision(), world.discoveries().revision(), world.denials().total()];
        let rest = told.into_iter().chain([documents, files]);
        let revision = rest.fold(clusters, u64::wrapping_add);
        if !self.on || self.learned == Some(revision) {
            return;
        }
        self.learned = Some(revision);
        for entry in &world.plan().clusters {
            self.name("cluster", entry.name.as_str());
            // The same thing by another name.
            if let Some(mask) = self.words.get(entry.name.as_str()).cloned() {
                self.put_down(entry.context.as_str(), mask);
            }
        }
        for entry in &world.plan().owners {
            entry.namespaces.iter().for_each(|ns| self.name("ns", ns.as_str()));
            self.person(entry.owner.as_str());
            self.person(entry.contact.as_ref().map_or("", |contact| contact.as_str()));
        }
        for (cluster, ns, _) in world.files().sets.keys() {
            self.name("cluster", cluster.as_str());
            self.name("ns", ns.as_str());
        }
        self.written(world);
        world.clusters().for_each(|cluster| self.cluster(world, cluster));
        self.denied(world);
        self.team(world);
        self.phrases.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    }

    /// What the workspace calls by name, also where no cluster has it.
    fn written(&mut self, world: &World) {
        let (plan, settings) = (world.plan(), &world.plan().settings);
        let risks = settings.risks.iter().flat_map(|entry| &entry.namespaces);
        let waits = settings.dependencies.iter().flat_map(|entry| entry.after.iter().chain([&entry.ns]));
        let scope = plan.excluded.iter().chain(&plan.included);
        let documents = world.discoveries().monthly().namespaces();
        for ns in scope.chain(risks).chain(waits).chain(documents) {
            self.name("ns", ns.as_str());
        }
    }

    fn target(&mut self, target: &Target) {
        self.name("cluster", target.cluster.as_str());
        self.name("ns", target.ns.as_str());
    }

    fn scope(&mut self, scope: &Scope) {
        match scope {
            Scope::Fleet => {}
            Scope::Cluster(cluster) => self.name("cluster", cluster.as_str()),
            Scope::Namespace(cluster, ns) => {
                self.name("cluster", cluster.as_str());
                self.name("ns", ns.as_str());
            }
            Scope::Rollout(target) => self.target(target),
        }
    }

    fn cluster(&mut self, world: &World, cluster: &Cluster) {
        self.name("cluster", cluster.name.as_str());
        if let Some(identity) = &cluster.identity {
            self.person(identity.user.as_str());
            let own = identity.groups.iter().filter(|group| !group.as_str().starts_with("system:"));
            own.for_each(|group| self.person(group.as_str()));
        }
        cluster.namespaces.keys().for_each(|ns| self.name("ns", ns.as_str()));
        for (name, ns) in &cluster.namespaces {
            self.namespace(ns);
            for one in world.discoveries().destinations(&cluster.name, name).unwrap_or_default() {
                self.name("workload", one.workload.name.as_str());
                one.name.iter().chain(&one.also).for_each(|name| self.name("name", &name.to_string()));
            }
        }
        for node in world.source(&cluster.name).into_iter().flat_map(|source| source.heard.keys()) {
            self.name("node", node.as_str());
        }
    }

    fn namespace(&mut self, ns: &Namespace) {
        self.person(ns.seen.owner.as_ref().map_or("", |owner| owner.as_str()));
        self.person(ns.seen.contact.as_ref().map_or("", |contact| contact.as_str()));
        for pod in ns.pods.values() {
            self.name("workload", pod.workload.name.as_str());
            self.name("pod", pod.name.as_str());
            self.name("node", pod.node.as_ref().map_or("", |node| node.as_str()));
        }
    }

    fn denied(&mut self, world: &World) {
        for group in world.denials().groups().chain(world.denials().would()) {
            self.name("ns", group.key.ns.as_str());
            self.name("workload", group.key.workload.as_ref().map_or("", |one| one.name.as_str()));
            self.name("node", group.node.as_ref().map_or("", |node| node.as_str()));
            group.pods.keys().for_each(|pod| self.name("pod", pod.as_str()));
            match &group.key.peer {
                Peer::Workload { ns, workload } => {
                    self.name("ns", ns.as_str());
                    self.name("workload", workload.name.as_str());
                }
                Peer::Name(name) => self.name("name", name.as_str()),
                Peer::Address(_) | Peer::Entity(_) | Peer::Unknown => {}
            }
        }
    }

    fn team(&mut self, world: &World) {
        let shared = world.shared();
        for kept in shared.reviews() {
            self.name("review", kept.name.as_str());
            self.name("ns", kept.value.grant.ns.as_str());
            self.person(kept.value.requested_by.as_str());
            kept.value.aliases.iter().for_each(|alias| self.person(alias.as_str()));
            kept.value.decisions.iter().for_each(|decision| self.person(decision.stamp.by.as_str()));
        }
        shared.records().for_each(|kept| self.target(&kept.value.target));
        for kept in shared.holds() {
            self.scope(&kept.value.scope);
            self.person(kept.value.stamp.by.as_str());
        }
        for kept in shared.waivers() {
            self.target(&kept.value.target);
            self.person(kept.value.stamp.by.as_str());
        }
        for kept in shared.overrides() {
            self.target(&kept.value.target);
            self.person(kept.value.stamp.by.as_str());
            self.person(kept.value.confirmed.as_ref().map_or("", |stamp| stamp.by.as_str()));
        }
        shared.journal().for_each(|kept| self.person(kept.value.stamp.by.as_str()));
    }

    /// Also by the part before the `@`, which narrow columns show alone.
    fn person(&mut self, name: &str) {
        self.name("person", name);
        if let Some((local, _)) = name.split_once('@') {
            self.name("person", local);
        }
    }

    fn name(&mut self, kind: &'static str, name: &str) {
        if name.is_empty() || name == OURS || self.is_known(name) {
            return;
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let mask = format!("{kind}#{count}");
        self.put_down(name, mask);
    }

    fn is_known(&self, name: &str) -> bool {
        self.words.contains_key(name) || self.phrases.iter().any(|(known, _)| known == name)
    }

    fn put_down(&mut self, name: &str, mask: String) {
        if self.is_known(name) {
            return;
        }
        if name.chars().all(is_of_a_word) {
            self.words.insert(name.to_owned(), mask);
        } else {
            self.phrases.push((name.to_owned(), mask));
        }
    }

    /// A text with masks in place of names. Hiding what is hidden already changes nothing.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, mask) in &self.phrases {
            if text.contains(name.as_str()) {
                text = text.replace(name.as_str(), mask);
            }
        }
        let (mut out, mut word) = (String::with_capacity(text.len()), String::new());
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            if is_of_a_word(c) && rest.peek() != Some(&OWN) {
                word.push(c);
            } else {
                self.put(&word, &mut out);
                word.clear();
                out.push(c);
            }
        }
        self.put(&word, &mut out);
        out
    }

    fn put(&self, word: &str, out: &mut String) {
        if let Some(mask) = self.words.get(word) {
            out.push_str(mask);
            return;
        }
        let begins = word.len() - word.trim_start_matches(['.', ':', '-']).len();
        let (lead, word) = word.split_at(begins);
        let bare = word.trim_end_matches(['.', ':', '-']);
        // `::1` begins with what else only separates.
        if let Some(mask) = (!lead.is_empty()).then(|| [lead, bare].concat()).and_then(|all| self.mask(&all))
        {
            out.push_str(&mask);
            return out.push_str(&word[bare.len()..]);
        }
        out.push_str(lead);
        match self.mask(bare) {
            Some(mask) => out.push_str(&mask),
            None if bare.contains(':') => {
                for (nth, part) in bare.split(':').enumerate() {
                    if nth > 0 {
                        out.push(':');
                    }
                    out.push_str(&self.mask(part).unwrap_or_else(|| part.to_owned()));
                }
            }
            None => out.push_str(bare),
        }
        out.push_str(&word[bare.len()..]);
    }

    /// `None`: this word hides nothing.
    fn mask(&self, word: &str) -> Option<String> {
        if word.len() < 2 {
            return self.words.get(word).cloned();
        }
        if word.len() > 2 && word.parse::<IpAddr>().is_ok() {
            return Some(self.by_shape("addr", word));
        }
        if let Some(mask) = self.words.get(word) {
            return Some(mask.clone());
        }
        if word.contains('#') {
            return None;
        }
        // A file that is called as a namespace is.
        if let Some((stem, end)) = word.split_once('.').filter(|(_, end)| FILES.contains(end)) {
            return self.words.get(stem).map(|mask| format!("{mask}.{end}"));
        }
        if word.contains('@') && !word.contains("sha256") {
            return Some(self.by_shape("person", word));
        }
        if is_dns_name(word) {
            return Some(self.by_shape("name", word));
        }
        // A pod by the name of what owns it.
        let mut cuts = word.rmatch_indices('-').map(|(at, _)| &word[..at]);
        let owner = cuts.find_map(|owner| self.words.get(owner).filter(|mask| mask.starts_with("workload#")));
        owner.map(|mask| format!("{mask}-*"))
    }

    fn by_shape(&self, kind: &str, word: &str) -> String {
        let mut hasher = DefaultHasher::new();
        (self.salt, word).hash(&mut hasher);
        format!("{kind}#{:05x}", hasher.finish() & 0xf_ffff)
    }

    /// The last look at a whole frame: what reached it by a way that masks nothing is blotted out,
    /// also the beginning of a name that was cut off. Own words lose what marked them.
    pub fn sweep(&self, buf: &mut Buffer) {
        self.blot(buf);
        for cell in &mut buf.content {
            if cell.symbol().contains(OWN) {
                let symbol = bare(cell.symbol()).into_owned();
                cell.set_symbol(&symbol);
            }
        }
    }

    fn blot(&self, buf: &mut Buffer) {
        let width = usize::from(buf.area.width).max(1);
        for row in buf.content.chunks_mut(width) {
            let mut from = 0;
            while from < row.len() {
                let is_word = |cell: &ratatui::buffer::Cell| cell.symbol().chars().all(is_of_a_word);
                if !is_word(&row[from]) {
                    from += 1;
                    continue;
                }
                let end =
                    row[from..].iter().position(|cell| !is_word(cell)).map_or(row.len(), |at| from + at);
                let word: String = row[from..end].iter().map(|cell| cell.symbol()).collect();
                let is_cut = row.get(end).is_some_and(|cell| cell.symbol() == "…");
                let mut shown = String::new();
                self.put(&word, &mut shown);
                if shown != word || (is_cut && self.begins(&word)) {
                    row[from..end].iter_mut().for_each(|cell| {
                        cell.set_symbol("*");
                    });
                }
                from = end;
            }
        }
    }

    /// Is it the beginning of a name, and long enough to tell which?
    fn begins(&self, word: &str) -> bool {
        const TELLS: usize = 4;
        word.len() >= TELLS && self.words.keys().any(|name| name.starts_with(word))
    }
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '#' | '@' | ':')
}

fn is_dns_name(word: &str) -> bool {
    let Some((rest, last)) = word.rsplit_once('.') else { return false };
    let rest = rest.trim_start_matches("*.");
    let label = |label: &str| {
        !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    last.len() >= 2
        && last.chars().all(|c| c.is_ascii_alphabetic())
        && rest.split('.').all(label)
        && !FILES.contains(&last)
        && !GROUPS.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks() -> Masks {
        let mut masks = Masks { on: true, salt: 7, ..Masks::default() };
        for (kind, name) in
            [("cluster", "eu"), ("ns", "shop"), ("workload", "api"), ("person", "Team Shop"), ("ns", "pay")]
        {
            masks.name(kind, name);
        }
        masks.name("ns", "shop");
        masks
    }

    #[test]
    fn the_same_name_has_the_same_mask_and_words_around_it_stay() {
        let masks = masks();
        for (text, want) in [
            ("eu/shop egress: denied", "cluster#1/ns#1 egress: denied"),
            (
                "kubectl -n pay delete networkpolicy egress-allowlist",
                "kubectl -n ns#2 delete networkpolicy egress-allowlist",
            ),
            ("owner Team Shop, shop.", "owner person#1, ns#1."),
            ("api-7d9f8b-xkz2p is denied", "workload#1-* is denied"),
            ("shopping, sluice.yaml, v1.19.4, 10:00:05", "shopping, sluice.yaml, v1.19.4, 10:00:05"),
            ("network-policies/discovery/shop.md is due", "network-policies/discovery/ns#1.md is due"),
            ("apiVersion: networking.k8s.io/v1", "apiVersion: networking.k8s.io/v1"),
        ] {
            assert_eq!(masks.hide(text), want);
            assert_eq!(masks.hide(want), want, "hidden twice is hidden once");
        }
    }

    #[test]
    fn addresses_dns_names_and_mail_addresses_are_known_by_their_shape() {
        let masks = masks();
        for (text, secret) in [
            ("to 203.0.113.7:443/tcp", "203.0.113.7"),
            ("10.1.0.0/16 is open", "10.1.0.0"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("api.stripe.com:443", "stripe"),
            ("*.ngrok.io is flagged", "ngrok"),
            ("asked by ana@example.org", "ana"),
        ] {
            let hidden = masks.hide(text);
            assert!(!hidden.contains(secret), "{hidden}");
            assert_eq!(masks.hide(&hidden), hidden);
            assert_eq!(masks.hide(text), hidden, "the same each time");
        }
        assert!(masks.hide("203.0.113.7:443/tcp").ends_with(":443/tcp"), "ports stay");
    }

    #[test]
    fn the_programs_own_words_stay_and_names_that_are_the_same_do_not() {
        let mut masks = masks();
        ["reviews", "r", "sluice", "east"].iter().for_each(|name| masks.name("ns", name));
        let hidden = masks.hide(&format!("{} of reviews, {} r", own("8 reviews: eu/shop"), own("r")));
        assert_eq!(bare(&hidden), "8 reviews: eu/shop of ns#3, r ns#4");
        assert_eq!(masks.hide(&hidden), hidden, "hidden twice is hidden once");
        assert_eq!(masks.hide("sluice apply -n reviews"), "sluice apply -n ns#3");
        let mut buf = Buffer::with_lines(["", "reviews east"]);
        buf.set_string(0, 0, own("reviews east"), ratatui::style::Style::new());
        masks.sweep(&mut buf);
        assert_eq!(buf, Buffer::with_lines(["reviews east", "******* ****"]));
        // Nothing from outside can pass for a word of ours.
        let forged = crate::domain::names::Text::new(&own("reviews"));
        assert!(!bare(&masks.hide(&own("reviews"))).contains('#') && !forged.as_str().contains(OWN));
    }

    #[test]
    fn what_comes_by_another_way_is_blotted_out_and_so_is_what_was_cut() {
        let mut masks = masks();
        masks.name("ns", "payments");
        let mut buf = Buffer::with_lines(["in shop: paym…", "10.0.0.7 plans"]);
        masks.sweep(&mut buf);
        assert_eq!(buf, Buffer::with_lines(["in ***** ****…", "******** plans"]));
    }
}
