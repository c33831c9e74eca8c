//! What `sluice apply` and `sluice rollback` share: which clusters are meant, driving orders to their
//! end with an interrupt that stops applies before their next write, and the report.

use super::{
    args::{Change, Format},
    ask::Asker,
    exit::{self, Exit},
    print::Printer,
    session::{Session, Waited},
    wait,
};
use crate::{
    cockpit::{
        decide::{Command, Refusal},
        orders::OrderId,
        ports::Trouble,
        world::World,
    },
    documents::orders::{self, Report, RollbackPlan},
    domain::names::ClusterName,
};

/// How long the end waits for the journal; what is not in by then waits on the disk.
const JOURNAL: std::time::Duration = std::time::Duration::from_secs(5);
/// How long orders that were told to stop may take for it.
const STOPPING: std::time::Duration = std::time::Duration::from_secs(10);

/// One change under way.
pub struct Changing<'c, 'p> {
    pub session: &'c mut Session,
    pub change: &'c Change,
    pub asker: &'c mut Asker,
    pub printer: &'c mut Printer<'p>,
    /// Clusters were named with --context.
    pub is_named: bool,
    /// Those, where the session is on the whole fleet; empty: all of the session.
    pub only: Vec<ClusterName>,
}

/// What came of it.
#[derive(Default)]
pub struct Result {
    pub previews: Vec<OrderId>,
    pub rollbacks: Vec<RollbackPlan>,
    pub orders: Vec<OrderId>,
    pub refusals: Vec<Refusal>,
    pub troubles: Vec<Trouble>,
}

impl Changing<'_, '_> {
    /// The clusters that are meant; `Err`: a usage error to print.
    pub fn clusters(&self) -> std::result::Result<Vec<ClusterName>, String> {
        if !self.only.is_empty() {
            return Ok(self.only.clone());
        }
        let names: Vec<_> = self.session.world().clusters().map(|cluster| cluster.name.clone()).collect();
        if self.is_named || names.len() == 1 {
            return Ok(names);
        }
        let known: Vec<_> = names.iter().map(ToString::to_string).collect();
        Err(format!("Name the cluster with --context; there are: {}\n", known.join(", ")))
    }

    pub fn usage(&mut self, said: &str) -> Exit {
        self.printer.say(said);
        Exit::Usage
    }

    /// Waits for the end of these orders. An interrupt or the deadline stops applies before their
    /// next write; a rollback is never stopped half-way by the first interrupt.
    pub async fn drive(&mut self, orders: &[OrderId]) {
        let ended = |world: &World| wait::have_ended(world, orders);
        let waited = self.session.until(self.change.deadline, ended).await;
        if waited == Waited::Reached {
            self.recorded().await;
            return;
        }
        let why = if waited == Waited::Interrupted { "Interrupted" } else { "The deadline passed" };
        match self.session.engine().command(&Command::Abort(orders.to_vec())) {
            Ok(_) => self.printer.say(&format!("{why}: stopping before the next write.\n")),
            Err(_) => {
                self.printer
                    .say(&format!("{why}: the rollback goes on for {} s more.\n", STOPPING.as_secs()));
            }
        }
        self.session.until(STOPPING, ended).await;
        self.recorded().await;
    }

    /// Gives the journal a moment to take what was done, where its cluster answers.
    async fn recorded(&mut self) {
        use crate::cockpit::ports::Link;
        let is_in = |world: &World| {
            let shared = world.shared();
            let may_come = matches!(shared.link(), Some(Link::Live | Link::Connecting));
            world.plan().settings.state.is_none() || !may_come || shared.waiting() == 0
        };
        self.session.until(JOURNAL, is_in).await;
    }

    /// Prints the report and answers the exit code that goes with it.
    pub fn report(&mut self, command: &'static str, exit: Exit, mut result: Result) -> Exit {
        let world = self.session.world();
        result.troubles.extend(wait::unended(world, &result.orders));
        let report = Report {
            command,
            result: exit.word(),
            dry_run: self.change.dry_run,
            previews: result.previews.iter().filter_map(|id| world.orders().preview(*id)).collect(),
            rollbacks: result.rollbacks,
            orders: result.orders,
            refusals: result.refusals,
            troubles: result.troubles,
        };
        let (text, json) = match self.change.output {
            Format::Text => (orders::text(world, &report), None),
            Format::Json => (String::new(), Some(orders::json(world, &report))),
        };
        self.printer.out(&json.unwrap_or(text));
        exit
    }

    /// The exit code of orders that were started.
    pub fn exit_of(&self, orders: &[OrderId]) -> Exit {
        let world = self.session.world();
        let ended = orders.iter().filter_map(|id| world.orders().get(*id));
        Exit::all(ended.map(|order| exit::of_order(order, world.orders().activity())))
    }
}
