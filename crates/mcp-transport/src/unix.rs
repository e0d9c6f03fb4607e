//! Unix sockets: the framing of standard streams between processes that did not start each other.
//!
//! The file is the door: it is made for its owner alone, and whoever connects must be the same user
//! (or root), whatever the file's mode became meanwhile.

use std::fs;
use std::future::Future;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;

use mcp_types::ExchangeService;
use rustix::fs::Mode;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::task::JoinSet;

use crate::{Io, ServeOptions, serve_with};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;

/// A socket file that is listened on; dropped, it is removed.
///
/// ```no_run
/// # async fn example(server: impl mcp_types::ExchangeService) -> std::io::Result<()> {
/// use mcp_transport::unix;
///
/// let door = unix::listen("/run/user/1000/notes.sock")?;
/// door.serve(server, std::future::pending()).await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct UnixDoor {
    listener: UnixListener,
    path: PathBuf,
    most: usize,
    options: ServeOptions,
}

/// Listens on a socket file that only this user may open.
///
/// A file that an ended server left behind is replaced; one that is listened on, or that is no
/// socket, is not.
///
/// # Errors
///
/// `AddrInUse` when somebody listens there, `AlreadyExists` when the path is another kind of file,
/// and whatever the system says.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn listen(path: impl AsRef<Path>) -> io::Result<UnixDoor> {
    let path = path.as_ref();
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            let text = format!("`{}` is no socket, name another path", path.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path)?;
            }
            Err(error) => return Err(error),
            Ok(_) => {
                let text = format!("a server listens on `{}` already", path.display());
                return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
            }
        }
    }
    let socket = UnixSocket::new_stream()?;
    // Where the system honours it, the file never exists with a wider mode.
    let _ = rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR);
    socket.bind(path)?;
    let owner_only = fs::set_permissions(path, fs::Permissions::from_mode(0o600));
    let listener = owner_only.and_then(|()| socket.listen(BACKLOG));
    match listener {
        Ok(listener) => {
            let (path, options) = (path.to_owned(), ServeOptions::default());
            Ok(UnixDoor { listener, path, most: 256, options })
        }
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// Connects to the server that listens on a socket file; give the result to
/// [`connect`](crate::connect).
///
/// # Errors
///
/// `NotFound` or `ConnectionRefused` when nobody listens, and whatever the system says.
pub async fn open(path: impl AsRef<Path>) -> io::Result<Io> {
    UnixStream::connect(path).await.map(io)
}

fn io(stream: UnixStream) -> Io {
    let (reader, writer) = stream.into_split();
    Io::new(reader, writer)
}

impl UnixDoor {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Serves at most `most` connections at once, 256 by default; the next ones wait.
    #[must_use]
    pub fn most_connections(mut self, most: usize) -> Self {
        self.most = most.max(1);
        self
    }

    /// Serves each connection as `options` say.
    #[must_use]
    pub fn options(mut self, options: ServeOptions) -> Self {
        self.options = options;
        self
    }

    /// Serves until `stop` is ready. Then nothing more is accepted, and connections that are still
    /// open are dropped, their calls with them.
    pub async fn serve<S: ExchangeService>(self, service: S, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut open = JoinSet::new();
        loop {
            let room = open.len() < self.most;
            tokio::select! {
                () = &mut stop => break,
                Some(_) = open.join_next() => {}
                accepted = self.listener.accept(), if room => match accepted {
                    Ok((stream, _)) if is_owner(&stream) => {
                        let (service, options) = (service.clone(), self.options.clone());
                        open.spawn(async move {
                            // How one connection ended concerns nobody else.
                            let _ = serve_with(service, io(stream), options).await;
                        });
                    }
                    Ok(_) => {}
                    // Out of descriptors, most likely: one that closes makes room.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                },
            }
        }
    }
}

/// Whether the peer runs as this user, or as root.
fn is_owner(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

impl Drop for UnixDoor {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
