//! Standard output, as every command writes to it.

use std::io::{self, ErrorKind, StdoutLock, Write};

/// A writer whose reader may have seen enough (`steadfast vulns | head`): what follows goes
/// nowhere, and the command ends with the exit code that it would have had. A gate must not pass
/// because somebody looked at its first lines only.
#[derive(Debug)]
pub struct Output<W> {
    inner: W,
    closed: bool,
}

/// Standard output.
pub fn stdout() -> Output<StdoutLock<'static>> {
    Output::new(io::stdout().lock())
}

impl<W: Write> Output<W> {
    const fn new(inner: W) -> Self {
        Self {
            inner,
            closed: false,
        }
    }

    fn unless_closed<T>(
        &mut self,
        of_nowhere: T,
        write: impl FnOnce(&mut W) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.closed {
            return Ok(of_nowhere);
        }
        match write(&mut self.inner) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(of_nowhere)
            }
            written => written,
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unless_closed(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unless_closed((), Write::flush)
    }
}
