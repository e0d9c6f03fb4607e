//! The mark of a store's newest generation: `etdi-anchor 1 STORE GENERATION MAC`.

use ring::hmac;

use super::Anchor;
use super::head::Head;
use crate::approval::StoreError;
use crate::base64url;

const FORMAT: &str = "etdi-anchor 1";
/// How a note begins that stands where a mark was.
const MOVED: &str = "moved";

/// The mark of a head.
pub(super) fn mark(head: &Head) -> String {
    let start = start(&head.body.store, head.generation);
    let mac = match key(head.body.mark_key.as_deref()) {
        None => "-".to_owned(),
        Some(key) => base64url::encode(hmac::sign(&key, start.as_bytes()).as_ref()),
    };
    format!("{start} {mac}")
}

/// The generation that a mark claims, for messages.
pub(super) fn generation(mark: &str) -> Option<u64> {
    mark.strip_prefix(FORMAT)?.split(' ').nth(2)?.parse().ok()
}

/// Holds a head against the mark.
pub(super) fn check(anchor: &dyn Anchor, head: &Head) -> Result<(), StoreError> {
    let failed = |what| Err(StoreError::Anchor { anchor: anchor.place(), what });
    let Some(mark) = anchor.read()? else {
        return match head.body.anchored {
            true => failed("is gone"),
            false => Ok(()),
        };
    };
    if mark.starts_with(MOVED) {
        return failed("is elsewhere, because the store is protected in another way now");
    }
    let words: Vec<&str> = mark.split(' ').collect();
    let [_, _, store, seen, mac] = words.as_slice() else { return failed("is damaged") };
    let Ok(seen) = seen.parse::<u64>() else { return failed("is damaged") };
    let start = start(store, seen);
    if mark != format!("{start} {mac}") {
        return failed("is damaged");
    }
    if *store != head.body.store {
        return failed("is of another store");
    }
    if seen > head.generation {
        return Err(StoreError::RolledBack { seen, found: head.generation });
    }
    // Whoever can write the mark must not be able to lower it.
    let keys = [&head.body.mark_key, &head.body.former_mark_key].map(|one| key(one.as_deref()));
    let mut keys = keys.into_iter().flatten().peekable();
    let tag = base64url::decode(mac).unwrap_or_default();
    if keys.peek().is_some() && !keys.any(|key| hmac::verify(&key, start.as_bytes(), &tag).is_ok())
    {
        return failed("was not made by this store");
    }
    Ok(())
}

fn start(store: &str, generation: u64) -> String {
    format!("{FORMAT} {store} {generation}")
}

fn key(text: Option<&str>) -> Option<hmac::Key> {
    let key = base64url::decode(text?)?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
}
