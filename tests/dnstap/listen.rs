//! The listener over pipes in memory, under a paused clock; the last tests on sockets of their own.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use sluice::{
    cockpit::ports::Trouble,
    domain::{names::Text, sighting::Told},
    flows::{
        dnstap::{
            frames,
            listen::{Door, Ear, Ended, Figures, Heard, Limits, Manner, call},
        },
        source::{BoxIo, Dial},
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex},
    net::{TcpStream, UnixStream},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::wire::{Dns, Event, READY, START, STOP, TYPE, control, data};

const LIMITS: Limits = Limits {
    handshake: Duration::from_secs(5),
    idle: Duration::from_secs(3_600),
    connections: 2,
    answers: 10,
    bytes: 1_000_000,
};

/// An answer of `identity` at this second.
fn answer(identity: &str, secs: u64) -> Vec<u8> {
    let dns = Dns::asked("api.example.com").record("A", "api.example.com", "192.0.2.7", 60);
    let identity = Some(identity.as_bytes().to_vec());
    data(&Event { identity, ..Event::new(secs, dns.bytes()) }.bytes())
}

fn query(secs: u64) -> Vec<u8> {
    data(&Event { kind: 5, responded: None, queried: Some(secs), ..Event::new(secs, Vec::new()) }.bytes())
}

fn at(secs: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(secs, 0).expect("in range")
}

/// A connection: the DNS server's end, and our side at work.
fn connect(ear: &Ear, manner: Manner) -> (DuplexStream, JoinHandle<Ended>) {
    let (near, far) = duplex(256);
    let ear = ear.clone();
    (far, tokio::spawn(async move { ear.hear(near, "10.0.0.2:53", manner).await }))
}

async fn shake_hands(server: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    server.write_all(&control(READY, &[TYPE])).await.expect("written");
    let mut accepted = vec![0; frames::accept().len()];
    server.read_exact(&mut accepted).await.expect("an answer");
    assert_eq!(accepted, frames::accept());
    server.write_all(&control(START, &[TYPE])).await.expect("written");
}

/// Each thing that was told so far, in words.
fn drain(heard: &mut mpsc::Receiver<Heard>) -> Vec<String> {
    std::iter::from_fn(|| heard.try_recv().ok()).map(|told| words(&told)).collect()
}

fn words(told: &Heard) -> String {
    match told {
        Heard::Connected { identity, again } => {
            format!("{identity} connected{}", if *again { " again" } else { "" })
        }
        Heard::Answer(frame) => {
            let mut out = String::new();
            let result = frame.tell(&mut |told| match told {
                Told::Answer(answer) => out = format!("answer of {}", answer.at.timestamp()),
                other => panic!("{other:?}"),
            });
            result.map_or_else(|malformed| malformed.to_string(), |()| out)
        }
        Heard::Gap(gap) => {
            let until = gap.until.expect("gaps are told when they are over").timestamp();
            let lost = gap.lost.map_or(String::new(), |lost| format!(", {lost} lost"));
            format!("gap {} to {until}{lost}: {}", gap.from.timestamp(), gap.why)
        }
        Heard::Left { identity, last, orderly } => {
            let last = last.map_or(0, |last| last.timestamp());
            format!("{identity} left at {last}{}", if *orderly { ", orderly" } else { "" })
        }
    }
}

fn fact(trouble: Option<Trouble>) -> String {
    trouble.map_or("-".to_owned(), |trouble| trouble.fact.to_string())
}

#[tokio::test(start_paused = true)]
async fn a_whole_conversation_with_both_handshakes() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    server.write_all(&query(99)).await.expect("written");
    server.write_all(&answer("coredns-a", 100)).await.expect("written");
    server.write_all(&control(STOP, &[])).await.expect("written");
    let mut farewell = Vec::new();
    server.read_to_end(&mut farewell).await.expect("an end");
    assert_eq!(farewell, frames::finish());
    assert_eq!(ended.await.expect("ended"), Ended { opened: true, trouble: None });
    assert_eq!(drain(&mut heard), ["coredns-a connected", "answer of 100", "coredns-a left at 100, orderly"]);
    let figures = ear.figures().borrow().clone();
    assert_eq!(figures, Figures { frames: 2, latest: Some(at(100)), ..Figures::default() });
    assert_eq!(figures.lag(at(103)).map(|lag| lag.num_seconds()), Some(3));
    assert_eq!(figures.lag(at(90)).map(|lag| lag.num_seconds()), Some(0), "a server's clock may be ahead");
}

