//! The user's own file: theme, clipboard, keys, views. Pure text in; what cannot be used is left out
//! and named with its line, and never keeps the cockpit from starting.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    cockpit::{commands, ports::Trouble},
    domain::{
        flow::Direction,
        names::{Text, is_hostile},
    },
};

use super::{
    bindings::Bindings,
    filter::Filter,
    model::Main,
    settle, theme,
    views::{self, Saved},
};

/// The file's name, in the user's folder of configuration.
pub const FILE: &str = "preferences.toml";

/// All there is to choose. A new one needs a reason that no default can satisfy.
pub const KEYS: [&str; 5] = ["theme", "clipboard", "start", "keys", "views"];
/// Of one view.
const VIEW_KEYS: [&str; 5] = ["name", "role", "page", "filter", "direction"];

/// Where copied text goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clipboard {
    /// Over ssh the terminal's, else the system's where there is one.
    #[default]
    Auto,
    /// By OSC 52, which the terminal understands or ignores.
    Terminal,
    /// By the system's own tool.
    System,
}

impl Clipboard {
    pub const ALL: [(&str, Self); 3] =
        [("auto", Self::Auto), ("terminal", Self::Terminal), ("system", Self::System)];
}

/// What the user chose; what was left out is as it ships.
#[derive(Clone, Debug, Default)]
pub struct Preferences {
    pub theme: Option<&'static str>,
    pub clipboard: Clipboard,
    pub keys: Bindings,
    /// What ships, and the user's own.
    pub views: Vec<Saved>,
    /// The view to begin with.
    pub start: Option<Saved>,
}

/// Reads the file's text.
pub fn read(text: &str) -> (Preferences, Vec<Trouble>) {
    let mut reader = Reader { text, troubles: Vec::new(), broken: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.complain(at, error.message(), "It is not read; the lines that are right are.");
    }
    reader.broken = reader.troubles.iter().map(|(line, _)| *line).collect();
    let mut own = Vec::new();
    let mut read = Preferences::default();
    let mut start = None;
    for (key, value) in table.get_ref() {
        let at = key.span().start;
        match &**key.get_ref() {
            "theme" => read.theme = reader.word(value).and_then(|name| reader.theme(value, name)),
            "clipboard" => {
                let chosen = reader.word(value).and_then(|word| reader.one_of(value, word, &Clipboard::ALL));
                read.clipboard = chosen.unwrap_or_default();
            }
            "start" => start = reader.word(value).map(|name| (value.span().start, name)),
            "keys" => read.keys = reader.keys(value),
            "views" => own = reader.views(value),
            other => reader.unknown(at, other, &KEYS),
        }
    }
    read.views = views::all(&own);
    if let Some((at, name)) = start {
        read.start = read.views.iter().find(|saved| saved.name == name).cloned();
        if read.start.is_none() {
            reader.complain(at, &format!("there is no view {name:?}"), "Write the name of one.");
        }
    }
    reader.troubles.sort_by_key(|(line, _)| *line);
    (read, reader.troubles.into_iter().map(|(_, trouble)| trouble).collect())
}

struct Reader<'t> {
    text: &'t str,
    /// With their lines.
    troubles: Vec<(usize, Trouble)>,
    /// Lines that are no TOML.
    broken: Vec<usize>,
}

type Value<'t> = Spanned<DeValue<'t>>;

