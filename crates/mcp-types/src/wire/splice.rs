//! Writing messages straight into the bytes that leave: the frame by hand, the payload by serde.

use serde::Serialize;

use crate::{ErrorObject, RawText, RequestId};

type Written = Result<(), serde_json::Error>;

/// Runs `write`; on an error nothing of it stays in `out`.
fn whole(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Written) -> Written {
    let start = out.len();
    write(out).inspect_err(|_| out.truncate(start))
}

/// `{"jsonrpc":"2.0","id":ID,"result":…}`
pub(super) fn result(
    out: &mut Vec<u8>,
    id: &RequestId,
    payload: impl FnOnce(&mut Vec<u8>) -> Written,
) -> Written {
    whole(out, |out| {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        serde_json::to_writer(&mut *out, id)?;
        out.extend_from_slice(br#","result":"#);
        payload(out)?;
        out.push(b'}');
        Ok(())
    })
}

/// `{"jsonrpc":"2.0","id":ID,"method":METHOD,"params":…}`
pub(super) fn request(
    out: &mut Vec<u8>,
    id: &RequestId,
    method: &str,
    payload: impl FnOnce(&mut Vec<u8>) -> Written,
) -> Written {
    whole(out, |out| {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        serde_json::to_writer(&mut *out, id)?;
        out.extend_from_slice(br#","method":"#);
        serde_json::to_writer(&mut *out, method)?;
        out.extend_from_slice(br#","params":"#);
        payload(out)?;
        out.push(b'}');
        Ok(())
    })
}

/// `{"jsonrpc":"2.0","id":ID,"error":…}`
pub(super) fn error(out: &mut Vec<u8>, id: Option<&RequestId>, error: &ErrorObject) -> Written {
    whole(out, |out| {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
        serde_json::to_writer(&mut *out, &id)?;
        out.extend_from_slice(br#","error":"#);
        serde_json::to_writer(&mut *out, error)?;
        out.push(b'}');
        Ok(())
    })
}

/// `{"jsonrpc":"2.0","method":METHOD,"params":…}`
pub(super) fn notification(out: &mut Vec<u8>, method: &str, params: Option<&RawText>) -> Written {
    whole(out, |out| {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
        serde_json::to_writer(&mut *out, method)?;
        if let Some(params) = params {
            out.extend_from_slice(br#","params":"#);
            out.extend_from_slice(params.get().as_bytes());
        }
        out.push(b'}');
        Ok(())
    })
}

/// An object that was just written to the end of a buffer and takes more members.
pub(super) struct OpenObject<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> OpenObject<'a> {
    /// Takes back the closing brace of the object that ends `out`.
    pub(super) fn reopen(out: &'a mut Vec<u8>) -> Self {
        debug_assert_eq!(out.last(), Some(&b'}'), "an object was just written");
        out.pop();
        let empty = out.last() == Some(&b'{');
        Self { out, empty }
    }

    /// Starts an object.
    pub(super) fn start(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    fn key(&mut self, key: &str) -> Written {
        if !std::mem::replace(&mut self.empty, false) {
            self.out.push(b',');
        }
        serde_json::to_writer(&mut *self.out, key)?;
        self.out.push(b':');
        Ok(())
    }

    /// Adds a member.
    pub(super) fn member<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Written {
        self.key(key)?;
        serde_json::to_writer(&mut *self.out, value)
    }

    /// Adds a member whose value is text already.
    pub(super) fn text(&mut self, key: &str, value: &RawText) -> Written {
        self.key(key)?;
        self.out.extend_from_slice(value.get().as_bytes());
        Ok(())
    }

    /// Adds a member whose value is an object that `fill` writes.
    pub(super) fn object(
        &mut self,
        key: &str,
        fill: impl FnOnce(&mut OpenObject<'_>) -> Written,
    ) -> Written {
        self.key(key)?;
        let mut inner = OpenObject::start(self.out);
        fill(&mut inner)?;
        inner.close();
        Ok(())
    }

    /// Closes the object.
    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}
