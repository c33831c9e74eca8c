//! Which key stands for which command: the table's keys, changed by what the user wrote. A change
//! that would cost a way out, or put what changes a cluster on a plain key, is refused by name.

use crossterm::event::KeyEvent;

use crate::cockpit::commands::{CommandId, Risk, Row, TABLE, row};

use super::keys;

/// Keys that mean the same for everybody: the ways out, and what walks also inside dialogs.
pub const RESERVED: &[&str] =
    &["esc", "enter", "ctrl-c", "up", "down", "left", "right", "pgup", "pgdn", "home", "end", "tab"];

/// What a terminal sends for another key, or what edits a line while it is typed.
const TYPING: &[&str] = &["ctrl-i", "ctrl-m", "ctrl-j", "ctrl-h", "ctrl-u", "ctrl-w"];

/// Keys by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bindings {
    /// In the order of the table.
    keys: Vec<Vec<String>>,
}

impl Default for Bindings {
    fn default() -> Self {
        let own = |row: &Row| row.keys.iter().map(|key| (*key).to_owned()).collect();
        Self { keys: TABLE.iter().map(own).collect() }
    }
}

impl Bindings {
    /// The table's keys with these changes; each takes the place of all keys of its command but the
    /// reserved ones. What was refused comes back: which change, by its place, and why.
    pub fn changed(changes: &[(CommandId, Vec<String>)]) -> (Self, Vec<(usize, String)>) {
        let (mut refused, mut taken) = (Vec::new(), Vec::new());
        for (at, (id, wanted)) in changes.iter().enumerate() {
            match against(*id, wanted) {
                Some(why) => refused.push((at, why)),
                None => taken.push(at),
            }
        }
        loop {
            let mut bindings = Self::default();
            for at in &taken {
                let (id, wanted) = &changes[*at];
                bindings.set(*id, wanted);
            }
            let Some((at, why)) = taken.iter().enumerate().find_map(|(nth, at)| {
                let (id, _) = &changes[*at];
                bindings.conflict(*id).map(|why| (nth, why))
            }) else {
                refused.sort_unstable();
                return (bindings, refused);
            };
            refused.push((taken.remove(at), why));
        }
    }

    /// For sessions by lines, where digits are rows: what has a digit or no key goes by its name.
    pub fn by_lines(mut self) -> Self {
        for (row, keys) in TABLE.iter().zip(&mut self.keys) {
            keys.retain(|key| !key.bytes().all(|byte| byte.is_ascii_digit()));
            if keys.is_empty() {
                keys.push(row.name.to_owned());
            }
        }
        self
    }

    fn set(&mut self, id: CommandId, wanted: &[String]) {
        let keys = &mut self.keys[id as usize];
        keys.retain(|key| RESERVED.contains(&key.as_str()));
        // What is written first is what hints show.
        for (at, key) in wanted.iter().filter(|key| !RESERVED.contains(&key.as_str())).enumerate() {
            keys.insert(at, key.clone());
        }
    }

    /// The other command that has one of this one's keys too.
    fn conflict(&self, id: CommandId) -> Option<String> {
        let own = &self.keys[id as usize];
        TABLE.iter().filter(|other| other.id != id).find_map(|other| {
            let theirs = &self.keys[other.id as usize];
            let both = own.iter().find(|key| theirs.contains(key))?;
            Some(format!("`{both}` is on `{}` too: give that one another key, or none", other.name))
        })
    }

    /// The command that a key stands for.
    pub fn command(&self, key: &KeyEvent) -> Option<CommandId> {
        self.written(&keys::name(key)?)
    }

    /// The same of a key as the table writes it.
    pub fn written(&self, name: &str) -> Option<CommandId> {
        let has = |keys: &Vec<String>| keys.iter().any(|key| key == name);
        TABLE.iter().zip(&self.keys).find(|(_, keys)| has(keys)).map(|(row, _)| row.id)
    }

    /// The first key of a command, for hints; where it has none, how the palette runs it.
    pub fn first(&self, id: CommandId) -> String {
        match self.keys[id as usize].first() {
            Some(key) => key.clone(),
            None => format!("{}{}", self.first(CommandId::Palette), row(id).name),
        }
    }

    /// The plain key of a command that also has a reserved one.
    pub fn last(&self, id: CommandId) -> String {
        self.keys[id as usize]
            .iter()
            .find(|key| !RESERVED.contains(&key.as_str()))
            .cloned()
            .unwrap_or_else(|| self.first(id))
    }

    /// All keys of a command in one cell.
    pub fn all(&self, id: CommandId) -> String {
        self.keys[id as usize].join(" ")
    }
}

