//! A session by lines: what is typed becomes the keys of the screen, what they change is told once.
//! Return alone never does anything but show or close; what changes a cluster takes the same typed
//! word, or the same word twice, as it does on the screen.

use chrono::TimeDelta;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    super::{
        bindings::Bindings,
        chooser::Chooser,
        dialog::Overlay,
        form::{At, Entry, Form},
        keys,
        model::{Model, Options, Tone},
        preferences::Preferences,
        settle::settle,
        update::{self, Ask, Input, update},
    },
    dialogs,
    news::News,
    page::{self, SIZE},
    rows::{self, RowId},
    words::say,
};
use crate::{
    cockpit::{
        commands::{self, CommandId},
        ports::{Link, Trouble},
        rows as read,
        world::World,
    },
    domain::time::Timestamp,
};

/// A session waits no longer than this for clusters and orders.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
/// Lines about the user's own file, and about keys that changed; the notices have the rest.
const MOST_TOLD: usize = 8;
/// Of what is typed, so much is read.
const LONGEST: usize = 1_000;

#[derive(Debug)]
pub struct Plain {
    pub model: Model,
    news: News,
    /// The rows as they were printed last.
    printed: Vec<RowId>,
    /// The dialog that was told last.
    told: Option<(String, String)>,
    /// What the page was made of when it was told last.
    shape: String,
    wait: Option<Wait>,
    wants: Wants,
}

/// Until when further lines are left unread.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// Clusters were read and orders ended, or this moment.
    Rest(Timestamp),
    Until(Timestamp),
}

/// What is told after a line, if no dialog is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// The page, if it is another one than before.
    Changes,
    Row,
    Page,
    /// Nothing: the answer was given.
    Nothing,
}

impl Plain {
    pub fn new(ascii: bool) -> Self {
        let mut model = Model::new(Options { theme: "mono", ascii, size: SIZE });
        model.settings.keys = Bindings::default().by_lines();
        Self {
            model,
            news: News::default(),
            printed: Vec::new(),
            told: None,
            shape: String::new(),
            wait: None,
            wants: Wants::Changes,
        }
    }

    /// Takes the user's own choices, as the screen does. What is wrong with them is said in a line each,
    /// and so are the keys that changed since the last time: no dialog takes the first line away.
    pub fn prefer(
        &mut self,
        world: &World,
        mut chosen: Preferences,
        troubles: Vec<Trouble>,
        changed: &[String],
    ) -> Vec<String> {
        chosen.keys = chosen.keys.by_lines();
        let wrong: Vec<_> = troubles.iter().map(|trouble| format!("attention: {trouble}")).collect();
        update::begin(&mut self.model, world, chosen, Vec::new());
        self.model.settings.troubles = troubles;
        let mut out = Vec::new();
        for (title, lines) in [("", wrong.as_slice()), ("keys that changed since the last time:", changed)] {
            if !lines.is_empty() {
                out.extend(Some(title.to_owned()).filter(|title| !title.is_empty()));
                out.extend(lines.iter().take(MOST_TOLD).cloned());
                let more = lines.len().saturating_sub(MOST_TOLD);
                out.extend((more > 0).then(|| format!("and {more} more")));
            }
        }
        // A view may be called as a namespace is.
        settle(&mut self.model, world);
        let settings = &self.model.settings;
        let hidden = |line: &String| match settings.masks.shown() {
            Some(masks) => masks.hide(line),
            None => line.clone(),
        };
        out.iter().map(|line| say(&hidden(line), settings.ascii)).collect()
    }

    /// What is said first; the page follows once the clusters have been read.
    pub fn begin(&mut self, world: &World) -> Vec<String> {
        let count = world.clusters().len();
        self.wait = Some(Wait::Rest(world.now() + TimeDelta::seconds(10)));
        self.wants = Wants::Page;
        let keys = &self.model.settings.keys;
        let (help, quit) = (keys.first(CommandId::Help), keys.last(CommandId::Quit));
        vec![
            format!("sluice, by lines; {count} clusters are asked"),
            format!(
                "type {help} for what can be typed, a number for a row, return for the page, {quit} to leave"
            ),
        ]
    }

