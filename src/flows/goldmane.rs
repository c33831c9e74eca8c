//! Goldmane of Calico, 3.30 and later: flows by workload, without addresses and nodes, summed up in
//! buckets of 15 s. `tls` is the handshake, `link` the calls, `decode` what a message says, `follow`
//! the loop. What it cannot say stands in `domain::source`.

pub mod decode;
mod follow;
mod link;
pub mod tls;

pub use follow::{gather, run};
pub use link::reach;
