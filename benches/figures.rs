//! The figures that the README quotes, measured on whole processes as an operator meets them:
//! `cargo bench --bench figures [-- NAME…]` with first-frame, picture, flood, idle, hundred. Each prints what
//! it measured and the limit; nothing here asserts a time.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench measures real time and prints")]

#[path = "../tests/support/terminal.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod terminal;

use std::{
    env, fs,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use terminal::{Fleet, SLUICE, Terminal};

fn main() {
    let asked: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let all: [(&str, fn()); 5] = [
        ("first-frame", first_frame),
        ("picture", picture),
        ("flood", flood),
        ("idle", idle),
        ("hundred", hundred),
    ];
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
            let screen = Terminal::start(&fleet, &env::temp_dir(), &[], (120, 40));
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
    let screen = Terminal::start(&fleet, &env::temp_dir(), &[], (160, 50));
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
        // Emptied and left: escape and ctrl-u in one write would be another key.
        screen.send("\x15\r");
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
    let screen = Terminal::start(&fleet, &env::temp_dir(), &[], (120, 40));
    screen.wait(|text| text.contains("live"), Duration::from_secs(30));
    thread::park_timeout(Duration::from_secs(10));
    let (before, start) = (cpu_ticks(screen.pid), Instant::now());
    thread::park_timeout(Duration::from_secs(30));
    let ticks = cpu_ticks(screen.pid) - before;
    let share = ticks as f64 / 100.0 / start.elapsed().as_secs_f64() * 100.0;
    println!("idle on the quiet demo fleet: {share:.2} % of a core (limit 1 %)");
}

/// One cockpit on 100 clusters x 500 namespaces x 5 policies, one pod each, with the workspace of that
/// fleet: time to the whole picture, memory, keys while facts come in and after that, and idle CPU.
fn hundred() {
    let fleet = Fleet::serve(&["--scenario", "scale:100x500x5"]);
    let workspace = fleet.said.iter().find_map(|line| line.strip_prefix("workspace: ")).expect("it is said");
    let start = Instant::now();
    // Tall enough to show every cluster.
    let args = ["--workspace", workspace.trim_matches('\''), "--read-only"];
    let screen = Terminal::start(&fleet, &env::temp_dir(), &args, (160, 120));
    screen.wait(|text| text.contains("bench-00"), Duration::from_secs(10)).expect("a first frame");
    println!("hundred: first frame {} ms", start.elapsed().as_millis());
    let until = Instant::now() + Duration::from_secs(180);
    // A row says how many namespaces its cluster has once they are read.
    let is_read = |line: &&str| {
        line.contains("bench-")
            && line.split_whitespace().any(|word| matches!(word.parse::<u32>(), Ok(500..=510)))
    };
    let is_whole = |text: &str| text.lines().filter(is_read).count() >= 100;
    let mut coming = Vec::new();
    let mut whole = None;
    // Keys go to the page of notices; now and then the fleet is looked at.
    screen.send("6");
    while whole.is_none() && Instant::now() < until {
        coming.extend(echo(&screen, coming.len()));
        thread::park_timeout(Duration::from_millis(120));
        if coming.len() % 16 == 0 {
            screen.send("1");
            screen.wait(|text| text.contains("bench-99"), Duration::from_secs(5));
            whole = is_whole(&screen.text()).then(|| start.elapsed().as_millis());
            screen.send("6");
        }
    }
    println!("hundred: whole picture after {whole:?} ms");
    let mut keys = Vec::new();
    let rest = Instant::now();
    while rest.elapsed() < Duration::from_secs(60) {
        keys.extend(echo(&screen, keys.len()));
        thread::park_timeout(Duration::from_millis(120));
    }
    // The filter of the fleet looks at every namespace.
    screen.send("1");
    let mut filter = Vec::new();
    for nth in 0..50 {
        filter.extend(echo(&screen, nth));
        thread::park_timeout(Duration::from_millis(120));
    }
    for (when, echoes) in
        [("while facts come in", coming), ("after that", keys), ("filter of 50,000 rows", filter)]
    {
        println!("hundred: {when}: {}", spread(echoes));
    }
    println!("hundred: peak memory {} MB (limit 1024 MB)", memory_kib(screen.pid, "VmHWM") / 1024);
    println!("hundred: memory {} MB", memory_kib(screen.pid, "VmRSS") / 1024);
    println!("hundred: idle {:.2} % of a core", cpu_share(screen.pid, Duration::from_secs(30)));
}

/// From a key to its character on the screen, in microseconds. A filter line echoes each character.
fn echo(screen: &Terminal, nth: usize) -> Option<u128> {
    let typed = format!("e{nth}");
    let sent = Instant::now();
    screen.send(&format!("/{typed}"));
    let seen = screen.wait(|text| text.contains(&typed), Duration::from_secs(5));
    let took = sent.elapsed().as_micros();
    // Emptied and left: escape and ctrl-u in one write would be another key.
    screen.send("\x15\r");
    seen.map(|()| took)
}

fn spread(mut micros: Vec<u128>) -> String {
    micros.sort_unstable();
    let Some(last) = micros.len().checked_sub(1) else { return "no key".to_owned() };
    let at = |share: f64| micros[(last as f64 * share) as usize] as f64 / 1000.0;
    format!(
        "{} keys, echo p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms (limit 50 ms)",
        micros.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

/// Processor time of a process over a while, in percent of one core.
fn cpu_share(pid: u32, over: Duration) -> f64 {
    let (before, start) = (cpu_ticks(pid), Instant::now());
    thread::park_timeout(over);
    (cpu_ticks(pid) - before) as f64 / start.elapsed().as_secs_f64()
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
