//! `etdi doctor` before servers that have one fault each: it names the step, and whose business it is.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod web;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;

use web::{Asked, JSON, answer, port, read, sound, web};

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// What the doctor found: its report, and the code it ended with.
struct Found {
    report: Value,
    exit: i32,
}

impl Found {
    /// The step that failed, whose business that is, and the exit code.
    fn fault(&self) -> (&str, &str, i32) {
        let word = |name: &str| self.report[name].as_str().unwrap_or("none");
        (word("failed"), word("whose"), self.exit)
    }

    /// What the last step says.
    fn what(&self) -> &str {
        self.report["steps"].as_array().unwrap().last().unwrap()["what"].as_str().unwrap()
    }

    fn next(&self) -> &str {
        self.report["next"].as_str().unwrap()
    }

    fn outcome(&self, step: &str) -> &str {
        let steps = self.report["steps"].as_array().unwrap();
        let found = steps.iter().find(|one| one["step"] == step);
        found.and_then(|one| one["outcome"].as_str()).unwrap_or("none")
    }

    #[track_caller]
    fn is(&self, expected: (&str, &str, i32), part: &str) {
        assert_eq!(self.fault(), expected, "{:#}", self.report);
        let last = self.report["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["outcome"], "failed", "nothing is asked after a fault: {last}");
        assert!(self.what().contains(part), "`{part}` is not in: {}", self.what());
        assert!(!last["advice"].as_str().unwrap().is_empty() && !self.next().is_empty());
    }
}

struct Patient(TempDir);

impl Patient {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn doctor(&self, words: &[&str]) -> Found {
        self.doctor_with(words, &[])
    }

    fn doctor_with(&self, words: &[&str], variables: &[(&str, &str)]) -> Found {
        let mut command = Command::new(ETDI);
        for name in
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
        {
            command.env_remove(name);
        }
        command.args(["doctor", "--json"]).args(words).current_dir(self.path());
        command.env("ETDI_HOME", self.path().join("etdi")).envs(variables.iter().copied());
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let envelope: Value = serde_json::from_str(&text).unwrap_or_else(|_| {
            panic!("no envelope: {text}{}", String::from_utf8_lossy(&output.stderr))
        });
        assert_eq!((&envelope["command"], &envelope["v"]), (&"doctor".into(), &1.into()));
        Found { report: envelope["data"].clone(), exit: output.status.code().unwrap() }
    }

    /// A file with these permissions.
    fn file(&self, name: &str, text: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A program that is a line of shell.
    fn shell(&self, text: &str) -> Found {
        let script = self.file("server", &format!("#!/bin/sh\n{text}\n"), 0o755);
        self.doctor(&["--", &script])
    }
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/mcp")
}

#[test]
fn nothing_is_wrong_with_what_works() {
    let patient = Patient::new();
    let found = patient.doctor(&["--", ETDI, "__demo-server", "weather"]);
    assert_eq!((found.exit, &found.report["healthy"]), (0, &true.into()), "{:#}", found.report);
    assert!(found.next().starts_with("etdi inspect -- "), "{}", found.next());
    let port = web(|asked| (200, JSON, sound(asked).to_string()));
    let found = patient.doctor(&["--", &url(port)]);
    assert_eq!((found.exit, &found.report["healthy"]), (0, &true.into()), "{:#}", found.report);
    let steps: Vec<_> =
        found.report["steps"].as_array().unwrap().iter().map(|step| &step["step"]).collect();
    assert_eq!(steps, ["dns", "tcp", "http", "versions", "tools", "schemas"]);
    // For people it ends with what to type next.
    let output = Command::new(ETDI)
        .args(["doctor", "--", ETDI, "__demo-server", "weather"])
        .env("ETDI_HOME", patient.path().join("etdi"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().last().unwrap().starts_with("try:   etdi inspect -- "), "{text}");
}

#[test]
fn a_name_that_nobody_has() {
    let found = Patient::new().doctor(&["--", "https://mcp.acme.invalid/mcp"]);
    found.is(("dns", "you", 4), "`mcp.acme.invalid` cannot be found");
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("tcp", "you", 4), &format!("nothing listens at port {port}"));
}

#[test]
fn another_program_listens_there() {
    let port = port(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n");
        let _ = stream.read(&mut [0; 1024]);
    });
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("http", "you", 4), "it says `SSH-2.0-OpenSSH_9.9`");
}

