//! The screen as people see it and as keys drive it.

mod alerts;
mod discovery;
mod documents;
mod foresight;
mod goldmane;
mod keys;
mod large;
mod laws;
mod lead;
mod plain;
mod predicted;
mod preflight;
mod screens;
mod shadow;
mod sources;
mod team;
mod ux;
