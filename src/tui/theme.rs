//! Themes are files of roles. Code names roles by meaning, never a colour; a theme may inherit.
//! The background is the terminal's own: a theme only says which ground it was made for.

use std::collections::BTreeMap;

use ratatui::style::{Color, Modifier, Style};
use serde::Deserialize;

macro_rules! roles {
    ($($id:ident $name:literal $doc:literal),* $(,)?) => {
        /// What a piece of the screen means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Role { $(#[doc = $doc] $id),* }

        impl Role {
            pub const ALL: &[Role] = &[$(Role::$id),*];

            pub fn name(self) -> &'static str {
                match self { $(Role::$id => $name),* }
            }
        }
    };
}

roles! {
    Text "text" "What is read.",
    Dim "dim" "What is there if needed: labels, ages, things that are off.",
    Title "title" "Headings of panes and columns.",
    Rule "rule" "Lines and borders.",
    Key "key" "Keys to press.",
    Selected "selected" "The row under the cursor.",
    Marked "marked" "Marked rows.",
    Production "production" "The band of production.",
    Staging "staging" "The band of staging.",
    Unknown "unknown" "What is not known, and clusters without an environment.",
    Good "good" "Up, live, in force.",
    Warn "warn" "Late, stale, partial, drift.",
    Bad "bad" "Down, refused, lost.",
    Denied "denied" "Denials that hurt.",
    Added "added" "Lines that come.",
    Removed "removed" "Lines that go.",
    Input "input" "What is being typed.",
    Toast "toast" "Messages about what just happened.",
}

/// One role as a theme file writes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    fg: Option<String>,
    bg: Option<String>,
    #[serde(default)]
    bold: bool,
    #[serde(default)]
    dim: bool,
    #[serde(default)]
    underlined: bool,
    #[serde(default)]
    reversed: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    inherits: Option<String>,
    /// The ground it is made for; never painted.
    ground: Option<String>,
    #[serde(default)]
    roles: BTreeMap<String, Entry>,
}

/// Styles by role.
#[derive(Clone, Debug, PartialEq)]
pub struct Theme {
    styles: Vec<Style>,
    ground: Option<Color>,
}

/// Every theme that ships, in the order `T` walks them.
const FILES: &[(&str, &str)] = &[
    ("sluice-dark", include_str!("../../assets/themes/sluice-dark.toml")),
    ("sluice-light", include_str!("../../assets/themes/sluice-light.toml")),
    ("high-contrast", include_str!("../../assets/themes/high-contrast.toml")),
    ("ansi16", include_str!("../../assets/themes/ansi16.toml")),
    ("mono", include_str!("../../assets/themes/mono.toml")),
];

/// Names of the themes.
pub fn names() -> impl ExactSizeIterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}

/// The theme after this one.
pub fn after(name: &str) -> &'static str {
    let at = FILES.iter().position(|(have, _)| *have == name).map_or(0, |at| at + 1);
    FILES[at % FILES.len()].0
}

/// The theme to start with: NO_COLOR wins over the default, a name that was asked for over both.
pub fn choose(asked: Option<&str>, no_color: bool) -> Result<&'static str, String> {
    match asked {
        None if no_color => Ok("mono"),
        None => Ok("sluice-dark"),
        Some(asked) => names().find(|name| *name == asked).ok_or_else(|| {
            format!("there is no theme {asked:?}; there are {}", names().collect::<Vec<_>>().join(", "))
        }),
    }
}

impl Theme {
    /// A theme that ships. Errors name file, role and fact.
    pub fn load(name: &str) -> Result<Self, String> {
        let mut theme = Self { styles: vec![Style::new(); Role::ALL.len()], ground: None };
        theme.read(name, 0)?;
        Ok(theme)
    }

    pub fn style(&self, role: Role) -> Style {
        self.styles[role as usize]
    }