#[test]
fn nobody_answers() {
    let port = port(|stream| {
        let _ = (&stream).read(&mut [0; 4096]);
        std::thread::sleep(std::time::Duration::from_secs(60));
    });
    let found = Patient::new().doctor(&["--timeout", "1", "--", &url(port)]);
    found.is(("http", "server_operator", 4), "did not answer within 1 seconds");
}

#[test]
fn a_connection_that_is_dropped() {
    let port = port(|stream| drop(read(&stream)));
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("http", "server_operator", 4), "closed the connection before it answered");
}

/// An authority, and certificates of it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let der = base64::engine::general_purpose::STANDARD.encode(certificate.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n");
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server behind TLS.
    fn web(&self, name: &str, year: i32) -> u16 {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let config = Arc::new(config);
        port(move |stream| {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            if let Some(asked) = read(&mut stream) {
                answer(&mut stream, (200, JSON, sound(&asked).to_string()));
                stream.conn.send_close_notify();
                let _ = stream.flush();
            } else {
                // The alert about what was no TLS has to go out.
                let _ = stream.conn.write_tls(&mut stream.sock);
            }
        })
    }

    fn trusted(&self, patient: &Patient) -> PathBuf {
        patient.file("roots.pem", &self.pem, 0o600).into()
    }
}

#[test]
fn certificates_that_do_not_count() {
    let (patient, authority) = (Patient::new(), Authority::new());
    let roots = authority.trusted(&patient);
    let trusting = [("SSL_CERT_FILE", roots.to_str().unwrap())];
    let at = |port: u16| format!("https://127.0.0.1:{port}/mcp");
    let good = authority.web("127.0.0.1", 2100);

    // The same server is sound for whoever knows the authority.
    let found = patient.doctor_with(&["--", &at(good)], &trusting);
    assert_eq!((found.exit, found.outcome("tls")), (0, "passed"), "{:#}", found.report);
    let found = patient.doctor(&["--", &at(good)]);
    found.is(("tls", "server_operator", 4), "self-signed, or of an authority that is unknown here");
    let found = patient.doctor_with(&["--", &at(authority.web("127.0.0.1", 2020))], &trusting);
    found.is(("tls", "server_operator", 4), "the certificate of `127.0.0.1` has ended");
    let found =
        patient.doctor_with(&["--", &at(authority.web("mcp.acme.example", 2100))], &trusting);
    found.is(("tls", "server_operator", 4), "the certificate is not for `127.0.0.1`");
}

#[test]
fn one_side_speaks_tls_and_the_other_does_not() {
    let patient = Patient::new();
    let plain = web(|asked| (200, JSON, sound(asked).to_string()));
    let found = patient.doctor(&["--", &format!("https://127.0.0.1:{plain}/mcp")]);
    found.is(("tls", "you", 4), "speaks plain HTTP, not TLS");
    assert_eq!(found.next(), format!("etdi doctor -- {}", url(plain)));
    let secure = Authority::new().web("127.0.0.1", 2100);
    let found = patient.doctor(&["--", &url(secure)]);
    found.is(("http", "you", 4), "speaks TLS, and the URL says `http://`");
    assert_eq!(found.next(), format!("etdi doctor -- https://127.0.0.1:{secure}/mcp"));
}

#[test]
fn a_path_at_which_nothing_is() {
    let port = web(|asked| match asked.path.as_str() {
        "/mcp" => (200, JSON, sound(asked).to_string()),
        _ => (404, &["content-type: text/plain"], "not found".to_owned()),
    });
    let found = Patient::new().doctor(&["--", &format!("http://127.0.0.1:{port}/api")]);
    found.is(("http", "you", 4), "there is nothing at");
    assert_eq!(found.next(), format!("etdi doctor -- {}", url(port)));
    // A server that says so in the protocol's own words is at the other path all the same.
    let port = web(|asked| match asked.path.as_str() {
        "/mcp" => (200, JSON, sound(asked).to_string()),
        _ => {
            let error = json!({"code": -32600, "message": "the endpoint is `/mcp`"});
            (404, JSON, json!({"jsonrpc": "2.0", "id": null, "error": error}).to_string())
        }
    });
    let found = Patient::new().doctor(&["--", &format!("http://127.0.0.1:{port}/api")]);
    found.is(("http", "you", 4), "there is nothing at");
    assert_eq!(found.next(), format!("etdi doctor -- {}", url(port)));
}

