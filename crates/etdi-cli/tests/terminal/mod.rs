//! A person at a terminal: types, and sees what is written there.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A program behind a pseudo-terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<(Mutex<String>, Condvar)>,
    seen: usize,
}

/// How long something may take to show; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(100);

impl Terminal {
    /// Starts a program with its standard streams at a terminal.
    pub(crate) fn start(mut command: Command) -> Self {
        let ours: OwnedFd =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let name = ptsname(&ours, Vec::new()).unwrap();
        let theirs =
            OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let stream = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream()).env("TERM", "xterm");
        command.env_remove("NO_COLOR");
        let child = command.spawn().unwrap();
        // Only the program holds its end now, so the screen ends with it.
        drop((command, theirs));
        let keyboard = File::from(ours);
        let mut shown = keyboard.try_clone().unwrap();
        let screen = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let written = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = shown.read(&mut bytes) {
                written.0.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..read]));
                written.1.notify_all();
            }
        });
        Self { child, keyboard, screen, seen: 0 }
    }

    /// Types.
    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text shows after what was seen before; gives all that came up to it.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let (screen, changed) = &*self.screen;
        let end = Instant::now() + PATIENCE;
        let mut shown = screen.lock().unwrap();
        loop {
            let new = &shown[self.seen..];
            if let Some(at) = new.find(text) {
                let before = new[..at + text.len()].to_owned();
                self.seen += before.len();
                return before;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "`{text}` does not show after: {new:?}");
            shown = changed.wait_timeout(shown, left.min(Duration::from_millis(200))).unwrap().0;
        }
    }

    /// Interrupts, as a terminal does.
    #[allow(dead_code, reason = "not every program that plays somebody at a terminal interrupts")]
    pub(crate) fn interrupts(&self) {
        let id = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(id, Signal::INT).unwrap();
    }

    /// Waits for the end; gives the code and all that was shown.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not end: {:?}", self.screen.0.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        let status = self.child.wait().unwrap();
        // What it wrote last may be on the way.
        std::thread::sleep(Duration::from_millis(100));
        (status, self.screen.0.lock().unwrap().clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