    fn read(&mut self, name: &str, depth: usize) -> Result<(), String> {
        let text = FILES.iter().find(|(have, _)| *have == name).map(|(_, text)| *text);
        let text = text.ok_or_else(|| format!("there is no theme {name:?}"))?;
        if depth > FILES.len() {
            return Err(format!("theme {name} inherits from itself"));
        }
        let file: File = toml::from_str(text).map_err(|error| format!("theme {name}: {error}"))?;
        if let Some(parent) = &file.inherits {
            self.read(parent, depth + 1)?;
        }
        if let Some(ground) = &file.ground {
            self.ground = Some(color(name, "ground", ground)?);
        }
        for (role, entry) in &file.roles {
            let known = Role::ALL.iter().find(|known| known.name() == role);
            let known = known.ok_or_else(|| format!("theme {name}: {role:?} is not a role"))?;
            self.styles[*known as usize] = style(name, role, entry)?;
        }
        Ok(())
    }
}

fn style(theme: &str, role: &str, entry: &Entry) -> Result<Style, String> {
    let mut style = Style::new();
    if let Some(fg) = &entry.fg {
        style = style.fg(color(theme, role, fg)?);
    }
    if let Some(bg) = &entry.bg {
        style = style.bg(color(theme, role, bg)?);
    }
    let modifiers = [
        (entry.bold, Modifier::BOLD),
        (entry.dim, Modifier::DIM),
        (entry.underlined, Modifier::UNDERLINED),
        (entry.reversed, Modifier::REVERSED),
    ];
    for (on, modifier) in modifiers {
        if on {
            style = style.add_modifier(modifier);
        }
    }
    Ok(style)
}

fn color(theme: &str, role: &str, raw: &str) -> Result<Color, String> {
    raw.parse().map_err(|_| format!("theme {theme}: {role}: {raw:?} is not a colour"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2). The sixteen names count as xterm's defaults.
    fn luminance(color: Color) -> f64 {
        let (r, g, b) = match color {
            Color::Rgb(r, g, b) => (r, g, b),
            Color::Black => (0, 0, 0),
            Color::Red => (205, 0, 0),
            Color::Green => (0, 205, 0),
            Color::Yellow => (205, 205, 0),
            Color::Cyan => (0, 205, 205),
            Color::Gray => (229, 229, 229),
            Color::LightRed => (255, 85, 85),
            Color::LightYellow => (255, 255, 0),
            Color::White => (255, 255, 255),
            other => panic!("{other:?} has no agreed luminance"),
        };
        let linear = |c: u8| {
            let c = f64::from(c) / 255.0;
            if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    }

    fn contrast(a: Color, b: Color) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_theme_has_every_role_and_can_be_read() {
        for name in names() {
            let theme = Theme::load(name).unwrap();
            for role in Role::ALL {
                let style = theme.style(*role);
                let plain = matches!(role, Role::Text | Role::Rule) && name == "mono";
                assert!(plain || style != Style::new(), "{name} lacks {}", role.name());
                let Some(ground) = theme.ground else { continue };
                let fg = style.fg.unwrap_or(theme.style(Role::Text).fg.unwrap_or(Color::White));
                let (fg, bg) = (fg, style.bg.unwrap_or(ground));
                let least = match role {
                    Role::Rule => 1.5,
                    _ if name == "high-contrast" => 7.0,
                    _ => 4.5,
                };
                let have = contrast(fg, bg);
                assert!(have >= least, "{name} {}: contrast {have:.2} is below {least}", role.name());
            }
        }
    }

    #[test]
    fn a_background_is_never_forced_on_ordinary_text() {
        for name in names() {
            let theme = Theme::load(name).unwrap();
            for role in [Role::Text, Role::Dim, Role::Title, Role::Good, Role::Bad, Role::Denied] {
                assert_eq!(theme.style(role).bg, None, "{name} {}", role.name());
            }
        }
    }

    #[test]
    fn no_color_means_mono_unless_a_theme_was_asked_for() {
        assert_eq!(choose(None, true), Ok("mono"));
        assert_eq!(choose(None, false), Ok("sluice-dark"));
        assert_eq!(choose(Some("sluice-light"), true), Ok("sluice-light"));
        assert!(choose(Some("pink"), false).is_err());
        let mono = Theme::load("mono").unwrap();
        assert!(
            Role::ALL.iter().all(|role| mono.style(*role).fg.is_none() && mono.style(*role).bg.is_none())
        );
    }
}
