//! THE TABLE of commands: name, keys, where it is available, risk, doc. Keys, hints, palette, help,
//! headless commands and the README's block read it. A new command is one row and one arm where the
//! compiler asks for it.

/// What a command does to the world. Risk decides the ceremony.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Changes nothing outside this screen.
    Looks,
    /// Asks a server something that changes nothing there.
    Asks,
    /// Writes the team's records in the state cluster: filled in on a form and sent from its button.
    Records,
    /// Writes a file of the workspace: previewed, and confirmed by the same key again.
    Files,
    /// Changes a cluster: previewed and confirmed by a typed word.
    Writes,
    /// Takes a change back: shows target and command, confirmed by the same key again.
    TakesBack,
}

/// Where a command is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Anywhere,
    /// A row of the fleet view or the namespace page: a cluster, a namespace, a rollout.
    Row,
    /// A namespace or a rollout.
    Namespace,
    /// Lists of denials.
    Denials,
    /// One denial group.
    Denial,
    /// Lists that can be sorted.
    Sorted,
    /// A flagged destination, or a row whose policies open one.
    Flagged,
    /// A review of the queue.
    Reviews,
    /// A denial, or what a row's evidence lacks.
    Waivable,
    Plan,
    Activity,
    /// A discovery document.
    Document,
}

macro_rules! commands {
    ($($id:ident: $name:literal, [$($key:literal),*], $on:ident, $risk:ident, $doc:literal;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CommandId { $($id),* }

        pub const TABLE: &[Row] = &[
            $(Row { id: CommandId::$id, name: $name, keys: &[$($key),*], on: On::$on, risk: Risk::$risk, doc: $doc }),*
        ];
    };
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub id: CommandId,
    pub name: &'static str,
    /// As shown: `a`, `ctrl-r`, `enter`, `?`.
    pub keys: &'static [&'static str],
    pub on: On,
    pub risk: Risk,
    pub doc: &'static str,
}

