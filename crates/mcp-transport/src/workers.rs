//! A bounded set of threads for work that blocks.
//!
//! Plain threads, not the runtime's pool: a runtime waits for its pool when the process ends, and a
//! tool that never returns would keep the process alive.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mcp_types::Busy;

type Job = Box<dyn FnOnce() + Send>;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// Threads that are started when work comes and end when there is none.
#[derive(Clone)]
pub(crate) struct Workers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    most_threads: usize,
    most_queued: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Workers {
    pub(crate) fn new(most_threads: usize, most_queued: usize) -> Self {
        let (state, work) = (Mutex::default(), Condvar::new());
        Self(Arc::new(Shared { state, work, most_threads, most_queued }))
    }

    /// The threads that all connections of this process share.
    pub(crate) fn of_process() -> Self {
        static WORKERS: OnceLock<Workers> = OnceLock::new();
        WORKERS.get_or_init(|| Self::new(64, 1024)).clone()
    }

    pub(crate) fn run(&self, job: Job) -> Result<(), Busy> {
        let mut state = self.0.lock();
        let needs_thread = state.queue.len() >= state.idle;
        if !needs_thread {
            state.queue.push_back(job);
            drop(state);
            self.0.work.notify_one();
            return Ok(());
        }
        if state.threads < self.0.most_threads && self.start_thread() {
            state.threads += 1;
        } else if state.threads == 0 || state.queue.len() >= self.0.most_queued {
            return Err(Busy);
        }
        state.queue.push_back(job);
        Ok(())
    }

    fn start_thread(&self) -> bool {
        let shared = self.0.clone();
        let thread = std::thread::Builder::new().name("mcp-blocking".into());
        thread.spawn(move || shared.work_off()).is_ok()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work_off(&self) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.queue.pop_front() {
                drop(state);
                // Whoever waits for the job sees its end by the drop of what it captured.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
            }
            state.idle += 1;
            let waited = self.work.wait_timeout(state, IDLE);
            let (next, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if timeout.timed_out() && state.queue.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_stuck_job_does_not_hold_up_the_next() {
        let workers = Workers::new(2, 10);
        let (free, stuck) = channel::<()>();
        workers.run(Box::new(move || _ = stuck.recv())).unwrap();
        let (done, seen) = channel();
        for n in 0..5 {
            let done = done.clone();
            workers.run(Box::new(move || done.send(n).unwrap())).unwrap();
        }
        for n in 0..5 {
            assert_eq!(seen.recv_timeout(Duration::from_secs(10)).unwrap(), n);
        }
        drop(free);
    }

    #[test]
    fn a_panic_costs_no_thread_and_too_much_is_refused() {
        let workers = Workers::new(1, 2);
        workers.run(Box::new(|| panic!("on purpose"))).unwrap();
        let (free, stuck) = channel::<()>();
        let (started, running) = channel();
        let job = move || {
            started.send(()).unwrap();
            _ = stuck.recv();
        };
        workers.run(Box::new(job)).unwrap();
        running.recv_timeout(Duration::from_secs(10)).unwrap();
        workers.run(Box::new(|| ())).unwrap();
        workers.run(Box::new(|| ())).unwrap();
        assert_eq!(workers.run(Box::new(|| ())), Err(Busy));
        drop(free);
    }
}
