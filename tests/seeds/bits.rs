//! Sets of minutes after the start as bits: the model's own arithmetic, nothing of the product's.

/// Minutes from the start on.
#[derive(Clone, Debug, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Minutes that lie wholly between two seconds.
    pub fn mark_inside(&mut self, from: i64, until: i64) {
        self.each((from + 59).div_euclid(60), until.div_euclid(60), |word, bits| *word |= bits);
    }

    /// Minutes that two seconds and all between them touch; at least one.
    pub fn mark_touched(&mut self, from: i64, until: i64) {
        let first = from.div_euclid(60);
        self.each(first, ((until + 59).div_euclid(60)).max(first + 1), |word, bits| *word |= bits);
    }

    fn each(&mut self, from: i64, until: i64, change: impl Fn(&mut u64, u64)) {
        let from = from.max(0);
        if until <= from {
            return;
        }
        let (from, until) = (from as usize, until as usize);
        if self.0.len() * 64 < until {
            self.0.resize(until.div_ceil(64), 0);
        }
        for at in from / 64..until.div_ceil(64) {
            let low = from.saturating_sub(at * 64).min(63);
            let high = (until - at * 64).min(64);
            let bits = (u64::MAX >> (64 - (high - low))) << low;
            change(&mut self.0[at], bits);
        }
    }

    pub fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }

    pub fn set_word(&mut self, at: usize, word: u64) {
        if word != 0 {
            if self.0.len() <= at {
                self.0.resize(at + 1, 0);
            }
            self.0[at] = word;
        }
    }

    /// How many of these minutes are in it.
    pub fn count(&self, from: i64, until: i64) -> i64 {
        let mut window = Self::default();
        window.each(from, until, |word, bits| *word |= bits);
        window.0.iter().enumerate().map(|(at, word)| i64::from((word & self.word(at)).count_ones())).sum()
    }
}

#[test]
fn minutes_are_whole_inside_and_touched_outside() {
    let mut bits = Bits::default();
    bits.mark_inside(30, 60 * 130 + 59);
    assert_eq!((bits.count(0, 1), bits.count(0, 200), bits.count(64, 128)), (0, 129, 64));
    let mut bits = Bits::default();
    bits.mark_touched(59, 61);
    bits.mark_touched(600, 600);
    assert_eq!((bits.count(0, 2), bits.count(0, 100)), (2, 3));
}