/// Why these keys cannot be a command's.
fn against(id: CommandId, wanted: &[String]) -> Option<String> {
    let row = row(id);
    for (at, key) in wanted.iter().enumerate() {
        let own = row.keys.contains(&key.as_str());
        if RESERVED.contains(&key.as_str()) && !own {
            return Some(format!("`{key}` is reserved: it means the same for everybody"));
        }
        if !own && !is_key(key) {
            return Some(format!(
                "`{key}` is no key: write one character, space, f1 to f12, or ctrl- and a letter"
            ));
        }
        if TYPING.contains(&key.as_str()) && !own {
            return Some(format!("`{key}` edits a line, or is another key to terminals"));
        }
        if wanted[..at].contains(key) {
            return Some(format!("`{key}` stands there twice"));
        }
    }
    let controls = wanted.iter().all(|key| key.starts_with("ctrl-"));
    match row.risk {
        Risk::TakesBack if wanted.is_empty() => Some("it must have a key: it works in every state".into()),
        Risk::TakesBack if !controls => {
            Some("it changes a cluster: only ctrl- and a letter will do, no plain key".into())
        }
        Risk::TakesBack | Risk::Writes | Risk::Records | Risk::Files | Risk::Asks | Risk::Looks => match id {
            CommandId::Suspend | CommandId::Mask if !controls => {
                Some("it works while text is typed: only ctrl- will do".into())
            }
            CommandId::Palette | CommandId::Help if wanted.is_empty() => {
                Some("it must have a key: what has none is found there".into())
            }
            _ => None,
        },
    }
}

/// Is this how a key is written, see [`keys::name`]?
fn is_key(word: &str) -> bool {
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => !c.is_whitespace() && !crate::domain::names::is_hostile(c),
        _ => match (word.strip_prefix("ctrl-"), word.strip_prefix('f')) {
            (Some(letter), _) => letter.len() == 1 && letter.as_bytes()[0].is_ascii_lowercase(),
            (None, Some(number)) => number.parse().is_ok_and(|n: u8| (1..=12).contains(&n)),
            (None, None) => word == "space",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::fixture::key;

    fn changed(changes: &[(CommandId, &[&str])]) -> (Bindings, Vec<(usize, String)>) {
        let owned = |(id, keys): &(CommandId, &[&str])| (*id, keys.iter().map(|k| (*k).to_owned()).collect());
        Bindings::changed(&changes.iter().map(owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_key_that_was_changed_is_the_only_one() {
        let (keys, refused) = changed(&[(CommandId::Mark, &["v"]), (CommandId::Coverage, &[])]);
        assert_eq!(refused, []);
        assert_eq!(keys.command(&key("v")), Some(CommandId::Mark));
        assert_eq!(keys.command(&key("space")), None);
        assert_eq!((keys.first(CommandId::Mark).as_str(), keys.all(CommandId::Coverage).as_str()), ("v", ""));
        assert_eq!(keys.first(CommandId::Coverage), ":coverage", "without a key the palette has it");
        let (keys, refused) = changed(&[(CommandId::Down, &["n"]), (CommandId::Propose, &["j"])]);
        assert_eq!(refused, [], "two commands may change places");
        assert_eq!(keys.all(CommandId::Down), "n down", "what is reserved stays");
    }

    #[test]
    fn conflicts_are_named_and_the_tables_keys_stay() {
        let (keys, refused) = changed(&[(CommandId::Mark, &["v"]), (CommandId::Theme, &["J"])]);
        assert_eq!(refused, [(0, "`v` is on `coverage` too: give that one another key, or none".to_owned())]);
        assert_eq!(keys.command(&key("space")), Some(CommandId::Mark));
        assert_eq!(keys.command(&key("J")), Some(CommandId::Theme), "the others hold");
        // What falls back may be in the way of another change, which then falls back too.
        let (keys, refused) =
            changed(&[(CommandId::Coverage, &["b"]), (CommandId::Mark, &["v"]), (CommandId::Help, &["K"])]);
        assert_eq!(refused.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(keys.command(&key("v")), Some(CommandId::Coverage));
    }

    /// Law 5, and law 6: whatever a user writes.
    #[test]
    fn what_changes_a_cluster_gets_no_plain_key_and_ways_out_stay() {
        for (id, wanted) in [
            (CommandId::RollBack, &["r"][..]),
            (CommandId::RollBack, &["ctrl-b", "B"]),
            (CommandId::RollBack, &["f5"]),
            (CommandId::RollBack, &[]),
            (CommandId::Abort, &["x"]),
            (CommandId::Abort, &[]),
            (CommandId::Apply, &["enter"]),
            (CommandId::Suspend, &["Z"]),
            (CommandId::Mask, &["Z"]),
            (CommandId::Palette, &[]),
            (CommandId::Help, &[]),
            (CommandId::Mark, &["esc"]),
            (CommandId::Mark, &["ctrl-c"]),
            (CommandId::Mark, &["ctrl-m"]),
            (CommandId::RollBack, &["ctrl-u"]),
            (CommandId::Mark, &["alt-x"]),
            (CommandId::Mark, &["xx"]),
            (CommandId::Mark, &["f13"]),
            (CommandId::Mark, &["U", "U"]),
        ] {
            let (keys, refused) = changed(&[(id, wanted)]);
            assert_eq!((refused.len(), keys), (1, Bindings::default()), "{id:?} {wanted:?}");
        }
        for id in [CommandId::Back, CommandId::Open, CommandId::Quit] {
            let (keys, refused) = changed(&[(id, &[])]);
            assert_eq!(refused, []);
            assert!(RESERVED.contains(&keys.all(id).as_str()), "{id:?} keeps its way");
        }
    }
}
