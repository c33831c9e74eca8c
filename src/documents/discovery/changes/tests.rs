//! Pages written by hand, and what changed between them.
