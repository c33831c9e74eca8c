//! Saved views: a page and what narrows it under a name, for a role. Some ship; the user's own come
//! from the preferences. They choose rows only: columns are the same for everybody, so that two
//! people on the phone see one table.

use crate::{cockpit::commands::CommandId, domain::flow::Direction};

use super::model::{Main, Model, Sheet, Tone, View, Zoom};

/// A page with its filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub name: String,
    /// For whom, in a word.
    pub role: String,
    pub page: Main,
    pub filter: String,
    /// Of the plan: whose waves.
    pub direction: Option<Direction>,
}

/// What ships, by role.
const SHIPPED: &[(&str, &str, Main, &str)] = &[
    ("on-call", "hurting in production", Main::Denials, "env:production class:hurting"),
    ("on-call", "clusters that are not well", Main::Fleet, "!health:/^up$/"),
    ("lead", "what may go now", Main::Plan, "ask:may"),
    ("lead", "what waits", Main::Plan, "ask:waits"),
    ("security", "reviews that wait", Main::Reviews, "state:open"),
    ("security", "grants that end", Main::Reviews, "state:expiring"),
];

/// What ships, and the user's own behind it; one of the same name takes its place.
pub fn all(own: &[Saved]) -> Vec<Saved> {
    let shipped = SHIPPED.iter().map(|(role, name, page, filter)| Saved {
        name: (*name).to_owned(),
        role: (*role).to_owned(),
        page: *page,
        filter: (*filter).to_owned(),
        direction: None,
    });
    let kept = shipped.filter(|saved| own.iter().all(|mine| mine.name != saved.name));
    kept.chain(own.iter().cloned()).collect()
}

impl Saved {
    /// What it shows, in a line.
    pub fn words(&self) -> String {
        let direction = self.direction.map_or_else(String::new, |direction| format!(" {direction}"));
        let filter = if self.filter.is_empty() { "all rows" } else { &self.filter };
        format!("{}{direction}: {filter}", self.page.word())
    }
}

/// Shows a saved view.
pub fn open(model: &mut Model, saved: &Saved) {
    model.settings.zoom = Zoom::No;
    model.views.go(View::Main(saved.page));
    let sheet = Sheet::Main(saved.page);
    if saved.filter.is_empty() {
        model.filters.texts.remove(&sheet);
    } else {
        model.filters.texts.insert(sheet, saved.filter.clone());
    }
    if let Some(direction) = saved.direction {
        model.plan.direction = direction;
    }
    let all = model.settings.keys.first(CommandId::ClearFilter);
    model.told.say(format!("view: {}; {all} shows all rows", saved.name), Tone::Plain);
}

/// The page on screen as lines of the preferences; `None`: it is no main page.
pub fn as_lines(model: &Model) -> Option<String> {
    let View::Main(page) = model.view() else { return None };
    let filter = model.filter(*page);
    let mut out = format!(
        "[[views]]\nname = \"NAME\"\npage = {}\nfilter = {}\n",
        toml::Value::from(page.word()),
        toml::Value::from(filter)
    );
    if *page == Main::Plan {
        out.push_str(&format!("direction = \"{}\"\n", model.plan.direction));
    }
    Some(out)
}
