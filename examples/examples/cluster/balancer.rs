//! A balancer that hands TCP connections on, one to each node in turn, past those that do not answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::nodes::Table;

/// How many connections are open at a time; others wait to be accepted.
const AT_ONCE: usize = 1_024;

pub(crate) async fn run(listener: TcpListener, nodes: Table) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut turn = 0_usize;
    loop {
        let Ok(place) = room.clone().acquire_owned().await else { return };
        let Ok((client, _)) = listener.accept().await else {
            // No more files may be open: whoever has some will close one.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        turn = turn.wrapping_add(1);
        let (nodes, turn) = (nodes.clone(), turn);
        tokio::spawn(async move {
            hand_on(client, &nodes, turn).await;
            drop(place);
        });
    }
}

/// A node that is down refuses at once, and one that hangs is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);

async fn hand_on(mut client: TcpStream, nodes: &Table, turn: usize) {
    for address in nodes.from(turn) {
        if let Ok(Ok(mut node)) = timeout(PATIENCE, TcpStream::connect(address)).await {
            // What is handed on leaves at once.
            drop((client.set_nodelay(true), node.set_nodelay(true)));
            // How a connection ends is for its two ends to see.
            drop(copy_bidirectional(&mut client, &mut node).await);
            return;
        }
    }
}
