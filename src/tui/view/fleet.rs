//! The fleet: clusters that unfold to namespaces, namespaces that unfold to their two directions.
//! The row under the cursor is explained below the list, with the next thing to do.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        commands::CommandId,
        discovery::Progress,
        rows::{self, ClusterRow, NamespaceRow, Phase, RolloutRow, Standing},
        shadow,
        waves::holds,
        world::World,
    },
    domain::{
        fleet::{Enforcement, Health},
        flow::Direction,
        hold::HoldKind,
        time::age,
    },
};

use super::{
    super::{
        masks::Shown,
        model::{Main, Model, RowKey},
        plan,
        theme::Role,
        widgets::{Cells, Pen, highlight, known, put, rate, sparkline},
    },
    frame::{Areas, band, note},
};

/// A good answer older than this is stale, and says so.
pub const STALE_SECS: i64 = 120;
/// A collector that is silent for longer is stale.
pub const COLLECTOR_STALE_SECS: i64 = 600;

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
}

fn empty(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let text = if !model.filter(Main::Fleet).is_empty() {
        super::frame::none_passes(pen)
    } else if world.plan().path.is_some() {
        pen.own(&format!(
            "sluice.yaml names no cluster. Add one under `clusters:`, then {} reads it again.",
            pen.key(CommandId::Reload)
        ))
    } else {
        pen.own("No cluster is known. Name contexts in a kubeconfig (KUBECONFIG), or try `sluice demo`.")
    };
    note(pen, text, Role::Warn, areas.list, buf);
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
    rate: usize,
    /// Progress of collection, of a cluster and of a namespace.
    collected: usize,
    week: usize,
}

impl Widths {
    fn of(width: u16) -> Self {
        // What is left beyond 80 columns goes to the names.
        let more = usize::from(width).saturating_sub(80).min(20);
        // The kind of CNI comes first.
        let cni = if more >= 7 { 15 } else { 8 };
        let narrow = Self {
            name: 17 + more - (cni - 8),
            cni,
            source: 0,
            ns: 15 + more,
            phase: 11,
            standing: 0,
            spark: 6,
            rate: 0,
            collected: 6,
            week: 0,
        };
        match width {
            0..118 => narrow,
            118..140 => {
                let wide = Self { name: 24, cni: 15, source: 16, collected: 12, ..narrow };
                Self { ns: 18, standing: 9, spark: 6, rate: 0, week: 6, ..wide }
            }
            _ => {
                let wide = Self { name: 30, cni: 26, source: 22, collected: 12, ..narrow };
                Self { ns: 26, standing: 9, spark: 10, rate: 4, week: 12, ..wide }
            }
        }
    }
}

