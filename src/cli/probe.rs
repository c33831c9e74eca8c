//! `sluice probe`: what runs inside a probe's pod. Dials one address once, and says in one word what
//! came of it, on standard output and in the pod's termination message. Judges nothing.

use std::{
    fs,
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    time::Duration,
};

use clap::Args;

use super::{exit::Exit, print::Printer};
use crate::domain::probe;

#[derive(Clone, Debug, Args)]
pub struct Probe {
    /// Address and port, TCP
    #[arg(long, value_name = "IP:PORT")]
    pub to: SocketAddr,
    /// Seconds to wait for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub within_secs: u64,
    /// A file that gets the word, too, such as a pod's termination message
    #[arg(long, value_name = "PATH")]
    pub message: Option<PathBuf>,
}

pub fn run(args: &Probe, printer: &mut Printer<'_>) -> Exit {
    let word = match dial(args) {
        Ok(exit) => exit.as_str().to_owned(),
        Err(fault) => {
            printer.say(&format!("{}: {fault}\n", args.to));
            return Exit::Failed;
        }
    };
    printer.out(&format!("{word}\n"));
    let Some(path) = &args.message else { return Exit::Done };
    match fs::write(path, &word) {
        Ok(()) => Exit::Done,
        Err(fault) => {
            printer.say(&format!("{}: {fault}\n", path.display()));
            Exit::Failed
        }
    }
}

fn dial(args: &Probe) -> std::io::Result<probe::Exit> {
    match TcpStream::connect_timeout(&args.to, Duration::from_secs(args.within_secs.max(1))) {
        Ok(_) => Ok(probe::Exit::Connected),
        Err(fault) => match fault.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Ok(probe::Exit::Silent),
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Ok(probe::Exit::Refused),
            // Some data planes answer the call itself.
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::PermissionDenied => {
                Ok(probe::Exit::Unreachable)
            }
            _ => Err(fault),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use tokio::net::TcpSocket;

    use super::*;

    #[test]
    fn it_says_in_one_word_what_came_of_it() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let to = listener.local_addr().expect("an address");
        let args = |to| Probe { to, within_secs: 60, message: None };
        assert_eq!(dial(&args(to)).expect("a word"), probe::Exit::Connected);
        // Bound and never listening: nobody else gets the port meanwhile.
        let closed = TcpSocket::new_v4().expect("a socket");
        closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let to = closed.local_addr().expect("an address");
        assert_eq!(dial(&args(to)).expect("a word"), probe::Exit::Refused);
    }
}
