//! A user with a browser, for trying out: reads the page, logs in, says yes.

use anyhow::{Context as _, bail};
use etdi_oauth::{Fetch as _, FetchRequest, FetchResponse, GuardedFetch, Method, Rules};

/// What such a user types.
#[derive(Clone)]
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) password: String,
}

/// Goes to the page of a login and back to the client.
pub(crate) async fn browse(url: String, typed: Typed) -> anyhow::Result<()> {
    let mut rules = Rules::default();
    rules.loopback = true;
    let fetch = GuardedFetch::new(rules);
    let page = fetch.fetch(FetchRequest::get(&*url)).await?;
    let cookie = header(&page, "set-cookie")?.split(';').next().unwrap_or_default().to_owned();
    let text = String::from_utf8(page.body)?;
    let (ticket, action) = (after(&text, "name=\"ticket\" value=\"")?, after(&text, "action=\"")?);
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");

    let mut answer = FetchRequest::get(format!("{origin}{}", action.replace("&amp;", "&")));
    answer.method = Method::Post;
    answer.headers = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("cookie", &cookie),
        ("origin", &origin),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    // Names and passwords for trying out have no letters that a form would write otherwise.
    let Typed { name, password } = typed;
    let form = format!("ticket={ticket}&name={name}&password={password}&decision=allow");
    answer.body = form.into_bytes();
    let answered = fetch.fetch(answer).await?;
    if answered.status != 303 {
        bail!("the login was not taken: status {}", answered.status);
    }
    fetch.fetch(FetchRequest::get(header(&answered, "location")?)).await?;
    Ok(())
}

fn header<'a>(answer: &'a FetchResponse, name: &str) -> anyhow::Result<&'a str> {
    answer.header(name).with_context(|| format!("the answer has no `{name}`"))
}

fn after<'a>(text: &'a str, start: &str) -> anyhow::Result<&'a str> {
    let rest = text.split_once(start).map(|(_, rest)| rest);
    let value = rest.and_then(|rest| rest.split('"').next());
    value.with_context(|| format!("the page has no `{start}`"))
}
