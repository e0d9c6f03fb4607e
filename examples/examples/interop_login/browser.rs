//! A user with a browser: follows redirects, keeps cookies, and fills in the issuer's forms.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What the user does on the issuer's pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    /// Logs in as ada and allows what is asked for.
    Allows,
    /// Leaves by the page's way out.
    Refuses,
}

/// From the page at `url` to the redirect that leaves the issuer, which is visited too.
pub(crate) async fn log_in(url: &str, user: User) -> anyhow::Result<()> {
    let issuer = origin(url).to_owned();
    let (mut cookies, mut url, mut form) = (BTreeMap::new(), url.to_owned(), None);
    for _ in 0..MOST_PAGES {
        let page = visit(&url, &cookies, form.take()).await?;
        cookies.extend(page.cookies);
        if let Some(to) = page.location {
            url = if to.starts_with('/') { format!("{issuer}{to}") } else { to };
            if origin(&url) != issuer {
                visit(&url, &BTreeMap::new(), None).await?;
                return Ok(());
            }
            continue;
        }
        ensure!(page.status == 200, "{url} answers {}: {}", page.status, page.body);
        if user == User::Refuses {
            url.push_str("/abort");
            continue;
        }
        let prompt =
            between(&page.body, "name=\"prompt\" value=\"").context("a page without a form")?;
        form = Some(match prompt {
            "login" => "prompt=login&login=ada&password=secret".to_owned(),
            other => format!("prompt={other}"),
        });
        let action = between(&page.body, "action=\"").context("a form without a place")?;
        url = if action.starts_with('/') { format!("{issuer}{action}") } else { action.to_owned() };
    }
    bail!("the login came to no end at {url}")
}

struct Page {
    status: u16,
    location: Option<String>,
    cookies: Vec<(String, String)>,
    body: String,
}

async fn visit(
    url: &str,
    cookies: &BTreeMap<String, String>,
    form: Option<String>,
) -> anyhow::Result<Page> {
    let (host, path) = url
        .strip_prefix("http://")
        .context("not of this machine")?
        .split_once('/')
        .context("no path")?;
    let cookies: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let cookies = cookies.join("; ");
    let (method, form) = match form {
        Some(form) => ("POST", form),
        None => ("GET", String::new()),
    };
    let request = format!(
        "{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nAccept: text/html\r\n\
         Cookie: {cookies}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let mut stream = TcpStream::connect(host).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    let mut page = Page { status, location: None, cookies: Vec::new(), body: body.to_owned() };
    for line in head.lines() {
        let Some((name, value)) = line.split_once(": ") else { continue };
        match name.to_ascii_lowercase().as_str() {
            "location" => page.location = Some(value.to_owned()),
            "set-cookie" => {
                let pair = value.split(';').next().and_then(|pair| pair.split_once('='));
                page.cookies.extend(pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            _ => {}
        }
    }
    Ok(page)
}

fn origin(url: &str) -> &str {
    let from = url.find("://").map_or(0, |at| at + 3);
    let length = url.get(from..).and_then(|rest| rest.find('/'));
    length.and_then(|length| url.get(..from + length)).unwrap_or(url)
}

/// What stands behind `text`, to the next quotation mark.
fn between<'a>(page: &'a str, text: &str) -> Option<&'a str> {
    page.split_once(text)?.1.split('"').next()
}

/// More than a login and a consent take.
const MOST_PAGES: usize = 12;
