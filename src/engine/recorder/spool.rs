//! Acts wait here until the journal has them: append-only JSON lines in a file of this process, each
//! written through to the disk, so that a kill loses nothing. A thread of its own writes; nobody waits
//! for it. Files of processes that are no more are taken over at the start.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use super::lines::{self, Line};
use crate::{
    cockpit::{ports::Trouble, recording::Draft},
    domain::names::Text,
};

/// How long the end of the program waits for the disk; a test, for as long as its disk takes.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 600 } else { 2 });
/// Names tried for a file of our own.
const TRIES: u32 = 1_000;
/// Largest file of another process that is read, in bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// What the thread tells.
pub(super) enum News {
    /// Acts that a process before this one left behind.
    Found(Vec<Draft>),
    Trouble(Trouble),
}

enum Ask {
    Line(String),
    /// What was found is written anew: the files it came from may go.
    Forget,
    #[cfg(test)]
    Tell(Sender<()>),
}

pub(super) struct Spool {
    asks: Option<Sender<Ask>>,
    news: Receiver<News>,
    ended: Receiver<()>,
}

impl Spool {
    pub(super) fn open(folder: PathBuf) -> Self {
        let (asks, asked) = channel();
        let (tell, news) = channel();
        let (ending, ended) = channel();
        let spawned = thread::Builder::new().name("records".to_owned()).spawn(move || {
            let _ending = ending;
            run(&folder, &asked, &tell);
        });
        if let Err(error) = spawned {
            tracing::error!(%error, "the thread that keeps records did not start");
        }
        Self { asks: Some(asks), news, ended }
    }

    /// Never waits.
    pub(super) fn append(&self, line: &Line) {
        self.ask(Ask::Line(lines::text(line)));
    }

    pub(super) fn forget_found(&self) {
        self.ask(Ask::Forget);
    }

    pub(super) fn news(&self) -> impl Iterator<Item = News> + '_ {
        self.news.try_iter()
    }

    /// Waits for news.
    #[cfg(test)]
    pub(super) fn next_news(&self) -> News {
        self.news.recv().expect("the thread runs")
    }

    /// Waits until everything asked for is on the disk.
    #[cfg(test)]
    pub(super) fn flushed(&self) {
        let (tell, told) = channel();
        self.ask(Ask::Tell(tell));
        told.recv().expect("the thread runs");
    }

    fn ask(&self, ask: Ask) {
        // A thread that ended said why.
        let _ = self.asks.as_ref().map(|asks| asks.send(ask));
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.asks = None;
        if self.ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::error!("the disk did not take the last records in time");
        }
    }
}

fn run(folder: &Path, asked: &Receiver<Ask>, tell: &Sender<News>) {
    let mut found = take_over(folder, tell);
    let mut own: Option<Locked> = None;
    let mut is_broken = false;
    while let Ok(ask) = asked.recv() {
        match ask {
            Ask::Line(line) => {
                // Who changes nothing leaves no file.
                let written = match &mut own {
                    Some(own) => own.write(&line),
                    None => open_own(folder).and_then(|opened| own.insert(opened).write(&line)),
                };
                if let (Err(error), false) = (written, is_broken) {
                    let _ = tell.send(News::Trouble(not_kept(folder, &error)));
                    is_broken = true;
                }
            }
            #[cfg(test)]
            Ask::Tell(tell) => tell.send(()).expect("somebody waits"),
            Ask::Forget if is_broken => {}
            Ask::Forget => {
                for (path, _lock) in found.drain(..) {
                    let _ = fs::remove_file(path);
                }
            }
        }
    }
}

/// A file that this process has locked. It is unlocked by itself: closing leaves the lock with any process
/// that is just being started and has not let go of our files.
struct Locked(File);

impl Locked {
    fn write(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(line.as_bytes())?;
        self.0.sync_data()
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// A file that nobody else has, locked for as long as this process lives.
fn open_own(folder: &Path) -> io::Result<Locked> {
    fs::create_dir_all(folder)?;
    for n in 0..TRIES {
        let path = folder.join(format!("acts-{}-{n}.jsonl", std::process::id()));
        let file = match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        };
        // Between making and locking, another process may have taken it for one left behind.
        let is_ours = file.try_lock().is_ok()
            && fs::metadata(&path)
                .is_ok_and(|there| file.metadata().is_ok_and(|own| own.ino() == there.ino()));
        if is_ours {
            File::open(folder)?.sync_all()?;
            return Ok(Locked(file));
        }
    }
    Err(io::Error::other("no free name for a file"))
}

/// Reads what processes that are no more left behind, and holds their files.
fn take_over(folder: &Path, tell: &Sender<News>) -> Vec<(PathBuf, Locked)> {
    let mut held = Vec::new();
    let (mut drafts, mut odd) = (Vec::new(), 0);
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_acts = name.to_str().is_some_and(|name| name.starts_with("acts-") && name.ends_with(".jsonl"));
        if !is_acts {
            continue;
        }
        match read(&path) {
            Ok(Some((file, text))) => {
                let replayed = lines::replay(&text);
                odd += replayed.odd;
                if replayed.drafts.is_empty() {
                    let _ = fs::remove_file(path);
                } else {
                    drafts.extend(replayed.drafts);
                    held.push((path, file));
                }
            }
            // Its process lives.
            Ok(None) => {}
            Err(error) => {
                let _ = tell.send(News::Trouble(not_read(&path, &error)));
            }
        }
    }
    if odd > 0 {
        tracing::warn!(odd, "lines of records were not understood");
        let _ = tell.send(News::Trouble(Trouble::new(
            &folder.to_string_lossy(),
            &format!("{odd} lines of acts that wait for the journal were not understood"),
            "They were cut by a crash or changed by hand; the log file says when.",
        )));
    }
    if !drafts.is_empty() {
        drafts.sort_by_key(|draft| draft.stamp.at);
        let _ = tell.send(News::Found(drafts));
    }
    held
}

/// `None`: it is another process's.
fn read(path: &Path) -> io::Result<Option<(Locked, String)>> {
    let file = File::open(path)?;
    let file = match file.try_lock() {
        Ok(()) => Locked(file),
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    };
    if file.0.metadata()?.len() > LARGEST {
        return Err(io::Error::other("it is larger than 64 MiB"));
    }
    let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    Ok(Some((file, text)))
}

fn not_kept(folder: &Path, error: &io::Error) -> Trouble {
    Trouble {
        object: Text::new(&folder.to_string_lossy()),
        fact: Text::from(format!("acts cannot be kept there ({error})")),
        next: Text::new(
            "They are in the journal only while the state cluster answers: make the folder writable.",
        ),
    }
}

fn not_read(path: &Path, error: &io::Error) -> Trouble {
    Trouble {
        object: Text::new(&path.to_string_lossy()),
        fact: Text::from(format!("acts that wait for the journal cannot be read ({error})")),
        next: Text::new("Make the file readable for this user, then start sluice again."),
    }
}
