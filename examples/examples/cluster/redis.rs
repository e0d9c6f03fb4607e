//! A Redis of one's own, for as long as the value lives.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Runs its words until they end or its input does, so that nothing is left even where this process is
/// killed and cannot end it.
const KEPT: &str = r#"command -v "$1" >/dev/null || exit 127
exec 3<&0
"$@" 3<&- & server=$!
{ read -r _; kill -9 $server; } <&3 &
exec 3<&-
wait $server"#;

/// How a shell says that there is no such program.
const MISSING: i32 = 127;

pub(crate) struct Redis {
    child: Child,
    port: u16,
}

impl Redis {
    /// Starts `redis-server` on a free port of this computer, with its files in `folder`. What was
    /// acknowledged is on the disk.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        // Somebody else may take the port before Redis does; then another one will do.
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
            let child = Command::new("sh")
                .args(["-c", KEPT, "sh", "redis-server", "--port", &port.to_string()])
                .args(["--bind", "127.0.0.1", "--daemonize", "no"])
                .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
                .args(["--maxmemory-policy", "noeviction", "--dir"])
                .arg(folder)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .context("`sh` cannot be started")?;
            let mut redis = Self { child, port };
            if redis.answers()? {
                return Ok(redis);
            }
        }
        bail!("`redis-server` ends as soon as it is started, see whether it is version 7 or newer")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Waits until it answers; `false` when it has ended.
    fn answers(&mut self) -> anyhow::Result<bool> {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                if status.code() == Some(MISSING) {
                    bail!(
                        "there is no `redis-server` on the PATH: install Redis 7 or newer, on \
                         Debian with `apt-get install redis-server`"
                    );
                }
                return Ok(false);
            }
            if self.ping().is_ok_and(|answer| &answer == b"+PONG") {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("`redis-server` does not answer")
    }

    fn ping(&self) -> std::io::Result<[u8; 5]> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // To wait closes its input, which ends it. Its folder is removed after it.
        drop(self.child.wait());
    }
}
