//! The fleet: clusters that unfold to namespaces, namespaces that unfold to their two directions.
//! The row under the cursor is explained below the list, with the next thing to do.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        orders::Target,
        rows::{self, ClusterRow, NamespaceRow, Phase, RolloutRow, Standing},
        world::World,
    },
    domain::{
        fleet::{Enforcement, Health},
        flow::Direction,
        time::age,
    },
};

use super::{
    super::{
        model::{Main, Model, RowKey},
        theme::Role,
        widgets::{Cells, Pen, count, highlight, known, put, rate, sparkline},
    },
    detail,
    frame::{Areas, band, pane},
};

/// A good answer older than this is stale, and says so.
pub const STALE_SECS: i64 = 120;

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    head(pen, areas, buf);
    let wide = Widths::of(areas.list.width);
    let height = usize::from(areas.list.height);
    for (line, (at, key)) in model.fleet.list.window(height).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        put(buf, area, &row(world, model, pen, key, wide, area.width));
        if at == model.fleet.list.at() && !model.fleet.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.fleet.list.rows().is_empty() {
        empty(world, model, pen, areas, buf);
    }
    let chosen = model.fleet.list.chosen();
    let (title, text) = detail::fleet_row(world, model, pen, chosen);
    pane(pen, &title, &text, 0, areas.detail, buf);
}

fn empty(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let text = if !model.filter(Main::Fleet).is_empty() {
        " No row passes the filter. ctrl-u shows all rows again."
    } else if world.plan().path.is_some() {
        " sluice.yaml names no cluster. Add one under `clusters:`, then ctrl-l reads it again."
    } else {
        " No cluster is known. Name contexts in a kubeconfig (KUBECONFIG), or try `sluice demo`."
    };
    put(buf, areas.list, &pen.line(text, Role::Warn));
}

/// Widths of columns that grow with the screen.
#[derive(Clone, Copy)]
struct Widths {
    name: usize,
    cni: usize,
    source: usize,
    ns: usize,
    phase: usize,
    standing: usize,
    spark: usize,
}

impl Widths {
    fn of(width: u16) -> Self {
        match width {
            0..100 => Self { name: 17, cni: 17, source: 0, ns: 15, phase: 9, standing: 0, spark: 5 },
            100..140 => Self { name: 26, cni: 24, source: 18, ns: 20, phase: 11, standing: 8, spark: 8 },
            _ => Self { name: 34, cni: 30, source: 26, ns: 28, phase: 11, standing: 8, spark: 15 },
        }
    }
}

fn head(pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let wide = Widths::of(areas.list.width);
    let mut cells = Cells::new(pen, areas.list.width)
        .left("   health", 14, Role::Title)
        .left("env", 11, Role::Title)
        .left("cluster", wide.name, Role::Title)
        .left("CNI", wide.cni, Role::Title)
        .right("ns", 4, Role::Title)
        .right("deny/m", 6, Role::Title);
    if wide.source > 0 {
        cells = cells.left("flows from", wide.source, Role::Title);
    }
    put(buf, Rect { height: 1, ..areas.head }, &cells.rest("read", Role::Title).line());
    if areas.head.height < 2 {
        return;
    }
    let mut cells = Cells::new(pen, areas.list.width).left("      namespace", wide.ns + 6, Role::Dim);
    for direction in Direction::ALL {
        cells = cells.left(direction.as_str(), wide.phase, Role::Dim).left("set", 3, Role::Dim);
        if wide.standing > 0 {
            cells = cells.left("", wide.standing, Role::Dim);
        }
        cells = cells.right("isol.", 5, Role::Dim).left("", wide.spark, Role::Dim).right("/m", 4, Role::Dim);
    }
    put(buf, Rect { y: areas.head.y + 1, height: 1, ..areas.head }, &cells.line());
}

