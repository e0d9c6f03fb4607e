//! The mark of a store's newest generation: `etdi-anchor 2 STORE GENERATION DIGEST MAC`, with the digest
//! of the head. Format 1, which had none, is read and never written.

use ring::hmac;

use super::Anchor;
use super::head::Head;
use crate::approval::StoreError;
use crate::base64url;

const FORMAT: &str = "etdi-anchor";
/// How a note begins that stands where a mark was.
const MOVED: &str = "moved";

/// The mark of a head.
pub(super) fn mark(head: &Head) -> String {
    let start = start(&head.body.store, head.generation, Some(head.digest()));
    let mac = match key(head.body.mark_key.as_deref()) {
        None => "-".to_owned(),
        Some(key) => base64url::encode(hmac::sign(&key, start.as_bytes()).as_ref()),
    };
    format!("{start} {mac}")
}

/// The generation that a mark claims, for messages.
pub(super) fn generation(mark: &str) -> Option<u64> {
    mark.strip_prefix(FORMAT)?.split(' ').nth(3)?.parse().ok()
}

/// Holds a head against the mark, and says whether the mark is the one of this head; one that a crash
/// left behind is not.
pub(super) fn check(anchor: &dyn Anchor, head: &Head) -> Result<bool, StoreError> {
    let failed = |what| Err(StoreError::Anchor { anchor: anchor.place(), what });
    let Some(mark) = anchor.read()? else {
        return match head.body.anchored {
            true => failed("is gone"),
            false => Ok(false),
        };
    };
    if mark.starts_with(MOVED) {
        return failed("is elsewhere, because the store is protected in another way now");
    }
    let words: Vec<&str> = mark.split(' ').collect();
    let (store, seen, digest, mac) = match words.as_slice() {
        [FORMAT, "1", store, seen, mac] => (store, seen, None, mac),
        [FORMAT, "2", store, seen, digest, mac] => (store, seen, Some(*digest), mac),
        _ => return failed("is damaged"),
    };
    let Ok(seen) = seen.parse::<u64>() else { return failed("is damaged") };
    let start = start(store, seen, digest);
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
    let is_newest = seen == head.generation;
    // Two who write apart from one another, such as in a folder that is synchronized, count alike.
    if is_newest && digest.is_some_and(|digest| digest != head.digest()) {
        return failed("is of other files of the same generation");
    }
    Ok(is_newest && digest.is_some())
}

fn start(store: &str, generation: u64, digest: Option<&str>) -> String {
    match digest {
        None => format!("{FORMAT} 1 {store} {generation}"),
        Some(digest) => format!("{FORMAT} 2 {store} {generation} {digest}"),
    }
}

fn key(text: Option<&str>) -> Option<hmac::Key> {
    let key = base64url::decode(text?)?;
    Some(hmac::Key::new(hmac::HMAC_SHA256, &key))
}
