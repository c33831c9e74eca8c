//! The state cluster away and back, not installed, without rights: said, and nothing waits for it.

use std::time::Duration;

use sluice::sim::api::{
    cluster::Stop,
    faults::{Faults, Reach},
};

use super::{LEAD, ask, bare, cockpit, installed, link, live, run_for, said, write};

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

#[tokio::test(start_paused = true)]
async fn without_the_definitions_it_says_what_to_run() {
    let cluster = bare();
    let mut ann = cockpit(&cluster, "root", &["system:masters"]);
    run_for(&mut ann, SECONDS(5)).await;
    let said_so = "broken: state cluster mgmt: nothing of sluice.dev/v1alpha1 is installed there. Run `sluice install`.";
    assert_eq!(link(&ann), said_so);
    let refused = said(write(&mut ann, 1, ask()).await);
    assert_eq!(format!("broken: {refused}"), said_so);
    let plan =
        sluice::k8s::shared::install::plan(&super::admin(&cluster), &super::place()).await.expect("asked");
    let done = sluice::k8s::shared::install::install(&super::admin(&cluster), &plan, super::start()).await;
    done.expect("it installs");
    run_for(&mut ann, SECONDS(35)).await;
    assert_eq!(link(&ann), "live");
}

#[tokio::test(start_paused = true)]
async fn away_and_back() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("written");
    let clock = |engine: &sluice::engine::Engine| {
        let world = engine.world();
        (world.shared().now(world.now()).expect("known") - world.now()).num_seconds()
    };
    // The server's began when it was made, ours after the install.
    let ahead = clock(&ann);
    assert!((0..=3).contains(&ahead), "{ahead}");
    cluster.set_faults(Faults { reach: Reach::Breaks, ..Faults::default() });
    cluster.restart(Stop::Killed);
    run_for(&mut ann, SECONDS(40)).await;
    assert!(link(&ann).starts_with("broken: state cluster mgmt: "), "{}", link(&ann));
    // What was known stays on screen, and a write is answered at once.
    assert_eq!(ann.world().shared().reviews().len(), 1);
    let asked = tokio::time::Instant::now();
    let refused = said(write(&mut ann, 2, ask()).await);
    assert!(refused.starts_with("state cluster mgmt: "), "{refused}");
    assert!(asked.elapsed() <= SECONDS(2), "{:?}", asked.elapsed());
    cluster.set_faults(Faults::default());
    run_for(&mut ann, SECONDS(40)).await;
    assert_eq!(link(&ann), "live");
    assert_eq!(said(write(&mut ann, 3, ask()).await), "written");
    assert_eq!(ann.world().shared().reviews().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn rights_are_asked_for_and_a_stranger_is_told_what_is_missing() {
    let cluster = installed().await;
    let ann = live(&cluster, "ann", LEAD).await;
    let rights = &ann.world().shared().rights;
    assert_eq!((rights.ask_review, rights.decide_review, rights.hold), (Some(true), Some(false), Some(true)));
    assert_eq!((rights.exclude, rights.overrule), (Some(true), Some(true)));
    let sue = live(&cluster, "sue", super::SECURITY).await;
    let rights = &sue.world().shared().rights;
    assert_eq!(
        (rights.ask_review, rights.decide_review, rights.record),
        (Some(false), Some(true), Some(false))
    );
    assert_eq!((rights.hold, rights.exclude, rights.overrule), (Some(false), Some(false), Some(false)));
    let mut nobody = cockpit(&cluster, "nobody", &[]);
    run_for(&mut nobody, SECONDS(10)).await;
    assert!(
        link(&nobody).contains("User \"nobody\" cannot list resource")
            && link(&nobody).starts_with("broken: "),
        "{}",
        link(&nobody)
    );
}

/// Watches that end and versions that are forgotten cost nothing.
#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_read_anew() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("written");
    for _ in 0..3 {
        cluster.restart(Stop::Clean);
        cluster.compact();
        run_for(&mut ann, SECONDS(60)).await;
    }
    assert_eq!(link(&ann), "live");
    assert_eq!(ann.world().shared().reviews().len(), 1);
}
