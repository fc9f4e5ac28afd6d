//! What a program prints, line by line.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How much is read at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Reads lines of at most so many bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    /// How much of the buffer has been looked through.
    seen: usize,
    longest: usize,
}

/// Why there is no next line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineFault {
    /// It cannot be read.
    #[error("what it prints cannot be read")]
    Read(#[source] io::Error),
    /// It is too long.
    #[error("it printed a line of more than {0} bytes")]
    TooLong(usize),
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The lines of `from`; a longer one than `longest` bytes is a fault.
    pub(super) fn new(from: R, longest: usize) -> Self {
        Self { from, buffer: BytesMut::new(), seen: 0, longest }
    }

    /// The next line without its end; `None` when there is none any more. Nothing is lost when the future is dropped.
    ///
    /// # Errors
    /// [`LineFault`].
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, LineFault> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.buffer[self.seen..]) {
                let line = self.buffer.split_to(self.seen + end + 1).freeze();
                self.seen = 0;
                return Ok(Some(line.slice(..line.len() - 1)));
            }
            self.seen = self.buffer.len();
            if self.seen > self.longest {
                return Err(LineFault::TooLong(self.longest));
            }
            self.buffer.reserve(PIECE);
            if self.from.read_buf(&mut self.buffer).await.map_err(LineFault::Read)? == 0 {
                let rest = self.buffer.split().freeze();
                self.seen = 0;
                return Ok(Some(rest).filter(|rest| !rest.is_empty()));
            }
        }
    }

    /// Gives up what has come of a line that is too long.
    pub(super) fn skip(&mut self) {
        self.buffer.clear();
        self.seen = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_found_and_endless_ones_are_not_read() {
        let mut lines = Lines::new(&b"a\n\nbc\r\nrest"[..], 8);
        for expected in ["a", "", "bc\r", "rest"] {
            assert_eq!(lines.next().await.unwrap().unwrap(), expected);
        }
        assert!(lines.next().await.unwrap().is_none());
        let endless = tokio::io::AsyncReadExt::chain(&b"ok\n"[..], tokio::io::repeat(b'x'));
        let mut lines = Lines::new(endless, 100_000);
        assert_eq!(lines.next().await.unwrap().unwrap(), "ok");
        assert!(matches!(lines.next().await, Err(LineFault::TooLong(100_000))));
        lines.skip();
        assert!(matches!(lines.next().await, Err(LineFault::TooLong(100_000))));
    }
}
