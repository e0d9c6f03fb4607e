//! The example as its user has it, and what it prints.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(crate) struct Cluster {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Cluster {
    /// Starts it on a free port, and waits until all of it is there.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more to say.
    pub(crate) fn with(words: &[&str]) -> Self {
        let test = std::env::current_exe().unwrap();
        let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
        let program = folder.join("cluster");
        assert!(program.exists(), "build it first: cargo build -p examples --example cluster");
        let mut child = Command::new(program)
            .args(words)
            .arg("127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, told) = (child.stdout.take().unwrap(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                told.lock().unwrap().push(line);
            }
        });
        let mut cluster = Self { child, lines };
        let end = Instant::now() + Duration::from_secs(60);
        while cluster.said("balancer").is_empty() {
            assert!(cluster.child.try_wait().unwrap().is_none(), "it ended");
            assert!(Instant::now() < end, "it does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        cluster
    }

    /// What it printed after a word.
    fn said(&self, word: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let after = |line: &String| Some(line.strip_prefix(word)?.trim().to_owned());
        lines.iter().filter_map(after).collect()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn balancer(&self) -> String {
        self.said("balancer").remove(0)
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.said("keys").remove(0).into()
    }

    /// How often each payment was made, whatever its caller was told: by its amount and whom it is to.
    pub(crate) fn payments(&self) -> BTreeMap<String, usize> {
        let ledger = std::fs::read_to_string(self.keys().join("ledger")).unwrap_or_default();
        let mut payments = BTreeMap::new();
        ledger.lines().for_each(|line| *payments.entry(line.to_owned()).or_default() += 1);
        payments
    }

    /// The process and the URL of each node, as it was started last.
    pub(crate) fn nodes(&self) -> Vec<(u32, String)> {
        let mut nodes = BTreeMap::new();
        for line in self.said("node") {
            let words: Vec<_> = line.split(' ').collect();
            let [number, process, url] = words[..] else { panic!("{line}") };
            nodes.insert(number.to_owned(), (process.parse().unwrap(), url.to_owned()));
        }
        nodes.into_values().collect()
    }
}

pub(crate) fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // As somebody at a terminal ends it: it ends what it started.
        let _ = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
