//! The plan of a large fleet, worked out beside the loop: gathered from the world for a few
//! milliseconds at a time, then made, and the one before freed, on threads of their own.

use chrono::TimeDelta;
use tokio::time::Instant;

use super::Engine;
use crate::cockpit::ports::Fact;

impl Engine {
    /// The plan of a large fleet is worked out beside the loop, so that keys do not wait for it.
    pub(super) fn plan(&mut self) {
        if let Some(old) = self.world.take_old_plan() {
            tokio::task::spawn_blocking(move || drop(old));
        }
        let began = Instant::now();
        while self.world.is_drafting() && began.elapsed() < Self::BUDGET / 2 {
            self.world.plan_anew();
        }
        self.planning += began.elapsed();
        let Some(draft) = self.world.take_draft() else { return };
        let took = std::mem::take(&mut self.planning);
        let sender = self.sender.clone();
        tokio::spawn(async move {
            let finish = move || {
                let began = Instant::now();
                let mut waves = Box::new(draft.finish());
                waves.took(TimeDelta::from_std(took + began.elapsed()).unwrap_or_default());
                waves
            };
            let waves = tokio::task::spawn_blocking(finish).await;
            if let Err(stopped) = &waves {
                tracing::error!(%stopped, "working out the plan stopped");
            }
            let _ = sender.send(Fact::Plan(waves.ok())).await;
        });
    }
}
