//! One reader of the relay's flows: where it stands in each node's ring, what it wants, and what it
//! missed. Pure: rings and the moment come with each call.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    pb::{
        flow::{LostEvent, LostEventSource},
        observer::{GetFlowsRequest, GetFlowsResponse, get_flows_response::ResponseTypes},
        relay::{NodeState, NodeStatusEvent},
    },
    sim::fleet::{
        agents::{Agents, Ring},
        event::{Event, What},
        filter::{Filters, mask},
        flows::{node_name, spell_out, timestamp},
        plan::Plan,
        traffic::SECOND,
    },
};

/// How many answers are made at once.
const BATCH: usize = 512;
/// Losses of one node are told at most this often.
const LOSS_PAUSE: i64 = SECOND;

pub struct Reader {
    filters: Filters,
    mask: Vec<String>,
    follow: bool,
    until: Option<i64>,
    /// How many flows each node may still give; 0 in the request means any.
    left: BTreeMap<usize, u64>,
    limit: Option<u64>,
    /// For each node: the number of the event to read next.
    places: BTreeMap<usize, u64>,
    missed: BTreeMap<usize, Missed>,
    ready: VecDeque<GetFlowsResponse>,
    /// Events read since there was last nothing to tell.
    read: usize,
    /// Readers that come with `follow` alone see only what is new.
    begin: i64,
}

#[derive(Clone, Copy, Default)]
struct Missed {
    count: u64,
    told: i64,
}

/// What a look at the rings gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Found,
    /// Nothing yet; `busy` if many events were read.
    Nothing {
        busy: bool,
    },
    /// There will be nothing more.
    Done,
}

impl Reader {
    pub fn new(request: GetFlowsRequest, agents: &Agents, now: i64) -> Self {
        let nanos = |t: prost_types::Timestamp| t.seconds.saturating_mul(SECOND) + i64::from(t.nanos);
        let since = request.since.map(nanos);
        let only_new = request.follow && request.number == 0 && since.is_none();
        let limit = (request.number > 0).then_some(request.number);
        let mut reader = Self {
            filters: Filters { white: request.whitelist, black: request.blacklist },
            mask: request.field_mask.map(|m| m.paths).unwrap_or_default(),
            follow: request.follow,
            until: request.until.map(nanos),
            left: BTreeMap::new(),
            limit: limit.filter(|_| !request.follow),
            places: BTreeMap::new(),
            missed: BTreeMap::new(),
            ready: VecDeque::new(),
            read: 0,
            begin: if only_new { now } else { i64::MIN },
        };
        reader.greet(agents, now);
        for (node, ring) in agents.heard() {
            let place = match since {
                _ if only_new => ring.end(),
                Some(since) => first_since(ring, since),
                None if request.first => ring.first(),
                None => limit.map_or(ring.first(), |count| reader.last(agents.plan(), node, ring, count)),
            };
            reader.places.insert(node, place);
        }
        reader
    }

    /// The next answer that is ready.
    pub fn take(&mut self) -> Option<GetFlowsResponse> {
        self.ready.pop_front()
    }

    /// Reads on in every ring.
    pub fn look(&mut self, agents: &Agents, now: i64) -> Turn {
        let mut found = Vec::new();
        let mut all_read = true;
        for (node, ring) in agents.heard() {
            let (count, to_end) = self.look_at(agents.plan(), node, ring, now, &mut found);
            self.read += count;
            all_read &= to_end;
        }
        found.sort_by_key(|(at, _)| *at);
        self.ready.extend(found.into_iter().map(|(_, response)| response));
        let over = self.until.is_some_and(|until| until < now);
        match (self.ready.is_empty(), all_read && (!self.follow || over)) {
            (false, _) => Turn::Found,
            (true, true) => Turn::Done,
            (true, false) => Turn::Nothing { busy: std::mem::take(&mut self.read) >= BATCH },
        }
    }

