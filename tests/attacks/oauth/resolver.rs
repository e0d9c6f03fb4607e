//! T27: a name that leads outside while it is checked and inside when it is connected to.
//!
//! The name is asked for over UDP at a server of names on this computer, as a system's resolver asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etdi_oauth::{
    Fetch as _, FetchError, FetchRequest, GuardedFetch, Issuer, JwtVerifier, Resolve, Rules,
    ServerMetadata, TokenRefusal, VerifyToken as _,
};
use mcp_types::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::forge::{Forged, NOW};

/// In 2000::/3 and given to nobody, so that nothing answers there.
const OUTSIDE: &str = "2d00::1";
const INSIDE: &str = "127.0.0.1";
const METADATA: &str = "169.254.169.254";

const A: u16 = 1;
const AAAA: u16 = 28;

/// A server of names (RFC 1035) whose answer changes from one time that it is asked to the next, and
/// counts for no time at all.
struct Names {
    at: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Names {
    async fn start(rounds: &'static [&'static [&'static str]]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (at, asked) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = asked.clone();
        tokio::spawn(async move {
            let mut packet = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                let question = &packet[..length];
                let kind = u16::from_be_bytes([question[length - 4], question[length - 3]]);
                let round = counted.load(Ordering::SeqCst).min(rounds.len() - 1);
                let found = rounds[round].iter().map(|text| text.parse().unwrap());
                let found = found.filter(|address: &IpAddr| address.is_ipv4() == (kind == A));
                socket.send_to(&answer(question, kind, found.collect()), from).await.unwrap();
                // The second question of a resolver ends its round.
                if kind == A {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn resolver(&self) -> Resolver {
        Resolver(self.at)
    }
}

/// The question again, and behind it the addresses.
fn answer(question: &[u8], kind: u16, found: Vec<IpAddr>) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..4].copy_from_slice(&0x8180_u16.to_be_bytes());
    answer[6..8].copy_from_slice(&u16::try_from(found.len()).unwrap().to_be_bytes());
    for address in found {
        let bytes = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        // The name is the one at 12; then kind, class, how long it counts, and its length.
        answer.extend([0xc0, 12]);
        answer.extend([kind.to_be_bytes(), 1_u16.to_be_bytes()].concat());
        answer.extend(0_u32.to_be_bytes());
        answer.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes());
        answer.extend(bytes);
    }
    answer
}

/// Asks that server, for both kinds of address, each time anew.
struct Resolver(SocketAddr);

impl Resolver {
    async fn ask(&self, name: &str, kind: u16) -> Vec<IpAddr> {
        let mut packet = [0x1234_u16, 0x0100, 1, 0, 0, 0].map(u16::to_be_bytes).concat();
        for label in name.split('.') {
            packet.push(u8::try_from(label.len()).unwrap());
            packet.extend(label.bytes());
        }
        packet.push(0);
        packet.extend([kind, 1].map(u16::to_be_bytes).concat());
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&packet, self.0).await.unwrap();
        let mut got = [0; 512];
        let (length, _) = socket.recv_from(&mut got).await.unwrap();
        let (mut rest, size) = (&got[packet.len()..length], if kind == A { 4 } else { 16 });
        let mut found = Vec::new();
        while let Some((record, behind)) = rest.split_at_checked(12 + size) {
            let address = &record[12..];
            found.push(match kind {
                A => IpAddr::from(<[u8; 4]>::try_from(address).unwrap()),
                _ => IpAddr::from(<[u8; 16]>::try_from(address).unwrap()),
            });
            rest = behind;
        }
        found
    }
}

impl Resolve for Resolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        Box::pin(async move { Ok([self.ask(name, AAAA).await, self.ask(name, A).await].concat()) })
    }
}

/// What only this computer should be able to read; counts who comes.
async fn inside(answer: &'static str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, met) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = met.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            let mut head = [0; 1_024];
            _ = stream.read(&mut head).await;
            _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, met)
}

const SECRET: &str = "HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\ninside: keys";
const REDIRECT: &str = "HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n";

const NAME: &str = "keys.rebound.example";

fn rules(loopback: bool) -> Rules {
    let mut rules = Rules::default();
    rules.loopback = loopback;
    rules.connect_timeout = Duration::from_millis(200);
    rules
}

