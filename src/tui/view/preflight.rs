//! The pre-flight of one cluster: what stops what, then each check with its verdict in a word and a
//! colour, its sentence, its evidence and its fix; and how old the reading is.

use ratatui::{buffer::Buffer, layout::Rect};

use crate::{
    cockpit::{preflight, world::World},
    domain::{
        names::ClusterName,
        preflight::{
            check::{Check, Stops, Verdict},
            report::Report,
        },
        time::Timestamp,
    },
};

use super::{
    super::{
        model::Settings,
        theme::{Role, Theme},
        widgets::{Pen, put},
    },
    frame::{Areas, Pane, band},
};

type Text = Vec<(Role, String)>;

pub fn draw(world: &World, cluster: &ClusterName, pen: &Pen<'_>, areas: &Areas, buf: &mut Buffer) {
    let head = Rect { height: 1, ..areas.body };
    let Some(found) = world.cluster(cluster) else {
        let text = format!(" {cluster} is no cluster of this fleet (any more); esc goes back");
        return put(buf, head, &pen.line(text, Role::Warn));
    };
    let (word, role) = band(found.environment);
    let width = usize::from(areas.body.width);
    let told = match preflight::report(world, cluster) {
        Some((report, at)) => format!("looked at {}; {}", pen.ago(Some(at)), summary(&report)),
        None => "not looked at yet".to_owned(),
    };
    let line = format!(" {word}  {cluster}: {told}");
    put(buf, head, &pen.line(format!("{line:width$}"), role));
}

pub fn pane(world: &World, cluster: &ClusterName, areas: &Areas) -> Pane {
    let area = Rect { y: areas.body.y + 1, height: areas.body.height.saturating_sub(1), ..areas.body };
    let text = text(preflight::report(world, cluster).as_ref());
    Pane { title: "failed, then unknown, then the rest".to_owned(), text, area, scrolls: true }
}

/// The page as a message.
pub fn message(world: &World, cluster: &ClusterName, settings: &Settings) -> Option<String> {
    let theme = Theme::plain();
    let pen = Pen::new(&theme, world, settings);
    let found = preflight::report(world, cluster)?;
    let head = format!("pre-flight of {cluster}, {}: {}", pen.ago(Some(found.1)), summary(&found.0));
    let lines = text(Some(&found)).into_iter().map(|(_, line)| line);
    Some(std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n"))
}

fn summary(report: &Report) -> String {
    let stopped: Vec<&str> = [Stops::Rollout, Stops::Discovery]
        .into_iter()
        .filter(|stops| report.open(*stops).next().is_some())
        .map(Stops::as_str)
        .collect();
    let counts = report.counts();
    let stopped = if stopped.is_empty() { "nothing".to_owned() } else { stopped.join(" and ") };
    format!("stops {stopped}; {} failed, {} unknown, {} passed", counts.failed, counts.unknown, counts.passed)
}

fn text(found: Option<&(Report, Timestamp)>) -> Text {
    let Some((report, _)) = found else {
        return vec![(
            Role::Unknown,
            "? the cluster has not been looked at yet; c on its row tries again".to_owned(),
        )];
    };
    let of = |verdict| report.checks.iter().filter(move |check| check.verdict == verdict);
    let all = [Verdict::Fail, Verdict::Unknown, Verdict::Pass, Verdict::NotApplicable];
    all.into_iter().flat_map(of).flat_map(lines).collect()
}

fn lines(check: &Check) -> Text {
    let (role, word) = match check.verdict {
        Verdict::Pass => (Role::Good, "pass   "),
        Verdict::Fail => (Role::Bad, "FAIL   "),
        Verdict::Unknown => (Role::Unknown, "UNKNOWN"),
        Verdict::NotApplicable => (Role::Dim, "n/a    "),
    };
    let stops = match (check.is_open(), check.stops()) {
        (true, Stops::Rollout | Stops::Discovery) => format!(" Stops {}.", check.stops().as_str()),
        _ => String::new(),
    };
    let mut out = vec![(role, format!("{word} {}: {}{stops}", check.id.as_str(), check.why))];
    out.extend(check.evidence.iter().map(|evidence| (Role::Dim, format!("        {evidence}"))));
    if let Some(fix) = &check.fix {
        out.push((Role::Text, format!("        fix: {}", fix.text)));
        out.extend(fix.commands.iter().map(|command| (Role::Key, format!("        $ {command}"))));
    }
    out
}
