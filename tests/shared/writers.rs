//! Two who write the same: the later one is told who was faster, and nothing is overwritten.

use std::time::Duration;

use chrono::TimeDelta;
use sluice::{
    cockpit::shared::Share,
    domain::{
        grant::DecisionVerdict,
        journal::{self, Act, Entry, Hash},
        names::Text,
        policy::PolicyDigest,
        rollout::{Applied, Record, Stamp},
    },
};

use super::{LEAD, ONCALL, SECURITY, ask, decision, installed, live, run_for, said, start, target, write};

fn record(wave: u32) -> Record {
    Record {
        target: target(),
        uid: "uid-1".into(),
        wave: Some(wave),
        applied: Some(Applied {
            digest: PolicyDigest::of([]),
            stamp: Stamp { by: "ann".into(), at: start() },
        }),
        clean: None,
        rolled_back: None,
        overridden: false,
    }
}

fn recorded(wave: u32, version: Option<Text>) -> Share {
    Share::Record { record: Box::new(record(wave)), version }
}

#[tokio::test(start_paused = true)]
async fn two_writers_of_one_record_never_lose_each_others() {
    let cluster = installed().await;
    let (mut ann, mut tom) = (live(&cluster, "ann", LEAD).await, live(&cluster, "tom", ONCALL).await);
    assert_eq!(said(write(&mut ann, 1, recorded(1, None)).await), "written");
    // Tom has not seen it yet when he writes.
    let late = said(write(&mut tom, 1, recorded(9, None)).await);
    assert!(late.starts_with("Rollout prod-eu.shop.egress: ann was faster, at 2026-03-02T09:00:"), "{late}");
    assert!(
        late.ends_with(". Nothing was overwritten: look at it as it is now, then decide again."),
        "{late}"
    );
    let kept = ann.world().shared().record(&target()).expect("it").clone();
    assert_eq!(kept.value, record(1));
    run_for(&mut tom, Duration::from_secs(1)).await;
    assert_eq!(said(write(&mut tom, 2, recorded(2, Some(kept.version.clone()))).await), "written");
    let late = said(write(&mut ann, 2, recorded(3, Some(kept.version))).await);
    assert!(late.starts_with("Rollout prod-eu.shop.egress: tom was faster"), "{late}");
    run_for(&mut ann, Duration::from_secs(1)).await;
    assert_eq!(ann.world().shared().record(&target()).expect("it").value, record(2));
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_an_override_cannot_be_taken_back() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    let marked = Record { overridden: true, ..record(1) };
    write(&mut ann, 1, Share::Record { record: Box::new(marked), version: None }).await.expect("written");
    let version = ann.world().shared().record(&target()).expect("it").version.clone();
    let refused = said(write(&mut ann, 2, recorded(1, Some(version))).await);
    assert!(refused.contains("an override marks its rollout for good"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn two_decisions_at_once_are_not_both_taken() {
    let cluster = installed().await;
    let mut ann = live(&cluster, "ann", LEAD).await;
    write(&mut ann, 1, ask()).await.expect("written");
    let (mut sue, mut eve) = (live(&cluster, "sue", SECURITY).await, live(&cluster, "eve", SECURITY).await);
    let asked = sue.world().shared().reviews().next().expect("it").clone();
    let decide = |verdict| Share::Decide {
        review: asked.name.clone(),
        version: asked.version.clone(),
        decision: Box::new(decision(verdict)),
    };
    assert_eq!(said(write(&mut sue, 1, decide(DecisionVerdict::Rejected)).await), "written");
    let late = said(write(&mut eve, 1, decide(DecisionVerdict::Approved)).await);
    assert!(late.contains("was faster, at 2026-03-02T09:0"), "{late}");
    let decisions = &eve.world().shared().reviews().next().expect("it").value.decisions;
    assert_eq!(decisions.iter().map(|it| it.verdict).collect::<Vec<_>>(), [DecisionVerdict::Rejected]);
}

fn entry(act: Act) -> Share {
    let stamp = Stamp { by: "me".into(), at: start() + TimeDelta::microseconds(1_234_567) };
    let facts = vec!["kubectl delete networkpolicy x".into()];
    Share::Journal(Box::new(Entry {
        number: 2,
        previous: Hash::NOTHING,
        stamp,
        act,
        object: "x".into(),
        facts,
    }))
}

#[tokio::test(start_paused = true)]
async fn the_journal_stays_one_chain_whoever_writes() {
    let cluster = installed().await;
    let (mut ann, mut tom) = (live(&cluster, "ann", LEAD).await, live(&cluster, "tom", ONCALL).await);
    // All believe that their entry is the second; the first is that of the install.
    let second = chained(&last(&ann), Act::Apply);
    assert_eq!(said(write(&mut ann, 1, second).await), "written");
    for (id, act) in [(2, Act::Rollback), (3, Act::Hold)] {
        assert_eq!(said(write(&mut tom, id, entry(act)).await), "written");
    }
    assert_eq!(said(write(&mut ann, 2, entry(Act::Advance)).await), "written");
    run_for(&mut ann, Duration::from_secs(1)).await;
    let entries: Vec<_> = ann.world().shared().journal().map(|kept| kept.value.clone()).collect();
    let words: Vec<_> =
        entries.iter().map(|it| format!("{} {} {}", it.number, it.act.as_str(), it.stamp.by)).collect();
    assert_eq!(words, ["1 install root", "2 apply ann", "3 rollback tom", "4 hold tom", "5 advance ann"]);
    assert!(journal::verify(&entries).is_ok());
    assert_eq!(entries[1].stamp.at, start() + TimeDelta::microseconds(1_234_567));
}

fn last(engine: &sluice::engine::Engine) -> Entry {
    engine.world().shared().journal().next_back().expect("the install").value.clone()
}

fn chained(last: &Entry, act: Act) -> Share {
    let Share::Journal(entry) = entry(act) else { unreachable!("it is one") };
    Share::Journal(Box::new(Entry { number: last.number + 1, previous: last.hash(), ..*entry }))
}
