//! Texts that are hashed: the strict reader, and the canonical form.

use etdi_core::canonical::canonicalize;
use etdi_core::definition::RawTool;
use etdi_core::ijson::Limits;
use serde_json::Value;

/// # Panics
///
/// When a text that is admitted has no canonical form that stays, or means something else to
/// serde_json.
pub fn ijson(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let once = canonicalize(text, Limits::DEFINITION);
    if let Ok(tool) = RawTool::read(text) {
        assert!(once.is_ok(), "a definition is I-JSON");
        let again = RawTool::read(once.as_deref().unwrap_or_default());
        assert_eq!(again.map(|again| again.digest()), Ok(tool.digest()));
    }
    let Ok(once) = once else { return };
    assert_eq!(canonicalize(&once, Limits::MESSAGE).as_ref(), Ok(&once));
    let read: Value = serde_json::from_str(text).expect("what is I-JSON is JSON");
    let back: Value = serde_json::from_str(&once).expect("what is canonical is JSON");
    assert!(alike(&read, &back), "{text} became {once}");
}

/// Equal, and `2.0` is `2`.
fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            // serde_json without `float_roundtrip` may miss by the last bits.
            let (one, other) = (one.as_f64().unwrap_or(0.0), other.as_f64().unwrap_or(1.0));
            (one - other).abs() <= one.abs() * 1e-15 + f64::MIN_POSITIVE
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|it| alike(one, it)))
        }
        (one, other) => one == other,
    }
}