fn head(pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let wide = Widths::of(areas.list.width);
    let mut cells = Cells::new(pen, areas.list.width)
        .left("   health", 14, Role::Title)
        .left("env", 10, Role::Title)
        .left("cluster", wide.name, Role::Title)
        .left("CNI", wide.cni, Role::Title)
        .right("ns", 3, Role::Title)
        .right("deny/m", 6, Role::Title)
        .left(if wide.collected < 12 { "week" } else { "week seen" }, wide.collected, Role::Title);
    if wide.source > 0 {
        cells = cells.left("flows from", wide.source, Role::Title);
    }
    put(buf, Rect { height: 1, ..areas.head }, &cells.rest("read", Role::Title).line());
    if areas.head.height < 2 {
        return;
    }
    let mut cells = Cells::new(pen, areas.list.width).left("      namespace", wide.ns + 6, Role::Dim).left(
        if wide.week < 12 { "week" } else { "week seen" },
        wide.week,
        Role::Dim,
    );
    for direction in Direction::ALL {
        cells = cells.left(direction.as_str(), wide.phase, Role::Dim).left("set", 3, Role::Dim);
        if wide.standing > 0 {
            cells = cells.left("state", wide.standing, Role::Dim);
        }
        cells = cells.right("isol.", 5, Role::Dim).left("denied", wide.spark, Role::Dim);
        if wide.rate > 0 {
            cells = cells.right("/m", wide.rate, Role::Dim);
        }
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
            namespace(world, pen, &row, Look { marked: model.fleet.marks.contains(key), stale }, wide, width)
        }
        RowKey::Rollout(target) => {
            let found = world.cluster(&target.cluster).zip(world.namespace(&target.cluster, &target.ns));
            let Some((cluster, ns)) = found else {
                return pen.line(pen.own(&format!("        {}", target.direction)), Role::Dim);
            };
            let stale = matches!(cluster.health, Health::Down(_));
            let row = rows::rollout_row(world, cluster, ns, target.direction);
            rollout(world, pen, &row, Look { marked: model.fleet.marks.contains(key), stale }, width)
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
        Enforcement::DoesNot => ("ignores policies", Role::Bad),
        Enforcement::Audits => ("only audits", Role::Warn),
        Enforcement::Unknown => ("unknown", Role::Unknown),
    };
    if row.cni.words.as_str() == "unknown" {
        return ("unknown".to_owned(), Role::Unknown);
    }
    if width < 15 {
        let word = if row.cni.enforcement == Enforcement::DoesNot { "ignores!" } else { word };
        return (word.to_owned(), role);
    }
    // The version yields to the word that matters.
    let kind = row.cni.words.as_str().split(' ').next().unwrap_or_default();
    let full = format!("{} {word}", row.cni.words);
    let short = format!("{kind} {word}");
    match row.cni.enforcement {
        Enforcement::DoesNot if full.len() > width => (format!("{kind} ignores"), role),
        Enforcement::Audits if full.len() > width => (format!("{kind} audits"), role),
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
        .left(word, 10, band_role)
        .left(Shown::value(row.name.as_str()), wide.name, dim(Role::Text))
        .left(&cni, wide.cni, dim(cni_role))
        .right(known(row.namespaces), 3, dim(Role::Text))
        .right(rate(row.denials_per_minute), 6, dim(rate_role(row.denials_per_minute)));
    let (progress, role) = progress(row.collector.progress, wide.collected);
    cells =
        cells.left(pen.own(&progress), wide.collected, if is_old(pen, row) { Role::Dim } else { dim(role) });
    if wide.source > 0 {
        let (text, role) = source(row);
        cells = cells.left(&text, wide.source, dim(role));
    }
    let (age, role) = read(pen, row);
    cells.rest(&age, role).line()
}

/// How much of the week is proved; never a zero for what is not known.
fn progress(progress: Progress, width: usize) -> (String, Role) {
    let role = match progress {
        Progress::Unknown | Progress::NoCollector => Role::Unknown,
        Progress::Collecting { .. } => Role::Text,
        Progress::Blocked { .. } => Role::Warn,
        Progress::Ready { .. } => Role::Good,
    };
    (if width < 12 { progress.short() } else { progress.words() }, role)
}

/// A collector that was not heard of for a while: what it said is dimmed, the pane says how old.
fn is_old(pen: &Pen<'_>, row: &ClusterRow) -> bool {
    row.collector.at.is_some_and(|then| age(then, pen.now).num_seconds() >= COLLECTOR_STALE_SECS)
}

fn source(row: &ClusterRow) -> (String, Role) {
    let role = match row.source.link {
        "live" => Role::Good,
        "broken" => Role::Bad,
        _ => Role::Unknown,
    };
    (format!("{} {}", row.source.link, row.source.name), role)
}

/// Age of the last good answer; an old one says that it is.
fn read(pen: &Pen<'_>, row: &ClusterRow) -> (String, Role) {
    let stale = row.last_good.is_some_and(|then| age(then, pen.now).num_seconds() >= STALE_SECS);
    let when = match row.last_good {
        Some(then) if pen.clock => pen.minute(then),
        then => pen.when(then),
    };
    match row.health {
        Health::Down(_) if row.last_good.is_some() => (format!("{when} old"), Role::Bad),
        Health::Down(_) | Health::Connecting if row.last_good.is_none() => (when, Role::Unknown),
        _ if stale => (format!("{when} old"), Role::Warn),
        Health::Down(_) | Health::Connecting | Health::Up | Health::Degraded(_) => (when, Role::Dim),
    }
}

pub fn rate_role(rate: Option<f64>) -> Role {
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
        Phase::Soaking | Phase::Steady => Role::Good,
    }
}

/// `2/3`: how many of the set are live.
pub fn set(row: &RolloutRow) -> String {
    let live = row.policies.iter().filter(|(_, live)| *live).count();
    format!("{live}/{}", row.policies.len())
}

/// `3/12`: isolated pods of all.
fn isolated(row: &RolloutRow, width: usize) -> String {
    let Some(isolation) = &row.isolation else { return "?".to_owned() };
    let (isolated, pods) = (isolation.isolated, isolation.pods);
    match format!("{isolated}/{pods}") {
        text if text.len() <= width => text,
        // Rounded towards the middle: neither all nor none is said of some.
        _ => format!("{}%", (isolated * 100 / pods.max(1)).max(usize::from(isolated > 0))),
    }
}

