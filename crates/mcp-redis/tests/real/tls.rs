//! The same stores over TLS, with a certificate that an authority of one's own has signed.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_redis::{Address, ClusterSecret, RedisError, RedisStores};
use mcp_server::task::{KeptTask, Quota, TaskStore as _, TaskStoreError};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::cluster::{Killed, keeps_all_contracts};
use crate::replay::until;
use crate::server::SECRET;

/// An authority, and the files of what it has signed.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        // OpenSSL tells the two apart by their names.
        params.distinguished_name.push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let pem = pem("CERTIFICATE", certificate.der());
        Self { folder: tempfile::tempdir().unwrap(), issuer: Issuer::new(params, key), pem }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path
    }

    /// A certificate for `name` and its key, in PEM.
    fn signed(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    /// What a Redis is started with that serves only those who show a certificate of this authority.
    fn strict(&self) -> Vec<String> {
        let mut settings = self.settings("127.0.0.1");
        let asks = settings.iter().position(|one| one == "--tls-auth-clients").unwrap();
        settings[asks + 1] = "yes".to_owned();
        settings
    }

    /// An address that is trusted, and shown a certificate.
    fn shown_to(&self, address: Address) -> Address {
        let (certificate, key) = self.signed("node.example.com");
        address.authorities(self.pem.as_str()).certificate(certificate, key)
    }

    /// What a Redis whose certificate is for `name` is started with.
    fn settings(&self, name: &str) -> Vec<String> {
        let (certificate, key) = self.signed(name);
        let files = [
            ("--tls-cert-file", self.file("cert.pem", &certificate)),
            ("--tls-key-file", self.file("key.pem", &key)),
            ("--tls-ca-cert-file", self.file("ca.pem", &self.pem)),
        ];
        let named = files.map(|(name, path)| [name.to_owned(), path.to_str().unwrap().to_owned()]);
        let mut settings = named.concat();
        settings.extend(["--tls-auth-clients", "no", "--port", "0"].map(str::to_owned));
        settings
    }

    /// `redis-cli` with what it needs to trust this authority.
    fn cli(&self) -> Command {
        let mut command = Command::new("redis-cli");
        let of = |name: &str| self.folder.path().join(name);
        command.args(["--tls", "--cacert"]).arg(self.file("ca.pem", &self.pem));
        command.arg("--cert").arg(of("cert.pem")).arg("--key").arg(of("key.pem"));
        command
    }
}

