//! What sluice decides and writes: verdicts, gates, evidence, policies, plans, soak clocks. Cases with
//! their answers written down, properties, and the product against a naive second opinion.

mod accuracy;
mod author;
mod decide;
mod destinations;
mod drift;
mod eval;
mod fuzz;
mod gate;
mod meaning;
mod past;
mod plan;
mod preflight;
mod preview;
mod records;
mod rights;
mod rules;
mod same_facts;
mod seeds;
mod shadow;
mod soak;
mod soaking;
mod support;
mod triage;
mod valve;
