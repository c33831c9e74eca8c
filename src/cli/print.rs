//! Standard output that may be a pipe somebody closes: `sluice status | head` ends in silence, and an
//! apply goes on although nobody reads any more. The only file that prints.

use std::io::{self, Write};

/// Where a command writes. Once the reader is gone, the rest is dropped.
pub struct Printer<'o> {
    out: Box<dyn Write + Send + 'o>,
    talk: Box<dyn Write + Send + 'o>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// The reader is gone: no error, as with every tool of a pipe.
    Closed,
    Broken(io::Error),
}

impl Printer<'static> {
    pub fn standard() -> Self {
        Self::new(io::stdout(), io::stderr())
    }
}

impl<'o> Printer<'o> {
    pub fn new(out: impl Write + Send + 'o, talk: impl Write + Send + 'o) -> Self {
        Self { out: Box::new(out), talk: Box::new(talk), state: State::Open }
    }

    /// The result, for a reader or a program.
    pub fn out(&mut self, text: &str) {
        if !matches!(self.state, State::Open) {
            return;
        }
        match self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.state = State::Closed,
            Err(error) => self.state = State::Broken(error),
        }
    }

    /// What is said beside the result: progress, questions, errors. Nobody has to hear it.
    pub fn say(&mut self, text: &str) {
        let _ = self.talk.write_all(text.as_bytes()).and_then(|()| self.talk.flush());
    }

    /// Nobody reads any more: a command that only prints may stop.
    pub fn is_closed(&self) -> bool {
        !matches!(self.state, State::Open)
    }

    /// What kept the output from being written, if it was not simply the reader's leaving.
    pub fn failure(&self) -> Option<&io::Error> {
        match &self.state {
            State::Open | State::Closed => None,
            State::Broken(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_is_no_error_and_a_full_disk_is() {
        let mut left = Printer::new(Failing(io::ErrorKind::BrokenPipe), io::sink());
        left.out("x");
        left.out("y");
        assert!(left.is_closed() && left.failure().is_none());
        let mut full = Printer::new(Failing(io::ErrorKind::StorageFull), io::sink());
        full.out("x");
        assert!(full.failure().is_some());
    }
}