#[test]
fn a_web_page_is_no_server() {
    let port = web(|_| (200, &["content-type: text/html"], "<h1>hello</h1>".to_owned()));
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("http", "you", 4), "a web page is at");
}

#[test]
fn a_server_that_moved_and_one_that_is_down() {
    let moved = web(|_| (308, &["location: https://mcp.acme.example/mcp"], String::new()));
    let found = Patient::new().doctor(&["--", &url(moved)]);
    found.is(("http", "you", 4), "sends on to `https://mcp.acme.example/mcp`");
    assert_eq!(found.next(), "etdi doctor -- https://mcp.acme.example/mcp");
    let down = web(|_| (502, &["content-type: text/html"], "<h1>Bad gateway</h1>".to_owned()));
    let found = Patient::new().doctor(&["--", &url(down)]);
    found.is(("http", "server_operator", 4), "fails with status 502");
}

/// A protected server and its issuer, one of whose documents is spoiled.
fn protected(spoil: impl Fn(&Asked, &str, &mut Value) -> u16 + Send + Sync + 'static) -> u16 {
    web(move |asked| {
        let host = asked.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
        });
        let origin = format!("http://{}", host.unwrap());
        let mut document = match asked.path.as_str() {
            "/mcp" => {
                let (status, mut body) = (401, Value::Null);
                spoil(asked, &origin, &mut body);
                return (
                    status,
                    &["www-authenticate: Bearer error=\"invalid_token\""],
                    String::new(),
                );
            }
            "/.well-known/oauth-protected-resource/mcp" => {
                json!({"resource": format!("{origin}/mcp"), "authorization_servers": [origin]})
            }
            "/.well-known/oauth-authorization-server" => json!({
                "issuer": origin,
                "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"),
                "code_challenge_methods_supported": ["S256"],
                "response_types_supported": ["code"],
            }),
            _ => return (404, JSON, String::new()),
        };
        match spoil(asked, &origin, &mut document) {
            200 => (200, JSON, document.to_string()),
            status => (status, JSON, String::new()),
        }
    })
}

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const ISSUER: &str = "/.well-known/oauth-authorization-server";

#[test]
fn a_login_that_is_not_there_yet() {
    let port = protected(|_, _, _| 200);
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("token", "you", 3), "wants a login, and none is kept here");
    assert_eq!(found.next(), format!("etdi auth login {}", url(port)));
    for step in ["resource_metadata", "authorization_server", "pkce", "registration"] {
        assert_eq!(found.outcome(step), "passed", "{step}");
    }
}

