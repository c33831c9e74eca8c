//! `sluice collect` as a process of its own, as systemd or a kubelet runs it: started, asked through
//! its door, killed.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

pub struct Collector {
    child: Child,
    pub address: SocketAddr,
}

impl Collector {
    /// With its database below `home`, at any free port.
    pub fn start(home: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(["collect", "--listen", "127.0.0.1:0", "--data"])
            .arg(home.join("data"))
            .args(args)
            .env_clear()
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut errors = BufReader::new(child.stderr.take().expect("piped"));
        let mut first = String::new();
        errors.read_line(&mut first).expect("a line");
        let address = first.strip_prefix("sluice collect ").and_then(|line| line.split(' ').nth(1));
        let address = address.and_then(|address| address.parse().ok());
        let address = address.unwrap_or_else(|| panic!("says where it listens: {first}"));
        // A pipe that nobody empties would stop it one day.
        thread::spawn(move || io::copy(&mut errors, &mut io::sink()));
        Self { child, address }
    }

    /// What its door answers.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        // HTTP/1.0: the answer's end is the connection's.
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 "), "{path}: {head}");
        body.to_owned()
    }

    /// Asks until the answer is as awaited: it commits every few seconds.
    pub fn until(&self, what: &str, path: &str, so: impl Fn(&str) -> bool) -> String {
        for _ in 0..1_200 {
            let answer = self.get(path);
            if so(&answer) {
                return answer;
            }
            thread::park_timeout(Duration::from_millis(50));
        }
        panic!("after a minute still not so: {what}; {path} says\n{}", self.get(path));
    }

    /// SIGKILL: nothing is said, nothing is written any more.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