    /// Further lines wait: for clusters, orders, a preview, or because it was asked for.
    pub fn holds(&self, world: &World) -> bool {
        let shared = world.shared().link().is_some_and(|link| *link != Link::Connecting);
        let is_read = || {
            (shared || world.plan().settings.state.is_none())
                && !world.files().pending
                && world.clusters().all(read::is_read)
        };
        let waits = match self.wait {
            None => false,
            Some(Wait::Until(until)) => world.now() < until,
            Some(Wait::Rest(until)) => {
                world.now() < until && (!is_read() || world.running().next().is_some())
            }
        };
        waits || matches!(self.model.overlay, Some(Overlay::Waiting(_)))
    }

    /// Nothing more will be typed: what runs is waited for.
    pub fn end(&mut self, world: &World) {
        self.wait = Some(Wait::Rest(world.now() + PATIENCE));
    }

    /// One line was typed: what is asked of the program comes back, what is to be said by [`Self::say`].
    pub fn line(&mut self, world: &World, typed: &str) -> Vec<Ask> {
        settle(&mut self.model, world);
        (self.wait, self.wants) = (None, Wants::Changes);
        let typed: String = typed.chars().take(LONGEST).collect();
        let typed = typed.trim();
        // Stopping, leaving to the shell and masks work over everything, as their keys do.
        if let Some(id @ (CommandId::Abort | CommandId::Suspend | CommandId::Mask)) = self.command(typed) {
            // A dialog says something else once names are hidden or shown.
            self.told = None;
            return self.run(world, id);
        }
        match self.model.overlay.take() {
            None => self.page(world, typed),
            Some(overlay) => {
                let asks = self.dialog(world, overlay, typed);
                if self.model.overlay.is_none() && self.wants == Wants::Changes {
                    self.wants = Wants::Row;
                }
                asks
            }
        }
    }

    /// What there is to say now: messages and facts with their time, then a dialog or the page.
    pub fn say(&mut self, world: &World) -> Vec<String> {
        settle(&mut self.model, world);
        let mut out = self.news.take(world, &mut self.model);
        let wants = std::mem::replace(&mut self.wants, Wants::Nothing);
        if let Some(overlay) = &self.model.overlay {
            let sign = dialogs::sign(overlay);
            if self.told.as_ref() != Some(&sign) || wants == Wants::Page {
                let again = self.told.as_ref().is_some_and(|told| told.0 == sign.0) && wants != Wants::Page;
                out.extend(dialogs::tell(world, &self.model, overlay, again));
                self.told = Some(sign);
            }
            return out;
        }
        self.told = None;
        let shape = shape(&self.model);
        let is_quiet = out.is_empty();
        match wants {
            Wants::Nothing if self.wait.is_some() && !self.holds(world) => {
                self.wait = None;
                out.extend(self.tell_page(world));
            }
            // The first page waits for the clusters.
            Wants::Page if self.holds(world) => self.wants = Wants::Page,
            Wants::Page => out.extend(self.tell_page(world)),
            Wants::Row if shape == self.shape => out.extend(page::chosen(world, &self.model)),
            Wants::Row | Wants::Changes if shape != self.shape => out.extend(self.tell_page(world)),
            Wants::Changes if is_quiet => out.push("nothing changed".to_owned()),
            Wants::Changes | Wants::Row | Wants::Nothing => {}
        }
        out
    }

    /// What was copied: there is no clipboard to put it on, so it is printed.
    /// While names are masked it is not: the screen is shared.
    pub fn copied(&mut self, text: &str) -> Vec<String> {
        self.model.told.toasts.clear();
        self.wants = Wants::Nothing;
        if self.model.settings.masks.on {
            let key = self.model.settings.keys.first(CommandId::Mask);
            return vec![format!("names are masked: {key} shows them, then it can be printed")];
        }
        text.lines().map(|line| format!("  {}", say(line, self.model.settings.ascii))).collect()
    }