#[test]
fn what_a_protected_server_publishes_wrongly() {
    let nothing = web(|asked| match asked.path.as_str() {
        "/mcp" => (401, &[], String::new()),
        _ => (404, &[], String::new()),
    });
    let found = Patient::new().doctor(&["--", &url(nothing)]);
    found.is(("resource_metadata", "server_operator", 5), "publishes no metadata");

    let other = protected(|asked, _, document| {
        if asked.path == RESOURCE {
            document["resource"] = "https://other.example/mcp".into();
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(other)]);
    found.is(("resource_metadata", "server_operator", 5), "`https://other.example/mcp`");

    let nobody = protected(|asked, _, document| {
        if asked.path == RESOURCE {
            document["authorization_servers"] = json!([]);
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(nobody)]);
    found.is(("resource_metadata", "server_operator", 5), "names no authorization server");

    let basic = web(|_| (401, &["www-authenticate: Basic realm=\"x\""], String::new()));
    let found = Patient::new().doctor(&["--", &url(basic)]);
    found.is(("resource_metadata", "server_operator", 3), "it wants `basic`");

    // A gateway with keys: no login leads there, and nobody's server is at fault.
    let keys = web(|_| (401, &["www-authenticate: ApiKey realm=\"x\""], String::new()));
    let found = Patient::new().doctor(&["--", &url(keys)]);
    found.is(("api_key", "you", 3), "it lets in by an API key");
}

#[test]
fn what_an_issuer_does_wrongly() {
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let away = protected(move |asked, _, document| {
        if asked.path == RESOURCE {
            document["authorization_servers"] = json!([format!("http://{gone}")]);
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(away)]);
    found.is(("authorization_server", "identity_provider", 4), "cannot be reached");

    let mismatch = protected(|asked, origin, document| {
        if asked.path == ISSUER {
            document["issuer"] = format!("{origin}/").into();
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(mismatch)]);
    found.is(("authorization_server", "identity_provider", 5), "is that of");

    let empty = protected(|asked, _, _| if asked.path == ISSUER { 404 } else { 200 });
    let found = Patient::new().doctor(&["--", &url(empty)]);
    found.is(("authorization_server", "identity_provider", 5), "no document there");

    let plain = protected(|asked, _, document| {
        if asked.path == ISSUER {
            document["code_challenge_methods_supported"] = json!(["plain"]);
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(plain)]);
    found.is(("pkce", "identity_provider", 5), "does not say that it takes PKCE with S256");

    let closed = protected(|asked, _, document| {
        if asked.path == ISSUER {
            document.as_object_mut().unwrap().remove("registration_endpoint");
        }
        200
    });
    let found = Patient::new().doctor(&["--", &url(closed)]);
    found.is(("registration", "identity_provider", 3), "registers no clients");
    assert!(found.next().contains("--client-id"), "{}", found.next());
}

#[test]
fn a_token_that_is_refused() {
    let patient = Patient::new();
    // It ended in 2001, and says so in the clear.
    let part =
        |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"iss": "https://a.example", "aud": "x", "exp": 1_000_000_000, "sub": "s"});
    let token = format!("{}.{}.c2ln", part(json!({"alg": "ES256", "kid": "k"})), part(claims));
    let file = patient.file("token", &token, 0o600);
    let port = protected(|_, _, _| 200);
    let found = patient.doctor(&["--token-file", &file, "--", &url(port)]);
    found.is(("token", "you", 3), "the token is refused (status 401): invalid_token");
    assert!(!found.report.to_string().contains("c2ln"), "a token is never shown");

    let takes = web(|asked| match asked.head.contains("Bearer good") {
        true => (200, JSON, sound(asked).to_string()),
        false => (401, &["www-authenticate: Bearer"], String::new()),
    });
    let file = patient.file("token", "good\n", 0o600);
    let found = patient.doctor(&["--token-file", &file, "--", &url(takes)]);
    assert_eq!((found.exit, found.outcome("token")), (0, "passed"), "{:#}", found.report);
}

#[test]
fn no_revision_in_common() {
    let port = web(|asked| {
        let error = json!({"code": -32022, "message": "unsupported", "data":
            {"supported": ["2099-01-01"], "requested": "x"}});
        let body = json!({"jsonrpc": "2.0", "id": asked.body["id"], "error": error});
        (400, JSON, body.to_string())
    });
    let found = Patient::new().doctor(&["--", &url(port)]);
    found.is(("versions", "server_operator", 5), "2099-01-01");
}

/// A server that answers the handshake, and `tools/list` with what follows.
fn listing(answer: &str) -> String {
    format!(
        r#"while read -r line; do
  id=$(printf %s "$line" | sed 's/.*"id":\([0-9]*\).*/\1/')
  case "$line" in
    *'"initialize"'*) echo '{{"jsonrpc":"2.0","id":'$id',"result":{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"s","version":"1"}}}}}}' ;;
    *server/discover*) echo '{{"jsonrpc":"2.0","id":'$id',"error":{{"code":-32601,"message":"no"}}}}' ;;
    *tools/list*) echo '{{"jsonrpc":"2.0","id":'$id',{answer}}}' ;;
  esac
done"#
    )
}

