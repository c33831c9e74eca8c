//! Learns the shape of a line that the general reader took: which of its values may differ. Refuses
//! a line of which that is not sure: with escapes or spaces, with a member twice, with another kind
//! of value than usual, too long, too rich.

use super::{
    super::{Malformed, json::Reader, meaning::Traits},
    Hole, STEPS, Shapes, Step, Then, WAYS,
};

/// Longer lines and lines with more values are no shape worth keeping.
const LINE: usize = 4_096;
const HOLES: usize = 48;

/// An object of a line whose members are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Line,
    Flow,
    Ip,
    Layer4,
    Ports,
    Layer7,
    Dns,
    OtherLayer7,
    Service,
    Interface,
}

enum Member {
    Object(Object),
    Hole(Hole),
    /// The same in every line of the shape.
    Word,
}

fn member(object: Object, key: &str) -> Member {
    use Member::{Hole as Of, Object as In, Word};
    match (object, key) {
        (Object::Line, "flow") => In(Object::Flow),
        (Object::Line, "node_name" | "time") => Of(Hole::Text),
        (Object::Flow, "time") => Of(Hole::Time),
        (Object::Flow, "node_name") => Of(Hole::Node),
        (Object::Flow, "uuid" | "Summary") => Of(Hole::Text),
        (Object::Flow, "source_names") => Of(Hole::List),
        (Object::Flow, "destination_names") => Of(Hole::Names),
        (Object::Flow, "IP") => In(Object::Ip),
        (Object::Flow, "l4") => In(Object::Layer4),
        (Object::Flow, "l7") => In(Object::Layer7),
        (Object::Flow, "source") => Of(Hole::SourceEnd),
        (Object::Flow, "destination") => Of(Hole::DestinationEnd),
        (Object::Flow, "destination_service") => In(Object::Service),
        (Object::Flow, "interface") => In(Object::Interface),
        (Object::Ip, "source") => Of(Hole::Source),
        (Object::Ip, "destination") => Of(Hole::Destination),
        (Object::Layer4, "TCP" | "UDP" | "SCTP") => In(Object::Ports),
        (Object::Ports, "source_port") => Of(Hole::SourcePort),
        (Object::Ports, "destination_port") => Of(Hole::DestinationPort),
        (Object::Layer7, "dns") => In(Object::Dns),
        (Object::Layer7, "http" | "kafka") => In(Object::OtherLayer7),
        (Object::Layer7, "latency_ns") | (Object::OtherLayer7, "url") => Of(Hole::Text),
        (Object::Dns, "query") => Of(Hole::Query),
        (Object::Dns, "ips") => Of(Hole::Ips),
        (Object::Dns, "cnames") => Of(Hole::Cnames),
        (Object::Dns, "ttl") => Of(Hole::Ttl),
        (Object::Service, "name") => Of(Hole::ServiceName),
        (Object::Service, "namespace") => Of(Hole::ServiceNs),
        (Object::Interface, "name") => Of(Hole::Text),
        (Object::Interface, "index") => Of(Hole::Number),
        _ => Word,
    }
}

impl Shapes {
    /// Keeps the shape of a line and what such lines have in common, where there is room.
    pub fn learn(&mut self, line: &[u8], traits: Traits) {
        let Some(holes) = holes(line) else { return };
        let (mut from, mut parent) = (0, None);
        for (hole, begin, end) in holes {
            let Some(step) = self.way(parent, &line[from..begin], Some(hole), traits) else { return };
            (from, parent) = (end, Some(step));
        }
        self.way(parent, &line[from..], None, traits);
    }

    /// The step from `parent` over this literal: the one that is there, or a new one.
    fn way(
        &mut self,
        parent: Option<u16>,
        literal: &[u8],
        hole: Option<Hole>,
        traits: Traits,
    ) -> Option<u16> {
        let ways = self.ways(parent)?;
        let there = ways.iter().copied().find(|way| *self.steps[usize::from(*way)].literal == *literal);
        if there.is_some() || ways.len() >= WAYS || self.steps.len() >= STEPS {
            return there;
        }
        let new = u16::try_from(self.steps.len()).ok()?;
        let then = hole.map_or(Then::End(traits), |hole| Then::Hole(hole, Vec::new()));
        self.steps.push(Step { literal: literal.into(), then });
        match parent.map(|parent| &mut self.steps[usize::from(parent)].then) {
            Some(Then::Hole(_, next)) => next.push(new),
            Some(Then::End(_)) => return None,
            None => self.first.push(new),
        }
        Some(new)
    }

    fn ways(&self, parent: Option<u16>) -> Option<&[u16]> {
        match parent.map(|parent| &self.steps[usize::from(parent)].then) {
            Some(Then::Hole(_, next)) => Some(next),
            Some(Then::End(_)) => None,
            None => Some(&self.first),
        }
    }
}

/// The values that may differ, with their places, in their order.
fn holes(line: &[u8]) -> Option<Vec<(Hole, usize, usize)>> {
    let text = std::str::from_utf8(line).ok().filter(|text| text.len() <= LINE && !text.contains('\\'))?;
    let mut walk = Walk { length: line.len(), holes: Vec::new(), objects: Vec::new() };
    walk.object(&mut Reader::new(text), Object::Line).ok()?;
    // Without a time and a node of its own the members around the flow would speak for it.
    let has = |hole| walk.holes.iter().any(|(other, ..)| *other == hole);
    (has(Hole::Time) && has(Hole::Node) && walk.holes.len() <= HOLES).then_some(walk.holes)
}

struct Walk {
    length: usize,
    holes: Vec<(Hole, usize, usize)>,
    objects: Vec<Object>,
}

impl Walk {
    fn object(&mut self, from: &mut Reader<'_>, object: Object) -> Result<(), Malformed> {
        // Of two objects in one place the last would win, or add to the first.
        if self.objects.contains(&object) || !from.rest().0.starts_with('{') {
            return Err(Malformed::Json);
        }
        self.objects.push(object);
        from.object(|from, key| match member(object, key) {
            Member::Object(object) => self.object(from, object),
            Member::Hole(hole) => self.hole(from, hole),
            Member::Word => from.skip(),
        })
    }

    fn hole(&mut self, from: &mut Reader<'_>, hole: Hole) -> Result<(), Malformed> {
        let is_kept = !matches!(hole, Hole::Text | Hole::Number | Hole::List);
        if is_kept && self.holes.iter().any(|(other, ..)| *other == hole) {
            return Err(Malformed::Json);
        }
        let (opens, quote) = match hole {
            Hole::SourceEnd | Hole::DestinationEnd => ("{", 0),
            Hole::Names | Hole::Ips | Hole::Cnames | Hole::List => ("[", 0),
            Hole::SourcePort | Hole::DestinationPort | Hole::Ttl | Hole::Number => ("", 0),
            _ => ("\"", 1),
        };
        let first = from.rest().0;
        if !first.starts_with(opens) || opens.is_empty() && !first.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Malformed::Json);
        }
        from.skip()?;
        let (begin, end) = (self.length - first.len() + quote, self.length - from.rest().0.len() - quote);
        self.holes.push((hole, begin, end));
        Ok(())
    }
}
