//! One list that is searched by typing: the palette (every command and every target), the help
//! (the keys of this view) and the menu (what can be done with this row). Running an entry is the
//! caller's: it is the same as pressing its key.

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use tui_input::Input as LineInput;

use crate::{
    cockpit::{
        commands::{CommandId, On, Risk, TABLE, row},
        world::World,
    },
    domain::names::{ClusterName, NsName},
};

use super::{
    keys,
    model::Model,
    offer::{self, Offer},
    views,
};

/// What an entry stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    Command(CommandId),
    Cluster(ClusterName),
    Namespace(ClusterName, NsName),
    /// Of the saved views.
    View(usize),
    /// The page on screen, to be copied as a saved view.
    Keep,
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Item {
    pub choice: Choice,
    pub label: String,
    pub key: String,
    pub doc: String,
    /// Why it cannot be run now.
    pub off: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Palette,
    Help,
    Menu,
    Views,
}

/// An open palette, help or menu.
#[derive(Clone, Debug)]
pub struct Chooser {
    pub kind: Kind,
    pub input: LineInput,
    pub items: Vec<Item>,
    /// Matching items, best first.
    pub shown: Vec<usize>,
    pub at: usize,
}

impl Chooser {
    pub fn open(kind: Kind, world: &World, model: &Model) -> Self {
        if kind == Kind::Views {
            let items: Vec<_> = saved(model).chain(keep(model)).collect();
            let shown = (0..items.len()).collect();
            return Self { kind, input: LineInput::default(), items, shown, at: 0 };
        }
        let mut items: Vec<_> = TABLE.iter().filter_map(|row| command(kind, world, model, row.id)).collect();
        if kind == Kind::Menu {
            items.sort_by_key(|item| item.rank());
        }
        if kind == Kind::Palette {
            items.extend(targets(world));
            items.extend(saved(model));
        }
        let shown = (0..items.len()).collect();
        Self { kind, input: LineInput::default(), items, shown, at: 0 }
    }

    pub fn chosen(&self) -> Option<&Item> {
        self.shown.get(self.at).map(|at| &self.items[*at])
    }

    pub fn step(&mut self, by: isize) {
        self.at = self.at.saturating_add_signed(by).min(self.shown.len().saturating_sub(1));
    }

    /// Narrows by what was typed: fuzzy, best first, the table's order among equals.
    pub fn search(&mut self) {
        self.at = 0;
        let text = self.input.value().to_lowercase();
        if text.trim().is_empty() {
            self.shown = (0..self.items.len()).collect();
            return;
        }
        let pattern = Pattern::parse(&text, CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut scored: Vec<_> = self
            .items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| {
                let label = pattern.score(Utf32Str::new(&item.label, &mut buffer), &mut matcher);
                // In the sentence only whole pieces count, behind every name that matches.
                label
                    .or_else(|| item.doc.to_lowercase().contains(&text).then_some(0))
                    .map(|score| (std::cmp::Reverse(score), at))
            })
            .collect();
        scored.sort_unstable();
        self.shown = scored.into_iter().map(|(_, at)| at).collect();
    }
}

impl Item {
    /// In a menu: what acts first, then what opens, then the rest.
    fn rank(&self) -> u8 {
        match &self.choice {
            Choice::Command(id) => match row(*id).risk {
                Risk::Writes | Risk::TakesBack | Risk::Records | Risk::Files => 0,
                Risk::Asks => 1,
                Risk::Looks => 2,
            },
            Choice::Cluster(_) | Choice::Namespace(..) | Choice::View(_) | Choice::Keep => 3,
        }
    }
}

fn command(kind: Kind, world: &World, model: &Model, id: CommandId) -> Option<Item> {
    let row = row(id);
    if kind == Kind::Menu && !belongs_to_a_row(id) {
        return None;
    }
    let off = match offer::offer(world, model, id) {
        Offer::Ready => Vec::new(),
        Offer::Off(reasons) => reasons,
        Offer::Absent if kind == Kind::Palette => vec![match row.on {
            On::Anywhere => "not on this page".to_owned(),
            on => format!("works on: {}", keys::place(on)),
        }],
        Offer::Absent => return None,
    };
    Some(Item {
        choice: Choice::Command(id),
        label: row.name.to_owned(),
        key: model.settings.keys.all(id),
        doc: row.doc.to_owned(),
        off,
    })
}

fn saved(model: &Model) -> impl Iterator<Item = Item> + '_ {
    model.settings.views.iter().enumerate().map(|(at, saved)| Item {
        choice: Choice::View(at),
        label: saved.name.clone(),
        key: saved.role.clone(),
        doc: saved.words(),
        off: Vec::new(),
    })
}

fn keep(model: &Model) -> Option<Item> {
    views::as_lines(model).map(|_| Item {
        choice: Choice::Keep,
        label: "copy this page".to_owned(),
        key: String::new(),
        doc: "This page and its filter as lines for your preferences; `sluice info` says where they lie."
            .to_owned(),
        off: Vec::new(),
    })
}

fn belongs_to_a_row(id: CommandId) -> bool {
    use CommandId as Id;
    !matches!(row(id).on, On::Anywhere)
        || matches!(
            id,
            Id::Hold
                | Id::Release
                | Id::Open
                | Id::Abort
                | Id::Copy
                | Id::CopyCommand
                | Id::Zoom
                | Id::Focus
                | Id::Unmark
        )
}

fn targets(world: &World) -> impl Iterator<Item = Item> + '_ {
    world.clusters().flat_map(|cluster| {
        let name = cluster.name.clone();
        let own = Item {
            label: name.to_string(),
            doc: format!("cluster, {}", cluster.environment.as_str()),
            choice: Choice::Cluster(name.clone()),
            key: String::new(),
            off: Vec::new(),
        };
        let inner = cluster.namespaces.keys().map(move |ns| Item {
            label: format!("{name}/{ns}"),
            doc: "namespace".to_owned(),
            choice: Choice::Namespace(name.clone(), ns.clone()),
            key: String::new(),
            off: Vec::new(),
        });
        std::iter::once(own).chain(inner)
    })
}