#[test]
fn tools_that_cannot_be_listed_or_read() {
    let found =
        Patient::new().shell(&listing(r#""error":{"code":-32603,"message":"no database"}"#));
    found.is(("tools", "server_operator", 5), "no database");
    let wrong =
        r#"{"name":"add","inputSchema":{"type":"object","properties":{"a":{"type":"int"}}}}"#;
    let found = Patient::new().shell(&listing(&format!(r#""result":{{"tools":[{wrong}]}}"#)));
    found.is(("schemas", "server_operator", 5), "`type` of `inputSchema.a`");
    let found =
        Patient::new().shell(&listing(r#""result":{"tools":[{"name":"add","inputSchema":7}]}"#));
    found.is(("schemas", "server_operator", 5), "the tool at place 1 cannot be read");
    let twice = r#"{"name":"add","inputSchema":{"type":"object"}}"#;
    let found =
        Patient::new().shell(&listing(&format!(r#""result":{{"tools":[{twice},{twice}]}}"#)));
    assert_eq!(found.fault().1, "server_operator", "{:#}", found.report);
}

#[test]
fn a_file_that_is_missing_or_no_program() {
    let patient = Patient::new();
    patient.doctor(&["--", "no-such-program-here"]).is(("program", "you", 4), "of the PATH");
    patient.doctor(&["--", "./nowhere"]).is(("program", "you", 4), "`./nowhere` is not there");
    patient.doctor(&["--", "."]).is(("program", "you", 4), "of the PATH");
    let plain = patient.file("plain", "#!/bin/sh\n", 0o644);
    let found = patient.doctor(&["--", &plain]);
    found.is(("program", "you", 4), "may not be executed");
    assert_eq!(found.next(), format!("chmod +x {plain}"));
    let found = patient.doctor(&["--", "/bin/sh", "server.sh"]);
    found.is(("program", "you", 4), "the file `server.sh` is not there");
    assert_eq!(found.next(), "ls .");
    let orphan = patient.file("orphan", "#!/no/such/interpreter\n", 0o755);
    patient.doctor(&["--", &orphan]).is(("start", "you", 4), "`/no/such/interpreter`");
    let data = patient.file("data", "\u{0}\u{1}\u{2}", 0o755);
    patient.doctor(&["--", &data]).is(("start", "you", 4), "no program of this system");
}

#[test]
fn a_program_that_ends_at_once() {
    let found = Patient::new().shell("echo 'NOTES_KEY is not set' >&2; exit 3");
    found.is(("start", "you", 4), "exit status: 3");
    assert!(found.what().contains("its last words: NOTES_KEY is not set"), "{}", found.what());
    let advice = &found.report["steps"].as_array().unwrap().last().unwrap()["advice"];
    assert!(advice.as_str().unwrap().contains("`NOTES_KEY`"), "{advice}");
    let found = Patient::new().shell("echo 'panicked at DB_POOL' >&2; exit 3");
    found.is(("start", "server_operator", 4), "exit status: 3");
}

#[test]
fn a_program_that_writes_beside_the_protocol() {
    let found = Patient::new().shell(&format!("echo 'listening…'\n{}", listing(r#""result":{}"#)));
    found.is(("stdout", "server_operator", 5), "line 1: `listening…`");
    let advice = &found.report["steps"].as_array().unwrap().last().unwrap()["advice"];
    assert!(advice.as_str().unwrap().contains("standard error"), "{advice}");
}

#[test]
fn a_program_that_says_nothing() {
    let patient = Patient::new();
    let script = patient.file("server", "#!/bin/sh\nsleep 60\n", 0o755);
    let found = patient.doctor(&["--timeout", "1", "--", &script]);
    found.is(("stdout", "server_operator", 4), "does not answer `initialize` within 1 seconds");
}

#[test]
fn nothing_of_a_server_drives_the_terminal() {
    let found = Patient::new().shell("printf '\\033[2Kpwned\\n'; exit 0");
    let (step, _, _) = found.fault();
    assert_eq!(step, "stdout", "{:#}", found.report);
    assert!(!found.what().contains('\u{1b}') && found.what().contains("pwned"), "{}", found.what());
}
