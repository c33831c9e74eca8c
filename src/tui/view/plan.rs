//! The plan: what may go now, the waves with their verdicts and dates, and for the row under the
//! cursor everything that is missing, with who can clear it, and its soak.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use crate::{
    cockpit::{
        commands::CommandId,
        planned::{Ask, PlanRow, plan_row_of},
        shadow, waiving,
        world::World,
    },
    domain::{
        flow::Direction,
        forecast::{ASSUMES, Forecast},
        hold::HoldKind,
        rollout::Target,
        time::{Timestamp, span},
        wave::{Left, RowState, Since, Verdict, Wave},
    },
};

use super::{
    super::{
        masks::Shown,
        model::{Main, Model, Settings},
        plan::{PlanKey, gate_words, is_open, state_short},
        theme::{Role, Theme},
        widgets::{Cells, Pen, highlight, plural, put},
    },
    frame::{About, Areas, band, note},
    soak,
};

type Text = Vec<(Role, String)>;

/// Lines above the rows: one a direction, and the columns' names.
pub const HEAD: u16 = 3;

pub fn draw(world: &World, model: &Model, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    for (direction, y) in Direction::ALL.into_iter().zip(areas.head.y..areas.head.bottom()) {
        let line = summary(world, model, pen, direction, areas.head.width);
        put(buf, Rect { y, height: 1, ..areas.head }, &line);
    }
    if areas.head.height >= HEAD {
        let cells = columns(pen, areas.head.width);
        put(buf, Rect { y: areas.head.y + 2, height: 1, ..areas.head }, &cells);
    }
    for (line, (at, key)) in model.plan.list.window(usize::from(areas.list.height)).enumerate() {
        let area = Rect { y: areas.list.y + line as u16, height: 1, ..areas.list };
        let drawn = match key {
            PlanKey::Wave(number) => wave_line(world, model, pen, *number, area.width),
            PlanKey::Row(target) => row_line(world, pen, target, area.width),
        };
        put(buf, area, &drawn);
        if at == model.plan.list.at() && !model.plan.list.is_gone() {
            highlight(buf, area, pen.style(Role::Selected));
        }
    }
    if model.plan.list.rows().is_empty() {
        let text: Shown<'_> = if !model.filter(Main::Plan).is_empty() {
            super::frame::none_passes(pen).into()
        } else {
            "No row is planned yet: rows are the namespaces of clusters that answered, less what sluice.yaml leaves out.".into()
        };
        note(pen, text, Role::Warn, areas.list, buf);
    }
}