#[tokio::test(start_paused = true)]
async fn old_unbound_starts_without_asking_and_gets_no_answer() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    for bytes in [control(START, &[TYPE]), answer("unbound", 100), control(STOP, &[])] {
        server.write_all(&bytes).await.expect("written");
    }
    let mut said = Vec::new();
    server.read_to_end(&mut said).await.expect("an end");
    assert_eq!(said, b"");
    assert!(ended.await.expect("ended").opened);
    assert_eq!(drain(&mut heard), ["unbound connected", "answer of 100", "unbound left at 100, orderly"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_is_dropped_after_its_time_and_holds_up_nobody() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let began = Instant::now();
    let (silent, dropped) = connect(&ear, Manner::Accepted);
    let (mut slow, slow_dropped) = connect(&ear, Manner::Accepted);
    let (mut unanswered, unanswered_dropped) = connect(&ear, Manner::Accepted);
    unanswered.write_all(&control(READY, &[TYPE])).await.expect("written");
    let dribble = tokio::spawn(async move {
        for byte in control(READY, &[TYPE]) {
            if slow.write_all(&[byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
    });
    let (mut server, _goes_on) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    server.write_all(&answer("coredns-a", 100)).await.expect("written");
    assert_eq!(words(&heard.recv().await.expect("told")), "coredns-a connected");
    assert_eq!(words(&heard.recv().await.expect("told")), "answer of 100");
    assert_eq!(began.elapsed(), Duration::ZERO, "the good one waited for nobody");
    for task in [dropped, slow_dropped, unanswered_dropped] {
        let ended = task.await.expect("ended");
        assert_eq!((ended.opened, fact(ended.trouble).as_str()), (false, "no handshake within 5 s"));
        assert_eq!(began.elapsed().as_secs(), 5);
    }
    drop((silent, dribble));
    let figures = ear.figures().borrow().clone();
    assert_eq!((figures.turned_away, figures.connections), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn who_speaks_something_else_is_turned_away_with_a_reason() {
    for (bytes, reason) in [
        (
            b"GET / HTTP/1.1\r\n\r\n".to_vec(),
            "it does not begin as Frame Streams do (a control frame READY or START)",
        ),
        (control(READY, &["protobuf:other"]), "its content type is not protobuf:dnstap.Dnstap"),
        (Vec::new(), "the connection ended before its handshake did"),
    ] {
        let (ear, mut heard) = Ear::new(LIMITS);
        let (mut server, ended) = connect(&ear, Manner::Accepted);
        server.write_all(&bytes).await.expect("written");
        server.shutdown().await.expect("closed");
        let ended = ended.await.expect("ended");
        assert_eq!((ended.opened, fact(ended.trouble).as_str()), (false, reason));
        let figures = ear.figures().borrow().clone();
        assert_eq!((figures.turned_away, fact(figures.trouble).as_str()), (1, reason));
        assert_eq!(drain(&mut heard), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_never_waits_and_each_lost_answer_is_counted() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (mut server, _goes_on) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    // Nobody takes anything: the server writes on all the same.
    for secs in 0..100 {
        server.write_all(&answer("coredns-a", 1_000 + secs)).await.expect("written");
    }
    sleep(Duration::from_millis(1)).await;
    let mut expected = vec!["coredns-a connected".to_owned()];
    expected.extend((1_000..1_009).map(|secs| format!("answer of {secs}")));
    assert_eq!(drain(&mut heard), expected);
    assert_eq!(ear.figures().borrow().dropped, 91);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        drain(&mut heard),
        ["gap 1009 to 1099, 91 lost: more DNS answers came than sluice could take in"],
        "told without another answer"
    );
    server.write_all(&answer("coredns-a", 1_200)).await.expect("written");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(drain(&mut heard), ["answer of 1200"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_taker_misses_and_what_it_gets_add_up() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    let flood = tokio::spawn(async move {
        shake_hands(&mut server).await;
        for secs in 0..5_000 {
            server.write_all(&answer("coredns-a", 1_000 + secs)).await.expect("written");
            if secs % 50 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    });
    let (mut answers, mut lost, mut gaps) = (0, 0, 0);
    let took = tokio::spawn(async move {
        while let Some(told) = heard.recv().await {
            match told {
                Heard::Answer(_) => answers += 1,
                Heard::Gap(gap) => {
                    lost += gap.lost.expect("counted");
                    gaps += 1;
                }
                Heard::Left { .. } => break,
                Heard::Connected { .. } => {}
            }
            sleep(Duration::from_millis(1)).await;
        }
        (answers, lost, gaps)
    });
    flood.await.expect("written");
    ended.await.expect("ended");
    let (answers, lost, gaps) = took.await.expect("taken");
    assert_eq!(answers + lost, 5_000);
    assert_eq!(ear.figures().borrow().dropped, lost);
    // It takes one in a millisecond, while 50 come.
    assert!(lost > 0 && answers >= 100, "{answers} answers, {lost} lost");
    assert_eq!(gaps, 1, "told once a second");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_in_bytes_too() {
    let size = answer("coredns-a", 100).len() as u32 - 4;
    let (ear, mut heard) = Ear::new(Limits { answers: 1_000, bytes: size * 3, ..LIMITS });
    let (mut server, _goes_on) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    for secs in 100..105 {
        server.write_all(&answer("coredns-a", secs)).await.expect("written");
    }
    sleep(Duration::from_millis(1)).await;
    assert_eq!(ear.figures().borrow().dropped, 2);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(
        drain(&mut heard),
        [
            "coredns-a connected",
            "answer of 100",
            "answer of 101",
            "answer of 102",
            "gap 103 to 104, 2 lost: more DNS answers came than sluice could take in"
        ]
    );
    server.write_all(&answer("coredns-a", 106)).await.expect("written");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(drain(&mut heard), ["answer of 106"], "taken answers give their room back");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_comes_back_has_a_gap_and_another_one_has_none() {
    let (ear, mut heard) = Ear::new(Limits { answers: 100, ..LIMITS });
    for (identity, seconds) in
        [("coredns-a", [100, 150]), ("coredns-b", [151, 155]), ("coredns-a", [161, 162])]
    {
        let (mut server, ended) = connect(&ear, Manner::Accepted);
        shake_hands(&mut server).await;
        for secs in seconds {
            server.write_all(&answer(identity, secs)).await.expect("written");
        }
        drop(server);
        assert!(ended.await.expect("ended").opened);
    }
    assert_eq!(
        drain(&mut heard),
        [
            "coredns-a connected",
            "answer of 100",
            "answer of 150",
            "coredns-a left at 150",
            "coredns-b connected",
            "answer of 151",
            "answer of 155",
            "coredns-b left at 155",
            "coredns-a connected again",
            "gap 150 to 161: coredns-a connected anew, and drops its answers while it is not connected",
            "answer of 161",
            "answer of 162",
            "coredns-a left at 162",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_torn_stream_is_left_where_we_called_and_counted_where_they_came() {
    let garbage = data(b"\xff\xff\xff\xff");
    for (manner, opened, told) in
        [(Manner::Accepted, "-", 2), (Manner::Called, "a frame is not a dnstap event: the stream is torn", 1)]
    {
        let (ear, mut heard) = Ear::new(LIMITS);
        let (mut server, ended) = connect(&ear, manner);
        shake_hands(&mut server).await;
        server.write_all(&answer("coredns-a", 100)).await.expect("written");
        server.write_all(&garbage).await.expect("written");
        // Where the stream is left already, nobody reads this.
        let _ = server.write_all(&answer("coredns-a", 101)).await;
        drop(server);
        assert_eq!(fact(ended.await.expect("ended").trouble), opened, "{manner:?}");
        let answers = drain(&mut heard).iter().filter(|told| told.starts_with("answer")).count();
        assert_eq!((answers, ear.figures().borrow().malformed), (told, 1), "{manner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_length_ends_the_connection_and_is_said() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    server.write_all(&answer("coredns-a", 100)).await.expect("written");
    server.write_all(&[0x7f, 0xff, 0xff, 0xff]).await.expect("written");
    assert_eq!(
        fact(ended.await.expect("ended").trouble),
        "a frame claims 2147483647 bytes, more than the 131072 that dnstap can need"
    );
    assert_eq!(drain(&mut heard), ["coredns-a connected", "answer of 100", "coredns-a left at 100"]);
    let figures = ear.figures().borrow().clone();
    assert_eq!((figures.malformed, figures.connections), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_given_up_after_an_hour_of_silence() {
    let (ear, _heard) = Ear::new(LIMITS);
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    sleep(Duration::from_secs(3_500)).await;
    server.write_all(&query(100)).await.expect("written");
    assert_eq!(fact(ended.await.expect("ended").trouble), "nothing came for 3600 s");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_could_move_the_cursor_is_made_safe_and_a_hundred_names_are_one_connection() {
    let (ear, mut heard) = Ear::new(Limits { answers: 500, ..LIMITS });
    let (mut server, ended) = connect(&ear, Manner::Accepted);
    shake_hands(&mut server).await;
    server.write_all(&answer("a\u{1b}[2J", 100)).await.expect("written");
    server.write_all(&answer("", 100)).await.expect("written");
    for n in 0..100 {
        server.write_all(&answer(&format!("dns-{n}"), 100)).await.expect("written");
    }
    drop(server);
    ended.await.expect("ended");
    let told = drain(&mut heard);
    assert_eq!(told[0], "a\u{fffd}[2J connected");
    assert_eq!(told[2], "a DNS server without a name connected");
    assert_eq!(told.iter().filter(|told| told.ends_with("connected")).count(), 8);
    assert_eq!(told.iter().filter(|told| told.starts_with("answer")).count(), 102);
}

#[tokio::test(start_paused = true)]
async fn a_listening_server_is_called_again_after_growing_pauses() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let (dialed, mut calls) = mpsc::channel::<(Duration, DuplexStream)>(8);
    let began = Instant::now();
    let attempts = Arc::new(Mutex::new(0));
    let dial: Dial = Arc::new(move || {
        let (dialed, attempts) = (dialed.clone(), attempts.clone());
        async move {
            let attempt = {
                let mut attempts = attempts.lock().expect("no test panics with it");
                *attempts += 1;
                *attempts
            };
            if attempt <= 2 {
                return Err(Trouble::new("pod coredns-a", "no such port", "Set `dnstap listen`."));
            }
            let (near, far) = duplex(256);
            dialed.send((began.elapsed(), far)).await.expect("taken");
            Ok(Box::pin(near) as BoxIo)
        }
        .boxed()
    });
    let calling = tokio::spawn(call(ear.clone(), dial, "coredns-a".to_owned()));
    let (after, mut server) = calls.recv().await.expect("a call");
    assert_eq!(after.as_secs(), 3, "1 s and 2 s");
    shake_hands(&mut server).await;
    server.write_all(&answer("coredns-a", 100)).await.expect("written");
    drop(server);
    let (after, mut server) = calls.recv().await.expect("a second call");
    assert_eq!(after.as_secs(), 4, "it had answered, so the pauses start anew");
    shake_hands(&mut server).await;
    server.write_all(&answer("coredns-a", 102)).await.expect("written");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        drain(&mut heard),
        [
            "coredns-a connected",
            "answer of 100",
            "coredns-a left at 100",
            "coredns-a connected again",
            "gap 100 to 102: coredns-a connected anew, and drops its answers while it is not connected",
            "answer of 102"
        ]
    );
    let figures = ear.figures().borrow().clone();
    assert_eq!((figures.turned_away, fact(figures.trouble).as_str()), (2, "no such port"));
    calling.abort();
}

#[tokio::test]
async fn a_unix_socket_takes_connections_and_replaces_what_an_earlier_run_left() {
    // A socket's path has 108 bytes at most.
    let folder = tempfile::tempdir_in("/tmp").expect("a folder");
    let path = folder.path().join("dnstap.sock");
    drop(Door::unix(&path, 0o660).await.expect("a socket"));
    assert!(path.exists(), "an end without cleaning up");
    let (ear, mut heard) = Ear::new(LIMITS);
    let door = Door::unix(&path, 0o666).await.expect("the same place again");
    let serving = tokio::spawn(door.serve(ear.clone()));
    let taken = Door::unix(&path, 0o666).await.expect_err("somebody listens there");
    assert_eq!(taken.object, Text::from(format!("dnstap on {}", path.display())));
    let mut server = UnixStream::connect(&path).await.expect("connected");
    shake_hands(&mut server).await;
    server.write_all(&answer("coredns-a", 100)).await.expect("written");
    assert_eq!(words(&heard.recv().await.expect("told")), "coredns-a connected");
    assert_eq!(words(&heard.recv().await.expect("told")), "answer of 100");
    serving.abort();
    assert_eq!(server.read(&mut [0]).await.ok(), Some(0), "its connections end with it");
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once_and_a_place_becomes_free_again() {
    let (ear, mut heard) = Ear::new(LIMITS);
    let door = Door::tcp(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
    let Door::Tcp(listener) = &door else { panic!("a TCP port was asked for") };
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(door.serve(ear.clone()));
    let mut servers = Vec::new();
    for name in ["coredns-a", "coredns-b"] {
        let mut server = TcpStream::connect(address).await.expect("connected");
        shake_hands(&mut server).await;
        server.write_all(&answer(name, 100)).await.expect("written");
        servers.push(server);
        assert!(words(&heard.recv().await.expect("told")).ends_with("connected"));
        heard.recv().await.expect("an answer");
    }
    let mut third = TcpStream::connect(address).await.expect("connected");
    assert_eq!(third.read(&mut [0]).await.ok(), Some(0));
    let figures = ear.figures().borrow().clone();
    assert_eq!((figures.turned_away, fact(figures.trouble).as_str()), (1, "2 connections are open already"));
    drop(servers.pop());
    assert_eq!(words(&heard.recv().await.expect("told")), "coredns-b left at 100");
    let mut later = TcpStream::connect(address).await.expect("connected");
    shake_hands(&mut later).await;
    serving.abort();
    let trouble = Door::tcp("192.0.2.1:1".parse().expect("an address")).await.expect_err("not ours");
    assert_eq!(trouble.object, Text::new("dnstap on 192.0.2.1:1"));
}
