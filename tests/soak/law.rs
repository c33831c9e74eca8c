//! Law 3: the soak clock never counts an unobserved minute, for any reason. The tracker against the
//! naive opinion on generated stories: nodes fall silent, gaps are told late, pods move, the cluster
//! goes away, bytes go missing, clocks run ahead, facts come twice and in the wrong order.

use proptest::prelude::*;
use sluice::domain::source::SourceKind;

use super::{
    naive::{Naive, Story, joined},
    scene::{Scene, Told, credit_of, target},
};

/// What happens, and how long nothing else does after it.
#[derive(Clone, Debug)]
enum Step {
    Quiet,
    /// Telemetry of a node stops; it is told late, or never.
    Falls {
        node: usize,
        told: bool,
    },
    /// It comes back: read again in full, or not.
    Rises {
        node: usize,
        whole: bool,
    },
    Loses {
        node: Option<usize>,
        ago: i64,
        long: i64,
    },
    SourceBreaks,
    SourceBack {
        whole: bool,
    },
    Runs {
        on: u8,
    },
    /// The API server answers no more; that is found out later, by `Away`.
    Mute,
    Away,
    Back,
    Missing,
    PutBack,
    Cni(usize),
    Ahead {
        node: usize,
        by: i64,
    },
}

const NAMES: [&str; 3] = super::naive::NODES;

fn step() -> impl Strategy<Value = Step> {
    let node = 0..3usize;
    prop_oneof![
        4 => Just(Step::Quiet),
        2 => (node.clone(), any::<bool>()).prop_map(|(node, told)| Step::Falls { node, told }),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, whole)| Step::Rises { node, whole }),
        2 => (prop::option::of(node.clone()), 0i64..200, 0i64..90)
            .prop_map(|(node, ago, long)| Step::Loses { node, ago, long }),
        1 => Just(Step::SourceBreaks),
        2 => any::<bool>().prop_map(|whole| Step::SourceBack { whole }),
        3 => (0u8..8).prop_map(|on| Step::Runs { on }),
        2 => Just(Step::Mute),
        2 => Just(Step::Away),
        2 => Just(Step::Back),
        1 => Just(Step::Missing),
        2 => Just(Step::PutBack),
        1 => (0..2usize).prop_map(Step::Cni),
        1 => (node, 50i64..4_000).prop_map(|(node, by)| Step::Ahead { node, by }),
    ]
}

/// A source and a cluster that tell what a real one would, every ten seconds.
struct Teller {
    now: i64,
    story: Story,
    /// Up to where each node was read; `None`: nothing it could follow on.
    read: [Option<i64>; 3],
    up: [bool; 3],
    gap: [Option<i64>; 3],
    broken: Option<i64>,
    api: bool,
    mute: bool,
    version: &'static str,
}

impl Teller {
    fn play(steps: &[(Step, i64)]) -> Self {
        let mut teller = Self {
            now: 0,
            story: Vec::new(),
            read: [None; 3],
            up: [true; 3],
            gap: [None; 3],
            broken: None,
            api: true,
            mute: false,
            version: "1.16.0",
        };
        for (step, long) in steps {
            teller.happen(step);
            for _ in 0..*long {
                teller.now += 10;
                teller.signs();
            }
        }
        teller
    }

    fn tell(&mut self, told: Told) {
        self.story.push((self.now, told));
    }

    fn signs(&mut self) {
        if self.api && !self.mute {
            self.tell(Told::Answered);
        }
        if self.broken.is_some() {
            return;
        }
        for (at, node) in NAMES.into_iter().enumerate() {
            if self.up[at] {
                let until = self.now - 1;
                let from = self.read[at].unwrap_or(until).min(until);
                self.read[at] = Some(until);
                self.tell(Told::Heard { node, from, until });
            } else if let (Some(read), None) = (self.read[at], self.gap[at])
                && self.now - read > 120
            {
                // Found out late.
                self.gap[at] = Some(read);
                self.tell(Told::Gap { node: Some(NAMES[at]), from: read, until: None, lost: false });
            }
        }
    }