fn summary(world: &World, model: &Model, pen: &Pen<'_>, direction: Direction, width: u16) -> Line<'static> {
    let rows = model.plan.of(direction);
    let count = |ask: Ask| rows.iter().filter(|row| row.ask == ask).count();
    let is_here = model.plan.direction == direction;
    let mark = if is_here { "▸ " } else { "  " };
    let title = if is_here { Role::Selected } else { Role::Text };
    let go = count(Ask::MayGo);
    let forecast = world.waves().forecast(direction);
    let mut out = vec![
        pen.span(pen.own(&format!("{mark}{direction:8}")), title),
        pen.span(format!(" {go} may go"), if go > 0 { Role::Good } else { Role::Dim }),
        pen.span(
            format!(
                ", {} wait, {} at work, {} through or excluded",
                count(Ask::Waits),
                count(Ask::AtWork),
                count(Ask::Left)
            ),
            Role::Text,
        ),
    ];
    let unread = world.waves().unread.len();
    let (is_narrow, end) = (width < 100, forecast.end);
    // Where there is room for one of the two, that rows may be missing is said.
    if !is_narrow || unread == 0 {
        let end = if is_narrow { date(pen, end) } else { day(pen, end) };
        out.push(pen.span(format!("  ends {end}"), Role::Dim));
    }
    if unread > 0 {
        out.push(pen.span(format!("  {} unread", plural(unread, "cluster")), Role::Warn));
    }
    Line::from(out)
}

fn columns(pen: &Pen<'_>, width: u16) -> Line<'static> {
    Cells::new(pen, width)
        .left("  now", 9, Role::Title)
        .left("wave", 4, Role::Title)
        .left("namespace", name_width(width), Role::Title)
        .left("state", 12, Role::Title)
        .right("for", 6, Role::Title)
        .rest("what it waits for", Role::Title)
        .line()
}

fn name_width(width: u16) -> usize {
    24 + usize::from(width).saturating_sub(80).min(24) / 2
}

fn day(pen: &Pen<'_>, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "?".to_owned(), |at| at.with_timezone(&pen.zone).format("%a %m-%d %H:%M").to_string())
}

/// Where there is little room.
fn date(pen: &Pen<'_>, at: Option<Timestamp>) -> String {
    at.map_or_else(|| "?".to_owned(), |at| at.with_timezone(&pen.zone).format("%m-%d").to_string())
}

fn verdict_role(verdict: Verdict) -> Role {
    match verdict {
        Verdict::Ahead => Role::Dim,
        Verdict::Open => Role::Text,
        Verdict::Held => Role::Bad,
        Verdict::Done => Role::Good,
    }
}

fn wave_line(world: &World, model: &Model, pen: &Pen<'_>, number: u32, width: u16) -> Line<'static> {
    let plan = world.waves().plan(model.plan.direction);
    let Some(wave) = plan.waves.iter().find(|wave| wave.number == number) else {
        return pen.line(format!("  wave {number}"), Role::Dim);
    };
    let (word, role) = band(wave.environment);
    let mark = if is_open(model, world, wave) { "▾" } else { "▸" };
    Cells::new(pen, width)
        .left(format!("{mark} wave {number}"), 9, Role::Title)
        .left(word, 10, role)
        .left(wave.verdict.as_str(), 5, verdict_role(wave.verdict))
        .rest(
            wave_words(world, pen, wave, model.plan.direction, usize::from(width).saturating_sub(27)),
            Role::Dim,
        )
        .line()
}

/// Its rows and dates. Where there is no room for all of it the end stays, and stays whole.
fn wave_words(world: &World, pen: &Pen<'_>, wave: &Wave, direction: Direction, room: usize) -> String {
    let (rows, both) = (counts(wave), dates(world, pen, wave, direction));
    if rows.chars().count() + both.chars().count() <= room {
        return rows + &both;
    }
    let end = both.rfind("ends ").map_or("", |at| &both[at..]);
    let left = room.saturating_sub(end.len() + 2);
    if rows.chars().count() <= left {
        return format!("{rows}; {end}");
    }
    format!("{}…; {end}", rows.chars().take(left.saturating_sub(1)).collect::<String>())
}

/// `4 rows: 1 clean, 2 soaking, 1 rolled back`.
fn counts(wave: &Wave) -> String {
    let mut words: Vec<(&str, usize)> = Vec::new();
    for row in &wave.rows {
        let word = if row.left() == Some(Left::Excluded) { "excluded" } else { row.state.word() };
        match words.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count += 1,
            None => words.push((word, 1)),
        }
    }
    let words: Vec<_> = words.iter().map(|(word, count)| format!("{count} {word}")).collect();
    format!("{}: {}", plural(wave.rows.len(), "row"), words.join(", "))
}

fn dates(world: &World, pen: &Pen<'_>, wave: &Wave, direction: Direction) -> String {
    let dates = &world.waves().forecast(direction).waves;
    let Some(dates) = dates.iter().find(|dates| dates.number == wave.number) else { return String::new() };
    match wave.verdict {
        Verdict::Done => String::new(),
        Verdict::Ahead => format!("; starts {}, ends {}", day(pen, dates.starts), day(pen, dates.ends)),
        Verdict::Open | Verdict::Held => format!("; ends {}", day(pen, dates.ends)),
    }
}

fn state_role(state: &RowState) -> Role {
    match state {
        RowState::Waiting => Role::Text,
        RowState::Soaking { .. } | RowState::Clean => Role::Good,
        RowState::Idle => Role::Dim,
        RowState::Withheld(_) | RowState::Blocked(_) => Role::Warn,
        RowState::RolledBack | RowState::Incident(_) => Role::Bad,
        RowState::Unreachable(_) | RowState::Unknown(_) => Role::Unknown,
    }
}

fn ask_role(ask: Ask) -> Role {
    match ask {
        Ask::MayGo => Role::Good,
        Ask::Waits | Ask::AtWork => Role::Text,
        Ask::Left => Role::Dim,
    }
}

fn row_line(world: &World, pen: &Pen<'_>, target: &Target, width: u16) -> Line<'static> {
    let Some(row) = plan_row_of(world, target) else {
        return pen.line(format!("  {target}: not in the plan any more"), Role::Dim);
    };
    let held = crate::cockpit::waves::holds(world, target, HoldKind::Hold).next().is_some();
    let state = match row.row.state {
        RowState::Waiting if held => "held".to_owned(),
        _ => state_short(row.row),
    };
    let (waits, role) = waits_for(pen, &row);
    Cells::new(pen, width)
        .left(pen.own(&format!("  {}", row.ask.as_str())), 9, ask_role(row.ask))
        .left(row.wave.to_string(), 4, Role::Dim)
        .left(format!("{}/{}", target.cluster, target.ns), name_width(width), Role::Text)
        .left(&state, 12, if held { Role::Warn } else { state_role(&row.row.state) })
        .right(since_cell(pen, row.row.since), 6, Role::Dim)
        .rest(&waits, role)
        .line()
}

/// `1m`; `>1m` where it was so before this run began. As a clock time, it was so before that.
fn since_cell(pen: &Pen<'_>, since: Since) -> String {
    match since {
        Since::Unknown => "?".to_owned(),
        Since::At(at) => pen.when(Some(at)),
        Since::Before(at) => format!("{}{}", if pen.clock { '<' } else { '>' }, pen.when(Some(at))),
    }
}

fn waits_for(pen: &Pen<'_>, row: &PlanRow<'_>) -> (String, Role) {
    let apply = pen.key(CommandId::Apply);
    match (row.ask, row.missing.first(), &row.row.state) {
        (Ask::MayGo, ..) if row.is_again() => {
            (format!("it was taken back: {apply} previews it, alone"), Role::Warn)
        }
        (Ask::MayGo, ..) => (format!("{apply} previews it"), Role::Dim),
        (Ask::Left, ..) => match &row.row.exclusion {
            Some(hold) => (format!("excluded by {}: {}", hold.stamp.by, hold.reason), Role::Warn),
            None => (String::new(), Role::Dim),
        },
        (_, Some(first), _) => {
            let more = row.missing.len() - 1;
            let more = if more > 0 { format!(" (+{more})") } else { String::new() };
            (format!("{}{more}: {first}", first.who.as_str()), Role::Dim)
        }
        (_, None, RowState::Soaking { day, .. }) => match day.and_then(|day| day.percent()) {
            Some(percent) => (format!("time: {percent} % of the last day counts"), Role::Dim),
            None => ("time".to_owned(), Role::Dim),
        },
        (_, None, state) => (state.why().map(ToString::to_string).unwrap_or_default(), Role::Dim),
    }
}

pub fn about(world: &World, model: &Model, pen: &Pen<'_>) -> Option<About> {
    match model.plan.list.chosen()? {
        PlanKey::Wave(number) => Some((format!("wave {number}, {}", model.plan.direction), {
            wave_text(world, pen, *number, model.plan.direction)
        })),
        PlanKey::Row(target) => {
            let environment =
                world.cluster(&target.cluster).map_or("?", |cluster| band(cluster.environment).0);
            Some((format!("{target}, {environment}"), row_text(world, pen, target)))
        }
    }
}

/// The same as a message.
pub fn message(world: &World, model: &Model, settings: &Settings) -> Option<String> {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let (title, text) = about(world, model, &pen)?;
    let lines = std::iter::once(title).chain(text.into_iter().map(|(_, line)| line));
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn row_text(world: &World, pen: &Pen<'_>, target: &Target) -> Text {
    let Some(row) = plan_row_of(world, target) else {
        return vec![(Role::Warn, "it is not in the plan any more".to_owned())];
    };
    let state = &row.row.state;
    let since = match row.row.since {
        Since::At(at) => pen.when(Some(at)),
        since => since.words(pen.now).unwrap_or_else(|| "?".to_owned()),
    };
    let why = state.why().map_or_else(String::new, |why| format!(": {why}"));
    let mut out = vec![(state_role(state), format!("wave {}, {} for {since}{why}", row.wave, state.word()))];
    match row.ask {
        Ask::MayGo if row.is_again() => out.push((
            Role::Warn,
            format!(
                "nothing is missing; it was taken back, so {} leaves it out: {} previews it, {} excludes it",
                pen.key(CommandId::Advance),
                pen.key(CommandId::Apply),
                pen.key(CommandId::Exclude)
            ),
        )),
        Ask::MayGo => out.push((
            Role::Good,
            format!(
                "nothing is missing: {} previews it, {} all that may go of its wave",
                pen.key(CommandId::Apply),
                pen.key(CommandId::Advance)
            ),
        )),
        Ask::Waits | Ask::Left => {
            out.extend(row.missing.iter().map(|gate| (Role::Warn, gate_words(gate))));
        }
        Ask::AtWork => {}
    }
    out.extend(soak::urgent(world, pen, target));
    out.extend(shadow::of(world, target).map(|shadow| (Role::Warn, shadow.words(pen.now, pen.zone))));
    out.extend(waiving::marks(world, target).map(|kept| {
        let words = waiving::override_words(world, kept);
        let said = match &kept.value.confirmed {
            Some(stamp) => format!("confirmed by {}: {words}", stamp.by),
            None => format!("waits for a second person ({}): {words}", pen.key(CommandId::ConfirmOverride)),
        };
        (Role::Warn, said)
    }));
    if let Some(soak) = world.soaks().row(target, world) {
        out.extend(soak::text(world, pen, target, &soak));
    }
    let delays = &world.waves().forecast(target.direction).delays;
    if let Some(at) = delays.iter().position(|delay| delay.target == *target) {
        out.push((Role::Dim, format!("number {} of the rows that delay the end most", at + 1)));
    }
    out
}

fn wave_text(world: &World, pen: &Pen<'_>, number: u32, direction: Direction) -> Text {
    let plan = world.waves().plan(direction);
    let Some(wave) = plan.waves.iter().find(|wave| wave.number == number) else { return Vec::new() };
    let mut out = vec![(
        verdict_role(wave.verdict),
        format!("{}; {}{}", wave.verdict.as_str(), counts(wave), dates(world, pen, wave, direction)),
    )];
    let hint = match wave.verdict {
        Verdict::Ahead => "nothing of it was applied yet",
        Verdict::Open => "in it stand what is below; it is done once each is clean or excluded",
        Verdict::Held => "a row was rolled back: nothing goes on until it is applied again or excluded",
        Verdict::Done => "every row has left it; enter unfolds it",
    };
    out.push((Role::Dim, hint.to_owned()));
    out.extend(forecast_text(pen, world.waves().forecast(direction)));
    out
}

fn forecast_text(pen: &Pen<'_>, forecast: &Forecast) -> Text {
    let pace = forecast.pace.and_then(|pace| pace.percent());
    let pace = pace.map_or_else(
        || "no row is being credited now".to_owned(),
        |percent| format!("{percent} % of wall time is credited"),
    );
    let (end, best) = (day(pen, forecast.end), day(pen, forecast.earliest));
    let mut out = vec![(Role::Text, format!("the plan ends {end} ({pace}); at best {best}"))];
    out.extend(forecast.delays.iter().map(|delay| {
        let left = delay.left.map_or_else(|| "no date".to_owned(), |left| format!("{} left", span(left)));
        let (cluster, ns, state) = (&delay.target.cluster, &delay.target.ns, delay.state.word());
        (Role::Warn, format!("delays it: {cluster}/{ns} (wave {}, {state}), {left}", delay.wave))
    }));
    out.push((Role::Dim, format!("it assumes: {}", ASSUMES.join("; "))));
    out
}
