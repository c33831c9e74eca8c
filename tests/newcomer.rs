//! The README's way from an empty folder to a previewed policy, walked as it stands: each line after `$ `
//! is run in a shell, in order, on a simulated cluster that is served as a real one is, with nothing but
//! its kubeconfig. What the README says comes out must come out: `…` stands for anything.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tokio::net::TcpSocket;

/// One cluster, as somebody has it who has never heard of sluice.
const CLUSTER: &str = r#"
name = "newcomer"
[[cluster]]
name = "staging"
environment = "staging"
cni = "cilium"
nodes = 2
namespaces = ["shop", "payments", "data"]
"#;

/// Where the README lets the collector listen.
const ADDRESS: &str = "127.0.0.1:7117";

/// A block of the section.
enum Block {
    /// A file to write: its name stands in the first line.
    File { name: String, text: String },
    /// A command, and the lines that it prints.
    Run { command: String, said: Vec<String> },
}

fn blocks(section: &str) -> Vec<Block> {
    let mut out = Vec::new();
    for fenced in section.split("\n```").skip(1).step_by(2) {
        let (kind, body) = fenced.split_once('\n').expect("a fence has a line");
        match kind {
            "yaml" => {
                let name =
                    body.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a file's name");
                out.push(Block::File { name: name.to_owned(), text: format!("{body}\n") });
            }
            "console" => {
                for line in body.lines() {
                    match (line.strip_prefix("$ "), out.last_mut()) {
                        (Some(command), _) => {
                            out.push(Block::Run { command: command.to_owned(), said: Vec::new() });
                        }
                        (None, Some(Block::Run { said, .. })) => said.push(line.to_owned()),
                        (None, _) => panic!("{line:?} is said by no command"),
                    }
                }
            }
            other => panic!("{other:?} is no block that a newcomer can follow"),
        }
    }
    out
}

/// `…` in a line stands for anything in it; a line of its own for any lines.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut left) = line.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('…').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

/// Do these lines come in this order? Only `…` lets lines be passed over.
fn check(said: &[String], lines: &[&str]) -> Result<(), String> {
    let (mut at, mut may_skip) = (0, false);
    for pattern in said {
        if pattern == "…" {
            may_skip = true;
            continue;
        }
        let found = lines[at..].iter().position(|line| fits(pattern, line));
        match found {
            Some(skipped) if skipped == 0 || may_skip => at += skipped + 1,
            _ => return Err(format!("{pattern:?} does not come where it should")),
        }
        may_skip = false;
    }
    if at == lines.len() || may_skip { Ok(()) } else { Err(format!("more is said: {:?}", lines[at])) }
}

/// Everything that was started ends with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct Newcomer {
    home: tempfile::TempDir,
    kubeconfig: PathBuf,
    /// Where the shell stands by now.
    folder: PathBuf,
    /// In place of the README's address, which another run may have.
    address: String,
    /// Holds that address: the collector alone, which says so in words, gets it too.
    _held: TcpSocket,
    running: Running,
}

