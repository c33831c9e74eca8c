//! The cursor of the page on screen, whatever its rows are: which list a page shows is written here
//! once. What only one page does with its rows stays with that page.

use super::{
    list::List,
    model::{Main, Model, View},
};

/// What can be done with a list without knowing what its rows are.
pub trait Cursor {
    /// The row under it vanished.
    fn is_gone(&self) -> bool;
    fn count(&self) -> usize;
    /// The place of the row on a visible line.
    fn at_line(&self, line: usize) -> Option<usize>;
    fn step(&mut self, by: isize);
    fn page(&mut self, pages: isize);
    fn top(&mut self, follow: bool);
    fn bottom(&mut self);
    fn choose_at(&mut self, at: usize);
    fn set_height(&mut self, height: usize);
}

impl<K: Clone + PartialEq> Cursor for List<K> {
    fn is_gone(&self) -> bool {
        self.is_gone()
    }
    fn count(&self) -> usize {
        self.rows().len()
    }
    fn at_line(&self, line: usize) -> Option<usize> {
        self.at_line(line)
    }
    fn step(&mut self, by: isize) {
        self.step(by);
    }
    fn page(&mut self, pages: isize) {
        self.page(pages);
    }
    fn top(&mut self, follow: bool) {
        self.top(follow);
    }
    fn bottom(&mut self) {
        self.bottom();
    }
    fn choose_at(&mut self, at: usize) {
        self.choose_at(at);
    }
    fn set_height(&mut self, height: usize) {
        self.set_height(height);
    }
}

/// The page's list, shared or exclusive.
macro_rules! list_of {
    ($model:ident, $($borrow:tt)+) => {
        match $model.view() {
            View::Main(Main::Fleet) => Some($($borrow)+ $model.fleet.list),
            View::Main(Main::Denials) => Some($($borrow)+ $model.denials),
            View::Main(Main::Live) => Some($($borrow)+ $model.live),
            View::Main(Main::Activity) => Some($($borrow)+ $model.activity.list),
            View::Main(Main::Sources) => Some($($borrow)+ $model.sources),
            View::Main(Main::Notices) => Some($($borrow)+ $model.notices.list),
            View::Main(Main::Plan) => Some($($borrow)+ $model.plan.list),
            View::Main(Main::Reviews) => Some($($borrow)+ $model.team.reviews.list),
            View::Main(Main::OpenEnds) => Some($($borrow)+ $model.team.ends.list),
            View::Namespace(..) => Some($($borrow)+ $model.page.denials),
            View::Destinations(..) => Some($($borrow)+ $model.found.list),
            // A page of one thing has no rows.
            View::Group(_)
            | View::Dossier(..)
            | View::Coverage(..)
            | View::Timeline(_)
            | View::Prediction(_)
            | View::Document(_)
            | View::Review(_)
            | View::Preflight(_) => None,
        }
    };
}

/// `None`: the page has no rows.
pub fn of(model: &Model) -> Option<&dyn Cursor> {
    list_of!(model, &)
}

/// The same, to move it.
pub fn of_mut(model: &mut Model) -> Option<&mut dyn Cursor> {
    list_of!(model, &mut)
}
