//! How a run ends, as scripts see it, and how orders that ended add up to one exit code. Pure.

use crate::{
    cockpit::orders::{Answer, Entry, Order, OrderState, Outcome},
    domain::policy::Pinned,
};

/// The exit codes as `--help` ends with them.
pub fn help() -> String {
    let all = Exit::ALL.map(|exit| format!("  {}  {}", exit.code(), exit.doc()));
    format!("Exit codes:\n{}", all.join("\n"))
}

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Refused = 3,
    Partial = 4,
}

impl Exit {
    pub const ALL: [Self; 5] = [Self::Done, Self::Failed, Self::Usage, Self::Refused, Self::Partial];

    pub fn code(self) -> u8 {
        self as u8
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Partial => "done in part",
        }
    }

    /// What a script may conclude from it.
    pub fn doc(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed: nothing was done, or nothing could be read",
            Self::Usage => "usage: the command line is wrong",
            Self::Refused => "refused, with every reason; of a look: it found what must not be",
            Self::Partial => "done in part; of a look: something is unknown",
        }
    }

    /// All parts together: done only if all are, failed only if all are.
    pub fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().reduce(|a, b| if a == b { a } else { Self::Partial }).unwrap_or(Self::Failed)
    }
}

/// How one order ended. One that wrote something and did not reach its end is done in part, and so
/// is a rollback after which a policy of ours still isolates.
pub fn of_order(order: &Order, activity: &[Entry]) -> Exit {
    let wrote = activity.iter().any(|entry| {
        entry.receipt.order == order.id
            && matches!(entry.receipt.result, Answer::Done { .. } | Answer::Unsettled(_))
    });
    let unfinished = if wrote { Exit::Partial } else { Exit::Failed };
    match &order.state {
        OrderState::Previewed(_) => Exit::Done,
        OrderState::Ended(Outcome::Done { isolation }) => match order.kind {
            crate::cockpit::orders::OrderKind::Rollback => {
                let ours = Pinned::of(order.target.direction);
                let left = |pinned: &Pinned| {
                    isolation.by.iter().any(|key| key.kind == pinned.kind && key.name.as_str() == pinned.name)
                };
                if ours.clone().any(left) { Exit::Partial } else { Exit::Done }
            }
            crate::cockpit::orders::OrderKind::Apply
            | crate::cockpit::orders::OrderKind::Revert
            | crate::cockpit::orders::OrderKind::Shadow
            | crate::cockpit::orders::OrderKind::Preview => Exit::Done,
        },
        OrderState::Running
        | OrderState::Ended(
            Outcome::Stopped { .. } | Outcome::Aborted { .. } | Outcome::Unsettled(_) | Outcome::Failed(_),
        ) => unfinished,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cockpit::orders::OrderId, documents::tests::world_with_orders};

    #[test]
    fn the_codes_are_the_documented_ones() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn parts_add_up() {
        use Exit::{Done, Failed, Partial, Refused};
        for (parts, sum) in [
            (vec![Done, Done], Done),
            (vec![Failed, Failed], Failed),
            (vec![Done, Failed], Partial),
            (vec![Refused], Refused),
            (vec![], Failed),
        ] {
            assert_eq!(Exit::all(parts.clone()), sum, "{parts:?}");
        }
    }

    #[test]
    fn an_order_that_stopped_after_a_write_is_done_in_part() {
        let world = world_with_orders();
        let exit = |id| of_order(world.orders().get(OrderId(id)).expect("there"), world.orders().activity());
        assert_eq!(exit(2), Exit::Partial);
        // What is left is not ours: the rollback itself is done.
        assert_eq!(exit(3), Exit::Done);
    }
}