    fn happen(&mut self, step: &Step) {
        match *step {
            Step::Quiet => {}
            Step::Falls { node, told } => {
                self.up[node] = false;
                if !told {
                    // Forgotten by the source: nothing will be told, and nothing follows on.
                    self.read[node] = None;
                }
            }
            Step::Rises { node, whole } if !self.up[node] => {
                self.up[node] = true;
                if let Some(from) = self.gap[node].take() {
                    let until = if whole { from } else { self.now };
                    self.tell(Told::Gap { node: Some(NAMES[node]), from, until: Some(until), lost: false });
                    if !whole {
                        self.read[node] = Some(self.now);
                    }
                } else if !whole {
                    self.read[node] = None;
                }
            }
            Step::Loses { node, ago, long } => {
                let from = self.now - ago;
                let until = Some((from + long).min(self.now));
                self.tell(Told::Gap { node: node.map(|at| NAMES[at]), from, until, lost: true });
            }
            Step::SourceBreaks if self.broken.is_none() => {
                self.broken = Some(self.now);
                self.tell(Told::Gap { node: None, from: self.now, until: None, lost: false });
            }
            Step::SourceBack { whole } => {
                let Some(from) = self.broken.take() else { return };
                let until = if whole { from } else { self.now };
                self.tell(Told::Gap { node: None, from, until: Some(until), lost: false });
                if !whole {
                    self.read = self.read.map(|read| read.map(|_| self.now));
                }
            }
            Step::Runs { on } if self.api && !self.mute => {
                let nodes = NAMES.into_iter().enumerate().filter(|(at, _)| on >> at & 1 == 1);
                let nodes = nodes.map(|(_, name)| name).collect();
                self.tell(Told::Runs(nodes));
            }
            Step::Away if self.api => {
                self.api = false;
                self.tell(Told::Away);
            }
            Step::Mute => self.mute = true,
            Step::Back if !self.api => {
                (self.api, self.mute) = (true, false);
                self.tell(Told::Back);
            }
            // It was only slow.
            Step::Back => self.mute = false,
            Step::Missing if self.api && !self.mute => self.tell(Told::Missing),
            Step::PutBack if self.api && !self.mute => self.tell(Told::PutBack),
            Step::Cni(nth) if self.api && !self.mute => {
                self.version = ["1.16.0", "1.17.0"][nth];
                self.tell(Told::Cni(self.version));
            }
            Step::Ahead { node, by } => {
                let from = self.read[node].unwrap_or(self.now).min(self.now);
                self.tell(Told::Heard { node: NAMES[node], from, until: self.now + by });
            }
            Step::Rises { .. }
            | Step::SourceBreaks
            | Step::Runs { .. }
            | Step::Away
            | Step::Missing
            | Step::PutBack
            | Step::Cni(_) => {}
        }
    }
}

fn scene_of(story: &Story, end: i64) -> Scene {
    let mut scene = Scene::new(SourceKind::Hubble, &["a"]);
    let mut nodes = vec!["a"];
    for (at, told) in story {
        scene.at(*at).told(told, &mut nodes);
    }
    scene.at(end);
    scene
}

/// Facts in another order and twice; each arrives at the time of its place.
fn shuffled(story: &Story, swaps: &[(prop::sample::Index, usize)], twice: &[prop::sample::Index]) -> Story {
    let times: Vec<i64> = story.iter().map(|(at, _)| *at).collect();
    let mut facts: Vec<Told> = story.iter().map(|(_, told)| told.clone()).collect();
    let is_source = |told: &Told| matches!(told, Told::Heard { .. } | Told::Gap { .. });
    for (at, by) in swaps {
        let at = at.index(facts.len());
        let other = (at + by).min(facts.len() - 1);
        if is_source(&facts[at]) && is_source(&facts[other]) {
            facts.swap(at, other);
        }
    }
    let mut out: Story = times.into_iter().zip(facts).collect();
    for at in twice {
        let at = at.index(out.len());
        let (time, told) = out[at].clone();
        // A claim about the future may not come again when the future is here: no channel repeats so late.
        let later = (at + 5).min(out.len() - 1);
        if is_source(&told) && !matches!(told, Told::Heard { until, .. } if until > time) {
            let then = out[later].0;
            out.insert(later + 1, (then, told));
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn in_order_the_tracker_credits_what_the_naive_opinion_does(steps in prop::collection::vec((step(), 1i64..16), 4..28)) {
        let told = Teller::play(&steps);
        let expected = Naive::of(&told.story, told.now).credit(told.now);
        prop_assert_eq!(scene_of(&told.story, told.now).credit(), expected);
    }

    #[test]
    fn in_any_order_and_told_twice_nothing_unobserved_counts(
        steps in prop::collection::vec((step(), 1i64..16), 4..24),
        swaps in prop::collection::vec((any::<prop::sample::Index>(), 1usize..24), 0..12),
        twice in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let told = Teller::play(&steps);
        let story = shuffled(&told.story, &swaps, &twice);
        let expected = Naive::of(&story, told.now).credit(told.now);
        let credit = scene_of(&story, told.now).credit();
        let wrong: Vec<_> = credit.iter().filter(|minute| !expected.contains(minute)).collect();
        prop_assert!(wrong.is_empty(), "{wrong:?} were not observed");
    }

    #[test]
    fn two_observers_together_credit_only_what_one_of_them_saw(
        steps in prop::collection::vec((step(), 1i64..16), 4..20),
        missed in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..40),
    ) {
        // The same cluster, of which each missed some signs.
        let told = Teller::play(&steps);
        let mut stories = [told.story.clone(), told.story.clone()];
        for (who, at) in missed {
            let story = &mut stories[usize::from(who)];
            let at = at.index(story.len());
            if matches!(story[at].1, Told::Heard { .. }) {
                story.remove(at);
            }
        }
        let naive = stories.each_ref().map(|story| Naive::of(story, told.now));
        let scenes = stories.each_ref().map(|story| scene_of(story, told.now));
        let evidence = scenes.each_ref().map(|scene| scene.world.soaks().evidence(&target(), &scene.world));
        let [Some(one), Some(other)] = evidence else { return Ok(()) };
        let whole = one.union(&other).expect("the same rollout");
        let turned = other.union(&one);
        prop_assert_eq!(Some(&whole), turned.as_ref());
        let credit = credit_of(&super::joined::judge_plain(&whole, told.now));
        prop_assert_eq!(credit, joined(&[&naive[0], &naive[1]], told.now));
    }
}
