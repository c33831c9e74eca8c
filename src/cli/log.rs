//! The log file: one a day, the last few kept, never the screen. Without a place to write there is
//! no log and no error.

use tracing_appender::{
    non_blocking::WorkerGuard,
    rolling::{Builder, Rotation},
};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, registry, util::SubscriberInitExt as _};

use super::info::log_folder;

/// Days kept.
const FILES: usize = 5;

/// Starts logging; the guard writes the rest when it is dropped. `SLUICE_LOG` sets the levels.
pub fn start() -> Option<WorkerGuard> {
    let folder = log_folder()?;
    std::fs::create_dir_all(&folder).ok()?;
    let files = Builder::new()
        .rotation(Rotation::DAILY)
        .filename_prefix("sluice")
        .filename_suffix("log")
        .max_log_files(FILES)
        .build(folder)
        .ok()?;
    let (writer, guard) = tracing_appender::non_blocking(files);
    let filter = EnvFilter::try_from_env("SLUICE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,sluice=info"));
    let layer = fmt::layer().with_writer(writer).with_ansi(false);
    registry().with(filter).with(layer).try_init().ok()?;
    Some(guard)
}