commands! {
    Apply: "apply", ["a"], Namespace, Writes, "Preview the workspace's policies of this row, then apply them on a typed yes.";
    RollBack: "rollback", ["ctrl-r"], Row, TakesBack, "Open the valve and delete our policies of this row; press it twice.";
    Abort: "abort", ["ctrl-x"], Anywhere, TakesBack, "Stop running applies before their next write.";
    Advance: "advance", ["w"], Plan, Writes, "Preview the rows of the current wave that may go now, then apply them on a typed yes.";
    Revert: "revert", ["R"], Namespace, Writes, "Preview the newest policies of this row that soaked clean, then apply them again.";
    Shadow: "shadow", ["H"], Namespace, Writes, "Preview the workspace's policies of this row only staged (Calico), then stage them on a typed yes: nothing is enforced, what they would deny is shown.";
    Hold: "hold", ["p"], Anywhere, Records, "Nothing of this row, its cluster or the fleet advances until it is released.";
    Release: "release", ["P"], Anywhere, Records, "End a hold or an exclusion.";
    Exclude: "exclude", ["x"], Row, Records, "Its wave goes on without it, until a date.";
    Override: "override", ["O"], Namespace, Records, "Ask for an override of soak, coverage or order, for exactly what was previewed; a second person confirms.";
    ConfirmOverride: "confirm-override", ["C"], Anywhere, Records, "The second person's yes to an override.";
    Open: "open", ["enter"], Anywhere, Looks, "Open a namespace, a denial or a destination; unfold a cluster.";
    Back: "back", ["esc"], Anywhere, Looks, "One level back; never quits.";
    Unfold: "unfold", ["l", "right"], Anywhere, Looks, "Unfold a cluster or a namespace; elsewhere open.";
    Fold: "fold", ["h", "left"], Anywhere, Looks, "Fold, or go to the row it belongs to; elsewhere back.";
    Focus: "focus", ["tab"], Anywhere, Looks, "Next pane; on a namespace: which direction is meant.";
    Zoom: "zoom", ["z"], Anywhere, Looks, "The details over the whole screen; again: back.";
    ZoomList: "zoom-list", ["Z"], Anywhere, Looks, "The list over the whole screen; again: back.";
    Menu: "menu", ["m"], Anywhere, Looks, "Everything that can be done with this row.";
    Fleet: "fleet", ["1"], Anywhere, Looks, "Clusters and namespaces.";
    Denials: "denials", ["2"], Anywhere, Looks, "Denied flows, grouped.";
    Live: "live", ["3"], Anywhere, Looks, "Denied flows as they come.";
    Activity: "activity", ["4"], Anywhere, Looks, "Every changing call of this session, with its result.";
    Sources: "sources", ["5"], Anywhere, Looks, "Clusters and flow sources: health, lag, losses, history.";
    Notices: "notices", ["6"], Anywhere, Looks, "What is wrong with files and settings.";
    Plan: "plan", ["7"], Anywhere, Looks, "What may go now, the waves, and for all the rest what is missing.";
    Reviews: "reviews", ["8"], Anywhere, Looks, "Destinations that somebody asked to open: what waits, what runs out, what was decided.";
    Views: "views", ["0"], Anywhere, Looks, "Saved views by role, yours too; copies this page as one.";
    OpenEnds: "open-ends", ["9"], Anywhere, Looks, "What was put off, with owner and due date: rolled back, held, left out, waived, grants that end.";
    Destinations: "destinations", ["d"], Namespace, Looks, "Where the workloads of this namespace talk, suspects first.";
    Coverage: "coverage", ["v"], Namespace, Looks, "What the collected week has seen of this namespace, and what not.";
    Timeline: "timeline", ["i"], Namespace, Looks, "What changed around this row, and what was denied after it.";
    Predict: "predict", ["b"], Namespace, Asks, "What the workspace's policies of this row would do: what opens and closes, who is isolated, what of the recorded week would be denied.";
    Propose: "propose", ["n"], Denial, Looks, "The narrowest rule that would let this denied flow pass, and what else it opens; to copy, never applied.";
    Document: "document", ["D"], Namespace, Asks, "The discovery document of this namespace: when its monthly review is due, what changed since it was written.";
    Renew: "renew", ["N"], Document, Files, "Write the discovery document on screen anew, with or without its review; a file of the workspace changes, no cluster.";
    Preflight: "preflight", ["F"], Row, Looks, "What must hold of this cluster before anything is written there: verdicts, evidence, fixes.";
    Sort: "sort", ["s"], Sorted, Looks, "Sort by the next column.";
    Reverse: "reverse", ["S"], Sorted, Looks, "Turn the order round.";
    Refresh: "refresh", ["r"], Namespace, Asks, "Ask the cluster's collector again for this namespace.";
    Approve: "approve", ["A"], Reviews, Records, "Grant what this review, or all marked ones, ask for: reason, ticket, end, clusters.";
    Reject: "reject", ["X"], Reviews, Records, "Turn this review, or all marked ones, down; denials of exactly that are expected then.";
    Revoke: "revoke", ["V"], Reviews, Records, "Take a grant back, after a look at who uses it; live policies are not touched.";
    AskReview: "ask-review", ["e"], Flagged, Records, "Ask security to let a flagged destination pass.";
    Waive: "waive", ["W"], Waivable, Records, "Take a denial, a CronJob or missing evidence upon yourself, for exactly that and until a day.";
    Last: "last", ["-"], Anywhere, Looks, "The view before this one.";
    Older: "older", ["["], Anywhere, Looks, "Back in the history of views.";
    Newer: "newer", ["]"], Anywhere, Looks, "Forward in the history of views.";
    Down: "down", ["j", "down"], Anywhere, Looks, "Next row.";
    Up: "up", ["k", "up"], Anywhere, Looks, "Row before.";
    PageDown: "page-down", ["pgdn", "ctrl-f"], Anywhere, Looks, "A page down.";
    PageUp: "page-up", ["pgup", "ctrl-b"], Anywhere, Looks, "A page up.";
    Top: "top", ["g", "home"], Anywhere, Looks, "First row.";
    Bottom: "bottom", ["G", "end"], Anywhere, Looks, "Last row.";
    Mark: "mark", ["space"], Namespace, Looks, "Mark this row; apply and rollback then take all marked ones.";
    Unmark: "unmark", ["u"], Anywhere, Looks, "Clear all marks.";
    Undo: "undo", ["U"], Anywhere, Looks, "Take back the last mark, filter, order, or form that was left; what was sent it cannot.";
    Filter: "filter", ["/"], Anywhere, Looks, "Narrow the rows: `word`, `~letters`, `/pattern/`; `key:` before it for one column, `!` leaves out.";
    ClearFilter: "clear-filter", ["ctrl-u"], Anywhere, Looks, "Show all rows again.";
    Freeze: "freeze", ["f"], Denials, Looks, "Hold the rows still and count what arrives; again: back to now.";
    Copy: "copy", ["y"], Anywhere, Looks, "Copy this row as a ready message.";
    CopyCommand: "copy-command", ["Y"], Anywhere, Looks, "Copy kubectl commands: of this call, else of the rollback of this row.";
    CopyAll: "copy-all", ["ctrl-y"], Anywhere, Looks, "Copy all rows of this page, as it is narrowed, each as its message.";
    Times: "times", ["t"], Anywhere, Looks, "Ages or clock times.";
    Reconnect: "reconnect", ["c"], Row, Asks, "Try this cluster again now.";
    Reload: "reload", ["ctrl-l"], Anywhere, Asks, "Read sluice.yaml and the policy files again.";
    Palette: "palette", [":"], Anywhere, Looks, "Every command and target by name.";
    Help: "help", ["?"], Anywhere, Looks, "The keys of this view.";
    Theme: "theme", ["T"], Anywhere, Looks, "Next theme.";
    Mask: "mask", ["ctrl-p"], Anywhere, Looks, "Hide names and addresses on this screen, for sharing it; again: show them.";
    Suspend: "suspend", ["ctrl-z"], Anywhere, Looks, "To the shell; `fg` comes back.";
    Quit: "quit", ["ctrl-c", "q"], Anywhere, Looks, "Leave; asks while an order runs. `q` goes back first.";
}

/// The row of a command.
pub fn row(id: CommandId) -> &'static Row {
    &TABLE[id as usize]
}

pub fn by_name(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_where_its_id_says_and_no_key_means_two_things() {
        let mut keys = std::collections::BTreeMap::new();
        for entry in TABLE {
            assert_eq!(row(entry.id), entry);
            for key in entry.keys {
                assert_eq!(keys.insert(key, entry.name), None, "{key} is on two commands");
            }
        }
    }

    /// Law 5: nothing that changes a cluster is on Enter or on a single plain key. `a` only opens
    /// the preview, whose confirmation takes a typed word.
    #[test]
    fn no_plain_key_changes_a_cluster() {
        for entry in TABLE.iter().filter(|entry| entry.risk == Risk::TakesBack) {
            assert!(entry.keys.iter().all(|key| key.starts_with("ctrl-")), "{}", entry.name);
        }
        assert!(
            TABLE
                .iter()
                .filter(|e| matches!(e.risk, Risk::Writes | Risk::TakesBack))
                .all(|e| !e.keys.contains(&"enter"))
        );
    }
}
