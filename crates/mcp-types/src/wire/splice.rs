//! Writing messages straight into the bytes that leave: the frame by hand, the payload by serde.

use crate::object::{Stamp, Stamped, Write};
use crate::{ErrorObject, RequestId};

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
pub(super) fn notification<T: Write>(out: &mut Vec<u8>, method: &str, params: &T) -> Written {
    whole(out, |out| {
        out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"#);
        serde_json::to_writer(&mut *out, method)?;
        if !params.is_blank() {
            out.extend_from_slice(br#","params":"#);
            serde_json::to_writer(&mut *out, &Stamped { value: params, stamp: Stamp::NONE })?;
        }
        out.push(b'}');
        Ok(())
    })
}
