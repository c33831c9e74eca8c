//! The ends of flows that a reader met before. An exporter writes the same few hundred pods a million
//! times, byte for byte, and they are most of its bytes: an object that begins with all the bytes of
//! a known one is that one, for no whole object is the beginning of another. Fixed memory; what is
//! known never changes what a line says, only how fast it is read.

use crate::domain::flow::Entity;

use super::meaning;

/// Objects by a sign of where they stand, the newest of each place.
/// Without places it knows nothing and keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Known {
    places: Vec<Place>,
    /// Objects that lost their place to another one since there was more room.
    lost: usize,
}

#[derive(Clone, Debug, Default)]
struct Place {
    raw: String,
    end: Spans,
}

/// What the object says; texts as places in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans {
    pub identity: Option<u64>,
    pub reserved: Option<Entity>,
    pub ns: Span,
    pub pod: Span,
    /// Name and kind of the first.
    pub workload: Option<(Span, Span)>,
}

/// What an end says, in its own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meant<'a> {
    pub ns: Option<&'a str>,
    pub pod: Option<&'a str>,
    /// Kind and name of its first owner.
    pub workload: Option<(&'a str, &'a str)>,
    pub entity: Option<Entity>,
}

/// From and to, in bytes of the object.
pub(super) type Span = (u16, u16);

/// Places at first and at most: a node sees some hundreds of pods, a relay or a file of many nodes
/// thousands. The first few are for short objects, which many addresses share.
const PLACES: usize = 1_024;
const MOST_PLACES: usize = 16_384;
const SHORT_PLACES: usize = 128;
/// Bytes of a short object, and of the longest one that is kept.
const SHORT: usize = 112;
const LONG: usize = 1_024;
/// Bytes of a short object that tell where it stands: they hold its identity.
const SIGN: usize = 24;

impl Known {
    pub fn new() -> Self {
        Self { places: vec![Place::default(); PLACES], lost: 0 }
    }

    /// The object at the beginning of `text` and its length. `address`: whose end it is; a hint only.
    pub fn find(&self, text: &[u8], address: u64) -> Option<(usize, Spans)> {
        self.place(text, address).map(|place| (place.raw.len(), place.end))
    }

    /// The same, and what it means, in the words that are kept here.
    pub fn meant(&self, text: &[u8], address: u64) -> Option<(usize, Meant<'_>)> {
        self.place(text, address).map(|place| (place.raw.len(), place.meant()))
    }

    fn place(&self, text: &[u8], address: u64) -> Option<&Place> {
        let (long, short) = (self.long_place(address), short_place(text));
        [long, short, long ^ 1, short ^ 1].into_iter().find_map(|at| {
            let place = self.places.get(at)?;
            (!place.raw.is_empty() && text.starts_with(place.raw.as_bytes())).then_some(place)
        })
    }

    pub fn keep(&mut self, raw: &str, address: u64, end: Spans) {
        if raw.len() > LONG || self.places.is_empty() {
            return;
        }
        let at = if raw.len() <= SHORT { short_place(raw.as_bytes()) } else { self.long_place(address) };
        // The one that stood here moves to the place beside, where it is still found.
        self.places.swap(at, at ^ 1);
        let place = &mut self.places[at];
        self.lost += usize::from(!place.raw.is_empty());
        place.raw.clear();
        place.raw.push_str(raw);
        place.end = end;
        if self.lost > self.places.len() && self.places.len() < MOST_PLACES {
            *self = Self { places: vec![Place::default(); 4 * self.places.len()], lost: 0 };
        }
    }

    fn long_place(&self, address: u64) -> usize {
        SHORT_PLACES + spread(address) % self.places.len().saturating_sub(SHORT_PLACES).max(1)
    }
}

impl Place {
    fn meant(&self) -> Meant<'_> {
        let text = |(from, to): Span| &self.raw[usize::from(from)..usize::from(to)];
        let said = |span| Some(text(span)).filter(|text| !text.is_empty());
        let end = &self.end;
        Meant {
            ns: said(end.ns),
            pod: said(end.pod),
            workload: end.workload.and_then(|(name, kind)| Some((text(kind), said(name)?))),
            entity: meaning::entity(end.identity).or(end.reserved),
        }
    }
}

fn short_place(bytes: &[u8]) -> usize {
    let sign = bytes.get(SIGN - 8..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |b| u64::from_le_bytes(*b));
    let before = bytes.get(SIGN - 16..).and_then(<[u8]>::first_chunk::<8>);
    spread(sign ^ before.map_or(0, |b| u64::from_le_bytes(*b)).rotate_left(23)) % SHORT_PLACES
}

/// Both halves of a product with the golden ratio's bits: what differs anywhere differs in all of it.
fn spread(sign: u64) -> usize {
    let product = u128::from(sign) * 0x9e37_79b9_7f4a_7c15;
    ((product >> 64) as u64 ^ product as u64) as usize
}

/// A sign of an address as it is written: its last bytes, which differ most.
pub(super) fn sign_of(address: &[u8]) -> u64 {
    match address.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last) ^ address.len() as u64,
        None => address.iter().fold(0, |sign, byte| sign << 8 | u64::from(*byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_known_by_all_of_its_bytes_wherever_it_was_met() {
        let pod = format!("{{\"identity\":7,\"labels\":[\"{}\"],\"pod_name\":\"web-0\"}}", "x".repeat(200));
        let world = "{\"identity\":2,\"labels\":[\"reserved:world\"]}";
        let (here, there) = (sign_of(b"10.0.0.1"), sign_of(b"10.0.0.2"));
        let end = |identity| Spans { identity: Some(identity), ..Spans::default() };
        let mut known = Known::new();
        known.keep(&pod, here, end(7));
        known.keep(world, here, end(2));
        assert_eq!(known.find(format!("{pod},\"x\":1}}").as_bytes(), here), Some((pod.len(), end(7))));
        assert_eq!(
            known.find(world.as_bytes(), there),
            Some((world.len(), end(2))),
            "a short one has no address"
        );
        let another = pod.replace("web-0", "web-1");
        assert_eq!(known.find(another.as_bytes(), here), None);
        assert_eq!(known.find(&pod.as_bytes()[..pod.len() - 1], here), None, "half of it");
        known.keep(&another, here, end(8));
        assert_eq!(known.find(another.as_bytes(), here), Some((another.len(), end(8))));
        assert_eq!(known.find(pod.as_bytes(), here), Some((pod.len(), end(7))), "in the place beside");
        known.keep(&pod.replace("web-0", "web-2"), here, end(9));
        assert_eq!(known.find(pod.as_bytes(), here), None, "the newest two have places");
        known.keep(&"y".repeat(LONG + 1), there, end(9));
        assert_eq!(known.find("y".repeat(LONG + 1).as_bytes(), there), None, "too long to keep");
    }

    #[test]
    fn there_is_more_room_where_objects_take_each_others_places_up_to_a_limit() {
        let mut known = Known::new();
        for n in 0..200_000_u32 {
            let pod = format!("{{\"pod_name\":\"web-{n}\",\"labels\":[\"{}\"]}}", "x".repeat(120));
            known.keep(&pod, sign_of(format!("10.0.{}.{}", n / 250, n % 250).as_bytes()), Spans::default());
        }
        assert_eq!(known.places.len(), MOST_PLACES);
    }

    #[test]
    fn addresses_of_one_network_have_places_of_their_own() {
        let places: std::collections::BTreeSet<_> =
            (0..=255).map(|n| Known::new().long_place(sign_of(format!("10.64.0.{n}").as_bytes()))).collect();
        assert!(places.len() > 200, "{}", places.len());
    }
}
