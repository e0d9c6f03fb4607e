//! What the example writes is for whoever started it, and it can be started again on the same Redis.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, signal};
use crate::redis::RedisServer;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_reads_the_keys() {
    let cluster = Cluster::start();
    let folder = cluster.keys();
    assert_eq!(mode(&folder), 0o700);
    for key in ["publisher.pem", "caller.pem"] {
        assert_eq!(mode(&folder.join(key)), 0o600, "{key}");
    }
    signal(cluster.process(), "-TERM");
    let began = Instant::now();
    while folder.exists() {
        assert!(began.elapsed() < Duration::from_secs(20), "the keys are left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Each has a secret of its own, which no other node under the same prefix would be let in with.
#[test]
fn a_redis_that_is_there_serves_one_cluster_after_the_other() {
    let redis = RedisServer::start();
    for _ in 0..2 {
        let cluster = Cluster::with(&["--redis", &redis.url(), "--nodes", "2"]);
        assert_eq!(cluster.nodes().len(), 2);
    }
}
