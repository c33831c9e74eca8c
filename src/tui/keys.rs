//! Keys as events, as words and as help: names a key event as the one command table of
//! [`crate::cockpit::commands`] does and writes that table down for the README. Which key stands for
//! which command is [`super::bindings`]'s.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tui_input::InputRequest;

use crate::cockpit::commands::{On, Risk, TABLE};

/// The key as the table writes it: `a`, `G`, `ctrl-r`, `pgdn`. `None`: a key that nothing is on.
pub fn name(key: &KeyEvent) -> Option<String> {
    if key.kind == KeyEventKind::Release || key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    let word = match key.code {
        KeyCode::Char(c) if key.modifiers.contains(KeyModifiers::CONTROL) => {
            return Some(format!("ctrl-{}", c.to_ascii_lowercase()));
        }
        KeyCode::Char(' ') => "space",
        KeyCode::Char(c) => return Some(c.to_string()),
        KeyCode::Enter => "enter",
        KeyCode::Esc => "esc",
        KeyCode::Left => "left",
        KeyCode::Right => "right",
        KeyCode::Up => "up",
        KeyCode::Down => "down",
        KeyCode::PageUp => "pgup",
        KeyCode::PageDown => "pgdn",
        KeyCode::Home => "home",
        KeyCode::End => "end",
        KeyCode::Tab => "tab",
        KeyCode::F(n) => return Some(format!("f{n}")),
        _ => return None,
    };
    Some(word.to_owned())
}

/// The key that the table writes so.
pub fn event(name: &str) -> Option<KeyEvent> {
    let (modifiers, name) = match name.strip_prefix("ctrl-") {
        Some(name) => (KeyModifiers::CONTROL, name),
        None => (KeyModifiers::NONE, name),
    };
    let mut chars = name.chars();
    let code = match (chars.next(), chars.next()) {
        (Some(c), None) => KeyCode::Char(c),
        _ => match name {
            "space" => KeyCode::Char(' '),
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "pgup" => KeyCode::PageUp,
            "pgdn" => KeyCode::PageDown,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "tab" => KeyCode::Tab,
            _ => return None,
        },
    };
    Some(KeyEvent::new(code, modifiers))
}

/// What a key does to a line of text that is being typed. `None`: nothing.
pub fn edit(key: &KeyEvent) -> Option<InputRequest> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
    if key.modifiers.contains(KeyModifiers::ALT) {
        return None;
    }
    match (key.code, ctrl) {
        (KeyCode::Char('u'), true) => Some(InputRequest::DeleteLine),
        (KeyCode::Char('w'), true) => Some(InputRequest::DeletePrevWord),
        (KeyCode::Char('h'), true) | (KeyCode::Backspace, _) => Some(InputRequest::DeletePrevChar),
        (KeyCode::Delete, _) => Some(InputRequest::DeleteNextChar),
        (KeyCode::Left, _) => Some(InputRequest::GoToPrevChar),
        (KeyCode::Right, _) => Some(InputRequest::GoToNextChar),
        (KeyCode::Home, _) => Some(InputRequest::GoToStart),
        (KeyCode::End, _) => Some(InputRequest::GoToEnd),
        (KeyCode::Char(c), false) if !crate::domain::names::is_hostile(c) => {
            Some(InputRequest::InsertChar(c))
        }
        _ => None,
    }
}

/// Where a command is available, in words.
pub fn place(on: On) -> &'static str {
    match on {
        On::Anywhere => "anywhere",
        On::Row => "a cluster or below",
        On::Namespace => "a namespace or direction",
        On::Denials => "denials, live",
        On::Denial => "a denial",
        On::Sorted => "destinations, reviews",
        On::Flagged => "a flagged destination, or a direction that opens one",
        On::Reviews => "a review",
        On::Waivable => "a denial, a namespace or direction",
        On::Plan => "the plan",
        On::Activity => "activity",
        On::Document => "a discovery document",
    }
}

/// What a command changes, in words.
pub fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Looks => "",
        Risk::Asks => "asks a server",
        Risk::Records => "writes the team's records, from a form",
        Risk::Files => "writes a file of the workspace, after a preview",
        Risk::Writes => "changes a cluster, after a preview and a typed word",
        Risk::TakesBack => "takes back",
    }
}

/// The key table as the README shows it.
pub fn markdown() -> String {
    let mut out = String::from("| key | command | on | what it does |\n|---|---|---|---|\n");
    for row in TABLE {
        let keys: Vec<_> = row.keys.iter().map(|key| format!("`{key}`")).collect();
        let note = match risk(row.risk) {
            "" => String::new(),
            words => format!(" *({words})*"),
        };
        out.push_str(&format!(
            "| {} | {} | {} | {}{note} |\n",
            keys.join(" "),
            row.name,
            place(row.on),
            row.doc
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_table_as_the_readme_shows_it() {
        insta::assert_snapshot!(markdown());
    }

    #[test]
    fn every_key_of_the_table_can_be_typed() {
        for row in TABLE {
            for key in row.keys {
                let id = crate::tui::bindings::Bindings::default().command(&typed(key));
                assert_eq!(id, Some(row.id), "{key}");
                assert_eq!(event(key), Some(typed(key)), "{key}");
            }
        }
    }

    fn typed(key: &str) -> KeyEvent {
        crate::tui::fixture::key(key)
    }
}
