//! The discovery document of a namespace: when its monthly review is due, and cluster by cluster what
//! its destinations and callers do differently since it was written. Nothing is written from here.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{
        commands::CommandId,
        monthly::{self, Compared, DocumentRow, Newer, Standing, State},
        world::World,
    },
    domain::{
        names::NsName,
        renewal::{Changed, Cover, Difference},
        time::{age, span},
    },
};

use super::{
    super::{
        model::Settings,
        theme::{Role, Theme},
        widgets::{Pen, put},
    },
    frame::{Areas, Pane},
};

type Lines = Vec<(Role, String)>;

pub fn draw(world: &World, ns: &NsName, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let (role, line) = match row(world, ns) {
        Err(why) => (Role::Unknown, format!(" {why}")),
        Ok(row) => (role_of(&row.standing), format!(" {}: {}", row.path, standing(&row, pen))),
    };
    put(buf, Rect { height: 1, ..areas.body }, &pen.line(line, role));
}

pub fn pane(world: &World, ns: &NsName, pen: &Pen<'_>, areas: &Areas) -> Pane {
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    Pane {
        title: "what changed since it was written".to_owned(),
        text: text(world, ns, pen),
        area,
        scrolls: true,
    }
}

/// The page as a message.
pub fn message(world: &World, ns: &NsName, settings: &Settings) -> String {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let head = format!("discovery document of {ns}");
    let lines = text(world, ns, &pen).into_iter().map(|(_, line)| line);
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn row(world: &World, ns: &NsName) -> Result<DocumentRow, String> {
    let Some(found) = monthly::document(world, ns) else {
        return Err("the workspace's discovery documents are not read".to_owned());
    };
    found.ok_or_else(|| format!("the workspace has no discovery document of {ns}"))
}

fn role_of(standing: &Standing) -> Role {
    match standing {
        Standing::Vanished | Standing::Due => Role::Bad,
        Standing::Unknown(_) | Standing::Unwritten => Role::Unknown,
        Standing::New => Role::Warn,
        Standing::Current => Role::Good,
    }
}

fn standing(row: &DocumentRow, pen: &Pen<'_>) -> String {
    match &row.standing {
        Standing::Vanished => "its namespace vanished".to_owned(),
        Standing::Unwritten => "it is not there".to_owned(),
        Standing::Unknown(_) => "how it stands is not known".to_owned(),
        Standing::Due => format!("its review is due ({})", monthly::due_words(row, pen.now)),
        Standing::New | Standing::Current => {
            format!("its review is due {}", monthly::due_words(row, pen.now))
        }
    }
}

fn text(world: &World, ns: &NsName, pen: &Pen<'_>) -> Lines {
    let mut out = Vec::new();
    match row(world, ns) {
        Ok(row) => {
            out.push((Role::Text, row.words()));
            let owner = row.owner.as_ref().map_or("unknown", |owner| owner.as_str());
            let contact =
                row.contact.as_ref().map_or_else(String::new, |contact| format!(", contact {contact}"));
            out.push((Role::Dim, format!("owner {owner}{contact}")));
        }
        Err(why) => out.push((Role::Unknown, why)),
    }
    let Some(renewal) = world.discoveries().monthly().renewal(ns) else {
        let against = monthly::compare_reasons(world, ns);
        out.extend(against.iter().map(|reason| (Role::Unknown, reason.to_string())));
        if against.is_empty() {
            out.push((Role::Dim, "the collectors are asked".to_owned()));
        }
        return out;
    };
    match &renewal.state {
        State::Reading(waiting) => {
            let names: Vec<_> = waiting.iter().map(ToString::to_string).collect();
            let since = span(age(renewal.since, pen.now));
            out.push((
                Role::Warn,
                match names.is_empty() {
                    true => "what the clusters told is compared".to_owned(),
                    false => format!("asked {since} ago, not answered yet: {}", names.join(", ")),
                },
            ));
        }
        State::Compared(compared) => out.extend(of(compared, pen)),
        State::Writing(compared) => {
            out.push((Role::Warn, "the document is being written".to_owned()));
            out.extend(of(compared, pen));
        }
        State::Written { at, result } => {
            out.push(match result {
                Ok(said) => (Role::Good, format!("{said} ({})", pen.both(*at))),
                Err(trouble) => (Role::Bad, trouble.to_string()),
            });
            out.push((
                Role::Dim,
                format!("{} compares it with the evidence of now again", pen.key(CommandId::Refresh)),
            ));
        }
    }
    out
}

fn of(compared: &Compared, pen: &Pen<'_>) -> Lines {
    let mut out = vec![(Role::Title, format!("{} ({})", compared.summary(), pen.ago(Some(compared.at))))];
    match &compared.prepared {
        Ok(_) => out
            .push((Role::Dim, format!("{} shows what writing it anew would do", pen.key(CommandId::Renew)))),
        Err(trouble) => out.push((Role::Bad, format!("it cannot be written: {trouble}"))),
    }
    for part in &compared.parts {
        let role = if part.now.is_ok() { Role::Title } else { Role::Unknown };
        out.push((Role::Text, String::new()));
        out.push((role, monthly::heading(part, compared.at)));
        if let Ok(newer) = &part.now {
            out.extend(changes(newer));
        }
    }
    out
}

fn changes(newer: &Newer) -> Lines {
    let mut out: Lines = monthly::doubt(newer).into_iter().map(|doubt| (Role::Unknown, doubt)).collect();
    if newer.changes.is_empty() {
        out.push((Role::Dim, "nothing changed".to_owned()));
    }
    for changed in &newer.changes {
        let (direction, category) = (changed.direction, changed.category.as_str());
        let differences = monthly::differences(changed);
        out.push((role(changed), format!("{direction} {} ({category}): {differences}", changed.title)));
        if let Some(cover) = &changed.cover {
            out.push((cover_role(cover), format!("  {cover}")));
        }
    }
    out
}

fn role(changed: &Changed) -> Role {
    let is_flagged = changed.differences.iter().any(|one| matches!(one, Difference::Flagged(_)));
    match (is_flagged, changed.is(&Difference::Gone)) {
        (true, _) => Role::Bad,
        (false, true) => Role::Dim,
        (false, false) => Role::Text,
    }
}

fn cover_role(cover: &Cover) -> Role {
    match cover {
        Cover::NotIsolated => Role::Dim,
        Cover::Covered => Role::Good,
        Cover::Denied(_) => Role::Bad,
        Cover::Unknown(_) => Role::Unknown,
    }
}
