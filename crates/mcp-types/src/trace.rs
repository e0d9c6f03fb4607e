//! The trace to which a request belongs (specification, "`_meta`", "OpenTelemetry trace context";
//! W3C Trace Context, W3C Baggage).

use crate::{DecodeError, Meta, RawText};

/// Where a request stands in the trace of whoever caused it.
///
/// To hand on to what a handler calls in turn: an HTTP request carries its parts as headers of the
/// same names.
///
/// ```
/// use mcp_types::TraceContext;
///
/// let trace = TraceContext::new("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01")?;
/// assert_eq!(trace.parent_id(), "00f067aa0ba902b7");
/// assert!(TraceContext::new("00-00000000000000000000000000000000-00f067aa0ba902b7-01").is_err());
/// # Ok::<(), mcp_types::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
    baggage: Option<String>,
}

impl TraceContext {
    /// The keys of `_meta` that carry a trace; they have no prefix.
    pub const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

    /// Takes a `traceparent`, such as `00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01`.
    ///
    /// # Errors
    ///
    /// When the text is none (W3C Trace Context, section 3.2).
    pub fn new(traceparent: impl Into<String>) -> Result<Self, DecodeError> {
        let traceparent = traceparent.into();
        if !is_traceparent(&traceparent) {
            let reason = "expected version, trace id, parent id and flags in lower case hex, \
                          such as `00-<32 digits>-<16 digits>-01`";
            return Err(DecodeError::new("traceparent", reason));
        }
        Ok(Self { traceparent, tracestate: None, baggage: None })
    }

    /// Adds a `tracestate`: what vendors want to know of the trace.
    #[must_use]
    pub fn with_tracestate(mut self, state: impl Into<String>) -> Self {
        self.tracestate = Some(state.into());
        self
    }

    /// Adds `baggage`: what the application wants every service of the trace to know. Whoever runs
    /// the server reads it.
    #[must_use]
    pub fn with_baggage(mut self, baggage: impl Into<String>) -> Self {
        self.baggage = Some(baggage.into());
        self
    }

    /// Reads the trace of a request's `_meta`; what is not well-formed counts as not there.
    pub fn read(meta: &Meta) -> Option<Self> {
        let text = |key: &str| meta.get(key)?.parse::<String>().ok();
        // Longer lists may be cut by whoever hands them on (section 3.3.1.5), so they are not.
        let list = |key| text(key).filter(|text| fits_header(text));
        let [parent, state, baggage] = Self::KEYS;
        let traceparent = text(parent).filter(|text| is_traceparent(text))?;
        Some(Self { traceparent, tracestate: list(state), baggage: list(baggage) })
    }

    /// Writes the trace into a request's `_meta`.
    pub fn write(self, meta: &mut Meta) {
        let parts = [Some(self.traceparent), self.tracestate, self.baggage];
        for (key, part) in Self::KEYS.into_iter().zip(parts) {
            if let Some(text) = part.and_then(|part| RawText::of(&part).ok()) {
                meta.insert(key, text);
            }
        }
    }

    /// `traceparent`, well-formed: version, trace, parent span and flags.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    /// `tracestate`, as it came.
    pub fn tracestate(&self) -> Option<&str> {
        self.tracestate.as_deref()
    }

    /// `baggage`, as it came.
    pub fn baggage(&self) -> Option<&str> {
        self.baggage.as_deref()
    }

    /// The id of the whole trace, 32 hexadecimal digits.
    pub fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }

    /// The id of the span that caused the request, 16 hexadecimal digits.
    pub fn parent_id(&self) -> &str {
        self.traceparent.get(36..52).unwrap_or_default()
    }

    /// Whether the caller records the trace.
    pub fn is_sampled(&self) -> bool {
        let flags = self.traceparent.get(53..55).unwrap_or_default();
        u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1)
    }
}

/// Section 3.2: fields of fixed length in lower-case hexadecimal; later versions may append more.
fn is_traceparent(text: &str) -> bool {
    let mut fields = text.splitn(5, '-');
    let mut field = |length: usize| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        fields.next().filter(|field| field.len() == length && field.bytes().all(digit))
    };
    let (Some(version), Some(trace), Some(span), Some(_flags)) =
        (field(2), field(32), field(16), field(2))
    else {
        return false;
    };
    let zero = |field: &str| field.bytes().all(|b| b == b'0');
    let ends = fields.next().is_none() || version != "00";
    version != "ff" && !zero(trace) && !zero(span) && ends && fits_header(text) && text.len() <= 512
}

/// Section 3.3: visible characters and spaces.
fn fits_header(text: &str) -> bool {
    text.len() <= 8_192 && text.bytes().all(|b| (0x20..=0x7e).contains(&b) || b == b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_read_or_not_there() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        for (text, fits) in [
            (good.to_owned(), true),
            (good.replacen("00", "cc", 1), true),
            (good.replacen("00", "cc", 1) + "-what-comes", true),
            (good.replacen("00", "cc", 1) + "-what\r\ncomes", false),
            (good.to_owned() + "-more", false),
            (good.replacen("00", "ff", 1), false),
            (good.to_uppercase(), false),
            (good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            (good.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (good.replace("01", "1"), false),
            (good.replace('-', "\r\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(TraceContext::new(&*text).is_ok(), fits, "{text}");
        }
        let mut meta = Meta::new();
        meta.insert("traceparent", RawText::of(good).unwrap());
        meta.insert("tracestate", RawText::of("a=1,b=2\r\nx: y").unwrap());
        meta.insert("baggage", RawText::of("c=3").unwrap());
        let trace = TraceContext::read(&meta).unwrap();
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((trace.parent_id(), trace.is_sampled()), ("00f067aa0ba902b7", true));
        assert_eq!((trace.tracestate(), trace.baggage()), (None, Some("c=3")));
        let mut written = Meta::new();
        trace.clone().write(&mut written);
        assert_eq!(TraceContext::read(&written), Some(trace));
    }
}
