//! Logs of pods as hand-made streams: cut anywhere, broken, rotated, replaced.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use sluice::{
    cockpit::ports::{Link, Trouble},
    domain::{
        names::{ClusterName, NodeName, NsName, Text},
        source::SourceKind,
    },
    flows::{
        logs::{self, Ended, Logs, Opened, Printer, Since},
        records::Format,
    },
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Duration, sleep},
};

use crate::support;

use super::told::Told;

/// A denial of np.log printed at this second.
fn line(second: u32) -> String {
    format!(
        "2026-03-02T09:00:{second:02}.5Z 2026/03/02 09:00:{second:02}.120394 EgressDefaultRule K8sNetworkPolicy <nil> Egress Drop <nil> shop/cart-1 10.42.3.17 {} 203.0.113.80 443 TCP 60 <nil>\n",
        40_000 + second
    )
}

/// What one opening of the log brings: chunks, and how it ends.
struct Opening {
    chunks: Vec<String>,
    end: End,
}

enum End {
    StaysOpen,
    Ends,
    Fails(&'static str),
}

fn lines(seconds: std::ops::RangeInclusive<u32>, end: End) -> Opening {
    Opening { chunks: seconds.map(line).collect(), end }
}

type Asked = Arc<Mutex<Vec<Since>>>;

fn printer(pod: &str) -> Printer {
    Printer {
        ns: Text::new("sluice"),
        pod: Text::new(pod),
        uid: Text::new(pod),
        container: None,
        node: NodeName::parse("worker-3").expect("a name"),
        format: Format::AntreaLog,
        logged: None,
    }
}

struct Followed {
    told: Told,
    asked: Asked,
    printers: watch::Sender<Vec<Printer>>,
    ended: JoinHandle<Ended>,
    _wanted: watch::Sender<Vec<NsName>>,
}

/// Follows a log whose openings bring these, one after the other; after the last it cannot be opened.
fn follow(openings: Vec<Opening>) -> Followed {
    let openings = Arc::new(Mutex::new(VecDeque::from(openings)));
    let asked = Asked::default();
    let (printers, found) = watch::channel(vec![printer("printer-a")]);
    let noted = asked.clone();
    let logs = Logs {
        find: Arc::new(move || {
            let found = found.borrow().clone();
            async move { Ok(found) }.boxed()
        }),
        open: Arc::new(move |printer, since| {
            noted.lock().expect("no panic").push(since);
            let opening = openings.lock().expect("no panic").pop_front();
            async move {
                let gone = |fact: &str| Trouble::new(&printer.object(), fact, "Wait.");
                let Opening { chunks, end } = opening.ok_or_else(|| gone("the kubelet is gone"))?;
                let broken = match end {
                    End::Fails(fact) => Some(Err(gone(fact))),
                    End::StaysOpen | End::Ends => None,
                };
                let stays = matches!(end, End::StaysOpen);
                let chunks =
                    stream::iter(chunks).map(|chunk| Ok(Bytes::from(chunk))).chain(stream::iter(broken));
                let bytes = if stays { chunks.chain(stream::pending()).boxed() } else { chunks.boxed() };
                Ok(Opened { at: Some(support::start()), bytes })
            }
            .boxed()
        }),
        formats: vec![(Format::AntreaLog, SourceKind::AntreaLog)],
    };
    let (told, facts) = Told::channel();
    let (wanted, wants) = watch::channel(Vec::new());
    let (_, owners) = mpsc::channel(1);
    let cluster = ClusterName::parse("east").expect("a name");
    let ended = tokio::spawn(logs::run(cluster, logs, wants, owners, facts));
    Followed { told, asked, printers, ended, _wanted: wanted }
}

impl Followed {
    fn ports(&self) -> Vec<u16> {
        self.told.flows().iter().map(|flow| flow.source_port - 40_000).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_cut_anywhere_is_read_whole_and_signs_reach_from_line_to_line() {
    let whole = (1..=3).map(line).collect::<String>();
    let chunks =
        whole.as_bytes().chunks(7).map(|chunk| String::from_utf8(chunk.to_vec()).expect("ASCII")).collect();
    let followed = follow(vec![Opening { chunks, end: End::StaysOpen }]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(followed.ports(), [1, 2, 3]);
    assert_eq!(followed.told.gaps(), Vec::<String>::new());
    let node = || "worker-3".to_owned();
    assert_eq!(followed.told.signs(), [(node(), 0, 1), (node(), 1, 2), (node(), 2, 3)]);
    let state = followed.told.state();
    assert_eq!((state.kind, state.link), (SourceKind::AntreaLog, Link::Live));
    assert_eq!((state.nodes_connected, state.nodes_unavailable), (Some(1), Some(0)));
    assert_eq!(state.name.as_str(), "np.log, from pods' logs");
    assert_eq!(*followed.asked.lock().expect("no panic"), [Since::Last(1_000)]);
}

/// The line that was read last comes again: nothing is missing, and nothing counts twice.
#[tokio::test(start_paused = true)]
async fn a_broken_follow_goes_on_with_an_overlap() {
    let followed =
        follow(vec![lines(1..=3, End::Fails("connection reset by peer")), lines(2..=5, End::StaysOpen)]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(followed.ports(), [1, 2, 3, 4, 5]);
    insta::assert_snapshot!(followed.told.gaps().join("\n"), @"
    worker-3 source silent 3.. log of pod sluice/printer-a: connection reset by peer
    worker-3 source silent 3..3 log of pod sluice/printer-a: connection reset by peer; read again, nothing is missing
    ");
    assert_eq!(followed.told.state().repeats, 2);
    let last = support::start() + chrono::TimeDelta::milliseconds(3_500) - chrono::TimeDelta::seconds(2);
    assert_eq!(followed.asked.lock().expect("no panic")[1], Since::Time(last));
}

/// The overlap holds nothing known: what was printed between is gone.
#[tokio::test(start_paused = true)]
async fn a_rotated_log_is_a_loss_from_the_last_line_to_the_next() {
    let followed = follow(vec![lines(1..=3, End::Ends), lines(9..=10, End::StaysOpen)]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(followed.ports(), [1, 2, 3, 9, 10]);
    insta::assert_snapshot!(followed.told.gaps().join("\n"), @"
    worker-3 source silent 3.. log of pod sluice/printer-a: its stream ended
    worker-3 loss 3..9 log of pod sluice/printer-a: its stream ended; what was told meanwhile is gone
    ");
    let signs = followed.told.signs();
    assert_eq!(signs[3], ("worker-3".to_owned(), 9, 9), "no sign reaches over the loss");
}

/// A printer that starts again prints old lines at another time; they are known by their text.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_replaced_prints_again_what_is_known() {
    let again = (1..=4).map(|second| line(second).replacen("T09:00:", "T09:30:", 1)).collect();
    let followed = follow(vec![lines(1..=3, End::StaysOpen), Opening { chunks: again, end: End::StaysOpen }]);
    sleep(Duration::from_secs(5)).await;
    followed.printers.send_replace(vec![printer("printer-b")]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(followed.ports(), [1, 2, 3, 4]);
    assert_eq!(followed.told.gaps(), Vec::<String>::new(), "nothing was missed, and nothing need be said");
}

/// Kubelets put complaints of their own into a log, without a time.
#[tokio::test(start_paused = true)]
async fn a_kubelets_own_complaint_breaks_the_log_and_is_told() {
    let mut opening = lines(1..=2, End::StaysOpen);
    opening
        .chunks
        .push("failed to watch file \"/var/log/pods/x/0.log\": no space left on device\n".to_owned());
    let followed = follow(vec![opening]);
    sleep(Duration::from_secs(2)).await;
    insta::assert_snapshot!(followed.told.gaps().join("\n"), @r#"
    worker-3 source silent 2.. node worker-3: its kubelet cannot read the log on: failed to watch file "/var/log/pods/x/0.log": no space left on device
    "#);
    let Link::Broken(trouble) = followed.told.state().link else { panic!("{:?}", followed.told.state()) };
    assert!(
        trouble.to_string().contains("the kubelet is gone") || trouble.to_string().contains("no space left")
    );
}

#[tokio::test(start_paused = true)]
async fn where_nobody_prints_anything_following_ends_and_where_a_pod_goes_it_is_a_gap() {
    let followed = follow(vec![lines(1..=2, End::StaysOpen)]);
    sleep(Duration::from_secs(2)).await;
    followed.printers.send_replace(Vec::new());
    sleep(Duration::from_secs(60)).await;
    assert!(!followed.ended.is_finished(), "it waits for the next pod of a node that it knows");
    let gaps = followed.told.gaps();
    assert_eq!(gaps, ["worker-3 source silent 2.. node worker-3: no pod prints its records any more"]);

    let nobody = follow(Vec::new());
    nobody.printers.send_replace(Vec::new());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(nobody.ended.await.expect("no panic"), Ended::Nobody);
}

/// A follow may stand still without a word: every ten minutes it is opened again.
#[tokio::test(start_paused = true)]
async fn a_follow_that_stands_still_is_opened_again_and_catches_up() {
    let followed = follow(vec![lines(1..=3, End::StaysOpen), lines(3..=6, End::StaysOpen)]);
    sleep(Duration::from_secs(595)).await;
    assert_eq!(followed.ports(), [1, 2, 3]);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(followed.ports(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(followed.told.gaps(), Vec::<String>::new());
}

/// Clusters grow and shrink: a node that is gone is not waited for for ever, and one that comes back goes
/// on where it was read last.
#[tokio::test(start_paused = true)]
async fn a_node_that_is_gone_for_an_hour_counts_no_more_and_may_come_back() {
    let followed = follow(vec![lines(1..=2, End::StaysOpen), lines(2..=4, End::StaysOpen)]);
    sleep(Duration::from_secs(2)).await;
    let nodes = |followed: &Followed| {
        let state = followed.told.state();
        (state.nodes_connected, state.nodes_unavailable)
    };
    assert_eq!(nodes(&followed), (Some(1), Some(0)));
    followed.printers.send_replace(Vec::new());
    sleep(Duration::from_secs(3_500)).await;
    assert_eq!(nodes(&followed), (Some(0), Some(1)), "not an hour yet");
    sleep(Duration::from_secs(200)).await;
    assert_eq!(nodes(&followed), (Some(0), Some(0)));
    followed.printers.send_replace(vec![printer("printer-b")]);
    sleep(Duration::from_secs(40)).await;
    assert_eq!(nodes(&followed), (Some(1), Some(0)));
    assert_eq!(followed.ports(), [1, 2, 3, 4], "read on, and the line that comes twice counts once");
}
