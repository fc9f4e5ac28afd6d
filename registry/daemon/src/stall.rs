//! Ends connections whose other end has stopped reading: whatever is sent to it would be kept for ever.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that fails once nothing could be written for a while, although something was to be written.
#[derive(Debug)]
pub struct Unstalled<Io> {
    io: Io,
    /// How long the other end may take nothing; `None` for as long as it likes.
    patience: Option<Duration>,
    /// Runs while the other end takes nothing.
    running_out: Option<Pin<Box<Sleep>>>,
}

impl<Io: AsyncWrite + Unpin> Unstalled<Io> {
    /// Watches over what is written to `io`.
    pub fn new(io: Io, patience: Option<Duration>) -> Self {
        Self { io, patience, running_out: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Some(patience) = self.patience.filter(|_| written.is_pending()) else {
            self.running_out = None;
            return written;
        };
        let running_out = self.running_out.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(running_out.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client has stopped reading")))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Unstalled<Io> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Unstalled<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_nothing_is_given_up_after_a_while() {
        let (near, _far) = duplex(4);
        let started = Instant::now();
        let fault = Unstalled::new(near, Some(PATIENCE)).write_all(b"too much for it").await.unwrap_err();
        assert_eq!((fault.kind(), started.elapsed()), (io::ErrorKind::TimedOut, PATIENCE));
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_takes_little_at_a_time_is_not() {
        let (near, mut far) = duplex(1);
        let mut near = Unstalled::new(near, Some(PATIENCE));
        let reading = async {
            let mut bytes = [0; 5];
            for byte in &mut bytes {
                sleep(PATIENCE * 9 / 10).await;
                *byte = far.read_u8().await.unwrap();
            }
            bytes
        };
        let (written, read) = tokio::join!(near.write_all(b"slow!"), reading);
        assert_eq!((written.is_ok(), &read), (true, b"slow!"));
    }
}