/// A Redis that is reached over TLS alone.
struct Sealed {
    process: Killed,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Sealed {
    fn start(settings: &[String], more: &[&str]) -> Self {
        // Another process may take the port before Redis does; then another one will do.
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let process = Command::new("redis-server")
                .args(more)
                .args(settings)
                .args(["--tls-port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
                .arg(folder.path())
                .stdout(Stdio::null())
                .spawn();
            let mut process = Killed(process.unwrap());
            let end = Instant::now() + Duration::from_secs(20);
            while process.0.try_wait().unwrap().is_none() && Instant::now() < end {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { process, _folder: folder, port };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("no redis-server with TLS could be started on a free port");
    }

    fn url(&self) -> String {
        format!("rediss://127.0.0.1:{}", self.port)
    }
}

const KEEPS_NOTHING: [&str; 4] = ["--save", "", "--appendonly", "no"];

async fn node(address: Address) -> Result<RedisStores, RedisError> {
    let builder = RedisStores::builder(address, ClusterSecret::new(SECRET));
    builder.dangerously_believe_empty().timeout(Duration::from_secs(5)).connect().await
}

#[tokio::test]
async fn a_redis_behind_tls_keeps_all_contracts() {
    let authority = Authority::new();
    let server = Sealed::start(&authority.settings("127.0.0.1"), &KEEPS_NOTHING);
    let trusting = || Address::one(server.url()).authorities(authority.pem.as_str());
    let (one, other) = (node(trusting()).await.unwrap(), node(trusting()).await.unwrap());
    keeps_all_contracts(&one, &other).await;
}

#[tokio::test]
async fn a_certificate_has_to_be_trusted_and_to_name_the_host() {
    let authority = Authority::new();
    let server = Sealed::start(&authority.settings("127.0.0.1"), &KEEPS_NOTHING);
    let (elsewhere, stranger) = (Authority::new(), Authority::new());
    let foreign = Sealed::start(&elsewhere.settings("redis.example.com"), &KEEPS_NOTHING);
    let one = Address::one;
    for (address, why) in [
        (one(server.url()), "the system's authorities have not signed it"),
        (one(server.url()).authorities(stranger.pem.as_str()), "another authority has signed it"),
        (one(foreign.url()).authorities(elsewhere.pem.as_str()), "it names another host"),
        (one(server.url().replace("rediss", "redis")), "nothing is served in the clear"),
        (one(server.url()).authorities("nothing"), "there is no authority in it"),
    ] {
        let refused = node(address).await;
        let wanted = matches!(
            refused,
            Err(RedisError::Unreachable(_) | RedisError::Config(_) | RedisError::TooSlow(_))
        );
        assert!(wanted, "{why}: {refused:?}");
    }
    assert!(node(one(server.url()).authorities(authority.pem.as_str())).await.is_ok());
}

/// A cluster of three whose members are started with `settings`.
async fn cluster(authority: &Authority, settings: &[String]) -> [Sealed; 3] {
    let more = [&KEEPS_NOTHING[..], &["--cluster-enabled", "yes", "--tls-cluster", "yes"]].concat();
    let members = [(); 3].map(|()| Sealed::start(settings, &more));
    let hosts = members.each_ref().map(|one| format!("127.0.0.1:{}", one.port));
    let made = authority
        .cli()
        .args(["--cluster", "create"])
        .args(&hosts)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let up = |one: &Sealed| {
        let port = one.port.to_string();
        let said = authority.cli().args(["-p", &port, "CLUSTER", "INFO"]).output().unwrap();
        String::from_utf8_lossy(&said.stdout).contains("cluster_state:ok")
    };
    let end = Instant::now() + Duration::from_secs(30);
    while !members.iter().all(up) {
        assert!(Instant::now() < end, "the cluster does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    members
}

#[tokio::test]
async fn a_cluster_behind_tls_keeps_all_contracts() {
    let authority = Authority::new();
    let members = cluster(&authority, &authority.settings("127.0.0.1")).await;
    let by = |member: usize| {
        Address::cluster([members[member].url()]).authorities(authority.pem.as_str())
    };
    let (one, other) = (node(by(0)).await.unwrap(), node(by(1)).await.unwrap());
    keeps_all_contracts(&one, &other).await;
    assert!(node(Address::cluster([members[0].url()])).await.is_err(), "it is not trusted");
}

#[tokio::test]
async fn a_master_and_sentinels_behind_tls_keep_all_contracts() {
    let authority = Authority::new();
    let settings = authority.settings("127.0.0.1");
    let master = Sealed::start(&settings, &KEEPS_NOTHING);
    let text = format!("sentinel monitor shop 127.0.0.1 {} 1\n", master.port);
    let file = authority.file("sentinel.conf", &text);
    let more = [file.to_str().unwrap(), "--sentinel", "--tls-replication", "yes"];
    let sentinel = Sealed::start(&settings, &more);
    let address = || Address::sentinel([sentinel.url()], "shop");
    let trusting = || address().authorities(authority.pem.as_str());
    let (one, other) = (node(trusting()).await.unwrap(), node(trusting()).await.unwrap());
    keeps_all_contracts(&one, &other).await;
    assert!(node(address()).await.is_err(), "it is not trusted");
}

#[tokio::test]
async fn a_redis_that_asks_for_certificates_serves_those_who_show_one() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Sealed::start(&authority.strict(), &KEEPS_NOTHING);
    let trusting = || Address::one(server.url()).authorities(authority.pem.as_str());
    let ((foreign, its_key), (ours, _)) = (stranger.signed("node"), authority.signed("node"));
    for (address, why) in [
        (trusting(), "it shows none"),
        (trusting().certificate(foreign, its_key.as_str()), "another authority has signed it"),
        (trusting().certificate(ours.as_str(), its_key), "the key is that of another one"),
        (trusting().certificate(ours, "no key"), "there is no key in it"),
    ] {
        let refused = node(address).await;
        let wanted = matches!(
            refused,
            Err(RedisError::Unreachable(_) | RedisError::Config(_) | RedisError::TooSlow(_))
        );
        assert!(wanted, "{why}: {refused:?}");
    }
    let ours = || authority.shown_to(Address::one(server.url()));
    assert!(!format!("{:?}", ours()).contains("PRIVATE"));
    let (one, other) = (node(ours()).await.unwrap(), node(ours()).await.unwrap());
    keeps_all_contracts(&one, &other).await;
}

#[tokio::test]
async fn a_cluster_that_asks_for_certificates_keeps_all_contracts() {
    let authority = Authority::new();
    let members = cluster(&authority, &authority.strict()).await;
    let by = |member: usize| Address::cluster([members[member].url()]);
    assert!(node(by(0).authorities(authority.pem.as_str())).await.is_err(), "it shows none");
    let (one, other) = (authority.shown_to(by(0)), authority.shown_to(by(1)));
    keeps_all_contracts(&node(one).await.unwrap(), &node(other).await.unwrap()).await;
}

/// Replica, master and sentinels speak TLS alone, and only with those who show a certificate.
#[tokio::test]
async fn a_failover_is_followed_over_tls_with_certificates() {
    let authority = Authority::new();
    let settings = authority.strict();
    let more = [&KEEPS_NOTHING[..], &["--tls-replication", "yes"]].concat();
    let (mut master, replica) = (Sealed::start(&settings, &more), Sealed::start(&settings, &more));
    let ask = |one: &Sealed, command: &[&str]| {
        let port = one.port.to_string();
        let said = authority.cli().args(["-p", &port]).args(command).output().unwrap();
        String::from_utf8_lossy(&said.stdout).into_owned()
    };
    ask(&replica, &["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    until(|| ask(&master, &["INFO", "replication"]).contains("state=online")).await;
    let text = format!(
        "sentinel monitor shop 127.0.0.1 {} 1\nsentinel down-after-milliseconds shop 1000\n\
         sentinel failover-timeout shop 5000\n",
        master.port
    );
    let file = authority.file("sentinel.conf", &text);
    let more = [file.to_str().unwrap(), "--sentinel", "--tls-replication", "yes"];
    let sentinel = Sealed::start(&settings, &more);
    until(|| ask(&sentinel, &["SENTINEL", "REPLICAS", "shop"]).contains("slave")).await;
    let address = || Address::sentinel([sentinel.url()], "shop");
    assert!(node(address().authorities(authority.pem.as_str())).await.is_err(), "it shows none");
    let stores = node(authority.shown_to(address())).await.unwrap();
    let tasks = stores.tasks().unwrap();
    let task = || KeptTask::new("ada", Some(4_000_000_000_000), b"body".to_vec());
    tasks.insert("before", task(), &Quota::default(), 0).await.unwrap();
    until(|| ask(&replica, &["HLEN", "mcp:1:{t}:bodies"]).starts_with('1')).await;
    master.process.0.kill().unwrap();
    let (began, end) = (Instant::now(), Instant::now() + Duration::from_secs(40));
    while let Err(error) = tasks.insert("after", task(), &Quota::default(), 0).await {
        if matches!(error, TaskStoreError::Exists) {
            break;
        }
        assert!(Instant::now() < end, "it never goes on: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    eprintln!("it went on after {:?}", began.elapsed());
    assert!(ask(&replica, &["INFO", "replication"]).contains("role:master"));
    assert!(tasks.load("before").await.unwrap().is_some());
}
