//! Who sits at the cockpit of a transcript: types keys, waits, looks. A fleet of a file beside the
//! transcripts is worked on as in a real workspace, with its evidence, and with collectors if the first
//! line asks for them; a built-in one with gates that are open.

use std::{fmt::Write as _, path::Path, time::Duration};

use chrono::{DateTime, FixedOffset, Utc};
use clap::Parser as _;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use sluice::{
    cli::{
        args::{Cli, Command},
        demo::collectors::Collectors,
        exit::Exit,
        print::Printer,
        report,
        session::Session,
    },
    cockpit::plan::{ClusterEntry, FleetFile},
    domain::names::Text,
    engine::{Claims, Clock, Engine, Records, Setup, Soaks},
    k8s::{connect::Access, lease::Role},
    sim::fleet::{
        companions,
        faults::Fault,
        people::Person,
        running::{Fleet, Options as FleetOptions},
        scenario::Scenario,
        workspace,
    },
    tui::{
        model::{Model, Options},
        settle::settle,
        theme::Theme,
        update::{self, Ask, Input},
        view,
    },
    workspace::root::{self, Place},
};
use tokio::time::Instant;

use super::{Paper, svg};

/// What a story came to.
pub struct Told {
    pub text: String,
    /// By name.
    pub pictures: Vec<(String, String)>,
}

/// What a cockpit publishes of soaks.
const SOAKS: Soaks = Soaks {
    targets: |world, cluster| world.soaks().targets().filter(|target| target.cluster == *cluster).collect(),
    evidence: |world, target| world.soaks().evidence(target, world),
};

/// Size of a picture.
const PICTURE: (u16, u16) = (120, 40);

pub struct Player {
    fleet: Fleet,
    start: DateTime<Utc>,
    began: Instant,
    person: Person,
    cockpit: Option<Cockpit>,
    opened: u32,
    copied: Option<String>,
    left: bool,
    is_real: bool,
    _collectors: Option<Collectors>,
    // Lives as long as engines read it.
    folder: tempfile::TempDir,
}

/// The program as one person has it open.
struct Cockpit {
    engine: Engine,
    model: Model,
}

impl Player {
    pub fn start(first: &str) -> Self {
        let words: Vec<_> = first.split_whitespace().collect();
        let option = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let seed = option("seed").map_or(1, |seed| seed.parse().expect("a number"));
        let start = option("from").map_or_else(super::start, |from| from.parse().expect("a time"));
        let name = option("fleet").expect("fleet NAME");
        let is_real = name.ends_with(".toml");
        let scenario = match is_real {
            true => Scenario::load(&format!("{}/tests/transcripts/{name}", env!("CARGO_MANIFEST_DIR"))),
            false => Scenario::named(name),
        };
        let fleet = Fleet::new(&scenario.expect("a scenario"), FleetOptions { seed, speed: 1.0, start });
        let folder = tempfile::tempdir().expect("a temporary folder");
        if is_real {
            write_workspace(&fleet, folder.path(), name);
        }
        let clock = Clock::simulated(start, 1.0);
        let collectors = words.contains(&"collectors");
        let mut player = Self {
            person: super::person(option("person").unwrap_or("lead")),
            start,
            began: Instant::now(),
            cockpit: None,
            opened: 0,
            copied: None,
            left: false,
            is_real,
            _collectors: collectors.then(|| Collectors::start(&fleet, folder.path(), clock)),
            fleet,
            folder,
        };
        player.open();
        player
    }

    fn now(&self) -> DateTime<Utc> {
        self.start + self.began.elapsed()
    }

    /// The program as this person begins it now.
    fn engine(&self) -> Engine {
        if !self.is_real {
            return super::engine_with_workspace(&self.fleet, self.person, self.folder.path());
        }
        let place = Place { root: self.folder.path().to_owned(), only: Vec::new() };
        let read = root::read(&place).expect("the workspace is valid");
        assert_eq!(read.notices, [], "the workspace has no complaints");
        let (members, person) = (self.fleet.clone(), self.person);
        Engine::start(Setup {
            // The folder is a temporary one: screens must not show its name.
            fleet: FleetFile { path: Some(Text::new("sluice.yaml")), ..read.fleet },
            files: read.files,
            notices: Vec::new(),
            reach: std::sync::Arc::new(move |entry: &ClusterEntry| {
                let member = members.cluster(entry.context.as_str()).expect("a cluster of the fleet");
                Access::Client(super::client(member, person))
            }),
            clock: Clock::simulated(self.now(), 1.0),
            zone: FixedOffset::east_opt(3600).expect("in range"),
            read_only: false,
            follow_flows: true,
            workspace: Some(place),
            records: Some(Records {
                folder: self.folder.path().join("acts").join(person.name()),
                strays: None,
            }),
            notify: None,
        })
    }

