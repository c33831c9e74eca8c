//! Runs CronJobs in the API server when their schedule says so: the job's pod starts, and has
//! succeeded when its time is over. Traffic follows the same schedules by itself.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::sim::{
    api::{clock::Clock, cluster::Cluster},
    fleet::{
        objects::{self, Phase},
        plan::Plan,
        traffic::JOB_SECS,
    },
};

/// One CronJob: its place in the plan, and until when its pod runs.
struct Job {
    workload: usize,
    running_until: Option<DateTime<Utc>>,
    next: Option<DateTime<Utc>>,
}

/// Starts and ends jobs for as long as the cluster is there.
pub async fn keep(plan: &Plan, server: &Cluster, clock: &Clock, speed: f64) {
    let start = clock.now();
    let created = (start - chrono::Duration::days(40)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let next =
        |workload: usize, now| plan.workloads[workload].schedule.as_ref().and_then(|cron| cron.next(now));
    let mut jobs: Vec<Job> = (0..plan.workloads.len())
        .filter_map(|workload| {
            let next = next(workload, start);
            next.map(|_| Job { workload, running_until: None, next })
        })
        .collect();
    loop {
        let due = jobs.iter().flat_map(|job| [job.running_until, job.next]).flatten().min();
        let Some(due) = due else { return };
        let wait = (due - clock.now()).to_std().unwrap_or_default();
        tokio::time::sleep(wait.div_f64(speed) + Duration::from_millis(1)).await;
        let now = clock.now();
        for job in &mut jobs {
            if job.running_until.is_some_and(|until| until <= now) {
                job.running_until = None;
                show(plan, server, job.workload, Phase::Succeeded, now);
            }
            if job.next.is_some_and(|next| next <= now) {
                job.running_until = Some(now + chrono::Duration::seconds(JOB_SECS));
                job.next = next(job.workload, now);
                show(plan, server, job.workload, Phase::Running, now);
                server.seed(objects::cron_job_at(plan, job.workload, &created, now));
            }
        }
    }
}

fn show(plan: &Plan, server: &Cluster, workload: usize, phase: Phase, at: DateTime<Utc>) {
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for pod in &plan.workloads[workload].pods {
        server.seed(objects::pod_in(plan, *pod, phase, &at));
    }
}