impl Reader<'_> {
    fn complain(&mut self, at: usize, fact: &str, next: &str) {
        let line = 1 + self.text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        // A broken line is complained of once.
        if self.broken.contains(&line) {
            return;
        }
        self.troubles.push((line, Trouble::new(&format!("{FILE} line {line}"), fact, next)));
    }

    fn unknown(&mut self, at: usize, key: &str, known: &[&str]) {
        let fact = format!("`{}` is not known and is not read", Text::new(key));
        self.complain(at, &fact, &format!("There are {}.", known.join(", ")));
    }

    fn word<'v>(&mut self, value: &'v Value<'_>) -> Option<&'v str> {
        let word = value.get_ref().as_str().filter(|word| !word.chars().any(is_hostile));
        if word.is_none() {
            self.complain(value.span().start, "a text in quotes is expected", "It is not read.");
        }
        word
    }

    fn one_of<T: Copy>(&mut self, value: &Value<'_>, word: &str, all: &[(&str, T)]) -> Option<T> {
        let found = all.iter().find(|(name, _)| *name == word).map(|(_, found)| *found);
        if found.is_none() {
            let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
            let next = format!("Write {}.", names.join(", "));
            self.complain(value.span().start, &format!("{word:?} is none of those that there are"), &next);
        }
        found
    }

    fn theme(&mut self, value: &Value<'_>, name: &str) -> Option<&'static str> {
        let all: Vec<_> = theme::names().map(|name| (name, name)).collect();
        self.one_of(value, name, &all)
    }

    fn keys(&mut self, value: &Value<'_>) -> Bindings {
        let Some(table) = value.get_ref().as_table() else {
            self.complain(value.span().start, "`keys` is no table", "Write `[keys]` on a line of its own.");
            return Bindings::default();
        };
        let (mut changes, mut places) = (Vec::new(), Vec::new());
        for (key, value) in table {
            let at = key.span().start;
            match commands::by_name(key.get_ref()) {
                None => {
                    let fact = format!("there is no command `{}`", Text::new(key.get_ref()));
                    self.complain(at, &fact, "`sluice` lists all of them by name under `?`.");
                }
                Some(row) => match names(value.get_ref()) {
                    None => {
                        let fact = format!("`{}` needs a key in quotes, or a list of them", row.name);
                        self.complain(at, &fact, "Its keys stay as they ship.");
                    }
                    Some(names) => {
                        changes.push((row.id, names));
                        places.push(at);
                    }
                },
            }
        }
        let (keys, refused) = Bindings::changed(&changes);
        for (at, why) in refused {
            let name = commands::row(changes[at].0).name;
            self.complain(places[at], &format!("`{name}`: {why}"), "Its keys stay as they ship.");
        }
        keys
    }

    fn views(&mut self, value: &Value<'_>) -> Vec<Saved> {
        let Some(all) = value.get_ref().as_array() else {
            self.complain(value.span().start, "`views` is no list", "Write `[[views]]` above each.");
            return Vec::new();
        };
        all.iter().filter_map(|one| self.view(one)).collect()
    }

    fn view(&mut self, value: &Value<'_>) -> Option<Saved> {
        let at = value.span().start;
        let Some(table) = value.get_ref().as_table() else {
            self.complain(at, "a view is no table", "Write `[[views]]` above its keys. It is left out.");
            return None;
        };
        let mut saved = Saved {
            name: String::new(),
            role: "mine".to_owned(),
            page: Main::Fleet,
            filter: String::new(),
            direction: None,
        };
        let mut page = None;
        for (key, value) in table {
            match &**key.get_ref() {
                "name" => saved.name = self.word(value)?.to_owned(),
                "role" => saved.role = self.word(value)?.to_owned(),
                "page" => {
                    let pages = Main::ALL.map(|(_, main)| (main.word(), main));
                    page = Some(self.word(value).and_then(|word| self.one_of(value, word, &pages))?);
                }
                "filter" => saved.filter = self.word(value)?.to_owned(),
                "direction" => {
                    let both = Direction::ALL.map(|direction| (direction.as_str(), direction));
                    saved.direction = self.word(value).and_then(|word| self.one_of(value, word, &both));
                }
                other => self.unknown(key.span().start, other, &VIEW_KEYS),
            }
        }
        let Some(page) = page.filter(|_| !saved.name.is_empty()) else {
            self.complain(at, "a view needs a name and a page", "It is left out.");
            return None;
        };
        saved.page = page;
        for why in Filter::parse(&saved.filter, settle::columns(page.into())).wrong {
            self.complain(at, &format!("view {:?}: {why}", saved.name), "It is kept; that word is not.");
        }
        Some(saved)
    }
}

/// One key, or a list of them.
fn names(value: &DeValue<'_>) -> Option<Vec<String>> {
    match value {
        DeValue::String(one) => Some(vec![one.to_string()]),
        DeValue::Array(all) => all.iter().map(|one| Some(one.get_ref().as_str()?.to_owned())).collect(),
        _ => None,
    }
}

/// The table's keys, as they are kept between two runs: a line a command.
pub fn shipped_keys() -> String {
    commands::TABLE.iter().map(|row| format!("{} {}\n", row.name, row.keys.join(" "))).collect()
}