    fn tell_page(&mut self, world: &World) -> Vec<String> {
        self.printed = rows::rows(&self.model).all;
        self.shape = shape(&self.model);
        page::page(world, &self.model)
    }

    fn press(&mut self, world: &World, key: &str) -> Vec<Ask> {
        match keys::event(key) {
            Some(event) => update(&mut self.model, world, Input::Key(event)),
            None => Vec::new(),
        }
    }

    fn run(&mut self, world: &World, id: CommandId) -> Vec<Ask> {
        update(&mut self.model, world, Input::Command(id))
    }

    /// By its name or by one of the user's keys. Digits are rows here, not pages.
    fn command(&self, word: &str) -> Option<CommandId> {
        if is_number(word) {
            return None;
        }
        // A control key that the terminal left as it is.
        let control = match word.as_bytes() {
            [byte @ 1..=26] => Some(format!("ctrl-{}", char::from(byte + b'a' - 1))),
            _ => None,
        };
        let word = control.as_deref().unwrap_or(word);
        commands::by_name(word).map(|row| row.id).or_else(|| self.model.settings.keys.written(word))
    }

    fn type_in(&mut self, world: &World, text: &str) -> Vec<Ask> {
        let key = |c| Input::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        text.chars().flat_map(|c| update(&mut self.model, world, key(c))).collect()
    }

