//! The stores of an authorization server, and of clients that log in.

use etdi_oauth::embedded::{Kind, Store as _};
use etdi_oauth::{SecretText, TokenStore as _};
use mcp_redis::StoreName;

use crate::meter::Meter;
use crate::{Done, now};

pub(crate) async fn measure(meter: &Meter) -> Done {
    for (kind, one, bytes) in [
        (Kind::Client, "client that registers, 500 bytes", 500),
        (Kind::Grant, "grant of 500 bytes", 500),
        (Kind::Used, "code, proof or assertion that was used", 0),
    ] {
        let store = std::sync::Arc::new(meter.stores.authorization().await?);
        let put = move |number: usize| {
            let store = store.clone();
            async move {
                let (name, now) = (format!("{number:043}"), now());
                store.insert(kind, &name, vec![b'x'; bytes], now.plus(86_400), now).await?;
                Ok(())
            }
        };
        let bounded = meter.of(kind.most(), 64);
        bounded.measure("authorization", one, StoreName::Authorization, put).await?;
    }
    let stores = meter.stores.clone();
    let keep = move |number: usize| {
        let tokens = stores.tokens_of(format!("user {number}"));
        async move {
            let secret = SecretText::new("x".repeat(2_000));
            Ok(tokens?.put("tokens https://mcp.example/mcp", secret).await?)
        }
    };
    let one = "user's tokens for one server, 2,000 bytes";
    meter.measure("tokens", one, StoreName::Tokens, keep).await
}
