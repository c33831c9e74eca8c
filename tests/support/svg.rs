//! A terminal's buffer as an SVG picture: text stays text, in whatever fixed-width font the reader has,
//! each run stretched to its cells. No script, no link, no font of anybody's; the same buffer gives the
//! same bytes.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

/// Points of one cell.
const WIDTH: f32 = 8.4;
const HEIGHT: u16 = 18;
const EDGE: u16 = 12;

/// Of the theme `sluice-dark`, which never paints its ground.
const GROUND: &str = "#14181d";
const TEXT: &str = "#d7dde3";

/// What neighbours have in common.
#[derive(PartialEq)]
struct Look {
    fg: String,
    bg: Option<String>,
    bold: bool,
    underlined: bool,
}

pub fn picture(buffer: &Buffer, title: &str) -> String {
    let (columns, rows) = (buffer.area.width, buffer.area.height);
    let (width, height) = (f32::from(columns) * WIDTH + f32::from(2 * EDGE), rows * HEIGHT + 2 * EDGE);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height}\" \
         font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{GROUND}\"/>\n",
        escaped(title)
    );
    for y in 0..rows {
        let mut x = 0;
        while x < columns {
            let look = look(&buffer[(x, y)]);
            let begin = x;
            let mut text = String::new();
            while x < columns && self::look(&buffer[(x, y)]) == look {
                text.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            run(&mut out, (begin, x - begin, y), &look, &text);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn run(out: &mut String, (x, cells, y): (u16, u16, u16), look: &Look, text: &str) {
    let left = |cell: u16| f32::from(cell) * WIDTH + f32::from(EDGE);
    let top = y * HEIGHT + EDGE;
    if let Some(bg) = &look.bg {
        let width = f32::from(cells) * WIDTH;
        let _ = writeln!(
            out,
            "<rect x=\"{:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{bg}\"/>",
            left(x)
        );
    }
    let skipped = u16::try_from(text.len() - text.trim_start().len()).expect("a line is short");
    let shown = text.trim();
    if shown.is_empty() {
        return;
    }
    // Wide characters fill two cells, the second of which is empty.
    let cells = u16::try_from(unicode_width::UnicodeWidthStr::width(shown)).expect("a line is short");
    let bold = if look.bold { " font-weight=\"bold\"" } else { "" };
    let line = if look.underlined { " text-decoration=\"underline\"" } else { "" };
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{bold}{line} \
         xml:space=\"preserve\">{}</text>",
        left(x + skipped),
        top + 14,
        f32::from(cells) * WIDTH,
        look.fg,
        escaped(shown)
    );
}

fn look(cell: &Cell) -> Look {
    let has = |modifier| cell.modifier.contains(modifier);
    let (mut fg, mut bg) = (color(cell.fg), color(cell.bg));
    if has(Modifier::REVERSED) {
        (fg, bg) =
            (Some(bg.unwrap_or_else(|| GROUND.to_owned())), Some(fg.unwrap_or_else(|| TEXT.to_owned())));
    }
    Look {
        fg: fg.unwrap_or_else(|| TEXT.to_owned()),
        bg,
        bold: has(Modifier::BOLD),
        underlined: has(Modifier::UNDERLINED),
    }
}

/// The theme has no colours but these.
fn color(color: Color) -> Option<String> {
    match color {
        Color::Reset => None,
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        other => panic!("{other:?} is no colour of the theme of pictures"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
