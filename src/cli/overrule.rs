//! `sluice override`: one person asks to go on without soak, coverage or order for the bytes of a
//! preview, another one confirms. The bytes are named by whoever asks and previewed once more, so that
//! nobody asks for other bytes than those that were looked at.

use super::{
    args::{Global, OverrideAsk, OverrideCommand, OverrideConfirm},
    exit::Exit,
    plan::{has_gates, has_state},
    print::Printer,
    session::{Session, Waited},
    share, wait, waive,
};
use crate::{
    cockpit::{
        decide::{Command, Reason, Refusal},
        orders::{OrderId, OrderState, Outcome},
        ports::Trouble,
        waiving::Overriding,
        world::World,
    },
    domain::{names::Text, rollout::Target},
};

pub async fn run(
    session: &mut Session,
    global: &Global,
    command: &OverrideCommand,
    printer: &mut Printer<'_>,
) -> Exit {
    match command {
        OverrideCommand::Ask(args) => ask(session, global, args, printer).await,
        OverrideCommand::Confirm(OverrideConfirm { name, sharing }) => {
            let commands = |_: &World| vec![Command::Confirm(Text::new(name))];
            share::write(session, "override", commands, sharing, printer).await
        }
    }
}

async fn ask(session: &mut Session, global: &Global, args: &OverrideAsk, printer: &mut Printer<'_>) -> Exit {
    let target = match waive::target(session.world(), global, &args.row) {
        Ok(target) => target,
        Err(said) => {
            printer.say(&said);
            return Exit::Usage;
        }
    };
    let clusters = [target.cluster.clone()];
    let is_ready = |world: &World| has_state(world) && has_gates(world) && wait::are_read(world, &clusters);
    if session.until(args.sharing.deadline, is_ready).await == Waited::Interrupted {
        return Exit::Failed;
    }
    let found = match previewed(session, &target, args).await {
        Ok(found) => found,
        Err(stopped) => return stopped.told(session, args, printer),
    };
    let reason = Text::new(args.reason.as_deref().unwrap_or_default());
    let commands = |world: &World| {
        let expires = waive::end(world, args.until);
        let covers = args.covers.clone();
        vec![Command::Override(Box::new(Overriding { preview: found, covers, reason, expires }))]
    };
    share::write(session, "override", commands, &args.sharing, printer).await
}

/// Why there is no preview of the bytes that are meant.
enum Stopped {
    Refused(Refusal),
    Failed(Trouble),
}

/// The row's preview, if it is of the bytes that were named.
async fn previewed(session: &mut Session, target: &Target, args: &OverrideAsk) -> Result<OrderId, Stopped> {
    let orders = session.engine().command(&Command::Preview(vec![target.clone()]));
    let orders = orders.map_err(Stopped::Refused)?;
    session.until(args.sharing.deadline, |world| wait::have_ended(world, &orders)).await;
    let world = session.world();
    for id in orders {
        if let Some(preview) = world.orders().preview(id) {
            if args.digest.are(preview.digest) {
                return Ok(id);
            }
            let what = Text::from(format!("override of {target}"));
            let reasons = vec![Reason::OtherBytes { now: preview.digest }];
            return Err(Stopped::Refused(Refusal { what, reasons }));
        }
        if let Some(OrderState::Ended(Outcome::Failed(trouble) | Outcome::Unsettled(trouble))) =
            world.orders().get(id).map(|order| &order.state)
        {
            return Err(Stopped::Failed(trouble.clone()));
        }
    }
    let next = "Nothing was asked for: try again, or wait longer with --deadline.";
    Err(Stopped::Failed(Trouble::new(&format!("preview of {target}"), "it did not end in time", next)))
}

impl Stopped {
    fn told(self, session: &Session, args: &OverrideAsk, printer: &mut Printer<'_>) -> Exit {
        let (exit, refusals, troubles) = match self {
            Self::Refused(refusal) => (Exit::Refused, vec![refusal], Vec::new()),
            Self::Failed(trouble) => (Exit::Failed, Vec::new(), vec![trouble]),
        };
        share::report(session.world(), "override", exit, (refusals, troubles), args.sharing.output, printer);
        exit
    }
}
