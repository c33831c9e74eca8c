//! The interactive program: the terminal, and one loop of keys, frames and facts on the engine.
//! Keys come first, then the frame, then facts: under flood neither starves.

mod clipboard;
mod depth;
mod plain;
mod terminal;

use std::time::Duration;

use color_eyre::eyre::Report;
use crossterm::event::{Event, EventStream, KeyEventKind};
use futures::StreamExt;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

pub use self::clipboard::Tool;
pub use self::depth::Depth;
use self::terminal::{Looks, Screen};
use crate::{
    cockpit::{ports::Trouble, spot::Spot},
    engine::{Claims, Engine, Setup, Soaks},
    tui::{
        model::{self, Model},
        preferences::Preferences,
        settle,
        theme::Theme,
        update::{self, Ask, Input},
        view,
    },
};

/// A frame at most this often.
const FRAME: Duration = Duration::from_millis(33);
/// A key is drawn at once if the last frame is at least this old.
const KEY_FRAME: Duration = Duration::from_millis(8);
/// Ages on a quiet screen move on this often.
const AGES: Duration = Duration::from_secs(1);

/// Evidence is written once more and Leases are given back, if that goes quickly.
const LEAVING: Duration = Duration::from_secs(2);

/// What the operator chose about the screen.
pub struct Options {
    /// Name of a theme that ships.
    pub theme: &'static str,
    pub mouse: bool,
    /// Draw no character outside ASCII.
    pub ascii: bool,
    /// As whom it takes Leases of clusters that nobody observes, and what it publishes of them.
    pub observes: Option<(Claims, Soaks)>,
    /// Where it begins.
    pub open: Option<Spot>,
    /// By lines instead of a screen.
    pub plain: bool,
    /// Names and addresses are hidden from the start.
    pub masked: bool,
    /// Of this run, at random: masks of one screen say nothing about another.
    pub salt: u64,
    /// The last screen stays behind.
    pub keep: bool,
    pub depth: Depth,
    /// The user's own choices, what is wrong with them, and which keys changed since the last run.
    pub chosen: Chosen,
}

/// What the user's own folders hold.
#[derive(Default)]
pub struct Chosen {
    pub preferences: Preferences,
    pub troubles: Vec<Trouble>,
    pub changed: Vec<String>,
    /// The system's clipboard tools to try; none: the terminal is asked.
    pub clipboard: Vec<Tool>,
}

/// Runs until the operator leaves. The terminal is restored on every way out, a panic included.
pub async fn run(setup: Setup, options: Options) -> color_eyre::Result<()> {
    if options.plain {
        return Box::pin(plain::run(setup, options)).await;
    }
    let looks = Looks { mouse: options.mouse, keep: options.keep, depth: options.depth };
    let mut screen = Screen::open(looks)?;
    let start = model::Options { theme: options.theme, ascii: options.ascii, size: screen.size()? };
    let mut engine = Engine::start(setup);
    if let Some((claims, soaks)) = options.observes {
        engine.observe(claims, soaks);
    }
    let mut cockpit = Cockpit {
        model: Model::new(start),
        theme: Theme::load(options.theme).map_err(Report::msg)?,
        engine,
        drawn: Instant::now(),
        dirty: true,
        behind: true,
        clipboard: options.chosen.clipboard.clone(),
    };
    cockpit.model.settings.masks.salt = options.salt;
    cockpit.model.settings.masks.on = options.masked;
    let Chosen { preferences, troubles, changed, .. } = options.chosen;
    update::begin(&mut cockpit.model, cockpit.engine.world(), preferences, troubles);
    if let Some(spot) = options.open {
        update::open(&mut cockpit.model, spot);
    }
    update::note_changed_keys(&mut cockpit.model, changed);
    cockpit.draw(&mut screen)?;
    let ended = cockpit.run(&mut screen).await;
    screen.close()?;
    leave(&mut cockpit.engine).await;
    ended
}

/// Whoever comes next takes over at once, or else after half a minute.
async fn leave(engine: &mut Engine) {
    let leaving = async {
        while engine.leave() {
            engine.turn().await;
        }
    };
    let _ = tokio::time::timeout(LEAVING, leaving).await;
}

struct Cockpit {
    model: Model,
    theme: Theme,
    engine: Engine,
    drawn: Instant,
    dirty: bool,
    /// Facts came that the model was not told of.
    behind: bool,
    clipboard: Vec<Tool>,
}

/// What the loop does next.
enum Next {
    Go,
    Suspend,
    Leave,
}