impl Newcomer {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let scenario = home.path().join("newcomer.toml");
        fs::write(&scenario, CLUSTER).expect("a file");
        let mut served = Command::new(env!("CARGO_BIN_EXE_sluice"));
        served.args(["demo", "--serve", "--scenario"]).arg(&scenario);
        served.arg("--directory").arg(home.path().join("cluster"));
        served.env_clear().env("HOME", home.path()).stdin(Stdio::null());
        let mut child =
            served.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the cluster starts");
        let said = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut said = said.map(|line| line.expect("text"));
        assert!(said.any(|line| line.starts_with("# interrupt")), "it is not served");
        let held = TcpSocket::new_v4().expect("a socket");
        held.set_reuseaddr(true).expect("a flag");
        held.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        Self {
            // Whoever sets up a cluster is its admin.
            kubeconfig: home.path().join("cluster/kubeconfig-admin.yaml"),
            folder: home.path().to_owned(),
            address: held.local_addr().expect("bound").to_string(),
            _held: held,
            running: Running(vec![child]),
            home,
        }
    }

    fn here(&self, text: &str) -> String {
        text.replace(ADDRESS, &self.address)
    }

    fn shell(&self, command: &str) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_sluice")).parent().expect("a folder");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&self.folder).env_clear();
        shell.env("HOME", self.home.path()).env("KUBECONFIG", &self.kubeconfig).env("TZ", "UTC");
        shell.env("PATH", format!("{}:/usr/bin:/bin", binary.display()));
        shell.stdin(Stdio::null()).stdout(Stdio::piped());
        shell
    }

    fn run(&mut self, command: &str, said: &[String]) {
        // What people read: results and remarks as they come.
        let shown = self.here(&format!("exec 2>&1; {command}\npwd > {}/pwd", self.home.path().display()));
        let output = self.shell(&shown).output().expect("a shell");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let lines: Vec<&str> = text.lines().collect();
        if let Err(why) = check(said, &lines) {
            panic!("$ {command}\n{why}; the README says\n{}\nand this came\n{text}", said.join("\n"));
        }
        let at = fs::read_to_string(self.home.path().join("pwd")).expect("where the shell stands");
        self.folder = at.trim_end().into();
    }

    /// Runs on until the test ends; the next step begins once flows have come in.
    fn collect(&mut self, command: &str, said: &[String]) {
        let mut shell = self.shell(&self.here(&format!("exec {command} 2>&1")));
        let mut child = shell.spawn().expect("a shell");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        self.running.0.push(child);
        let (mut lines, last) = (Vec::new(), said.last().expect("it says something"));
        loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).expect("text"), 0, "it ended; said {lines:?}");
            lines.push(line.trim_end().to_owned());
            if fits(&self.here(last), line.trim_end()) {
                break;
            }
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let said: Vec<String> = said.iter().map(|line| self.here(line)).collect();
        let mut loose: Vec<String> = Vec::new();
        said.into_iter().for_each(|line| loose.extend([line, "…".to_owned()]));
        check(&loose, &lines).unwrap_or_else(|why| panic!("$ {command}\n{why}; this came: {lines:?}"));
        // A pipe that nobody empties would stop it one day.
        thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        // The minute of the README: as long as it takes until something of the namespace is written down.
        for _ in 0..1_200 {
            if self.edges("shop").matches("\"egress\"").count() >= 3 {
                return;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        panic!("after a minute the collector still has nothing of shop: {}", self.edges("shop"));
    }

    /// What the collector's door answers.
    fn edges(&self, namespace: &str) -> String {
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return String::new() };
        let mut answer = String::new();
        let asked = write!(stream, "GET /v1/edges?namespace={namespace} HTTP/1.0\r\n\r\n");
        asked.and_then(|()| stream.read_to_string(&mut answer)).map(drop).unwrap_or_default();
        answer
    }
}

#[test]
fn a_newcomer_gets_from_the_readme_to_a_previewed_policy() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("text");
    let (_, section) = readme.split_once("<!-- newcomer -->").expect("the section begins");
    let (section, _) = section.split_once("<!-- /newcomer -->").expect("the section ends");
    let mut newcomer = Newcomer::new();
    let mut ran = Vec::new();
    for block in blocks(section) {
        match block {
            Block::File { name, text } => {
                fs::write(newcomer.folder.join(name), newcomer.here(&text)).expect("written");
            }
            Block::Run { command, said } if command.starts_with("sluice collect") => {
                newcomer.collect(&command, &said);
                ran.push(command);
            }
            Block::Run { command, said } => {
                newcomer.run(&command, &said);
                ran.push(command);
            }
        }
    }
    let words: Vec<_> =
        ran.iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    let steps = ["init", "preflight", "collect", "discover", "author", "predict", "apply"];
    let steps: Vec<_> = steps.iter().map(|step| format!("sluice {step}")).collect();
    assert_eq!(words[1..], steps, "the README's steps");
    // It was a look: nothing was written to the cluster.
    let mut live = newcomer.shell("sluice status -o json");
    let text = String::from_utf8(live.output().expect("it runs").stdout).expect("UTF-8");
    assert!(text.contains("\"live\": false") && !text.contains("\"live\": true"), "{text}");
}

#[test]
fn dots_stand_for_anything_and_for_nothing_else() {
    for (pattern, line, is_fit) in [
        ("a … c", "a b c", true),
        ("a … c", "a b d", false),
        ("…x", "yx", true),
        ("7 of …, IPv6 …)", "7 of 8, IPv6 0)", true),
        ("plain", "plainer", false),
    ] {
        assert_eq!(fits(pattern, line), is_fit, "{pattern:?} {line:?}");
    }
    let said = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    check(&said(&["a", "…", "c"]), &["a", "b", "c"]).expect("lines are passed over");
    check(&said(&["a", "c"]), &["a", "b", "c"]).expect_err("only where it says so");
    check(&said(&["a"]), &["a", "b"]).expect_err("and not at the end");
}
