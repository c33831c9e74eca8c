//! Puts a running fleet on loopback: each API server as HTTPS on a port of its own, relays as plain
//! gRPC where asked, and a kubeconfig for each person. Listens on 127.0.0.1 only, writes only into
//! the directory it is given.

use std::{
    fs,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::sim::{
    api::cluster::Peer,
    fleet::{
        people::Person,
        relay::Relay,
        running::{Fleet, Member, Reachable},
        tls::Authority,
    },
};

/// A client that has not shaken hands by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// In every so many clusters people sign in by certificate instead of token.
const CERTIFICATE_EVERY: usize = 5;

#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Where the kubeconfigs go. It must exist.
    pub directory: PathBuf,
    /// The first relay listens here, each further one a port higher; with port 0 each on any port.
    pub relay_address: Option<SocketAddr>,
}

/// A served fleet. Dropping it closes every port.
pub struct Served {
    pub kubeconfigs: Vec<(Person, PathBuf)>,
    pub servers: Vec<(String, SocketAddr)>,
    pub relays: Vec<(String, SocketAddr)>,
    _tasks: JoinSet<()>,
}

impl Served {
    pub fn kubeconfig(&self, person: Person) -> Option<&Path> {
        self.kubeconfigs.iter().find(|(p, _)| *p == person).map(|(_, path)| path.as_path())
    }
}

/// Opens all ports and writes all kubeconfigs.
pub async fn serve(fleet: &Fleet, options: &ServeOptions) -> io::Result<Served> {
    let mut tasks = JoinSet::new();
    let (mut servers, mut authorities) = (Vec::new(), Vec::new());
    for member in fleet.clusters() {
        let authority = Arc::new(Authority::new(member.name())?);
        let socket = hold((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        tasks.spawn(keep_listening(member.clone(), authority.clone(), address, socket));
        servers.push((member.name().to_owned(), address));
        authorities.push(authority);
    }
    let relays = match options.relay_address {
        Some(first) => serve_relays(fleet, first, &mut tasks).await?,
        None => Vec::new(),
    };
    let mut kubeconfigs = Vec::new();
    for person in Person::ALL {
        let path = options.directory.join(format!("kubeconfig-{}.yaml", person.name()));
        let config = kubeconfig(fleet, person, &servers, &authorities);
        let text = serde_yaml::to_string(&config).map_err(io::Error::other)?;
        write_private(&path, &text)?;
        kubeconfigs.push((person, path));
    }
    Ok(Served { kubeconfigs, servers, relays, _tasks: tasks })
}

/// Bound and not listening yet: whoever calls is refused, and nobody else gets the port.
fn hold(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Listens while the cluster is not dead; while it is, its port is held and refuses.
async fn keep_listening(
    member: Member,
    authority: Arc<Authority>,
    address: SocketAddr,
    mut socket: TcpSocket,
) {
    let mut reach = member.reachable();
    loop {
        if reach.wait_for(|reach| *reach != Reachable::Dead).await.is_err() {
            return;
        }
        let Ok(open) = socket.listen(BACKLOG) else { return };
        tokio::select! {
            () = accept(&open, &member, &authority) => return,
            dead = reach.wait_for(|reach| *reach == Reachable::Dead) => if dead.is_err() { return },
        }
        drop(open);
        // Somebody else has the port now: the cluster stays away.
        let Ok(held) = hold(address) else { return };
        socket = held;
    }
}

/// Every connection has a task of its own, handshake included.
async fn accept(listener: &TcpListener, member: &Member, authority: &Arc<Authority>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(shake_hands(stream, member.clone(), authority.clone()))),
            // Out of file handles: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn shake_hands(stream: TcpStream, member: Member, authority: Arc<Authority>) {
    let expired = *member.reachable().borrow() == Reachable::Expired;
    let config = if expired { authority.expired.clone() } else { authority.good.clone() };
    // Small answers should not wait for each other; a system that cannot do it is only slower.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(config).accept(stream)).await else {
        return;
    };
    let certificate = tls.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.and_then(|c| authority.name_of(c)).cloned();
    member.serve(tls, Peer { certificate }).await;
}

async fn serve_relays(
    fleet: &Fleet,
    first: SocketAddr,
    tasks: &mut JoinSet<()>,
) -> io::Result<Vec<(String, SocketAddr)>> {
    let mut relays = Vec::new();
    let with_relay = fleet.clusters().iter().filter_map(|m| Some((m.name(), m.relay()?.clone())));
    for (offset, (name, relay)) in (0..).zip(with_relay) {
        let port = if first.port() == 0 { 0 } else { first.port().saturating_add(offset) };
        let wanted = SocketAddr::new(first.ip(), port);
        let listener = TcpListener::bind(wanted)
            .await
            .map_err(|e| io::Error::new(e.kind(), format!("relay of {name} on {wanted}: {e}")))?;
        relays.push((name.to_owned(), listener.local_addr()?));
        tasks.spawn(accept_for_relay(listener, relay));
    }
    Ok(relays)
}

async fn accept_for_relay(listener: TcpListener, relay: Relay) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if !relay.is_away() => drop(tokio::spawn(relay.clone().serve(stream))),
            Ok(_) => {}
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// All contexts of the fleet, signed in as one person; the first cluster is the current one.
fn kubeconfig(
    fleet: &Fleet,
    person: Person,
    servers: &[(String, SocketAddr)],
    authorities: &[Arc<Authority>],
) -> Value {
    let (mut clusters, mut contexts, mut users) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (name, address)) in servers.iter().enumerate() {
        let authority = &authorities[index];
        let user = format!("{}@{name}", person.name());
        let ca = STANDARD.encode(&authority.pem);
        clusters.push(json!({
            "name": name,
            "cluster": { "server": format!("https://{address}"), "certificate-authority-data": ca },
        }));
        contexts.push(json!({ "name": name, "context": { "cluster": name, "user": user } }));
        let by_certificate = index % CERTIFICATE_EVERY == CERTIFICATE_EVERY - 1;
        let secret = match (authority.people.get(&person), by_certificate) {
            (Some((certificate, key)), true) => json!({
                "client-certificate-data": STANDARD.encode(certificate),
                "client-key-data": STANDARD.encode(key),
            }),
            (Some(_) | None, _) => json!({ "token": fleet.clusters()[index].token(person) }),
        };
        users.push(json!({ "name": user, "user": secret }));
    }
    let current = servers.first().map(|(name, _)| name.as_str()).unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": current,
        "clusters": clusters, "contexts": contexts, "users": users,
    })
}

/// Tokens are in it: nobody else may read it.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