    fn open(&mut self) {
        let mut engine = self.engine();
        self.opened += 1;
        if self.is_real {
            let nonce = Text::from(format!("{:08}", self.opened));
            let host = Text::new("laptop");
            let claims = Claims { role: Some(Role::Cockpit), host, nonce, ..Claims::default() };
            engine.observe(claims, SOAKS);
        }
        let model = Model::new(Options { theme: "mono", ascii: false, size: (100, 30) });
        self.cockpit = Some(Cockpit { engine, model });
    }

    pub async fn act(&mut self, line: &str, told: &mut Told) {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb {
            "" | "#" => {}
            "wait" => self.wait(duration(rest)).await,
            "until" => self.until(rest).await,
            "keys" => rest.split_whitespace().for_each(|key| self.key(parse_key(key))),
            "type" => {
                rest.chars().for_each(|c| self.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
            }
            "as" => {
                self.person = super::person(rest);
                self.open();
            }
            "leave" => self.cockpit = None,
            "sluice" => quote(&self.sluice(rest).await, told),
            "closed" => quote(&self.closed(rest), told),
            "fault" => self.fault(rest),
            "heal" => self.fleet.heal(rest),
            "screen" => {
                let (columns, rows) = rest.split_once('x').expect("COLUMNSxROWS");
                let size = (columns.parse().expect("a number"), rows.parse().expect("a number"));
                quote(&self.screen(size), told);
            }
            "picture" => {
                quote(&self.screen(PICTURE), told);
                let title = format!("sluice, {}", rest.replace('-', " "));
                let picture = svg::picture(&self.buffer(PICTURE, "sluice-dark"), &title);
                told.pictures.push((rest.to_owned(), picture));
            }
            "copied" => quote(self.copied.as_deref().unwrap_or("nothing"), told),
            "left" => assert!(self.left, "the program was not left"),
            other => panic!("{other:?} is no verb of a transcript"),
        }
        if let Some(Cockpit { engine, model }) = &mut self.cockpit {
            settle(model, engine.world());
        }
    }

    /// Nothing of this machine is told, and pictures load nothing.
    pub fn end(&self, told: &Told) {
        for (name, svg) in &told.pictures {
            let loads =
                ["href", "url(", "@import", "<script", "<image"].into_iter().find(|it| svg.contains(it));
            assert_eq!(loads, None, "{name}");
        }
        let folder = self.folder.path().to_string_lossy();
        let all = told.pictures.iter().map(|(_, svg)| svg).chain([&told.text]);
        for text in all {
            assert!(!text.contains(&*folder) && !text.contains(env!("CARGO_MANIFEST_DIR")));
        }
    }

    fn cockpit(&mut self) -> &mut Cockpit {
        self.cockpit.as_mut().expect("somebody has the cockpit open")
    }

    async fn wait(&mut self, time: Duration) {
        match &mut self.cockpit {
            Some(cockpit) => super::run_for(&mut cockpit.engine, time).await,
            None => tokio::time::sleep(time).await,
        }
    }

    fn key(&mut self, key: KeyEvent) {
        let Cockpit { engine, model } = self.cockpit.as_mut().expect("somebody has the cockpit open");
        settle(model, engine.world());
        for ask in update::update(model, engine.world(), Input::Key(key)) {
            match ask {
                Ask::Command(command) => update::note_answer(model, engine.command(&command)),
                Ask::Copy(text) => self.copied = Some(text),
                Ask::Quit => self.left = true,
                Ask::Theme(_) | Ask::Suspend => {}
            }
        }
    }

    async fn until(&mut self, wanted: &str) {
        for _ in 0..240 {
            if text(&self.buffer((200, 60), "mono")).contains(wanted) {
                return;
            }
            super::run_for(&mut self.cockpit().engine, Duration::from_millis(500)).await;
        }
        let seen = text(&self.buffer((200, 60), "mono"));
        panic!("after 2 minutes the screen still does not show {wanted:?}:\n{seen}");
    }

    /// A command beside the cockpit, in a run of its own.
    async fn sluice(&self, words: &str) -> String {
        let cli = Cli::try_parse_from(["sluice"].into_iter().chain(words.split_whitespace()));
        let cli = cli.expect("a command line");
        let (out, said) = (Paper::default(), Paper::default());
        let mut printer = Printer::new(out.clone(), said.clone());
        let mut session = Session::new(self.engine());
        let Some(Command::Report(args)) = &cli.command else { panic!("{words:?} is no report") };
        let exit = report::in_session(&mut session, &cli.global, &args.command, &mut printer).await;
        drop(printer);
        assert_eq!(exit, Exit::Done, "{}{}", out.text(), said.text());
        out.text()
    }

    /// What the simulation's own evaluator denies in a namespace as its policies are now.
    fn closed(&self, rest: &str) -> String {
        let (cluster, namespace) = rest.split_once(' ').expect("CLUSTER NAMESPACE");
        let all = self.fleet.cluster(cluster).expect("a cluster of the fleet").closed();
        let lines: Vec<_> =
            all.iter().filter(|closed| closed.namespace == namespace).map(ToString::to_string).collect();
        if lines.is_empty() { "nothing is closed".to_owned() } else { lines.join("\n") }
    }

    fn fault(&self, rest: &str) {
        let words: Vec<_> = rest.split_whitespace().collect();
        let fault = match words[1..] {
            ["dead"] => Fault::Dead,
            ["slow", secs] => Fault::Slow { answer: duration(secs) },
            ["relay-away"] => Fault::RelayAway,
            ["node-lost", node] => Fault::NodeLost { node: node.to_owned() },
            ["lost-events", count] => Fault::LostEvents { count: count.parse().expect("a number") },
            ["answers-lost"] => Fault::AnswersLost,
            ["garbage"] => Fault::Garbage,
            _ => panic!("{rest:?} is no fault of a transcript"),
        };
        self.fleet.fault(words[0], fault);
    }

    fn screen(&mut self, size: (u16, u16)) -> String {
        let Cockpit { engine, model } = self.cockpit();
        update::update(model, engine.world(), Input::Resize(size.0, size.1));
        text(&self.buffer(size, "mono"))
    }

    fn buffer(&mut self, (columns, rows): (u16, u16), theme: &str) -> Buffer {
        let theme = Theme::load(theme).expect("ships");
        let Cockpit { engine, model } = self.cockpit();
        settle(model, engine.world());
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a test backend");
        terminal.draw(|frame| view::draw(engine.world(), model, &theme, frame)).expect("drawn");
        terminal.backend().buffer().clone()
    }
}

/// As the team has it: the fleet's own files, what stands beside the scenario, and a week of edges.
fn write_workspace(fleet: &Fleet, root: &Path, scenario: &str) {
    workspace::write(fleet, root).and_then(|()| companions::write(fleet, root)).expect("it is written");
    let more = scenario.replace(".toml", ".yaml");
    let more = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(more);
    if let Ok(more) = std::fs::read_to_string(more) {
        let file = root.join("sluice.yaml");
        let text = std::fs::read_to_string(&file).expect("it is there") + &more;
        std::fs::write(file, text).expect("it is written");
    }
}

fn quote(text: &str, told: &mut Told) {
    for line in text.lines() {
        let _ = writeln!(told.text, "{}", format!("| {line}").trim_end());
    }
}

fn text(buffer: &Buffer) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let line = |y| (0..columns).map(|x| buffer[(x, y)].symbol()).collect::<String>() + "\n";
    (0..rows).map(line).collect()
}

fn duration(text: &str) -> Duration {
    let (number, unit) = text.split_at(text.len() - 1);
    let number: u64 = number.parse().expect("a number and a unit");
    Duration::from_secs(match unit {
        "s" => number,
        "m" => number * 60,
        "h" => number * 3600,
        "d" => number * 86_400,
        other => panic!("{other:?} is no unit"),
    })
}

fn parse_key(word: &str) -> KeyEvent {
    let (modifiers, name) = match word.strip_prefix("ctrl-") {
        Some(name) => (KeyModifiers::CONTROL, name),
        None => (KeyModifiers::NONE, word),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "backspace" => KeyCode::Backspace,
        "pgdn" => KeyCode::PageDown,
        "pgup" => KeyCode::PageUp,
        one if one.chars().count() == 1 => KeyCode::Char(one.chars().next().expect("one")),
        other => panic!("{other:?} is no key"),
    };
    KeyEvent::new(code, modifiers)
}