    fn page(&mut self, world: &World, typed: &str) -> Vec<Ask> {
        if typed.is_empty() {
            self.wants = Wants::Page;
            return Vec::new();
        }
        if let Some(text) = typed.strip_prefix('/') {
            return self.filter(world, text.trim());
        }
        if let Some(text) = typed.strip_prefix(':').filter(|text| !text.is_empty()) {
            let asks = self.run(world, CommandId::Palette);
            update(&mut self.model, world, Input::Paste(text.trim().to_owned()));
            return asks;
        }
        let mut words = typed.split_whitespace();
        match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("wait", span, None) => self.wait_for(world, span),
            (number, None, None) if is_number(number) => {
                self.choose(number);
                Vec::new()
            }
            (number, Some(word), None) | (word, Some(number), None) if is_number(number) => {
                if self.choose(number) { self.word(world, word) } else { Vec::new() }
            }
            (word, None, None) => self.word(world, word),
            _ => self.puzzled(typed),
        }
    }

    fn word(&mut self, world: &World, word: &str) -> Vec<Ask> {
        let Some(id) = self.command(word) else { return self.puzzled(word) };
        self.wants = match id {
            CommandId::Down | CommandId::Up | CommandId::Top | CommandId::Bottom | CommandId::Mark => {
                Wants::Row
            }
            CommandId::PageDown | CommandId::PageUp | CommandId::Refresh | CommandId::Times => Wants::Page,
            _ => Wants::Changes,
        };
        // The plain key goes back first, the word leaves.
        let asks = if id == CommandId::Quit && word.len() == 1 {
            self.press(world, word)
        } else {
            self.run(world, id)
        };
        if asks.iter().any(|ask| matches!(ask, Ask::Quit)) {
            // Who leaves is not told that nothing changed: much may have.
            self.wants = Wants::Nothing;
        }
        asks
    }

    fn puzzled(&mut self, typed: &str) -> Vec<Ask> {
        self.wants = Wants::Nothing;
        let what = say(typed, self.model.settings.ascii);
        let help = self.model.settings.keys.first(CommandId::Help);
        self.model.told.say(format!("not understood: {what}; {help} lists what can be typed"), Tone::Plain);
        Vec::new()
    }

    /// The row that was printed under this number.
    fn choose(&mut self, number: &str) -> bool {
        let id = number.parse::<usize>().ok().and_then(|n| self.printed.get(n.checked_sub(1)?)).cloned();
        let found = id.is_some_and(|id| rows::choose(&mut self.model, &id));
        if found {
            self.wants = Wants::Row;
        } else {
            self.wants = Wants::Nothing;
            // What the screen's texts call by its digit is called by its name here.
            let page = commands::TABLE.iter().find(|row| row.keys.contains(&number));
            let page = page.map_or_else(String::new, |row| format!("; the page is called {}", row.name));
            let said = format!("there is no row {number} (any more); return prints the page{page}");
            self.model.told.say(said, Tone::Plain);
        }
        found
    }

    fn filter(&mut self, world: &World, text: &str) -> Vec<Ask> {
        self.wants = Wants::Page;
        let mut asks = self.run(world, CommandId::Filter);
        if self.model.filters.editing.is_some() {
            asks.extend(self.press(world, "ctrl-u"));
            update(&mut self.model, world, Input::Paste(text.to_owned()));
            asks.extend(self.press(world, "enter"));
        }
        asks
    }

    fn wait_for(&mut self, world: &World, span: Option<&str>) -> Vec<Ask> {
        self.wants = Wants::Nothing;
        self.wait = match span {
            None => Some(Wait::Rest(world.now() + PATIENCE)),
            Some(raw) => seconds(raw).map(|span| Wait::Until(world.now() + span)),
        };
        if self.wait.is_none() {
            return self.puzzled("wait takes a span up to a day, such as 90s, 5m or 2h");
        }
        Vec::new()
    }

    /// A line that answers a dialog. The dialog was taken off the page; it comes back unless it closes.
    fn dialog(&mut self, world: &World, overlay: Overlay, typed: &str) -> Vec<Ask> {
        if let Overlay::Chooser(chooser) = overlay {
            return self.choosing(world, *chooser, typed);
        }
        let veils = self.model.settings.masks.shown();
        let word = match &overlay {
            Overlay::Apply(dialog) if !dialog.is_veiled(veils) => Some(dialog.word.clone()),
            _ => None,
        };
        let form = match &overlay {
            Overlay::Form(form) => Some(dialogs::send_word(form)),
            _ => None,
        };
        let is_waiting = matches!(overlay, Overlay::Waiting(_));
        let is_quit = matches!(overlay, Overlay::Quit);
        let is_renewal = matches!(overlay, Overlay::Renew(_));
        self.model.overlay = Some(overlay);
        let named = self.command(typed);
        match typed {
            // Before all else: namespaces are called cancel or q, too.
            typed if word.as_deref() == Some(typed) => {
                self.press(world, "ctrl-u");
                self.type_in(world, typed);
                self.press(world, "enter")
            }
            "esc" | "cancel" | "q" => self.press(world, "esc"),
            // Taking back works in every state (law 6).
            _ if named == Some(CommandId::RollBack) => self.run(world, CommandId::RollBack),
            "" if form.is_some() || is_waiting => {
                self.wants = Wants::Page;
                Vec::new()
            }
            "" => self.press(world, if is_quit { "esc" } else { "enter" }),
            // Leaves where that was asked for already, else closes.
            "quit" | "ctrl-c" => self.press(world, "ctrl-c"),
            "y" | "Y" => self.copy(world),
            _ if matches!(named, Some(CommandId::Copy | CommandId::CopyCommand)) => self.copy(world),
            "w" if is_renewal => self.press(world, "w"),
            _ if is_renewal && named == Some(CommandId::Renew) => self.run(world, CommandId::Renew),
            "O" => self.press(world, "O"),
            typed if form.as_deref() == Some(typed) => {
                if let Some(Overlay::Form(form)) = &mut self.model.overlay {
                    form.at = At::Send;
                }
                self.press(world, "enter")
            }
            typed if form.is_some() => self.fill(world, typed),
            _ => {
                self.wants = Wants::Nothing;
                let said = "that is not the word; nothing was changed, the dialog is still open";
                self.model.told.say(said, Tone::Plain);
                Vec::new()
            }
        }
    }

    /// What the dialog on the page has to copy.
    fn copy(&mut self, world: &World) -> Vec<Ask> {
        match &mut self.model.overlay {
            Some(Overlay::RollBack(_)) => self.run(world, CommandId::CopyCommand),
            Some(Overlay::Proposal(_)) => self.run(world, CommandId::Copy),
            Some(Overlay::Apply(_)) => self.press(world, "Y"),
            // On its button it is no letter.
            Some(Overlay::Form(form)) => {
                form.at = At::Cancel;
                self.press(world, "Y")
            }
            _ => self.press(world, "y"),
        }
    }

    /// `2 because of the incident`: the field of that number.
    fn fill(&mut self, world: &World, typed: &str) -> Vec<Ask> {
        let (number, text) = typed.split_once(' ').unwrap_or((typed, ""));
        let at = number.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
        let filled = match (&mut self.model.overlay, at) {
            (Some(Overlay::Form(form)), Some(at)) if at < form.fields.len() => {
                form.at = At::Field(at);
                pick(form, at, text.trim())
            }
            _ => Some(false),
        };
        match filled {
            // A line of text is typed as it is on the screen.
            None => {
                self.press(world, "ctrl-u");
                self.type_in(world, text.trim());
            }
            Some(true) => {}
            Some(false) => {
                self.wants = Wants::Nothing;
                let said = "not understood: type the number of a field and what goes into it";
                self.model.told.say(said, Tone::Plain);
            }
        }
        if let Some(Overlay::Form(form)) = &mut self.model.overlay {
            form.check(world);
        }
        Vec::new()
    }

    /// A number runs an entry, a command's name runs that, other words search.
    fn choosing(&mut self, world: &World, mut chooser: Chooser, typed: &str) -> Vec<Ask> {
        if let Some(at) = typed.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
            if at >= chooser.shown.len() {
                self.model.overlay = Some(Overlay::Chooser(Box::new(chooser)));
                self.wants = Wants::Page;
                return Vec::new();
            }
            chooser.at = at;
            self.model.overlay = Some(Overlay::Chooser(Box::new(chooser)));
            return self.press(world, "enter");
        }
        match typed {
            "" | "esc" | "cancel" => {
                self.wants = Wants::Page;
                Vec::new()
            }
            word if self.command(word).is_some() => self.word(world, word),
            text => {
                chooser.input = tui_input::Input::from(text.trim_start_matches('/').to_owned());
                chooser.search();
                self.model.overlay = Some(Overlay::Chooser(Box::new(chooser)));
                Vec::new()
            }
        }
    }
}

