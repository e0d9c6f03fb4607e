//! The members of a request, found without reading what is in them.
//!
//! Whoever sorts a message needs its `id` and `method`; its `params` are read by their own type right
//! after. Looking through them here too would be a second pass over nearly all of the text, so where
//! `params` can be the last member, it is taken for it: [`exact`] says later whether it was.

use bytestring::ByteString;
use memchr::memchr2;

use crate::jsonrpc::{Request, RequestId};
use crate::{Members, RawText};

/// A request of the usual shape: members in any order, each once, none but these.
///
/// `None` for everything else, be it unusual or wrong. Whether `params` is JSON inside its outer
/// braces is not said: where it is not, no type can be read from it.
pub(crate) fn request(text: &ByteString) -> Option<Request> {
    let mut rest = Rest(text);
    rest.byte(b'{')?;
    let (mut version, mut id, mut method, mut params) = (false, None, None, None);
    loop {
        let key = rest.string()?;
        rest.byte(b':')?;
        match key {
            "jsonrpc" if !version => version = rest.string()? == "2.0",
            "id" if id.is_none() => id = Some(rest.id(text)?),
            "method" if method.is_none() => method = Some(text.slice_ref(rest.string()?)),
            "params" if params.is_none() => {
                if version
                    && id.is_some()
                    && method.is_some()
                    && let Some(last) = rest.to_the_end()
                {
                    let params = Some(RawText::outlined(text.slice_ref(last)));
                    return Some(Request { id: id?, method: method?, params });
                }
                params = Some(RawText::outlined(text.slice_ref(rest.object()?)));
            }
            _ => return None,
        }
        match rest.next()? {
            b',' => {}
            b'}' if version && rest.space().is_empty() => {
                return Some(Request { id: id?, method: method?, params });
            }
            _ => return None,
        }
    }
}

/// The object that `outlined` begins with, where it is followed by members that nobody knows, as a
/// message may have behind its `params`; `None` where it is followed by anything else.
#[cold]
pub(crate) fn exact(outlined: &str) -> Option<&str> {
    let mut rest = Rest(outlined);
    let object = rest.object()?;
    let more = rest.space().strip_prefix(',')?;
    let more = serde_json::from_str::<Members>(&format!("{{{more}}}")).ok()?;
    let known = ["jsonrpc", "id", "method", "params", "result", "error"];
    more.iter().all(|(name, _)| !known.contains(&name)).then_some(object)
}

/// What is still to be looked at.
struct Rest<'a>(&'a str);

/// White space, as JSON knows it.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

impl<'a> Rest<'a> {
    /// Passes over white space, as JSON knows it.
    fn space(&mut self) -> &'a str {
        let space = self.0.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.0 = self.0.get(space.count()..).unwrap_or_default();
        self.0
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        let rest = match self.0.as_bytes().first()? {
            b' ' | b'\t' | b'\n' | b'\r' => self.space(),
            _ => self.0,
        };
        let byte = *rest.as_bytes().first()?;
        self.0 = rest.get(1..)?;
        Some(byte)
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// The first `length` bytes.
    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// A string that stands for itself.
    fn string(&mut self) -> Option<&'a str> {
        self.byte(b'"')?;
        let end = memchr2(b'"', b'\\', self.0.as_bytes())?;
        let (string, rest) = (self.0.get(..end)?, self.0.get(end..)?);
        self.0 = rest.strip_prefix('"')?;
        // An unescaped control character is no JSON.
        string.bytes().all(|byte| byte >= b' ').then_some(string)
    }

    fn id(&mut self, text: &ByteString) -> Option<RequestId> {
        if self.space().starts_with('"') {
            return self.string().map(|id| RequestId::String(text.slice_ref(id)));
        }
        let bytes = self.0.as_bytes();
        let digits = self.take(bytes.iter().position(|byte| !byte.is_ascii_digit())?)?;
        // A leading zero is no JSON, and no digit at all is something else.
        let plain = !digits.is_empty() && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| plain).map(RequestId::Number)
    }

    /// All up to the bracket that closes the message, if it may be one object.
    fn to_the_end(&self) -> Option<&'a str> {
        let object = self.0.trim_start_matches(SPACE).trim_end_matches(SPACE).strip_suffix('}')?;
        let object = object.trim_end_matches(SPACE);
        (object.starts_with('{') && object.ends_with('}')).then_some(object)
    }

    /// An object up to the bracket that closes it.
    fn object(&mut self) -> Option<&'a str> {
        let bytes = self.space().as_bytes();
        if *bytes.first()? != b'{' {
            return None;
        }
        let (mut at, mut depth) = (0_usize, 0_usize);
        loop {
            match bytes.get(at)? {
                b'"' => at = closing_quote(bytes, at + 1)?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return self.take(at + 1),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
        }
    }
}