fn row(world: &World, model: &Model, pen: &Pen<'_>, key: &RowKey, wide: Widths, width: u16) -> Line<'static> {
    match key {
        RowKey::Cluster(name) => match model.fleet.row(name) {
            Some(row) => {
                let open = model.fleet.unfolded.contains(name);
                cluster(pen, row, open, wide, width)
            }
            None => pen.line(format!("   {name}"), Role::Dim),
        },
        RowKey::Namespace(cluster, ns) => {
            let Some((cluster, ns)) = world.cluster(cluster).zip(world.namespace(cluster, ns)) else {
                return pen.line(format!("      {ns}"), Role::Dim);
            };
            let stale = matches!(cluster.health, Health::Down(_));
            let row = rows::namespace_row(world, cluster, ns);
            namespace(pen, &row, Look { marked: model.fleet.marks.contains(key), stale }, wide, width)
        }
        RowKey::Rollout(target) => {
            let found = world.cluster(&target.cluster).zip(world.namespace(&target.cluster, &target.ns));
            let Some((cluster, ns)) = found else {
                return pen.line(format!("        {}", target.direction), Role::Dim);
            };
            let stale = matches!(cluster.health, Health::Down(_));
            let row = rows::rollout_row(world, cluster, ns, target.direction);
            rollout(pen, &row, Look { marked: model.fleet.marks.contains(key), stale }, width)
        }
    }
}

#[derive(Clone, Copy)]
struct Look {
    marked: bool,
    /// From a cluster that does not answer: dimmed, and the cluster's row says why.
    stale: bool,
}

impl Look {
    fn role(self, role: Role) -> Role {
        if self.stale { Role::Dim } else { role }
    }
}

/// A glyph and a word.
pub fn health(health: &Health) -> (&'static str, Role) {
    match health {
        Health::Connecting => ("◌ connecting", Role::Unknown),
        Health::Up => ("● up", Role::Good),
        Health::Degraded(_) => ("▲ degraded", Role::Warn),
        Health::Down(_) => ("✖ down", Role::Bad),
    }
}

/// Kind of CNI and whether it enforces, never by colour alone.
fn cni(row: &ClusterRow, width: usize) -> (String, Role) {
    let (word, role) = match row.cni.enforcement {
        Enforcement::Enforces => ("enforces", Role::Text),
        Enforcement::DoesNot => ("enforces NOT", Role::Bad),
        Enforcement::Unknown => ("unknown", Role::Unknown),
    };
    if row.cni.words.as_str() == "unknown" {
        return ("unknown".to_owned(), Role::Unknown);
    }
    // The version yields to the word that matters.
    let kind = row.cni.words.as_str().split(' ').next().unwrap_or_default();
    let full = format!("{} {word}", row.cni.words);
    let short = format!("{kind} {word}");
    match row.cni.enforcement {
        Enforcement::DoesNot if full.len() > width => (format!("{kind} NOT"), role),
        _ if full.len() > width => (short, role),
        _ => (full, role),
    }
}

fn cluster(pen: &Pen<'_>, row: &ClusterRow, open: bool, wide: Widths, width: u16) -> Line<'static> {
    let down = matches!(row.health, Health::Down(_));
    let dim = |role: Role| if down { Role::Dim } else { role };
    let (health, health_role) = health(&row.health);
    let (word, band_role) = band(row.environment);
    let (cni, cni_role) = cni(row, wide.cni);
    let mut cells = Cells::new(pen, width)
        .left(if open { "▾" } else { "▸" }, 1, Role::Dim)
        .left(health, 12, health_role)
        .left(word, 11, band_role)
        .left(row.name.as_str(), wide.name, dim(Role::Text))
        .left(&cni, wide.cni, dim(cni_role))
        .right(&known(row.namespaces), 4, dim(Role::Text))
        .right(&rate(row.denials_per_minute), 6, dim(rate_role(row.denials_per_minute)));
    if wide.source > 0 {
        let (text, role) = source(row);
        cells = cells.left(&text, wide.source, dim(role));
    }
    let (age, role) = read(pen, row);
    cells.rest(&age, role).line()
}

fn source(row: &ClusterRow) -> (String, Role) {
    let name = if row.source.name.is_empty() { String::new() } else { format!("{} ", row.source.name) };
    let role = match row.source.link {
        "live" => Role::Good,
        "broken" => Role::Bad,
        _ => Role::Unknown,
    };
    (format!("{name}{}", row.source.link), role)
}

/// Age of the last good answer; an old one says that it is.
fn read(pen: &Pen<'_>, row: &ClusterRow) -> (String, Role) {
    let stale = row.last_good.is_some_and(|then| age(then, pen.now).num_seconds() >= STALE_SECS);
    let when = pen.when(row.last_good);
    match row.health {
        Health::Down(_) if row.last_good.is_some() => (format!("{when} old"), Role::Bad),
        Health::Down(_) | Health::Connecting if row.last_good.is_none() => (when, Role::Unknown),
        _ if stale => (format!("{when} old"), Role::Warn),
        Health::Down(_) | Health::Connecting | Health::Up | Health::Degraded(_) => (when, Role::Dim),
    }
}

fn rate_role(rate: Option<f64>) -> Role {
    match rate {
        None => Role::Unknown,
        Some(rate) if rate >= 0.05 => Role::Denied,
        Some(_) => Role::Dim,
    }
}

pub fn phase_role(phase: Phase) -> Role {
    match phase {
        Phase::Unknown => Role::Unknown,
        Phase::Excluded | Phase::Discovery | Phase::RolledBack => Role::Dim,
        Phase::Authored => Role::Text,
        Phase::Partial => Role::Warn,
        Phase::Soaking => Role::Good,
    }
}

/// `2/3`: how many of the set are live.
pub fn set(row: &RolloutRow) -> String {
    let live = row.policies.iter().filter(|(_, live)| *live).count();
    format!("{live}/{}", row.policies.len())
}

/// `3/12`: isolated pods of all.
fn isolated(row: &RolloutRow) -> String {
    row.isolation.as_ref().map_or_else(|| "?".to_owned(), |i| format!("{}/{}", i.isolated, i.pods))
}

fn namespace(pen: &Pen<'_>, row: &NamespaceRow, look: Look, wide: Widths, width: u16) -> Line<'static> {
    let mark = if look.marked { "* " } else { "  " };
    let (note, role) = if row.terminating { (" (terminating)", Role::Warn) } else { ("", Role::Text) };
    let name = format!("{mark}{}{note}", row.name);
    let role = if look.marked { Role::Marked } else { look.role(role) };
    let mut cells = Cells::new(pen, width).tight("    ", 4, Role::Text).left(&name, wide.ns + 2, role);
    for direction in Direction::ALL {
        let rollout = row.rollout(direction);
        let (phase, role) = phase(rollout);
        cells = cells.left(phase, wide.phase, look.role(role)).left(&set(rollout), 3, look.role(Role::Text));
        if wide.standing > 0 {
            cells = cells.left(
                rollout.standing.as_str(),
                wide.standing,
                look.role(standing_role(rollout.standing)),
            );
        }
        cells = cells
            .right(&isolated(rollout), 5, look.role(Role::Text))
            .left(
                &sparkline(rollout.minutes.as_ref().map(<[u32; 30]>::as_slice), wide.spark),
                wide.spark,
                look.role(Role::Denied),
            )
            .right(&rate(rollout.denials_per_minute), 4, look.role(rate_role(rollout.denials_per_minute)));
    }
    cells.line()
}

/// The phase, or what is more urgent to know.
fn phase(row: &RolloutRow) -> (&'static str, Role) {
    if row.order.is_some() {
        return ("running", Role::Warn);
    }
    // An open or partial set says so by its phase already.
    if row.phase == Phase::Soaking && !row.drift.is_empty() {
        return ("drift", Role::Warn);
    }
    (row.phase.as_str(), phase_role(row.phase))
}

pub fn standing_role(standing: Standing) -> Role {
    match standing {
        Standing::None => Role::Dim,
        Standing::Accepted => Role::Warn,
        Standing::InForce => Role::Good,
    }
}

fn rollout(pen: &Pen<'_>, row: &RolloutRow, look: Look, width: u16) -> Line<'static> {
    let mark = if look.marked { "* " } else { "  " };
    let role = if look.marked { Role::Marked } else { look.role(Role::Text) };
    let (phase, phase_role) = phase(row);
    let standing = if row.standing == Standing::None { "" } else { row.standing.as_str() };
    let isolated = row.isolation.as_ref().map_or_else(
        || "isolated: unknown".to_owned(),
        |isolation| format!("{} of {} pods isolated", isolation.isolated, isolation.pods),
    );
    let spark = if width < 100 { 8 } else { 20 };
    let mut cells = Cells::new(pen, width)
        .tight("      ", 6, Role::Text)
        .left(&format!("{mark}{}", row.target.direction), 9, role)
        .left(phase, 11, look.role(phase_role))
        .left(&format!("{} live", set(row)), 8, look.role(Role::Text))
        .left(standing, 8, look.role(standing_role(row.standing)))
        .left(&isolated, 22, look.role(Role::Text));
    let minutes = row.minutes.as_ref().map(<[u32; 30]>::as_slice);
    cells = cells.left(&sparkline(minutes, spark), spark, look.role(Role::Denied));
    let per = rate(row.denials_per_minute);
    cells.rest(&per, look.role(rate_role(row.denials_per_minute))).line()
}

/// A row's name, for titles.
pub fn target_words(target: &Target) -> String {
    format!("{} › {} › {}", target.cluster, target.ns, target.direction)
}

/// Flows taken in, for details.
pub fn flows(row: &ClusterRow) -> String {
    format!("{} flows", count(row.source.flows))
}
