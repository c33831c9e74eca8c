//! The soak clock: `cases` judges evidence written as timelines, `law` holds the tracker against a
//! naive minute-by-minute opinion on generated facts, `joined` is the union of observers, `told` what
//! single facts do to a rollout, `goldmane` what a source without nodes and losses is worth,
//! `rejected` what a turned down review closes.

mod cases;
mod goldmane;
mod joined;
mod law;
mod naive;
mod rejected;
mod scene;
mod told;
