//! A list whose cursor holds an object, not a place: rows may be sorted anew, come and go, and the
//! cursor never slides onto another row by itself. Its rows are filled by `settle`.

/// Rows by id, the chosen one, and which row stands on the first line of the screen.
#[derive(Clone, Debug)]
pub struct List<K> {
    rows: Vec<K>,
    chosen: Option<K>,
    /// Place of the chosen row; where it was, once it is gone.
    at: usize,
    gone: bool,
    first: usize,
    /// Lines that are visible.
    height: usize,
    /// The cursor stays on the first row, whatever comes.
    follow: bool,
}

impl<K> Default for List<K> {
    fn default() -> Self {
        Self { rows: Vec::new(), chosen: None, at: 0, gone: false, first: 0, height: 1, follow: false }
    }
}

impl<K: Clone + PartialEq> List<K> {
    /// A list that shows the newest first and stays there until the cursor moves.
    pub fn following() -> Self {
        Self { follow: true, ..Self::default() }
    }

    pub fn rows(&self) -> &[K] {
        &self.rows
    }

    /// The row the cursor is on; `None` where there is none, or where it vanished.
    pub fn chosen(&self) -> Option<&K> {
        if self.gone { None } else { self.chosen.as_ref() }
    }

    /// The chosen row vanished: nothing is chosen until the cursor moves.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    pub fn is_following(&self) -> bool {
        self.follow
    }

    /// The visible rows with their place, from the first line on.
    pub fn window(&self, height: usize) -> impl Iterator<Item = (usize, &K)> {
        let first = self.first.min(self.rows.len().saturating_sub(1));
        self.rows.iter().enumerate().skip(first).take(height)
    }

    pub fn at(&self) -> usize {
        self.at
    }

    /// Takes new rows; the cursor stays on its object and on its line.
    pub fn set(&mut self, rows: Vec<K>) {
        self.rows = rows;
        if self.follow {
            self.chosen = self.rows.first().cloned();
            (self.at, self.first, self.gone) = (0, 0, false);
            return;
        }
        let Some(chosen) = &self.chosen else {
            self.choose_at(self.at);
            return;
        };
        let found = match self.rows.get(self.at) {
            Some(row) if row == chosen => Some(self.at),
            Some(_) | None => self.rows.iter().position(|row| row == chosen),
        };
        self.gone = found.is_none();
        if let Some(at) = found {
            self.first = (self.first + at).saturating_sub(self.at);
            self.at = at;
        }
        self.keep_visible();
    }

    pub fn choose(&mut self, key: K) {
        self.follow = false;
        self.gone = false;
        self.at = self.rows.iter().position(|row| *row == key).unwrap_or(self.at);
        self.chosen = Some(key);
        self.keep_visible();
    }

    /// Chooses by place, as a click does.
    pub fn choose_at(&mut self, at: usize) {
        let Some(last) = self.rows.len().checked_sub(1) else {
            self.chosen = None;
            self.gone = false;
            return;
        };
        self.at = at.min(last);
        self.chosen = Some(self.rows[self.at].clone());
        self.gone = false;
        self.keep_visible();
    }

    pub fn step(&mut self, by: isize) {
        self.follow = false;
        // A vanished row leaves the cursor between two rows: any step lands beside it.
        let by = if self.gone { 0 } else { by };
        self.choose_at(self.at.saturating_add_signed(by));
    }

    pub fn page(&mut self, pages: isize) {
        self.step(pages.saturating_mul(self.height.saturating_sub(1).max(1) as isize));
    }

    pub fn top(&mut self, follow: bool) {
        self.follow = follow;
        self.choose_at(0);
    }

    pub fn bottom(&mut self) {
        self.follow = false;
        self.choose_at(usize::MAX);
    }

    /// Forgets the cursor: the first row is chosen next.
    pub fn restart(&mut self) {
        (self.chosen, self.at, self.first, self.gone) = (None, 0, 0, false);
    }

    /// The place of the row on a visible line.
    pub fn at_line(&self, line: usize) -> Option<usize> {
        let at = self.first + line;
        (at < self.rows.len()).then_some(at)
    }

    pub fn set_height(&mut self, height: usize) {
        self.height = height.max(1);
        self.keep_visible();
    }

    fn keep_visible(&mut self) {
        let most = self.rows.len().saturating_sub(self.height);
        let lowest = (self.at + 1).saturating_sub(self.height);
        self.first = self.first.clamp(lowest.min(self.at), self.at).min(most.max(lowest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_its_object_and_its_line() {
        let mut list = List::default();
        list.set_height(3);
        list.set(vec![1, 2, 3, 4, 5]);
        list.step(3);
        assert_eq!((list.chosen(), list.first), (Some(&4), 1));
        list.set(vec![9, 8, 1, 2, 3, 4, 5]);
        assert_eq!((list.chosen(), list.first), (Some(&4), 3), "rows above push the window, not the cursor");
        list.set(vec![4, 5, 1]);
        assert_eq!(list.chosen(), Some(&4));
    }

    #[test]
    fn a_row_that_vanished_is_not_replaced_under_the_finger() {
        let mut list = List::default();
        list.set_height(5);
        list.set(vec!["a", "b", "c"]);
        list.step(1);
        list.set(vec!["a", "c"]);
        assert_eq!((list.chosen(), list.is_gone()), (None, true));
        list.set(vec!["a", "b", "c"]);
        assert_eq!(list.chosen(), Some(&"b"), "it came back");
        list.set(vec!["a", "c"]);
        list.step(1);
        assert_eq!(list.chosen(), Some(&"c"));
    }

    #[test]
    fn a_following_list_shows_the_newest_until_the_cursor_moves() {
        let mut list = List::following();
        list.set_height(2);
        list.set(vec![3, 2, 1]);
        assert_eq!(list.chosen(), Some(&3));
        list.set(vec![4, 3, 2, 1]);
        assert_eq!(list.chosen(), Some(&4));
        list.step(1);
        list.set(vec![5, 4, 3, 2, 1]);
        assert_eq!(list.chosen(), Some(&3));
        list.set(Vec::new());
        assert_eq!(list.chosen(), None);
    }
}
