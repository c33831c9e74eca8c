//! What happened since it was last asked, as lines with their time: results and alerts, clusters and
//! sources that went or came back, denials that began and ended. At most a few at once, the rest is
//! counted.

use std::collections::{BTreeMap, HashMap};

use chrono::TimeDelta;

use super::{
    super::{
        copy,
        model::{Model, Tone},
        theme::Theme,
        widgets::{Pen, plural},
    },
    words::say,
};
use crate::{
    cockpit::{rows, world::World},
    domain::{
        denial::{Class, GroupId},
        fleet::Health,
        names::ClusterName,
        time::age,
    },
};

/// Lines at once; messages about what the operator did are not among them.
const MOST: usize = 8;
/// A group without a denial for so long is over.
const QUIET: TimeDelta = TimeDelta::minutes(15);

/// What was said last of each thing.
#[derive(Clone, Debug, Default)]
pub struct News {
    health: BTreeMap<ClusterName, &'static str>,
    links: BTreeMap<ClusterName, &'static str>,
    /// Groups that are being denied.
    denied: HashMap<GroupId, bool>,
}

impl News {
    /// New facts and messages; the model's messages are said and gone.
    pub fn take(&mut self, world: &World, model: &mut Model) -> Vec<String> {
        let theme = Theme::plain();
        let masks = model.settings.masks.shown();
        let pen = Pen { masks, ..Pen::new(&theme, world, &model.settings) };
        let line =
            |text: String| say(&pen.hide(format!("{} {text}", pen.clock(world.now()))), model.settings.ascii);
        let mut out: Vec<_> =
            model.told.toasts.iter().map(|toast| line(words(&toast.text, toast.tone))).collect();
        let mut facts = self.clusters(world);
        facts.extend(self.denials(world));
        let more = facts.len().saturating_sub(MOST);
        out.extend(facts.into_iter().take(MOST).map(line));
        if more > 0 {
            out.push(line(format!("and {more} more; fleet and denials show all")));
        }
        model.told.toasts.clear();
        out
    }

    fn clusters(&mut self, world: &World) -> Vec<String> {
        let mut out = Vec::new();
        for cluster in world.clusters() {
            let (name, word) = (&cluster.name, cluster.health.word());
            let before = self.health.insert(name.clone(), word);
            // That one answers for the first time stands on its row.
            let is_first = before.is_none_or(|before| before == Health::Connecting.word());
            if before != Some(word) && !(is_first && cluster.health == Health::Up) && before.is_some() {
                let why = cluster.health.reason().map_or_else(String::new, |reason| format!(": {reason}"));
                out.push(format!("{name} is {word}{why}"));
            }
            let link = rows::source_row(world.source(name)).link;
            let before = self.links.insert(name.clone(), link);
            if before.is_some_and(|before| before != link) && (link == "broken" || before == Some("broken")) {
                out.push(format!("the flows of {name} are {link}"));
            }
        }
        out
    }

    fn denials(&mut self, world: &World) -> Vec<String> {
        let mut out = Vec::new();
        for group in world.denials().groups().filter(|group| group.class != Class::Would) {
            let is_denied = age(group.last, world.now()) < QUIET;
            let before = self.denied.insert(group.id, is_denied);
            if is_denied && before != Some(true) {
                out.push(format!("denied, {}: {}", group.class.word(), copy::headline(group)));
            } else if !is_denied && before == Some(true) {
                let calm = plural(QUIET.num_minutes() as usize, "minute");
                out.push(format!("not denied for {calm}: {}", copy::headline(group)));
            }
        }
        if self.denied.len() > 2 * world.denials().groups().len() + MOST {
            self.denied.retain(|id, _| world.denials().group(*id).is_some());
        }
        out
    }
}

fn words(text: &str, tone: Tone) -> String {
    match tone {
        Tone::Good | Tone::Plain => text.to_owned(),
        Tone::Bad => format!("attention: {text}"),
    }
}
