//! Writes a week into a folder, hour by hour, so that memory holds an hour of it whatever its size:
//! a file for each node or resolver, as the sources themselves leave them. Says what it wrote and
//! what is true of it.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{
    antrea::Antrea, calico::Calico, dnstap::Dnstap, event::Event, happen::Week, hubble::Hubble,
    inventory::Inventory, truth::Truth,
};

/// Which sources a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Hubble's files, with DNS answers in them.
    Hubble,
    /// Hubble's files without, and the resolvers' dnstap.
    HubbleAndDnstap,
    /// `flows.log` and `dns.log`.
    Calico,
    /// The flow aggregator's file, and the resolvers' dnstap.
    AntreaAndDnstap,
    /// `np.log` of each node, and the resolvers' dnstap.
    AntreaLogAndDnstap,
}

pub struct Written {
    pub inventory: Inventory,
    pub truth: Truth,
    pub flows: Paths,
    pub dns: Paths,
    pub bytes: u64,
    /// Lookups that got an address.
    pub answers: u64,
}

/// Writes the whole week into `folder`, which must exist. The same week and seed, the same bytes.
pub fn write(mut week: Week, form: Form, folder: &Path, seed: u64) -> io::Result<Written> {
    let mut writer = Writer::new(&week, form, seed);
    let mut files = Files { folder, open: Vec::new(), bytes: 0 };
    let (mut events, mut answers) = (Vec::new(), 0);
    while week.next_hour(&mut events) {
        answers += events.iter().filter(|event| event.is_answered()).count() as u64;
        events.drain(..).for_each(|event| writer.write(&week.inventory, &event));
        files.take(&week.inventory, &mut writer)?;
    }
    writer.finish(&week.inventory);
    files.take(&week.inventory, &mut writer)?;
    let bytes = files.bytes;
    let (flows, dns) = files.finish()?;
    Ok(Written { flows, dns, bytes, answers, truth: writer.truth(), inventory: week.inventory })
}

/// Takes what was written: of which kind, of which node or resolver, the bytes.
type Sink<'a> = &'a mut dyn FnMut(Kind, &str, &[u8]) -> io::Result<()>;

enum Records {
    Hubble(Hubble),
    Calico(Calico),
    Antrea(Antrea),
    AntreaLog(Antrea),
}

struct Writer {
    records: Records,
    dnstap: Option<Dnstap>,
}

impl Writer {
    fn new(week: &Week, form: Form, seed: u64) -> Self {
        let (inventory, window) = (&week.inventory, || week.window.clone());
        let (records, tapped) = match form {
            Form::Hubble => (Records::Hubble(Hubble::new(inventory, window(), seed, true)), false),
            Form::HubbleAndDnstap => (Records::Hubble(Hubble::new(inventory, window(), seed, false)), true),
            Form::Calico => (Records::Calico(Calico::new(inventory, window())), false),
            Form::AntreaAndDnstap => (Records::Antrea(Antrea::new(inventory, window())), true),
            Form::AntreaLogAndDnstap => (Records::AntreaLog(Antrea::new(inventory, window())), true),
        };
        Self { records, dnstap: tapped.then(|| Dnstap::new(inventory)) }
    }

    fn write(&mut self, inventory: &Inventory, event: &Event) {
        match &mut self.records {
            Records::Hubble(it) => it.write(inventory, event),
            Records::Calico(it) => it.write(inventory, event),
            Records::Antrea(it) | Records::AntreaLog(it) => it.write(inventory, event),
        }
        if let Some(dnstap) = &mut self.dnstap {
            dnstap.write(inventory, event);
        }
    }

    fn finish(&mut self, inventory: &Inventory) {
        if let Records::Calico(it) = &mut self.records {
            it.finish(inventory);
        }
        if let Some(dnstap) = &mut self.dnstap {
            dnstap.finish();
        }
    }

    /// What was written since the last time: folder, what the file is called after, bytes.
    fn take(&mut self, inventory: &Inventory, sink: Sink<'_>) -> io::Result<()> {
        let mut each = |kind, lines: &mut [Vec<u8>]| {
            for (node, lines) in lines.iter_mut().enumerate() {
                sink(kind, &inventory.nodes[node].name, lines)?;
                lines.clear();
            }
            io::Result::Ok(())
        };
        match &mut self.records {
            Records::Hubble(it) => each(Kind::HubbleFlows, &mut it.lines)?,
            Records::Calico(it) => {
                each(Kind::CalicoFlows, &mut it.flows)?;
                each(Kind::CalicoDns, &mut it.dns)?;
            }
            Records::Antrea(it) => {
                it.logs.iter_mut().for_each(Vec::clear);
                sink(Kind::AntreaFlows, "", &it.records)?;
                it.records.clear();
            }
            Records::AntreaLog(it) => {
                it.records.clear();
                each(Kind::AntreaLog, &mut it.logs)?;
            }
        }
        let Some(dnstap) = &mut self.dnstap else { return Ok(()) };
        for (stream, pod) in dnstap.streams.iter_mut().zip(&inventory.resolvers) {
            sink(Kind::Dnstap, &inventory.pods[*pod].name, stream)?;
            stream.clear();
        }
        Ok(())
    }

    fn truth(self) -> Truth {
        match self.records {
            Records::Hubble(it) => it.truth,
            Records::Calico(it) => it.truth,
            Records::Antrea(it) => it.truth,
            Records::AntreaLog(it) => it.log_truth,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    HubbleFlows,
    CalicoFlows,
    CalicoDns,
    AntreaFlows,
    AntreaLog,
    Dnstap,
}

impl Kind {
    fn file(self, of: &str) -> String {
        match self {
            Self::HubbleFlows => format!("hubble-{of}.log"),
            Self::CalicoFlows => format!("calico-flows-{of}.log"),
            Self::CalicoDns => format!("calico-dns-{of}.log"),
            Self::AntreaFlows => "antrea-flows.log".to_owned(),
            Self::AntreaLog => format!("antrea-np-{of}.log"),
            Self::Dnstap => format!("dnstap-{of}.fstrm"),
        }
    }

    fn is_dns(self) -> bool {
        matches!(self, Self::CalicoDns | Self::Dnstap)
    }
}

struct Files<'a> {
    folder: &'a Path,
    open: Vec<(Kind, String, BufWriter<File>)>,
    bytes: u64,
}

/// Each with the node whose it is, where it is one node's.
pub type Paths = Vec<(PathBuf, Option<String>)>;

impl Files<'_> {
    fn take(&mut self, inventory: &Inventory, writer: &mut Writer) -> io::Result<()> {
        writer.take(inventory, &mut |kind, of, bytes| {
            let known = self.open.iter().position(|(k, o, _)| *k == kind && o == of);
            let at = match known {
                Some(at) => at,
                None => {
                    let file = File::create(self.folder.join(kind.file(of)))?;
                    self.open.push((kind, of.to_owned(), BufWriter::new(file)));
                    self.open.len() - 1
                }
            };
            self.bytes += bytes.len() as u64;
            self.open[at].2.write_all(bytes)
        })
    }

    fn finish(self) -> io::Result<(Paths, Paths)> {
        let (mut flows, mut dns) = (Vec::new(), Vec::new());
        for (kind, of, mut file) in self.open {
            file.flush()?;
            let by_node = !matches!(kind, Kind::Dnstap | Kind::AntreaFlows);
            let path = self.folder.join(kind.file(&of));
            let list = if kind.is_dns() { &mut dns } else { &mut flows };
            list.push((path, by_node.then_some(of)));
        }
        Ok((flows, dns))
    }
}
