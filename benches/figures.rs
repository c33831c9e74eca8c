//! The figures that the README quotes, measured on whole processes as an operator meets them:
//! `cargo bench --bench figures [-- NAME…]` with first-frame, picture, flood, idle. Each prints what
//! it measured and the limit; nothing here asserts a time.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    num::NonZeroU16,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const SLUICE: &str = env!("CARGO_BIN_EXE_sluice");

fn main() {
    let asked: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let all: [(&str, fn()); 4] =
        [("first-frame", first_frame), ("picture", picture), ("flood", flood), ("idle", idle)];
    for (name, figure) in all {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            figure();
        }
    }
}

/// Time from start to the first frame with every cluster dead.
fn first_frame() {
    let fleet = Fleet::serve(&["--scenario", "dead"]);
    let mut times: Vec<u128> = (0..11)
        .map(|_| {
            let start = Instant::now();
            let screen = Terminal::start(&fleet, 120, 40);
            screen.wait(|text| text.contains("sluice"), Duration::from_secs(10)).expect("a first frame");
            start.elapsed().as_millis()
        })
        .collect();
    times.sort_unstable();
    println!(
        "first frame, all clusters dead: median {} ms, worst {} ms of 11 (limit 100 ms)",
        times[5], times[10]
    );
}

/// 13 clusters x 500 namespaces x 5 policies: time to a full picture and peak memory.
fn picture() {
    let fleet = Fleet::serve(&["--scenario", "scale:13x500x5"]);
    let start = Instant::now();
    let mut status = Command::new(SLUICE)
        .args(["status", "-o", "json"])
        .env("KUBECONFIG", &fleet.kubeconfig)
        .stdout(Stdio::piped())
        .spawn()
        .expect("sluice status starts");
    let mut out = String::new();
    let mut peak = 0;
    let mut pipe = status.stdout.take().expect("piped");
    let reader = thread::spawn(move || pipe.read_to_string(&mut out).map(|_| out));
    while status.try_wait().expect("waited for").is_none() {
        peak = peak.max(memory_kib(status.id(), "VmHWM"));
        thread::park_timeout(Duration::from_millis(10));
    }
    let out = reader.join().expect("read").expect("text");
    let seen = out.matches("\"egress\"").count();
    println!(
        "full picture of 13 x 500 x 5: {} ms, {seen} namespaces, peak memory {} MB (limit 250 MB)",
        start.elapsed().as_millis(),
        peak / 1024
    );
}

/// 50,000 denied flows a second for a minute: echo of keys, memory, and what was lost.
fn flood() {
    let fleet = Fleet::serve(&["--scenario", "scale:13x10x5:50000"]);
    let screen = Terminal::start(&fleet, 160, 50);
    screen.wait(|text| text.contains("live"), Duration::from_secs(30));
    screen.send("2");
    let mut echoes = Vec::new();
    let (start, mut early) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(60) {
        // A filter line echoes each character; the next is sent when the last was seen.
        let typed = format!("e{}", echoes.len());
        let sent = Instant::now();
        screen.send(&format!("/{typed}"));
        if screen.wait(|text| text.contains(&typed), Duration::from_secs(5)).is_some() {
            echoes.push(sent.elapsed().as_micros());
        }
        screen.send("\x1b\x15");
        thread::park_timeout(Duration::from_millis(120));
        if early == 0 && start.elapsed() > Duration::from_secs(15) {
            early = memory_kib(screen.pid, "VmRSS");
        }
    }
    echoes.sort_unstable();
    let at = |share: f64| echoes[((echoes.len() - 1) as f64 * share) as usize] / 1000;
    println!(
        "flood: {} keys, echo p50 {} ms, p99 {} ms (limit 50 ms); memory {} MB after 15 s, {} MB after 60 s",
        echoes.len(),
        at(0.5),
        at(0.99),
        early / 1024,
        memory_kib(screen.pid, "VmRSS") / 1024
    );
    screen.send("5");
    thread::park_timeout(Duration::from_millis(500));
    println!("{}", screen.text());
}

/// CPU of a cockpit on the quiet demo fleet.
fn idle() {
    let fleet = Fleet::serve(&[]);
    let screen = Terminal::start(&fleet, 120, 40);
    screen.wait(|text| text.contains("live"), Duration::from_secs(30));
    thread::park_timeout(Duration::from_secs(10));
    let (before, start) = (cpu_ticks(screen.pid), Instant::now());
    thread::park_timeout(Duration::from_secs(30));
    let ticks = cpu_ticks(screen.pid) - before;
    let share = ticks as f64 / 100.0 / start.elapsed().as_secs_f64() * 100.0;
    println!("idle on the quiet demo fleet: {share:.2} % of a core (limit 1 %)");
}

/// `sluice demo --serve` as a process of its own.
struct Fleet {
    child: Child,
    kubeconfig: PathBuf,
}

impl Fleet {
    fn serve(args: &[&str]) -> Self {
        let mut child = Command::new(SLUICE)
            .args(["demo", "--serve"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its first line");
        let kubeconfig =
            line.trim().strip_prefix("export KUBECONFIG=").expect("names its kubeconfig").trim_matches('\'');
        Self { kubeconfig: kubeconfig.into(), child }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The cockpit on a terminal of its own.
struct Terminal {
    pid: u32,
    child: Box<dyn portable_pty::Child + Send + Sync>,
    input: Mutex<Box<dyn Write + Send>>,
    screen: Arc<(Mutex<vt100::Parser>, Condvar)>,
    ended: Arc<AtomicBool>,
}

impl Terminal {
    fn start(fleet: &Fleet, columns: u16, rows: u16) -> Self {
        let pty = native_pty_system()
            .openpty(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 })
            .expect("a terminal");
        let mut command = CommandBuilder::new(SLUICE);
        command.env("KUBECONFIG", &fleet.kubeconfig);
        command.env("TERM", "xterm-256color");
        command.cwd(env::temp_dir());
        let child = pty.slave.spawn_command(command).expect("the cockpit starts");
        let size = |n| NonZeroU16::new(n).expect("not zero");
        let screen = Arc::new((Mutex::new(vt100::Parser::new(size(rows), size(columns), 0)), Condvar::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let mut out = pty.master.try_clone_reader().expect("its output");
        let input = Mutex::new(pty.master.take_writer().expect("its input"));
        let (shared, over) = (screen.clone(), ended.clone());
        thread::spawn(move || {
            let _master = pty.master;
            let mut bytes = [0; 65_536];
            while let Ok(n @ 1..) = out.read(&mut bytes) {
                shared.0.lock().expect("not poisoned").process(&bytes[..n]);
                shared.1.notify_all();
            }
            over.store(true, Ordering::Relaxed);
        });
        Self { pid: child.process_id().expect("a pid"), child, input, screen, ended }
    }

    fn send(&self, keys: &str) {
        let mut input = self.input.lock().expect("not poisoned");
        input.write_all(keys.as_bytes()).and_then(|()| input.flush()).expect("the cockpit takes keys");
    }

    fn text(&self) -> String {
        self.screen.0.lock().expect("not poisoned").screen().contents()
    }

    fn wait(&self, seen: impl Fn(&str) -> bool, limit: Duration) -> Option<()> {
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

/// A line of `/proc/PID/status`, in KiB.
fn memory_kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// User and system time of a process, in hundredths of a second (the kernel's USER_HZ).
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}