/// What changed between the keys that were kept and those of today, in words; nothing where the text
/// is none that was kept.
pub fn changed_keys(kept: &str, keys: &Bindings) -> Vec<String> {
    let before: Vec<(&str, &str)> = kept.lines().filter_map(|line| line.split_once(' ')).collect();
    if before.is_empty() {
        return Vec::new();
    }
    let (mut out, mut new) = (Vec::new(), Vec::new());
    for row in commands::TABLE {
        let now = row.keys.join(" ");
        // Whoever chose own keys goes on with them.
        let own = keys.all(row.id);
        let yours = if own == now { String::new() } else { format!(" (yours: {own})") };
        match before.iter().find(|(name, _)| *name == row.name) {
            None => new.push(format!("new: {} on {now}{yours}. {}", row.name, row.doc)),
            Some((_, then)) if *then != now => {
                out.push(format!("{}: now on {now}, it was on {then}{yours}", row.name));
            }
            Some(_) => {}
        }
    }
    let gone = before.iter().filter(|(name, _)| commands::by_name(name).is_none());
    out.extend(gone.map(|(name, then)| format!("gone: {}, it was on {}", Text::new(name), Text::new(then))));
    out.extend(new);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cockpit::commands::CommandId, tui::fixture::key};

    fn complaints(text: &str) -> Vec<String> {
        read(text).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_example_says_all_there_is_and_nothing_else() {
        let text = include_str!("../../assets/preferences.example.toml");
        let (read, troubles) = read(text);
        assert_eq!(troubles, []);
        assert_eq!(read.theme, Some("sluice-light"));
        assert_eq!(read.clipboard, Clipboard::Terminal);
        assert_eq!(read.keys.command(&key("ctrl-b")), Some(CommandId::RollBack));
        assert_eq!(read.keys.command(&key("v")), Some(CommandId::Mark));
        assert_eq!(read.keys.all(CommandId::Coverage), "");
        let mine = read.views.last().expect("a view");
        assert_eq!(
            (mine.name.as_str(), mine.page, mine.filter.as_str()),
            ("payments tonight", Main::Denials, "ns:/^pay/ !class:noisy")
        );
        assert_eq!(read.start.map(|saved| saved.name).as_deref(), Some("payments tonight"));
        for key in KEYS.iter().chain(&VIEW_KEYS) {
            let is_said = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']);
                line.starts_with(&format!("{key} =")) || line.trim_matches(['[', ']']) == *key
            };
            assert!(text.lines().any(is_said), "{key} is not in the example");
        }
    }

    /// Options are rare: whoever adds one changes this line and says why.
    #[test]
    fn the_preferences_are_few() {
        assert_eq!(KEYS.len() + VIEW_KEYS.len(), 10);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_its_line_and_the_rest_holds() {
        let text = "theme = \"pink\"\ncolour = 3\n[keys]\nrollback = \"r\"\nmark = \"v\"\nfly = \"q\"\nhelp = [\"K\"]\n\
                    [[views]]\nname = \"x\"\npage = \"fleet\"\nwidth = 3\nfilter = \"/(\"\n[[views]]\nname = \"y\"\n";
        let said = complaints(text);
        insta::assert_snapshot!(said.join("\n"));
        let (read, _) = read(text);
        assert_eq!(read.keys.command(&key("K")), Some(CommandId::Help));
        assert_eq!(read.keys.command(&key("ctrl-r")), Some(CommandId::RollBack));
        assert_eq!(read.views.last().map(|saved| saved.name.as_str()), Some("x"));
    }

    #[test]
    fn a_view_that_is_no_table_is_told() {
        let said = complaints("views = [\"fleet\"]\n");
        let [said] = said.as_slice() else { panic!("{said:?}") };
        assert!(said.contains("line 1: a view is no table. Write `[[views]]` above its keys"), "{said}");
    }

    #[test]
    fn a_broken_file_costs_its_broken_lines_only() {
        let (read, troubles) = read("theme = \"mono\"\nclipboard = \n[keys]\nhelp = \"K\"\n");
        assert_eq!((read.theme, troubles.len()), (Some("mono"), 1));
        assert!(troubles[0].to_string().starts_with("preferences.toml line 2"), "{}", troubles[0]);
        assert_eq!(read.keys.command(&key("K")), Some(CommandId::Help));
        assert!(complaints("\u{0}\u{1b}[31m = [[[").iter().all(|said| !said.contains('\u{1b}')));
    }

    #[test]
    fn after_an_upgrade_the_keys_that_changed_are_told_and_only_those() {
        let keys = Bindings::default();
        assert_eq!(changed_keys(&shipped_keys(), &keys), [""; 0]);
        assert_eq!(changed_keys("", &keys), [""; 0], "the first run has nothing to tell");
        let before = shipped_keys()
            .replace("rollback ctrl-r\n", "rollback ctrl-k\n")
            .replace("mark space\n", "paint p P\n");
        assert_eq!(
            changed_keys(&before, &keys),
            [
                "rollback: now on ctrl-r, it was on ctrl-k",
                "gone: paint, it was on p P",
                "new: mark on space. Mark this row; apply and rollback then take all marked ones.",
            ]
        );
    }
}
