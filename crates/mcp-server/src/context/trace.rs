//! The trace to which a request belongs (specification, "`_meta`", "OpenTelemetry trace context";
//! W3C Trace Context).

use mcp_types::Meta;

use super::Context;

/// The keys of `_meta` that carry a trace; they have no prefix.
pub(crate) const KEYS: [&str; 3] = ["traceparent", "tracestate", "baggage"];

/// Where a request stands in the trace of whoever caused it.
///
/// To hand on to what the handler calls in turn: an HTTP request carries both as headers of the same
/// names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceContext {
    /// `traceparent`, well-formed: version, trace, parent span and flags.
    pub traceparent: String,
    /// `tracestate`, as it came.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// Reads the trace of a request's `_meta`; what is not well-formed counts as none.
    pub(crate) fn read(meta: &Meta) -> Option<Self> {
        let text = |key: &str| meta.get(key)?.parse::<String>().ok();
        let traceparent = text("traceparent").filter(|text| is_traceparent(text))?;
        // Longer lists may be cut by whoever hands them on (section 3.3.1.5), so they are not.
        let tracestate = text("tracestate").filter(|text| is_tracestate(text));
        Some(Self { traceparent, tracestate })
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
    version != "ff" && !zero(trace) && !zero(span) && ends && text.len() <= 512
}

/// Section 3.3: visible characters and spaces, so that it fits in a header.
fn is_tracestate(text: &str) -> bool {
    text.len() <= 8_192 && text.bytes().all(|b| (0x20..=0x7e).contains(&b) || b == b'\t')
}

impl<S> Context<S> {
    /// The trace to which the request belongs, where the client sent one that is well-formed.
    ///
    /// ```
    /// use mcp_server::{Context, tool};
    ///
    /// /// Says which trace it is part of.
    /// #[tool]
    /// async fn traced(cx: Context) -> String {
    ///     cx.trace_context().map_or("none".into(), |trace| trace.trace_id().to_owned())
    /// }
    /// ```
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::read(&self.request().meta)
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::RawText;

    use super::*;

    #[test]
    fn a_trace_is_read_or_not_there() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        for (text, fits) in [
            (good.to_owned(), true),
            (good.replacen("00", "cc", 1), true),
            (good.replacen("00", "cc", 1) + "-what-comes", true),
            (good.to_owned() + "-more", false),
            (good.replacen("00", "ff", 1), false),
            (good.to_uppercase(), false),
            (good.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)), false),
            (good.replace("00f067aa0ba902b7", &"0".repeat(16)), false),
            (good.replace("01", "1"), false),
            (good.replace('-', "\r\n"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_traceparent(&text), fits, "{text}");
        }
        let mut meta = Meta::new();
        meta.insert("traceparent", RawText::of(good).unwrap());
        meta.insert("tracestate", RawText::of("a=1,b=2\r\nx: y").unwrap());
        let trace = TraceContext::read(&meta).unwrap();
        assert_eq!(trace.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((trace.parent_id(), trace.is_sampled()), ("00f067aa0ba902b7", true));
        assert_eq!(trace.tracestate, None);
    }
}
