//! Files and terminals, which cannot be watched: a named thread reads or writes each.

use std::fs::File;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much may wait between a thread and the runtime.
const ROOM: usize = 64 << 10;

/// Bytes on their way between a thread and a task.
#[derive(Default)]
struct Passage {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    /// How many of them are taken.
    taken: usize,
    /// Whether the thread is writing what it took.
    busy: bool,
    /// Nothing more comes: from the thread when reading, from the task when writing.
    ended: bool,
    error: Option<io::Error>,
    task: Option<Waker>,
}

impl Passage {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name(name.into()).spawn(run).map(drop)
}

pub(super) struct ThreadReader(Arc<Passage>);

impl ThreadReader {
    pub(super) fn start(name: &str, file: File) -> io::Result<Self> {
        let passage = Arc::new(Passage::default());
        let theirs = passage.clone();
        start(name, move || read_all(&theirs, file))?;
        Ok(Self(passage))
    }
}

fn read_all(passage: &Passage, mut file: File) {
    let mut chunk = vec![0; ROOM];
    loop {
        let read = file.read(&mut chunk);
        let mut state = passage.lock();
        while state.taken < state.bytes.len() && !state.ended {
            state = passage.wait(state);
        }
        if state.ended {
            return;
        }
        match read {
            Ok(0) => state.ended = true,
            Ok(count) => {
                state.bytes.clear();
                state.bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
                state.taken = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => (state.error, state.ended) = (Some(error), true),
        }
        state.wake();
        if state.ended {
            return;
        }
    }
}

impl AsyncRead for ThreadReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        let State { bytes, taken, .. } = &mut *state;
        let rest = bytes.get(*taken..).unwrap_or_default();
        if !rest.is_empty() {
            let count = rest.len().min(buffer.remaining());
            buffer.put_slice(rest.get(..count).unwrap_or_default());
            *taken += count;
            self.0.changed.notify_one();
            return Poll::Ready(Ok(()));
        }
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        if state.ended {
            return Poll::Ready(Ok(()));
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for ThreadReader {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_one();
    }
}

pub(super) struct ThreadWriter(Arc<Passage>);

impl ThreadWriter {
    pub(super) fn start(name: &str, file: File) -> io::Result<Self> {
        let passage = Arc::new(Passage::default());
        let theirs = passage.clone();
        start(name, move || write_all(&theirs, file))?;
        Ok(Self(passage))
    }
}

fn write_all(passage: &Passage, mut file: File) {
    let mut bytes = Vec::new();
    let mut state = passage.lock();
    loop {
        while state.bytes.is_empty() && !state.ended {
            state = passage.wait(state);
        }
        if state.bytes.is_empty() {
            return;
        }
        std::mem::swap(&mut state.bytes, &mut bytes);
        state.busy = true;
        state.wake();
        drop(state);
        let written = file.write_all(&bytes).and_then(|()| file.flush());
        bytes.clear();
        state = passage.lock();
        state.busy = false;
        if let Err(error) = written {
            (state.error, state.ended) = (Some(error), true);
            state.bytes.clear();
        }
        state.wake();
    }
}

impl AsyncWrite for ThreadWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        if state.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let count = bytes.len().min(ROOM.saturating_sub(state.bytes.len()));
        if count == 0 && !bytes.is_empty() {
            state.task = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.bytes.extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.0.changed.notify_one();
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if let Some(error) = state.error.take() {
            return Poll::Ready(Err(error));
        }
        if state.bytes.is_empty() && !state.busy {
            return Poll::Ready(Ok(()));
        }
        state.task = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_ref().get_ref().0.clone();
        let polled = self.poll_flush(cx);
        if polled.is_ready() {
            flushed.lock().ended = true;
            flushed.changed.notify_one();
        }
        polled
    }
}

impl Drop for ThreadWriter {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_one();
    }
}
