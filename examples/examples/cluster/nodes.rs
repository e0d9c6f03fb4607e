//! The processes that serve: started, and started again when they end.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;

/// Where each node listens, `None` while it does not.
#[derive(Clone)]
pub(crate) struct Table(Arc<Mutex<Vec<Option<SocketAddr>>>>);

impl Table {
    /// Those that listen, from one of them on.
    pub(crate) fn from(&self, turn: usize) -> Vec<SocketAddr> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = table.len();
        (0..count).filter_map(|step| *table.get((turn + step) % count)?).collect()
    }

    fn set(&self, number: usize, address: Option<SocketAddr>) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = table.get_mut(number) {
            *place = address;
        }
    }
}

pub(crate) struct Nodes {
    table: Table,
    stopping: Arc<AtomicBool>,
}

impl Nodes {
    /// Starts so many of a program with what they share in the environment, each with a thread that starts
    /// it again; gives them back when all listen. What holds `at_first` is not told to one that takes the
    /// place of another.
    pub(crate) fn start(
        count: usize,
        program: &[OsString],
        shared: Vec<(&'static str, String)>,
        at_first: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let table = Table(Arc::new(Mutex::new(vec![None; count])));
        let nodes = Self { table, stopping: Arc::default() };
        let (program, words) = program.split_first().context("the nodes have no program")?;
        let (program, words) = (program.clone(), words.to_vec());
        let start = Arc::new(move |at_first: &[(&str, &str)]| {
            // A node ends when this process does, whose end of the pipe is closed then.
            let child = Command::new(&program)
                .args(&words)
                .envs(shared.iter().map(|(name, value)| (name, value)))
                .envs(at_first.iter().copied())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn();
            child.context("a node cannot be started")
        });
        for number in 0..count {
            let (child, address) = listening(start(at_first))?;
            nodes.tell(number, &child, address);
            let (nodes, start) = (nodes.clone(), start.clone());
            std::thread::spawn(move || nodes.keep(number, child, &|| start(&[])));
        }
        Ok(nodes)
    }

    pub(crate) fn table(&self) -> Table {
        self.table.clone()
    }

    /// Starts none again any more.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    fn clone(&self) -> Self {
        Self { table: self.table.clone(), stopping: self.stopping.clone() }
    }

    fn tell(&self, number: usize, child: &Child, address: SocketAddr) {
        println!("node {} {} http://{address}/mcp", number + 1, child.id());
        self.table.set(number, Some(address));
    }

    fn keep(&self, number: usize, mut child: Child, start: &dyn Fn() -> anyhow::Result<Child>) {
        loop {
            // To wait closes the pipe, by whose end a node knows that it is to end.
            let pipe = child.stdin.take();
            drop(child.wait());
            drop(pipe);
            self.table.set(number, None);
            loop {
                std::thread::sleep(Duration::from_millis(200));
                if self.stopping.load(Ordering::SeqCst) {
                    return;
                }
                match listening(start()) {
                    Ok((next, address)) => {
                        self.tell(number, &next, address);
                        child = next;
                        break;
                    }
                    Err(error) => eprintln!("node {}: {error:#}", number + 1),
                }
            }
        }
    }
}

/// Waits until a node says where it listens.
fn listening(child: anyhow::Result<Child>) -> anyhow::Result<(Child, SocketAddr)> {
    let mut child = child?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    match line.trim().parse() {
        Ok(address) => Ok((child, address)),
        Err(_) => {
            drop(child.kill());
            drop(child.wait());
            Err(anyhow::anyhow!("it ended before it listened"))
        }
    }
}