fn namespace(
    world: &World,
    pen: &Pen<'_>,
    row: &NamespaceRow,
    look: Look,
    wide: Widths,
    width: u16,
) -> Line<'static> {
    let mark = if look.marked { "* " } else { "  " };
    let (note, role) = if row.terminating { (" (terminating)", Role::Warn) } else { ("", Role::Text) };
    let name = format!("{mark}{}{note}", row.name);
    let role = if look.marked { Role::Marked } else { look.role(role) };
    let (week, week_role) = progress(row.collection.progress, wide.week);
    let mut cells = Cells::new(pen, width).tight("    ", 4, Role::Text).left(&name, wide.ns + 2, role).left(
        pen.own(&week),
        wide.week,
        look.role(week_role),
    );
    for direction in Direction::ALL {
        let rollout = row.rollout(direction);
        let (mut phase, mut role) = phase(world, rollout);
        // Where the week has no column, a namespace that waits for it says how far it is.
        if wide.week == 0 && rollout.phase == Phase::Discovery && is_counted(row.collection.progress) {
            (phase, role) = progress(row.collection.progress, 12);
        }
        cells = cells.left(pen.own(&phase), wide.phase, look.role(role)).left(
            set(rollout),
            3,
            look.role(Role::Text),
        );
        if wide.standing > 0 {
            cells = cells.left(
                pen.own(&rollout.standing.short()),
                wide.standing,
                look.role(standing_role(rollout.standing)),
            );
        }
        let minutes = rollout.minutes.as_ref().map(<[u32; 30]>::as_slice);
        cells = cells.right(isolated(rollout, 5), 5, look.role(Role::Text)).left(
            sparkline(minutes, wide.spark),
            wide.spark,
            look.role(Role::Denied),
        );
        if wide.rate > 0 {
            let role = look.role(rate_role(rollout.denials_per_minute));
            cells = cells.right(rate(rollout.denials_per_minute), wide.rate, role);
        }
    }
    cells.line()
}

/// The phase, or what is more urgent to know.
fn phase(world: &World, row: &RolloutRow) -> (String, Role) {
    let own = |id| world.orders().get(id).filter(|order| order.target == row.target);
    if let Some(order) = row.order.and_then(own) {
        return (order.kind.as_str().to_owned(), Role::Warn);
    }
    if !world.incidents().of(&row.target).is_empty() {
        return ("incident".to_owned(), Role::Bad);
    }
    // An open or partial set says so by its phase already.
    if matches!(row.phase, Phase::Soaking | Phase::Steady) && !row.drift.is_empty() {
        return ("drift".to_owned(), Role::Warn);
    }
    let held = holds(world, &row.target, HoldKind::Hold).next().is_some();
    match (&row.soak, row.phase, held) {
        (Some(soak), Phase::Soaking, false) => {
            let judged = &soak.judged;
            let role = if judged.verdict.reasons().is_empty() { Role::Good } else { Role::Warn };
            (plan::soak_short(judged.credited, judged.needed), role)
        }
        // What is credited counts on while it is held; the mark says that nothing goes on after it.
        (Some(soak), Phase::Soaking, true) => {
            let (credited, needed) = (soak.judged.credited / 60, soak.judged.needed / 60);
            (format!("held {credited}/{needed}h"), Role::Warn)
        }
        (_, Phase::Soaking | Phase::Authored | Phase::RolledBack | Phase::Partial, true) => {
            ("held".to_owned(), Role::Warn)
        }
        (_, phase, _) => match &row.shadow {
            Some(shadow) if row.standing == Standing::None || shadow.how == shadow::How::Audited => {
                (shadow.short(), Role::Warn)
            }
            // It came after its wave.
            _ if matches!(phase, Phase::Discovery | Phase::Authored) && !row.drift.is_empty() => {
                ("missing".to_owned(), Role::Bad)
            }
            Some(_) | None => (phase.as_str().to_owned(), phase_role(phase)),
        },
    }
}

fn is_counted(progress: Progress) -> bool {
    matches!(progress, Progress::Collecting { .. } | Progress::Ready { .. } | Progress::Blocked { .. })
}

pub fn standing_role(standing: Standing) -> Role {
    match standing {
        Standing::None => Role::Dim,
        Standing::Accepted | Standing::OnSome(_) => Role::Warn,
        Standing::InForce => Role::Good,
    }
}

fn rollout(world: &World, pen: &Pen<'_>, row: &RolloutRow, look: Look, width: u16) -> Line<'static> {
    let mark = if look.marked { "* " } else { "  " };
    let role = if look.marked { Role::Marked } else { look.role(Role::Text) };
    let (phase, phase_role) = phase(world, row);
    let standing = if row.standing == Standing::None { String::new() } else { row.standing.short() };
    let isolated = row.isolation.as_ref().map_or_else(
        || "isolated: unknown".to_owned(),
        |isolation| format!("{}/{} pods isolated", isolation.isolated, isolation.pods),
    );
    let (isolation_width, spark) = if width < 100 { (20, 6) } else { (21, 20) };
    let mut cells = Cells::new(pen, width)
        .tight("      ", 6, Role::Text)
        .left(pen.own(&format!("{mark}{}", row.target.direction)), 9, role)
        .left(pen.own(&phase), 11, look.role(phase_role))
        .left(pen.own(&format!("{} live", set(row))), 8, look.role(Role::Text))
        .left(pen.own(&standing), 9, look.role(standing_role(row.standing)))
        .left(pen.own(&isolated), isolation_width, look.role(Role::Text));
    let minutes = row.minutes.as_ref().map(<[u32; 30]>::as_slice);
    cells = cells.left(sparkline(minutes, spark), spark, look.role(Role::Denied));
    let per = rate(row.denials_per_minute);
    cells.rest(&per, look.role(rate_role(row.denials_per_minute))).line()
}