/// Puts words into a field of words; `None`: it is a line of text.
fn pick(form: &mut Form, at: usize, text: &str) -> Option<bool> {
    match &mut form.fields[at].entry {
        Entry::Line(_) | Entry::When(_) => None,
        Entry::One { words, at } => {
            let found = words.iter().position(|word| word == text);
            *at = found.unwrap_or(*at);
            Some(found.is_some())
        }
        Entry::Several { words, on, .. } => {
            let named: Vec<_> = text.split([',', ' ']).filter(|word| !word.is_empty()).collect();
            let known = named.iter().all(|name| words.iter().any(|word| word == name));
            if known {
                *on = (0..words.len()).filter(|at| named.contains(&words[*at].as_str())).collect();
            }
            Some(known)
        }
    }
}

/// `90s`, `5m`, `2h`: a day at the most.
fn seconds(raw: &str) -> Option<TimeDelta> {
    let (number, unit) = raw.split_at_checked(raw.len().checked_sub(1)?)?;
    let of = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        _ => return None,
    };
    let secs = number.parse::<u32>().ok().map(|number| i64::from(number) * of)?;
    (secs <= 86_400).then(|| TimeDelta::seconds(secs))
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Another one: the page is worth telling again.
fn shape(model: &Model) -> String {
    let settings = &model.settings;
    format!(
        "{:?} {:?} {:?} {} {:?} {:?} {:?} {} {} {}",
        model.view(),
        rows::rows(model).all,
        settings.zoom,
        settings.clock,
        model.page.focus,
        model.plan.direction,
        model.filters.texts,
        model.frozen.is_some(),
        settings.masks.on,
        model.fleet.marks.len() + model.team.reviews.marks.len(),
    )
}
