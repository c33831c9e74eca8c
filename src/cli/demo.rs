//! `sluice demo`: the simulated fleet on loopback, and the cockpit on it like on any other. With
//! `--serve` the fleet alone, until it is interrupted.

pub mod collectors;
mod documents;

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use chrono::{DateTime, SubsecRound as _, Utc};
use clap::{Args, ValueEnum};
use directories::ProjectDirs;

use self::collectors::Collectors;
use super::{
    args::{Global, Shown},
    cockpit,
    exit::Exit,
    print::Printer,
    session::{self, Need, NoStart},
};
use crate::{
    cockpit::ports::Trouble,
    domain::valve::shell_word,
    engine::{Clock, Records},
    sim::fleet::{
        companions,
        people::Person,
        running::{Fleet, Options},
        scenario::Scenario,
        serve::{ServeOptions, Served, serve},
        workspace,
    },
};

/// Who one is in the simulated fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PersonArg {
    #[default]
    Lead,
    OnCall,
    Security,
    Viewer,
    Admin,
}

#[derive(Clone, Debug, Args)]
#[command(after_long_help = super::help::DEMO)]
pub struct Demo {
    /// Serve the fleet without the cockpit until interrupted; prints `export KUBECONFIG=PATH` first
    #[arg(long)]
    pub serve: bool,
    /// With --serve: also open each Hubble Relay on loopback: the first on this port, each further
    /// one a port higher; without a port, each on any free one
    #[arg(long, value_name = "ADDR[:PORT]", requires = "serve", value_parser = relay_address,
        num_args = 0..=1, default_missing_value = "127.0.0.1")]
    pub relay_address: Option<SocketAddr>,
    /// The fleet to simulate: a name or a file
    #[arg(long, value_name = "FILE|NAME")]
    pub scenario: Option<String>,
    /// Same seed, same fleet and traffic
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds a second
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// Whose kubeconfig the cockpit uses
    #[arg(long, value_enum, default_value_t)]
    pub person: PersonArg,
    /// Where its files go (kubeconfigs, workspace); a temporary folder if left out
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    #[command(flatten)]
    pub shown: Shown,
}

pub async fn run(
    global: &Global,
    shown: Shown,
    args: &Demo,
    printer: &mut Printer<'_>,
) -> Result<Exit, NoStart> {
    let start = now();
    let folder =
        Folder::open(args.directory.as_deref()).map_err(|error| no_start("the demo's folder", &error))?;
    let scenario = Scenario::load(args.scenario.as_deref().unwrap_or("demo")).map_err(|bad| NoStart {
        exit: Exit::Usage,
        troubles: vec![trouble("--scenario", &bad.to_string())],
    })?;
    let fleet = Fleet::new(&scenario, Options { seed: args.seed, speed: args.speed, start });
    let options = ServeOptions { directory: folder.path.clone(), relay_address: args.relay_address };
    let served = serve(&fleet, &options).await.map_err(|error| no_start("the simulated fleet", &error))?;
    let written = workspace::write(&fleet, &folder.path)
        .and_then(|()| companions::write(&fleet, &folder.path))
        .and_then(|()| companions::write_old(&fleet, &scenario.past, &folder.path));
    written.map_err(|error| no_start("the demo's workspace", &error))?;
    let root = folder.path.clone();
    tokio::task::spawn_blocking(move || documents::write(&root));
    let clock = Clock::simulated(start, args.speed);
    let _collectors = Collectors::start(&fleet, &folder.path, clock);
    let person = person(args.person);
    let kubeconfig = served.kubeconfig(person).map(Path::to_owned).unwrap_or_default();
    if args.serve {
        printer.out(&announcement(&served, &kubeconfig, &folder.path));
        session::interrupted().await;
        return Ok(Exit::Done);
    }
    let global =
        Global { kubeconfig: Some(kubeconfig), workspace: Some(folder.path.clone()), ..global.clone() };
    let mut setup = session::setup(&global, Need::AtOnce, true)?;
    setup.clock = clock;
    setup.records = Some(Records { folder: folder.path.join("acts"), strays: None });
    Box::pin(cockpit::run(&global, shown, setup, None)).await
}

/// What `--serve` prints: the first line is for `eval`, the rest is for people.
fn announcement(served: &Served, kubeconfig: &Path, folder: &Path) -> String {
    let mut out = format!("export KUBECONFIG={}\n", shell_word(&kubeconfig.to_string_lossy()));
    for (person, path) in &served.kubeconfigs {
        out.push_str(&format!("# {}: {}\n", person.name(), shell_word(&path.to_string_lossy())));
    }
    out.push_str(&format!("# workspace: {}\n", shell_word(&folder.to_string_lossy())));
    for (cluster, address) in &served.relays {
        out.push_str(&format!("# relay of {cluster}: {address}\n"));
    }
    out.push_str("# interrupt (ctrl-c) to stop\n");
    out
}

fn person(arg: PersonArg) -> Person {
    match arg {
        PersonArg::Lead => Person::Lead,
        PersonArg::OnCall => Person::OnCall,
        PersonArg::Security => Person::Security,
        PersonArg::Viewer => Person::Viewer,
        PersonArg::Admin => Person::Admin,
    }
}

#[expect(clippy::disallowed_methods, reason = "the simulated world starts now, by the system's clock")]
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(0)
}

/// Where kubeconfigs and workspace go. One of our own making is removed at the end.
struct Folder {
    path: PathBuf,
    own: bool,
}

impl Folder {
    fn open(asked: Option<&Path>) -> io::Result<Self> {
        let own = asked.is_none();
        let path = match asked {
            Some(path) => path.to_owned(),
            None => ProjectDirs::from("", "", "sluice")
                .map(|dirs| dirs.cache_dir().to_owned())
                .unwrap_or_else(std::env::temp_dir)
                .join(format!("demo-{}", std::process::id())),
        };
        fs::create_dir_all(&path)?;
        Ok(Self { path: fs::canonicalize(path)?, own })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            // Left-over files of a demo harm nobody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn no_start(object: &str, error: &io::Error) -> NoStart {
    NoStart { exit: Exit::Failed, troubles: vec![trouble(object, &error.to_string())] }
}

fn trouble(object: &str, fact: &str) -> Trouble {
    Trouble::new(object, fact, "See `sluice demo --help`.")
}

fn speed(raw: &str) -> Result<f64, String> {
    let speed: f64 = raw.parse().map_err(|_| "write a number, such as 60".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("write a number above 0".to_owned()) }
}

/// `--relay-address`: an address of this machine's loopback, with the port of the first relay.
pub fn relay_address(raw: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = raw
        .parse()
        .or_else(|_| raw.parse().map(|ip| SocketAddr::new(ip, 0)))
        .map_err(|_| "write an address such as 127.0.0.1 or 127.0.0.1:4245".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("the simulated relays listen on loopback only, such as 127.0.0.1:4245".to_owned())
    }
}
