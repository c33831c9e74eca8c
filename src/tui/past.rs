//! What the operator did on this screen alone, so that it can be undone: marks, filters, orders, and
//! forms that were left before they were sent. What did go out is kept as the sentence that says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{cockpit::commands::CommandId, domain::names::Text};

use super::{
    dialog::Overlay,
    form::Form,
    model::{Asked, Model, Order, RowKey, Sheet, Tone},
    reviews,
};

/// Steps that can be taken back.
const KEPT: usize = 50;

/// The newest last.
#[derive(Clone, Debug, Default)]
pub struct Past {
    steps: VecDeque<Step>,
    /// The key that runs undoes: what it changes is no step of its own.
    undoing: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// How it was before.
    Looked(Box<Local>),
    Draft(Box<Form>),
    /// It went out: what can be done instead.
    Sent(String),
}

/// What is the operator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    marks: BTreeSet<RowKey>,
    reviews: BTreeSet<Text>,
    filters: BTreeMap<Sheet, String>,
    found: (Order, bool),
    queue: (reviews::Order, bool),
}

impl Local {
    fn of(model: &Model) -> Self {
        let queue = &model.team.reviews;
        Self {
            marks: model.fleet.marks.clone(),
            reviews: queue.marks.clone(),
            filters: model.filters.texts.clone(),
            found: (model.found.order, model.found.reversed),
            queue: (queue.order, queue.reversed),
        }
    }

    fn restore(self, model: &mut Model) {
        model.fleet.marks = self.marks;
        model.filters.texts = self.filters;
        (model.found.order, model.found.reversed) = self.found;
        let queue = &mut model.team.reviews;
        queue.marks = self.reviews;
        (queue.order, queue.reversed) = self.queue;
    }

    /// What differs, in a word.
    fn differs(&self, other: &Self) -> &'static str {
        if self.marks != other.marks || self.reviews != other.reviews {
            "marks"
        } else if self.filters != other.filters {
            "filter"
        } else {
            "order"
        }
    }
}

/// As it was before a key.
pub struct Before {
    local: Local,
    draft: Option<Box<Form>>,
}

impl Before {
    pub fn of(model: &Model) -> Self {
        let draft = match &model.overlay {
            Some(Overlay::Form(form)) if form.touched => Some(form.clone()),
            _ => None,
        };
        Self { local: Local::of(model), draft }
    }

    /// Keeps what the key changed. `sent`: the form went out.
    pub fn note(self, model: &mut Model, sent: bool) {
        let is_open = matches!(model.overlay, Some(Overlay::Form(_)));
        if std::mem::take(&mut model.views.past.undoing) {
            return;
        }
        if let Some(form) = self.draft.filter(|_| !is_open && !sent) {
            model.views.past.push(Step::Draft(form));
        }
        if self.local != Local::of(model) {
            model.views.past.push(Step::Looked(Box::new(self.local)));
        }
    }
}

impl Past {
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn push(&mut self, step: Step) {
        if self.steps.len() == KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(step);
    }
}

/// Something went out.
pub fn sent(model: &mut Model, asked: Asked) {
    let keys = &model.settings.keys;
    let words = match asked {
        Asked::Apply => {
            format!("an apply cannot be undone: rollback ({}) takes it back", keys.first(CommandId::RollBack))
        }
        Asked::RollBack => {
            format!("a rollback cannot be undone: apply ({}) previews it again", keys.first(CommandId::Apply))
        }
        Asked::Abort => "an abort cannot be undone: apply again".to_owned(),
        Asked::Share => {
            "what was sent to the state cluster cannot be undone: release ends a hold, revoke a grant; the rest stands with its author".to_owned()
        }
        Asked::Preview | Asked::Other => return,
    };
    model.views.past.push(Step::Sent(words));
}

/// Takes the newest step back, or says why it cannot be.
pub fn undo(model: &mut Model) {
    model.views.past.undoing = true;
    let undo = model.settings.keys.first(CommandId::Undo);
    match model.views.past.steps.pop_back() {
        None => model.told.say("there is nothing to undo", Tone::Plain),
        Some(Step::Sent(words)) => {
            model.told.say(format!("{words}; {undo} again undoes what was before it"), Tone::Plain);
        }
        Some(Step::Draft(form)) => {
            model.told.say(format!("back in the form: {}", form.title), Tone::Plain);
            model.overlay = Some(Overlay::Form(form));
        }
        Some(Step::Looked(before)) => {
            let what = before.differs(&Local::of(model));
            before.restore(model);
            model.told.say(format!("undone: {what} as before"), Tone::Plain);
        }
    }
}
