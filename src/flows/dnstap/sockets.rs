//! The ways dnstap comes: a Unix socket and a TCP port that DNS servers connect to, and a DNS server's
//! own listening port that we connect to. Each connection has a task of its own, so that a silent one
//! holds up nobody; their number is bounded.

use std::{
    convert::Infallible,
    fs::{self, Permissions},
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
};

use tokio::{
    net::{TcpListener, UnixListener, UnixStream},
    task::JoinSet,
    time::{Duration, sleep},
};

use crate::{
    cockpit::ports::Trouble,
    flows::source::{Backoff, BoxIo, Dial},
};

use super::listen::{Ear, Manner};

/// Where DNS servers connect to us.
#[derive(Debug)]
pub enum Door {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Door {
    pub async fn tcp(address: SocketAddr) -> Result<Self, Trouble> {
        TcpListener::bind(address).await.map(Self::Tcp).map_err(|error| {
            let next = "Choose another address, or stop what listens there.";
            Trouble::new(&format!("dnstap on {address}"), &error.to_string(), next)
        })
    }

    /// A socket that an earlier run left behind is replaced; one that somebody listens on is not. Whoever
    /// may enter its folder and has `mode`'s right to write may send answers.
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, Trouble> {
        let failed = |error: io::Error| {
            let next = "Choose another path, or make its folder writable for us.";
            Trouble::new(&format!("dnstap on {}", path.display()), &error.to_string(), next)
        };
        let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
        if is_socket && UnixStream::connect(path).await.is_err() {
            fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self::Unix(listener))
    }

    /// Lets DNS servers in, for ever. Dropping it ends all its connections.
    pub async fn serve(self, ear: Ear) -> Infallible {
        let mut tasks = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
            };
            match accepted {
                Ok((io, peer)) => admit(&ear, io, peer, &mut tasks),
                Err(error) => {
                    let next = "Raise the limit of open files if it has run out.";
                    ear.turn_away(Trouble::new("dnstap's socket", &error.to_string(), next));
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<(BoxIo, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Box::pin(stream), peer.to_string()))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::pin(stream), "a local DNS server".to_owned()))
            }
        }
    }
}

fn admit(ear: &Ear, io: BoxIo, peer: String, tasks: &mut JoinSet<()>) {
    let Ok(slot) = Arc::clone(&ear.slots).try_acquire_owned() else {
        let fact = format!("{} connections are open already", ear.limits.connections);
        let next = "Look for a DNS server that connects again and again.";
        return ear.turn_away(Trouble::new(&format!("dnstap of {peer}"), &fact, next));
    };
    let ear = ear.clone();
    tasks.spawn(async move {
        ear.hear(io, &peer, Manner::Accepted).await;
        drop(slot);
    });
}

/// Follows a DNS server that listens (`dnstap listen`, CoreDNS 1.14.5 or newer), for ever. Each replica
/// has only its own clients, so each needs a call of its own.
pub async fn call(ear: Ear, dial: Dial, peer: String) -> Infallible {
    let mut backoff = Backoff::default();
    loop {
        match dial().await {
            Ok(io) => {
                if ear.hear(io, &peer, Manner::Called).await.opened {
                    backoff.reset();
                }
            }
            Err(trouble) => ear.turn_away(trouble),
        }
        sleep(backoff.pause()).await;
    }
}