/// Where the string that began before `at` ends.
fn closing_quote(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes.get(found)? {
            b'"' => return Some(found),
            _ => at = found + 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(text: &str) -> Option<Request> {
        request(&text.into())
    }

    #[test]
    fn the_order_of_members_and_white_space_do_not_matter() {
        let text = " {\"params\" : {\"a\": \"}\\\"{\", \"b\": [{}]} ,\n\"id\":\"x\" ,\"method\":\"m\",\
                    \"jsonrpc\":\"2.0\"}\r\n";
        let request = outline(text).unwrap();
        assert_eq!((request.id, &*request.method), ("x".into(), "m"));
        assert_eq!(request.params.unwrap().get(), "{\"a\": \"}\\\"{\", \"b\": [{}]}");
        let bare = outline("{\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"ping\"}").unwrap();
        assert_eq!((bare.id, bare.params), (0.into(), None));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_reader() {
        for text in [
            "",
            "{}",
            "[]",
            "{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":-1,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":99999999999999999999,\"method\":\"m\"}",
            "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":1,\"method\":\"m\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":[]}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"} {}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\\u0041\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"other\":1}",
            "{\"jsonrpc\":\"2.0\",\"id\":1 \"method\":\"m\"}",
        ] {
            assert_eq!(outline(text), None, "{text}");
        }
    }

    /// What a reader of `params` finds in a message whose `params` may not be its last member.
    fn params(tail: &str) -> Result<String, crate::DecodeError> {
        let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\",\"params\":{tail}");
        let params = outline(&text).unwrap().params.unwrap();
        let read = params.parse::<Members>().map(|read| format!("{read:?}"));
        let checked = params.checked();
        assert_eq!(checked.is_ok(), read.is_ok(), "{tail}");
        if let Ok(checked) = checked {
            assert_eq!(checked.get(), params.get(), "{tail}");
            assert_eq!(format!("{:?}", checked.parse::<Members>()?), read.clone()?, "{tail}");
        }
        read
    }

    #[test]
    fn members_behind_the_parameters_are_not_among_them() {
        let read = params("{\"a\":1}}").unwrap();
        for tail in [
            " {\"a\":1} } \n",
            "{\"a\":1},\"extra\":{}}",
            "{\"a\":1} , \"extra\" : {\"id\":2,\"b\":[\"}\"]}, \"more\":{} }",
        ] {
            assert_eq!(params(tail).unwrap(), read, "{tail}");
        }
    }

    #[test]
    fn what_is_no_member_behind_the_parameters_is_no_message() {
        for tail in [
            "{\"a\":1}}}",
            "{\"a\":1} {}}",
            "{\"a\":1},{}}",
            "{\"a\":1},\"extra\":{},}}",
            "{\"a\":1},\"extra\":{]}}",
            "{\"a\":1},\"id\":{}}",
            "{\"a\":1},\"extra\":1,\"i\\u0064\":2,\"x\":{}}",
            "{\"a\":1},\"params\":{}}",
            "{\"a\":1},\"extra\":{},\"extra\":{}}",
            "{\"a\":{}}",
        ] {
            let whole = params(tail);
            assert!(whole.is_err_and(|error| error.syntax), "{tail}");
        }
    }
}
