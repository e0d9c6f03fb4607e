//! A stand-in for Verified Permissions on a loopback port. It takes the bytes that came and checks
//! their signature by a path of its own: from the wire, with HMAC written out over SHA-256.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::Value;

/// What the stand-in does with a request whose signature holds.
pub(crate) type Answer = Arc<dyn Fn(&Value) -> Reply + Send + Sync>;

pub(crate) enum Reply {
    /// Answers with a status and a body.
    With(u16, String),
    /// Sends exactly this.
    Bytes(Vec<u8>),
    /// Waits, then allows.
    After(Duration),
}

/// One request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Value,
    /// Why the signature does not hold.
    pub(crate) fault: Option<String>,
}

pub(crate) struct Fake {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(crate) const ALLOW: &str =
    r#"{"decision":"ALLOW","determiningPolicies":[{"policyId":"SPone-1"}],"errors":[]}"#;

impl Fake {
    pub(crate) fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, kept) = (answer.clone(), kept.clone());
                thread::spawn(move || serve(stream.unwrap(), &answer, &kept));
            }
        });
        Self { endpoint, seen }
    }

    pub(crate) fn always(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::start(Arc::new(move |_| Reply::With(status, body.clone())))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, kept: &Mutex<Vec<Seen>>) {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    let end = loop {
        let mut some = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut some) else { return };
        bytes.extend_from_slice(&some[..read]);
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length: usize = header(&head, "content-length").unwrap_or("0").parse().unwrap();
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let mut some = [0; 4096];
        let Ok(read @ 1..) = stream.read(&mut some) else { return };
        body.extend_from_slice(&some[..read]);
    }
    let fault = check(&head, &body).err();
    let parsed: Value = serde_json::from_slice(&body).unwrap();
    kept.lock().unwrap().push(Seen { head, body: parsed.clone(), fault: fault.clone() });
    let reply = match fault {
        Some(_) => {
            let kind = "com.amazon.coral.service#InvalidSignatureException";
            Reply::With(400, format!(r#"{{"__type":"{kind}","message":"no"}}"#))
        }
        None => answer(&parsed),
    };
    let text = |status: u16, body: &str| {
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\n\
             location: http://127.0.0.1:1/\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let out = match reply {
        Reply::With(status, body) => text(status, &body).into_bytes(),
        Reply::Bytes(bytes) => bytes,
        Reply::After(time) => {
            thread::sleep(time);
            text(200, ALLOW).into_bytes()
        }
    };
    // Whoever asked may have gone away.
    _ = stream.write_all(&out);
}

pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Checks the proof of a request as AWS describes it: rebuilt from what the proof itself names.
fn check(head: &str, body: &[u8]) -> Result<(), String> {
    let proof = header(head, "authorization").ok_or("no proof")?;
    let rest = proof.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("another algorithm")?;
    let part = |name: &str| {
        let found = rest.split(", ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.ok_or(format!("no {name}"))
    };
    let (credential, names, signature) =
        (part("Credential")?, part("SignedHeaders")?, part("Signature")?);
    let (id, scope) = credential.split_once('/').ok_or("no scope")?;
    let date = header(head, "x-amz-date").ok_or("no date")?;
    if id != "AKIDEXAMPLE" {
        return Err("another key".to_owned());
    }
    if scope != format!("{}/eu-central-1/verifiedpermissions/aws4_request", &date[..8]) {
        return Err(format!("another scope, {scope}"));
    }
    let names: Vec<&str> = names.split(';').collect();
    for needed in ["content-type", "host", "x-amz-date", "x-amz-target"] {
        if !names.contains(&needed) {
            return Err(format!("{needed} is not signed"));
        }
    }
    if header(head, "x-amz-security-token").is_some() && !names.contains(&"x-amz-security-token") {
        return Err("the token is not signed".to_owned());
    }
    let mut words = head.lines().next().unwrap().split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut lines = vec![method.to_owned(), path.to_owned(), String::new()];
    for name in &names {
        lines.push(format!("{name}:{}", header(head, name).ok_or(format!("no {name}"))?));
    }
    lines.extend([String::new(), names.join(";"), hex(&sha256(body))]);
    let text =
        ["AWS4-HMAC-SHA256", date, scope, &hex(&sha256(lines.join("\n").as_bytes()))].join("\n");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for step in scope.split('/') {
        key = hmac(&key, step.as_bytes());
    }
    match hex(&hmac(&key, text.as_bytes())) == signature {
        true => Ok(()),
        false => Err("the signature does not hold".to_owned()),
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// RFC 2104, for keys of at most one block.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64);
    let padded = |pad: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or_default() ^ pad).collect()
    };
    let inner = sha256(&[&padded(0x36), text].concat());
    sha256(&[padded(0x5c), inner].concat())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