    /// One node's ring: how many events were read, and whether that was all.
    fn look_at(
        &mut self,
        plan: &Plan,
        node: usize,
        ring: &Ring,
        now: i64,
        found: &mut Vec<(i64, GetFlowsResponse)>,
    ) -> (usize, bool) {
        // A node that the relay comes to hear of later is read from its beginning, if that is new.
        let place = self.places.get(&node).copied().unwrap_or_else(|| first_since(ring, self.begin));
        let mut place = self.skip(node, ring, place);
        if let Some(lost) = self.tell_missed(plan, node, now) {
            found.push((now, lost));
        }
        let start = place;
        let mut made = 0;
        while made < BATCH && place < ring.end() {
            if self.limit.is_some_and(|limit| *self.left.entry(node).or_insert(limit) == 0) {
                place = ring.end();
                break;
            }
            if let Some(response) = ring.get(place).and_then(|event| self.response(plan, node, place, event))
            {
                if response.1 {
                    self.left.entry(node).and_modify(|left| *left = left.saturating_sub(1));
                }
                found.push(response.0);
                made += 1;
            }
            place += 1;
        }
        self.places.insert(node, place);
        ((place - start) as usize, place == ring.end())
    }

    /// An event as an answer, and whether it counts; `None` if the reader does not want it.
    fn response(
        &self,
        plan: &Plan,
        node: usize,
        place: u64,
        event: &Event,
    ) -> Option<((i64, GetFlowsResponse), bool)> {
        if let What::Lost { count } = event.what {
            let lost = lost(LostEventSource::PerfEventRingBuffer, count);
            return Some((
                (event.at, self.wrap(plan, node, event.at, ResponseTypes::LostEvents(lost))),
                false,
            ));
        }
        if self.until.is_some_and(|until| event.at > until) || !self.filters.may_fit(&event.what) {
            return None;
        }
        let flow = spell_out(plan, node, place, event);
        if !self.filters.fits(&flow) {
            return None;
        }
        let flow = if self.mask.is_empty() { flow } else { mask(flow, &self.mask) };
        // As upstream: time and node of the answer are those of the masked flow.
        let (node_name, time) = (flow.node_name.clone(), flow.time);
        let response = GetFlowsResponse { node_name, time, response_types: Some(ResponseTypes::Flow(flow)) };
        Some(((event.at, response), true))
    }

    /// Steps over what the ring has overwritten, and remembers how much that was.
    fn skip(&mut self, node: usize, ring: &Ring, place: u64) -> u64 {
        if place < ring.first() {
            self.missed.entry(node).or_default().count += ring.first() - place;
        }
        place.max(ring.first())
    }

    fn tell_missed(&mut self, plan: &Plan, node: usize, now: i64) -> Option<GetFlowsResponse> {
        let missed = self.missed.get_mut(&node).filter(|m| m.count > 0 && now - m.told >= LOSS_PAUSE)?;
        let lost = lost(LostEventSource::HubbleRingBuffer, missed.count);
        *missed = Missed { count: 0, told: now };
        Some(self.wrap(plan, node, now, ResponseTypes::LostEvents(lost)))
    }

    fn wrap(&self, plan: &Plan, node: usize, at: i64, response: ResponseTypes) -> GetFlowsResponse {
        GetFlowsResponse {
            node_name: node_name(plan, node),
            time: Some(timestamp(at)),
            response_types: Some(response),
        }
    }

    /// The relay says first to which nodes it is connected; a silent one is still among them.
    fn greet(&mut self, agents: &Agents, now: i64) {
        let plan = agents.plan();
        let status = NodeStatusEvent {
            state_change: NodeState::NodeConnected.into(),
            node_names: (0..plan.nodes.len()).map(|node| node_name(plan, node)).collect(),
            message: String::new(),
        };
        self.ready.push_back(GetFlowsResponse {
            node_name: "hubble-relay".to_owned(),
            time: Some(timestamp(now)),
            response_types: Some(ResponseTypes::NodeStatus(status)),
        });
    }

    /// Where to begin so that the last `count` wanted flows of a node come.
    fn last(&self, plan: &Plan, node: usize, ring: &Ring, count: u64) -> u64 {
        let mut left = count;
        for place in (ring.first()..ring.end()).rev() {
            let wanted = ring.get(place).and_then(|event| self.response(plan, node, place, event));
            left -= u64::from(wanted.is_some_and(|(_, counts)| counts));
            if left == 0 {
                return place;
            }
        }
        ring.first()
    }
}

fn first_since(ring: &Ring, since: i64) -> u64 {
    let is_before = |number: &u64| ring.get(*number).is_some_and(|event| event.at < since);
    ring.first() + (ring.first()..ring.end()).take_while(is_before).count() as u64
}

fn lost(source: LostEventSource, count: u64) -> LostEvent {
    LostEvent { source: source.into(), num_events_lost: count, cpu: None, first: None, last: None }
}
