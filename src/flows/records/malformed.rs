//! Why a line was not understood: a small value with a sentence, so that a million bad lines cost
//! a count each and nothing else. Shared by the decoders of lines; never repeats the bytes.

/// Bytes that are not what they claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    #[error("a line is not whole JSON of this format")]
    Json,
    #[error("a line is not UTF-8 text")]
    Text,
    #[error("a line is longer than 1 MiB")]
    Long,
    #[error("a line holds none of the records of this format")]
    Content,
    #[error("a line has another number of columns or words than this format")]
    Columns,
    #[error("a record has no time, or one beyond the calendar")]
    Time,
    #[error("an address is not an IP address")]
    Address,
    #[error("a port is not a number up to 65535")]
    Port,
    #[error("a verdict or action is a word that this reader does not know")]
    Verdict,
    #[error("a direction is a word that this reader does not know")]
    Direction,
    #[error("this source is frames, not lines: read it as dnstap")]
    Frames,
}

impl Malformed {
    pub const ALL: [Self; 11] = [
        Self::Json,
        Self::Text,
        Self::Long,
        Self::Content,
        Self::Columns,
        Self::Time,
        Self::Address,
        Self::Port,
        Self::Verdict,
        Self::Direction,
        Self::Frames,
    ];
}
