//! The gRPC side of Goldmane: one channel, calls with deadlines, and what their failures mean to a
//! person. Keeps no state of what was read.

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::time::{Duration, timeout};
use tonic::{Code, Status, transport::Channel};

use crate::{
    cockpit::ports::Trouble,
    domain::{names::ClusterName, time::Timestamp},
    flows::{channel, source::Dial},
    pb::goldmane::{FlowListRequest, FlowResult, FlowStreamRequest, flows_client::FlowsClient},
};

use super::decode::{Bucket, time};

/// How long one question may take.
const ANSWER: Duration = Duration::from_secs(12);
/// Flows asked for at once, and how often, for one bucket.
const PAGE: i64 = 2_000;
const PAGES: i64 = 8;
/// Messages taken at once from a stream.
const CHUNK: usize = 128;

/// A connection to one Goldmane; cheap to clone.
#[derive(Clone, Debug)]
pub struct Link {
    client: FlowsClient<Channel>,
}

impl Link {
    pub async fn connect(cluster: &ClusterName, dial: &Dial) -> Result<Self, Trouble> {
        let slow = |fact: &str| trouble_of(cluster, fact, PODS);
        let channel = channel::connect(dial, "http://goldmane", slow).await?;
        Ok(Self { client: FlowsClient::new(channel).max_decoding_message_size(channel::MESSAGE) })
    }

    /// What is told from this moment on; `None`: from a minute ago.
    pub fn follow(&self, from: Option<Timestamp>) -> BoxStream<'static, Vec<Result<FlowResult, Status>>> {
        let mut client = self.client.clone();
        let request = FlowStreamRequest { start_time_gte: from.map_or(-60, |from| from.timestamp()) };
        stream::once(async move { client.stream(request).await })
            .map_ok(|answer| answer.into_inner())
            .try_flatten()
            .ready_chunks(CHUNK)
            .boxed()
    }

    /// Everything Goldmane holds of one bucket, what came late included.
    pub async fn bucket(&self, bucket: Bucket) -> Result<Vec<FlowResult>, Status> {
        let mut flows = Vec::new();
        for page in 0..PAGES {
            let asked = FlowListRequest {
                start_time_gte: bucket.from.timestamp(),
                start_time_lt: bucket.until.timestamp(),
                page,
                page_size: PAGE,
            };
            let answer = self.ask(asked).await?;
            let is_last = (answer.len() as i64) < PAGE;
            flows.extend(answer);
            if is_last {
                break;
            }
        }
        Ok(flows)
    }

    /// The beginning of the oldest and the end of the newest bucket that it holds; `None`: it has none.
    pub async fn reach(&self) -> Result<Option<(Timestamp, Timestamp)>, Status> {
        let mut reach: Option<(i64, i64)> = None;
        for page in 0..PAGES {
            // From the oldest on, up to now.
            let asked = FlowListRequest { start_time_gte: 0, start_time_lt: 0, page, page_size: PAGE };
            let answer = self.ask(asked).await?;
            for flow in answer.iter().filter_map(|result| result.flow.as_ref()) {
                let (from, to) = reach.unwrap_or((flow.start_time, flow.end_time));
                reach = Some((from.min(flow.start_time), to.max(flow.end_time)));
            }
            if (answer.len() as i64) < PAGE {
                break;
            }
        }
        Ok(reach.and_then(|(from, to)| time(from).zip(time(to))))
    }

    /// One flow of the last minute: whether it answers at all.
    pub async fn greet(&self) -> Result<(), Status> {
        let asked = FlowListRequest { start_time_gte: -60, start_time_lt: 0, page: 0, page_size: 1 };
        self.ask(asked).await.map(drop)
    }

    async fn ask(&self, asked: FlowListRequest) -> Result<Vec<FlowResult>, Status> {
        let mut client = self.client.clone();
        match timeout(ANSWER, client.list(asked)).await {
            Ok(answer) => answer.map(|answer| answer.into_inner().flows),
            Err(_) => Err(Status::deadline_exceeded("no answer within 12 s")),
        }
    }
}

/// How far back it can be read, asked once.
pub async fn reach(cluster: &ClusterName, dial: &Dial) -> Result<Option<(Timestamp, Timestamp)>, Trouble> {
    let link = Link::connect(cluster, dial).await?;
    link.reach().await.map_err(|status| trouble(cluster, &status))
}

const PODS: &str = "Check that it runs: kubectl -n calico-system get pods -l k8s-app=goldmane";
const LOG: &str = "Nothing to do if it comes back; else see: kubectl -n calico-system logs deploy/goldmane";

/// A failed call in words.
pub fn trouble(cluster: &ClusterName, status: &Status) -> Trouble {
    let said = if status.message().is_empty() { status.code().description() } else { status.message() };
    let next = match status.code() {
        Code::Unimplemented => "Check the Service calico-system/goldmane: what answers there is no Goldmane.",
        Code::Unauthenticated | Code::PermissionDenied => {
            "It does not take our certificate; give sluice `get` on the Secret of one that it takes."
        }
        Code::ResourceExhausted => "It has 100 readers already: close some, such as Whisker's windows.",
        Code::DeadlineExceeded => PODS,
        _ => LOG,
    };
    trouble_of(cluster, said, next)
}

/// The stream ended though it should go on.
pub fn ended(cluster: &ClusterName) -> Trouble {
    trouble_of(cluster, "it ended the stream, as it does when it restarts", LOG)
}

pub fn object(cluster: &ClusterName) -> String {
    format!("Goldmane of {cluster}")
}

fn trouble_of(cluster: &ClusterName, fact: &str, next: &str) -> Trouble {
    Trouble::new(&object(cluster), fact, next)
}