impl Cockpit {
    async fn run(&mut self, screen: &mut Screen) -> color_eyre::Result<()> {
        let mut keys = EventStream::new();
        let mut frame = ticking(FRAME);
        let mut ages = ticking(AGES);
        let mut stop = Box::pin(terminal::told_to_stop());
        loop {
            tokio::select! {
                biased;
                event = keys.next() => {
                    let Some(event) = event else { return Ok(()) };
                    match self.input(event?, screen)? {
                        Next::Go => {}
                        Next::Leave => return Ok(()),
                        Next::Suspend => {
                            // The stream would swallow what is typed into the shell.
                            drop(keys);
                            // To let it go its reader was woken. Left for later, the waking would come
                            // together with the first key and hide it until the second (crossterm 0.29
                            // reads edges, and leaves at a waking).
                            crossterm::event::poll(Duration::ZERO)?;
                            screen.suspend()?;
                            keys = EventStream::new();
                        }
                    }
                    self.draw_soon(screen, &mut frame)?;
                }
                () = &mut stop => return Ok(()),
                _ = frame.tick(), if self.dirty => self.draw(screen)?,
                () = self.engine.turn() => {
                    self.tell(screen)?;
                    (self.dirty, self.behind) = (true, true);
                }
                _ = ages.tick() => {
                    self.engine.tick();
                    self.model.told.second_passed();
                    self.tell(screen)?;
                    if let Some(command) = update::follow(&self.model, self.engine.world()) {
                        // What the page lacks is said on the page.
                        let _ = self.engine.command(&command);
                    }
                    (self.dirty, self.behind) = (true, true);
                }
            }
        }
    }

    /// What is worth waking somebody for: a line on the screen, and a bell where it is wanted.
    fn tell(&mut self, screen: &mut Screen) -> color_eyre::Result<()> {
        for alert in self.engine.take_alerts() {
            update::note_alert(&mut self.model, &alert);
            let notify = self.engine.world().plan().settings.notify.as_ref();
            if notify.is_some_and(|notify| notify.bell) {
                screen.ring(&alert.line())?;
            }
        }
        Ok(())
    }

    /// The echo of a key does not wait for the frame's tick, unless keys come in bursts.
    fn draw_soon(&mut self, screen: &mut Screen, frame: &mut Interval) -> color_eyre::Result<()> {
        self.dirty = true;
        if self.drawn.elapsed() >= KEY_FRAME {
            self.draw(screen)?;
            frame.reset();
        } else {
            frame.reset_after(KEY_FRAME);
        }
        Ok(())
    }

    /// Rows of a large fleet are worked out anew only where facts came, not for every letter of a filter.
    fn settle(&mut self) {
        let is_behind = std::mem::take(&mut self.behind) || settle::is_behind(&self.model);
        // What a dialog says is checked against the world after each key in it.
        if is_behind || self.model.overlay.is_some() {
            settle::settle(&mut self.model, self.engine.world());
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> color_eyre::Result<()> {
        self.settle();
        let (world, model, theme) = (self.engine.world(), &self.model, &self.theme);
        screen.draw(|frame| view::draw(world, model, theme, frame))?;
        self.drawn = Instant::now();
        self.dirty = settle::is_behind(&self.model);
        Ok(())
    }

    fn input(&mut self, event: Event, screen: &mut Screen) -> color_eyre::Result<Next> {
        let input = match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => Input::Key(key),
            Event::Mouse(mouse) => Input::Mouse(mouse),
            Event::Paste(text) => Input::Paste(text),
            Event::Resize(columns, lines) => Input::Resize(columns, lines),
            Event::Key(_) | Event::FocusGained | Event::FocusLost => return Ok(Next::Go),
        };
        // What the operator acts on is what stands on the screen, with the facts absorbed so far.
        self.settle();
        let mut next = Next::Go;
        for ask in update::update(&mut self.model, self.engine.world(), input) {
            match ask {
                Ask::Command(command) => {
                    update::note_answer(&mut self.model, self.engine.command(&command));
                    self.behind = true;
                }
                Ask::Copy(text) if clipboard::copy(&self.clipboard, &text) => {}
                Ask::Copy(text) => screen.copy(&text)?,
                Ask::Theme(name) => self.theme = Theme::load(name).map_err(Report::msg)?,
                Ask::Suspend => next = Next::Suspend,
                Ask::Quit => next = Next::Leave,
            }
        }
        Ok(next)
    }
}

fn ticking(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
