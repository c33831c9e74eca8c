//! Programs as an operator meets them: the cockpit on a terminal of its own, and the demo's clusters
//! served by another process. Shared by tests and by the bench of the README's figures.

use std::{
    io::{BufRead, BufReader, Read, Write},
    num::NonZeroU16,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

pub const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");

/// `sluice demo --serve` as a process of its own.
pub struct Fleet {
    child: Child,
    pub kubeconfig: PathBuf,
    /// What else it said as it began, without the `# `.
    pub said: Vec<String>,
}

impl Fleet {
    pub fn serve(args: &[&str]) -> Self {
        let mut child = Command::new(SLUICE)
            .args(["demo", "--serve"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let mut lines = out.lines().map(|line| line.expect("text"));
        let first = lines.next().expect("its first line");
        let kubeconfig =
            first.strip_prefix("export KUBECONFIG=").expect("names its kubeconfig").trim_matches('\'');
        let said = lines.map(|line| line.trim_start_matches("# ").to_owned());
        let said = said.take_while(|line| !line.starts_with("interrupt ")).collect();
        Self { kubeconfig: kubeconfig.into(), child, said }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cockpit on a terminal of its own.
pub struct Terminal {
    pub pid: u32,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    input: Mutex<Box<dyn Write + Send>>,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    ended: Arc<AtomicBool>,
    /// All that came, as it came.
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// `home`: where it starts, and where all that it keeps for its user goes.
    pub fn start(fleet: &Fleet, home: &Path, args: &[&str], size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new(SLUICE);
        command.args(args);
        command.env_clear();
        command.env("KUBECONFIG", &fleet.kubeconfig);
        command.env("TERM", "xterm-256color");
        Self::run(command, home, size)
    }

    /// What a shell with job control makes of it, on a terminal of this kind.
    pub fn shell(script: &str, term: &str, home: &Path, size: (u16, u16)) -> Self {
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", script]);
        command.env_clear();
        command.env("TERM", term);
        command.env("LANG", "C.UTF-8");
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin");
        Self::run(command, home, size)
    }

    fn run(mut command: CommandBuilder, home: &Path, (columns, rows): (u16, u16)) -> Self {
        let pty = native_pty_system()
            .openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })
            .expect("a terminal");
        command.env("HOME", home);
        command.cwd(home);
        let child = pty.slave.spawn_command(command).expect("the cockpit starts");
        // The last one that holds the other end closes it.
        drop(pty.slave);
        let size = |n| NonZeroU16::new(n).expect("not zero");
        let screen = Arc::new((Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)), Condvar::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let mut out = pty.master.try_clone_reader().expect("its output");
        let input = Mutex::new(pty.master.take_writer().expect("its input"));
        let (shared, over) = (screen.clone(), ended.clone());
        let all = Arc::new(Mutex::new(Vec::new()));
        let kept = all.clone();
        let master = pty.master;
        thread::spawn(move || {
            let _master = master;
            let mut bytes = [0; 65_536];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                kept.lock().expect("not poisoned").extend_from_slice(&bytes[..n]);
                shared.0.lock().expect("not poisoned").process(&bytes[..n]);
                shared.1.notify_all();
            }
            over.store(true, Ordering::Relaxed);
            shared.1.notify_all();
        });
        Self { pid: child.process_id().expect("a pid"), child, input, screen, ended, bytes: all }
    }

    pub fn send(&self, keys: &str) {
        let mut input = self.input.lock().expect("not poisoned");
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).expect("the cockpit takes keys");
    }

    /// All that came so far, escape sequences too.
    pub fn bytes(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("not poisoned")).into_owned()
    }

    /// On the alternate screen, or with the cursor hidden?
    pub fn is_taken(&self) -> bool {
        let parser = self.screen.0.lock().expect("not poisoned");
        parser.screen().alternate_screen() || parser.screen().hide_cursor()
    }

    pub fn text(&self) -> String {
        self.screen.0.lock().expect("not poisoned").screen().contents()
    }

    pub fn wait(&self, seen: impl Fn(&str) -> bool, limit: Duration) -> Option<()> {
        let (lock, changed) = &*self.screen;
        let guard = lock.lock().expect("not poisoned");
        let (guard, timed_out) = changed
            .wait_timeout_while(guard, limit, |parser| {
                !seen(&parser.screen().contents()) && !self.ended.load(Ordering::Relaxed)
            })
            .expect("not poisoned");
        drop(guard);
        (!timed_out.timed_out()).then_some(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
