//! What three nodes do on this computer, beside what one does: `cluster measure [ROUNDS]`.
//!
//! Two clusters are started as a user starts them, one of one node and one of three. Callers with a
//! connection each send calls as fast as they are answered: to the nodes themselves, an equal part to each,
//! as a balancer on a computer of its own would spread them; and through the balancer, which takes its
//! part of this computer's cores then, as the callers and Redis do. The ways take turns in each round,
//! because other programs may be at work on the same cores, and the median of the rounds is what is said.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;

use crate::calls::{Caller, Kind};

/// How many callers there are, and for how long they call in each round.
const CALLERS: usize = 24;
const ROUND: Duration = Duration::from_secs(2);

pub(crate) async fn run(rounds: usize) -> anyhow::Result<()> {
    if !(1..=100).contains(&rounds) {
        bail!("`measure` takes 1 to 100 rounds");
    }
    let (one, three) = (Started::with("1")?, Started::with("3")?);
    let ways = [
        ("one node", &one, one.nodes()),
        ("three nodes", &three, three.nodes()),
        ("one node behind the balancer", &one, vec![one.said("balancer")?]),
        ("three nodes behind the balancer", &three, vec![three.said("balancer")?]),
    ];
    println!("{CALLERS} callers, {rounds} rounds of {ROUND:?}, calls in a second (median, all)");
    for kind in Kind::ALL {
        let mut rates = vec![Vec::new(); ways.len()];
        // The first round is to warm up.
        for round in 0..=rounds {
            for ((_, cluster, urls), rates) in ways.iter().zip(&mut rates) {
                let rate = rate(kind, urls, &cluster.said("keys")?).await?;
                if round > 0 {
                    rates.push(rate);
                }
            }
        }
        for ((way, ..), mut rates) in ways.iter().zip(rates) {
            let all: Vec<_> = rates.iter().map(|rate| format!("{rate:.0}")).collect();
            rates.sort_by(f64::total_cmp);
            let median = rates.get(rates.len().saturating_sub(1) / 2).copied().unwrap_or_default();
            println!("{kind:<8} {way:<32} {median:>7.0}   ({})", all.join(" "));
        }
    }
    Ok(())
}

/// How many calls a second are answered.
async fn rate(kind: Kind, urls: &[String], keys: &str) -> anyhow::Result<f64> {
    let callers = urls.iter().cycle().take(CALLERS).map(|url| Caller::new(kind, url, keys));
    let mut callers = try_join_all(callers).await?;
    let began = Instant::now();
    let calls = callers.iter_mut().map(|caller| async move {
        let mut calls = 0_u32;
        while began.elapsed() < ROUND {
            caller.call().await?;
            calls += 1;
        }
        anyhow::Ok(calls)
    });
    let calls: u32 = try_join_all(calls).await?.into_iter().sum();
    Ok(f64::from(calls) / began.elapsed().as_secs_f64())
}

/// A cluster, as somebody at a terminal starts and ends it.
struct Started {
    child: Child,
    lines: Vec<String>,
}

impl Started {
    fn with(nodes: &str) -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("this program cannot find itself")?;
        let mut child = Command::new(this)
            .args(["--nodes", nodes, "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("this program cannot be started again")?;
        let out = child.stdout.take().context("it has an output")?;
        let mut started = Self { child, lines: Vec::new() };
        let mut out = BufReader::new(out).lines();
        while let Some(line) = out.next() {
            started.lines.push(line?);
            if started.said("balancer").is_ok() {
                // What it says later, as of a node that it starts again, is read too, or it ends of its own words.
                std::thread::spawn(move || out.map_while(Result::ok).for_each(drop));
                return Ok(started);
            }
        }
        bail!("a cluster ended before it served")
    }

    /// The URL of each node.
    fn nodes(&self) -> Vec<String> {
        let nodes = self.lines.iter().filter(|line| line.starts_with("node "));
        nodes.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    }

    /// What it printed after a word.
    fn said(&self, word: &str) -> anyhow::Result<String> {
        let said = self.lines.iter().find_map(|line| line.strip_prefix(word));
        Ok(said.with_context(|| format!("it did not say `{word}`"))?.trim().to_owned())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Interrupted it removes its folder, which it could not when it is killed.
        drop(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status());
        drop(self.child.wait());
    }
}
