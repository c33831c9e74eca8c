//! One dnstap frame into what it tells: an answer that a DNS server gave to a client. Only
//! CLIENT_RESPONSE counts; the forward plugin's events repeat it under the server's own address. Pure.
//!
//! The frame's identity is the DNS server (CoreDNS: its pod's name), not the node of the client, so no
//! node is told: a server's silence says nothing of a node.

use std::net::{IpAddr, Ipv6Addr};

use chrono::DateTime;
use prost::Message as _;

use crate::{
    domain::{
        sighting::{Answer, Client, Told},
        time::Timestamp,
    },
    pb::dnstap::{Dnstap, Message, dnstap, message},
};

use super::message::{Response, read};

/// What is wrong with a frame. It is counted; the next one goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum Malformed {
    #[error("the frame is not a dnstap event")]
    Frame,
    #[error("the dnstap event holds no message")]
    NoEvent,
    #[error("the event has no time that could be")]
    Time,
    #[error("the client's address has neither 4 nor 16 bytes")]
    Client,
    #[error("the event carries no DNS message: the server's dnstap needs `full` as its second argument")]
    NoMessage,
    #[error("the DNS message is longer than 65535 bytes")]
    TooLong,
    #[error("the DNS message ends too early")]
    Message,
    #[error("the event of a response holds a DNS query")]
    NoResponse,
    #[error("the DNS message has not exactly one question")]
    Questions,
    #[error("the DNS message claims more than 1024 answers")]
    TooManyRecords,
    #[error("a name in the DNS message is too long, or its compression leads nowhere")]
    Name,
    #[error("an address in the DNS message has the wrong length")]
    AddressLength,
    #[error("the DNS answer's aliases go in a circle, or there are more than 16")]
    Aliases,
}

/// Tells what one frame says.
pub fn decode(frame: &[u8], tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
    told(&event(frame)?, tell)
}

/// The frame's message, its DNS part unread.
pub(super) fn event(frame: &[u8]) -> Result<Dnstap, Malformed> {
    Dnstap::decode(frame).map_err(|_| Malformed::Frame)
}

pub(super) fn told(event: &Dnstap, tell: &mut impl FnMut(Told<'_>)) -> Result<(), Malformed> {
    let message = match &event.message {
        Some(message) if event.r#type == dnstap::Type::Message as i32 => message,
        Some(_) | None => return Err(Malformed::NoEvent),
    };
    if !is_answer(message) {
        tell(Told::Other { node: None, at: time(message) });
        return Ok(());
    }
    let at = time(message).ok_or(Malformed::Time)?;
    let response = message.response_message.as_deref().filter(|bytes| !bytes.is_empty());
    match read(response.ok_or(Malformed::NoMessage)?)? {
        None => tell(Told::Other { node: None, at: Some(at) }),
        Some(response) => answer(message, at, &response, tell)?,
    }
    Ok(())
}

/// Whether the event is the answer to a client, which is all that is joined.
pub(super) fn is_answer(message: &Message) -> bool {
    message.r#type == message::Type::ClientResponse as i32
}

fn answer(
    message: &Message,
    at: Timestamp,
    response: &Response,
    tell: &mut impl FnMut(Told<'_>),
) -> Result<(), Malformed> {
    let address = message.query_address.as_deref().and_then(client).ok_or(Malformed::Client)?;
    let cnames: Vec<&str> = response.aliases.iter().map(String::as_str).collect();
    tell(Told::Answer(Answer {
        at,
        client: Client::Address(address),
        query: &response.query,
        cnames: &cnames,
        addresses: &response.addresses,
        ttl_secs: response.ttl_secs,
    }));
    Ok(())
}

/// By the number of bytes, whatever the socket family says: CoreDNS before 1.14.5 sends IPv4 clients
/// as mapped IPv6 under the family INET.
fn client(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// When the answer was sent; where that is not said, when it was asked for.
pub(super) fn time(message: &Message) -> Option<Timestamp> {
    let moment = |secs: Option<u64>, nanos: Option<u32>| {
        DateTime::from_timestamp(i64::try_from(secs.filter(|secs| *secs > 0)?).ok()?, nanos.unwrap_or(0))
    };
    moment(message.response_time_sec, message.response_time_nsec)
        .or_else(|| moment(message.query_time_sec, message.query_time_nsec))
}
