//! What every [`TokenStore`] must do, as a function for whoever writes one.

use std::future::poll_fn;
use std::task::Poll;

use mcp_types::BoxFuture;

use super::TokenStore;
use crate::SecretText;

/// Holds a store to what [`TokenStore`] says. It has to be empty.
///
/// `clients` are different ways to one and the same store, such as those of two processes or nodes;
/// one alone will do. Besides the plain promises it tries two who keep something at once, and one who
/// went away before it heard the answer.
///
/// ```
/// use etdi_oauth::{MemoryTokens, token_store_contract};
///
/// # futures_executor::block_on(async {
/// let store = MemoryTokens::new();
/// token_store_contract(&[&store, &store]).await?;
/// # Ok::<(), String>(()) }).unwrap();
/// ```
///
/// # Errors
///
/// What the store did otherwise.
pub async fn token_store_contract(clients: &[&dyn TokenStore]) -> Result<(), String> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    let long = format!("tokens https://mcp.example/{}", "a".repeat(3_000));
    let other = format!("{long}b");
    let whole = "w".repeat(20_000);
    for name in ["tokens https://mcp.example/mcp", "client https://auth.example/ä", &long] {
        expect(*last, name, None, "before anything was kept").await?;
        last.remove(name).await?;
        for text in ["one \u{1f511}", "", &whole, "two"] {
            first.put(name, SecretText::new(text)).await?;
            expect(*last, name, Some(text), "than was kept").await?;
        }
    }
    let slash = "tokens https://mcp.example/mcp/";
    expect(*last, slash, None, "for a name that is only alike").await?;
    expect(*last, &other, None, "for a long name that is only alike").await?;
    last.remove(&long).await?;
    expect(*first, &long, None, "after it was taken away").await?;
    let kept = "tokens https://mcp.example/mcp";
    expect(*first, kept, Some("two"), "after another one was taken away").await?;
    race(clients).await?;
    lost(*first, *last).await
}

async fn expect(
    store: &dyn TokenStore,
    name: &str,
    wanted: Option<&str>,
    when: &str,
) -> Result<(), String> {
    let found = store.get(name).await?;
    match found.as_ref().map(SecretText::expose) == wanted {
        true => Ok(()),
        false => Err(format!("`get` gave something else {when}")),
    }
}

/// One of those who keep something at once is last, and all find what it kept, whole.
async fn race(clients: &[&dyn TokenStore]) -> Result<(), String> {
    let name = "tokens https://race.example/";
    for _ in 0..10 {
        let twice = clients.iter().chain(clients).enumerate();
        let mut running: Vec<(BoxFuture<'_, Result<(), String>>, bool)> = twice
            .map(|(number, store)| (store.put(name, SecretText::new(text(number))), false))
            .collect();
        let mut failed = None;
        poll_fn(|cx| {
            for (put, done) in running.iter_mut().filter(|(_, done)| !*done) {
                if let Poll::Ready(kept) = put.as_mut().poll(cx) {
                    *done = true;
                    failed = failed.take().or(kept.err());
                }
            }
            if running.iter().all(|(_, done)| *done) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(running);
        if let Some(error) = failed {
            return Err(error);
        }
        let mut found = Vec::new();
        for store in clients {
            found.push(store.get(name).await?.map(|secret| secret.expose().to_owned()));
        }
        found.dedup();
        let one =
            found.len() == 1 && (0..clients.len() * 2).any(|number| found == [Some(text(number))]);
        if !one {
            return Err("two who kept something at once left something else".to_owned());
        }
    }
    Ok(())
}

fn text(number: usize) -> String {
    number.to_string().repeat(1_000)
}

/// Who did not hear that something was kept keeps it again.
async fn lost(first: &dyn TokenStore, last: &dyn TokenStore) -> Result<(), String> {
    let name = "tokens https://lost.example/";
    for text in ["one", "two", "three"] {
        let mut begun = first.put(name, SecretText::new(text));
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        last.put(name, SecretText::new(text)).await?;
        expect(first, name, Some(text), "after an answer was lost").await?;
    }
    last.remove(name).await?;
    last.remove(name).await?;
    expect(first, name, None, "after it was taken away twice").await
}
