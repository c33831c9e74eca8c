//! Phases and waves: how rows are cut into waves, what keeps a row from being applied today, holds,
//! forecasts, and what `sluice plan` prints of it.

mod cost;
mod documents;
mod fixture;
mod forecast;
mod gates;
mod holds;
mod kept_clean;
mod past_the_gate;
mod scope;
mod waves;
