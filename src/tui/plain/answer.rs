//! A session by lines: what is typed becomes the keys of the screen, what they change is told once.
//! Return alone never does anything but show or close; what changes a cluster takes the same typed
//! word, or the same word twice, as it does on the screen.

use chrono::TimeDelta;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{
    super::{
        chooser::Chooser,
        dialog::Overlay,
        form::{At, Entry, Form},
        keys,
        model::{Model, Options, Tone},
        settle::settle,
        update::{Ask, Input, update},
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
        world::World,
    },
    domain::{fleet::Health, time::Timestamp},
};

/// A session waits no longer than this for clusters and orders.
const PATIENCE: TimeDelta = TimeDelta::seconds(60);
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
    /// Clusters answered and orders ended, or this moment.
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
        let model = Model::new(Options { theme: "mono", ascii, size: SIZE });
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

    /// What is said first; the page follows once the clusters have answered.
    pub fn begin(&mut self, world: &World) -> Vec<String> {
        let count = world.clusters().len();
        self.wait = Some(Wait::Rest(world.now() + TimeDelta::seconds(10)));
        self.wants = Wants::Page;
        vec![
            format!("sluice, by lines; {count} clusters are asked"),
            "type ? for what can be typed, a number for a row, return for the page, q to leave".to_owned(),
        ]
    }

    /// Further lines wait: for clusters, orders, a preview, or because it was asked for.
    pub fn holds(&self, world: &World) -> bool {
        let is_connecting = || world.clusters().any(|cluster| cluster.health == Health::Connecting);
        let waits = match self.wait {
            None => false,
            Some(Wait::Until(until)) => world.now() < until,
            Some(Wait::Rest(until)) => {
                world.now() < until && (is_connecting() || world.running().next().is_some())
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
        if let Some(id) = everywhere(typed) {
            // A dialog says something else once names are hidden or shown.
            self.told = None;
            return self.press(world, first(id));
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
    pub fn copied(&mut self, text: &str) -> Vec<String> {
        self.model.told.toasts.clear();
        self.wants = Wants::Nothing;
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
            let asks = self.press(world, ":");
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
        let Some(id) = command(word) else { return self.puzzled(word) };
        self.wants = match id {
            CommandId::Down | CommandId::Up | CommandId::Top | CommandId::Bottom | CommandId::Mark => {
                Wants::Row
            }
            CommandId::PageDown | CommandId::PageUp | CommandId::Refresh | CommandId::Times => Wants::Page,
            _ => Wants::Changes,
        };
        // `q` goes back first, the word leaves.
        let key = if word == "q" { "q" } else { first(id) };
        self.press(world, key)
    }

    fn puzzled(&mut self, typed: &str) -> Vec<Ask> {
        self.wants = Wants::Nothing;
        let what = say(typed, self.model.settings.ascii);
        self.model.told.say(format!("not understood: {what}; ? lists what can be typed"), Tone::Plain);
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
        let mut asks = self.press(world, "/");
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
        let has_commands = matches!(overlay, Overlay::RollBack(_) | Overlay::Apply(_));
        let is_quit = matches!(overlay, Overlay::Quit);
        let is_renewal = matches!(overlay, Overlay::Renew(_));
        self.model.overlay = Some(overlay);
        match typed {
            "esc" | "cancel" | "q" => self.press(world, "esc"),
            // Taking back works in every state (law 6).
            "rollback" | "ctrl-r" => self.press(world, "ctrl-r"),
            typed if word.as_deref() == Some(typed) => {
                self.press(world, "ctrl-u");
                self.type_in(world, typed);
                self.press(world, "enter")
            }
            "" if form.is_some() || is_waiting => {
                self.wants = Wants::Page;
                Vec::new()
            }
            "" => self.press(world, if is_quit { "esc" } else { "enter" }),
            // Leaves where that was asked for already, else closes.
            "quit" | "ctrl-c" => self.press(world, "ctrl-c"),
            "y" | "Y" | "copy" | "copy-command" => self.press(world, if has_commands { "Y" } else { "y" }),
            "w" if is_renewal => self.press(world, "w"),
            typed if is_renewal && command(typed) == Some(CommandId::Renew) => {
                self.press(world, first(CommandId::Renew))
            }
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
            word if command(word).is_some() => self.word(world, word),
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

/// Stopping, taking back, leaving to the shell and masks work over everything, as their keys do.
fn everywhere(typed: &str) -> Option<CommandId> {
    command(typed).filter(|id| matches!(id, CommandId::Abort | CommandId::Suspend | CommandId::Mask))
}

/// By its name or by one of its keys. Digits are rows here, not pages.
fn command(word: &str) -> Option<CommandId> {
    if is_number(word) {
        return None;
    }
    // A control key that the terminal left as it is.
    let control = match word.as_bytes() {
        [byte @ 1..=26] => Some(format!("ctrl-{}", char::from(byte + b'a' - 1))),
        _ => None,
    };
    let word = control.as_deref().unwrap_or(word);
    let by_key = || commands::TABLE.iter().find(|row| row.keys.contains(&word));
    commands::by_name(word).or_else(by_key).map(|row| row.id)
}

/// The session keeps to the keys that ship: whoever types words needs no others.
fn first(id: CommandId) -> &'static str {
    commands::row(id).keys.first().copied().unwrap_or_default()
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Another one: the page is worth telling again.
fn shape(model: &Model) -> String {
    let settings = &model.settings;
    format!(
        "{:?} {:?} {} {} {:?} {:?} {:?} {} {} {}",
        model.view(),
        rows::rows(model).all,
        settings.zoomed,
        settings.clock,
        model.page.focus,
        model.plan.direction,
        model.filters.texts,
        model.frozen.is_some(),
        settings.masks.on,
        model.fleet.marks.len() + model.team.reviews.marks.len(),
    )
}