/// Checks a name, and then connects to it as everybody does: by its name.
async fn careful_in_vain(resolver: &Resolver, port: u16) -> Result<String, String> {
    let checked = resolver.resolve(NAME).await?;
    let is_inside = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback(),
    };
    if checked.iter().any(is_inside) {
        return Err("the name leads inside".to_owned());
    }
    let addresses = resolver.resolve(NAME).await?;
    let mut stream = TcpStream::connect((addresses[0], port)).await.map_err(|it| it.to_string())?;
    stream.write_all(b"GET /jwks.json HTTP/1.1\r\n\r\n").await.map_err(|it| it.to_string())?;
    let mut answer = vec![0; SECRET.len()];
    stream.read_exact(&mut answer).await.map_err(|it| it.to_string())?;
    Ok(String::from_utf8(answer).unwrap())
}

#[tokio::test]
async fn a_name_that_is_rebound_leads_nobody_inside() {
    const REBOUND: &[&[&str]] = &[&[OUTSIDE], &[INSIDE]];
    let (port, met) = inside(SECRET).await;
    let names = Names::start(REBOUND).await;
    let read = careful_in_vain(&names.resolver(), port).await.unwrap();
    assert!(read.ends_with("inside: keys"), "the attack works: {read}");
    let again = careful_in_vain(&names.resolver(), port).await.unwrap_err();
    assert_eq!((met.load(Ordering::SeqCst), &*again), (1, "the name leads inside"));

    // The address that was checked is the one that is connected to.
    let names = Names::start(REBOUND).await;
    let fetch = GuardedFetch::new(rules(false)).resolver(names.resolver());
    let url = format!("https://{NAME}:{port}/jwks.json");
    let outside = fetch.fetch(FetchRequest::get(&url)).await.unwrap_err();
    assert!(matches!(outside, FetchError::Unreachable { .. }), "{outside}");
    assert_eq!((names.asked(), met.load(Ordering::SeqCst)), (1, 1));
    // And each connection checks anew.
    let inside = fetch.fetch(FetchRequest::get(&url)).await.unwrap_err();
    assert!(matches!(inside, FetchError::Forbidden { .. }), "{inside}");
    assert_eq!((names.asked(), met.load(Ordering::SeqCst)), (2, 1));
}

const BOTH: [&[&[&str]]; 3] =
    [&[&[OUTSIDE, INSIDE]], &[&[INSIDE, OUTSIDE]], &[&["8.8.8.8", METADATA]]];

#[tokio::test]
async fn a_name_that_leads_outside_and_inside_leads_nowhere() {
    let (port, met) = inside(SECRET).await;
    for both in BOTH {
        let names = Names::start(both).await;
        let fetch = GuardedFetch::new(rules(false)).resolver(names.resolver());
        let refused = fetch.fetch(FetchRequest::get(format!("https://{NAME}:{port}/"))).await;
        assert!(matches!(refused, Err(FetchError::Forbidden { .. })), "{both:?} {refused:?}");
    }
    assert_eq!(met.load(Ordering::SeqCst), 0);
}

/// Where this computer may be asked, its network's own services still may not.
#[tokio::test]
async fn a_name_that_is_rebound_between_two_hops_is_checked_at_each() {
    let (port, met) = inside(REDIRECT).await;
    let names = Names::start(&[&[INSIDE], &[METADATA]]).await;
    let fetch = GuardedFetch::new(rules(true)).resolver(names.resolver());
    let refused = fetch.fetch(FetchRequest::get(format!("http://{NAME}:{port}/"))).await;
    assert!(matches!(refused, Err(FetchError::Forbidden { .. })), "{refused:?}");
    assert_eq!((names.asked(), met.load(Ordering::SeqCst)), (2, 1));
}

/// The same through what asks: metadata of an issuer and its keys.
#[tokio::test]
async fn no_document_of_an_issuer_comes_from_inside() {
    let (port, met) = inside(SECRET).await;
    let names = Names::start(&[&[INSIDE]]).await;
    let fetch = Arc::new(GuardedFetch::new(rules(false)).resolver(names.resolver()));
    let issuer = format!("https://{NAME}:{port}");
    ServerMetadata::find(&*fetch, &issuer, false).await.unwrap_err();
    let mut forged = Forged::new();
    forged.claim("iss", serde_json::json!(issuer));
    let verifier = JwtVerifier::new(Issuer::new(&issuer, super::forge::AUDIENCE), fetch).unwrap();
    let refused = verifier.verify(&forged.text(), NOW).await.unwrap_err();
    assert!(matches!(refused, TokenRefusal::Unavailable(_)), "{refused}");
    assert!(names.asked() >= 2);
    assert_eq!(met.load(Ordering::SeqCst), 0);
}
