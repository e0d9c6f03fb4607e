//! Numbers that every reader of doubles understands alike.

use super::Problem;

/// The largest integer whose neighbours a double tells apart.
const MAX_INTEGER: u64 = (1 << 53) - 1;

/// From here on ECMAScript writes integers with an exponent.
const SHORTEST_EXPONENT: f64 = 1e21;

/// A number that survives being read as a double: finite, an integer within ±(2^53-1), or another
/// number whose digits name one double and whose canonical form is no integer beyond that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(f64);

impl Number {
    /// The number. `-0` is kept apart from `0` here; both are written `0`.
    pub fn get(self) -> f64 {
        self.0
    }

    /// The number as an integer within ±(2^53-1), if it is one.
    pub fn as_i64(self) -> Option<i64> {
        let whole = self.0.trunc() == self.0 && self.0.abs() <= MAX_INTEGER as f64;
        whole.then_some(self.0 as i64)
    }

    /// Reads a literal that has the form of RFC 8259.
    pub(super) fn read(literal: &str) -> Result<Self, Problem> {
        let (negative, digits) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            // At most 16 digits can be in range, and 19 fit an u64.
            let value = (digits.len() <= 19).then(|| digits.parse::<u64>().ok()).flatten();
            let value = value.filter(|value| *value <= MAX_INTEGER);
            let value = value.ok_or(Problem::IntegerTooLarge)? as f64;
            return Ok(Self(if negative { -value } else { value }));
        }
        let value: f64 = literal.parse().map_err(|_| Problem::NotRoundTrip)?;
        if !value.is_finite() || !names(literal, value) {
            return Err(Problem::NotRoundTrip);
        }
        // Its canonical form would be the integer that is refused above.
        let is_integer = value.trunc() == value && value.abs() < SHORTEST_EXPONENT;
        match is_integer && value.abs() > MAX_INTEGER as f64 {
            true => Err(Problem::IntegerTooLarge),
            false => Ok(Self(value)),
        }
    }

    /// A number that no literal has to name.
    #[cfg(test)]
    pub(crate) fn of(value: f64) -> Self {
        Self(value)
    }
}

/// Whether `literal` has the digits of `value`: the shortest ones, or seventeen as `%.17g` of C
/// prints them. Two literals with different digits then never stand for one double, except these
/// spellings of it.
fn names(literal: &str, value: f64) -> bool {
    let written = Decimal::read(literal);
    // Any fifteen digits in the range of normal doubles come back as they were.
    if written.digits.len() <= 15 && (-290..=290).contains(&written.exponent) {
        return true;
    }
    let is = |spelling: &str| written == Decimal::read(spelling);
    // Where the double lies halfway between two shortest spellings, ECMAScript takes the even one
    // and Rust the upper.
    is(ryu_js::Buffer::new().format_finite(value))
        || is(&format!("{value:e}"))
        || is(&format!("{value:.16e}"))
}

/// A decimal without sign: significant digits, first and last not zero, times ten to a power.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    digits: Vec<u8>,
    exponent: i64,
}

impl Decimal {
    fn read(literal: &str) -> Self {
        let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
        let mantissa = mantissa.trim_start_matches('-');
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        // An exponent that overflows belongs to a number that is no double, or to a zero.
        let exponent: i64 = exponent.parse().unwrap_or(i64::MAX / 2);
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let mut exponent = exponent.saturating_sub(fraction.len() as i64);
        while digits.last() == Some(&b'0') {
            digits.pop();
            exponent = exponent.saturating_add(1);
        }
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        if digits.is_empty() {
            exponent = 0;
        }
        Self { digits, exponent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        use Problem::{IntegerTooLarge, NotRoundTrip};
        for (literal, expected) in [
            ("0", Ok(0.0)),
            ("-0", Ok(-0.0)),
            ("9007199254740991", Ok(9007199254740991.0)),
            ("-9007199254740991", Ok(-9007199254740991.0)),
            ("9007199254740992", Err(IntegerTooLarge)),
            ("-9007199254740993", Err(IntegerTooLarge)),
            ("18446744073709551617", Err(IntegerTooLarge)),
            ("1.0", Ok(1.0)),
            ("4.50", Ok(4.5)),
            ("2e-3", Ok(0.002)),
            ("1E30", Ok(1e30)),
            ("0e99999999999999999999", Ok(0.0)),
            ("0.1", Ok(0.1)),
            ("0.10000000000000001", Ok(0.1)),
            ("0.100000000000000005", Err(NotRoundTrip)),
            ("0.1000000000000000055511151231257827", Err(NotRoundTrip)),
            ("9007199254740993.0", Err(NotRoundTrip)),
            ("9007199254740992.0", Err(IntegerTooLarge)),
            ("-1e19", Err(IntegerTooLarge)),
            ("9.999999999999999e20", Err(IntegerTooLarge)),
            ("1e21", Ok(1e21)),
            ("900719925474099.3e1", Err(NotRoundTrip)),
            ("3.141592653589793", Ok(std::f64::consts::PI)),
            ("3.141592653589793238462643383279", Err(NotRoundTrip)),
            ("1e400", Err(NotRoundTrip)),
            ("1e-400", Err(NotRoundTrip)),
            ("5e-324", Ok(5e-324)),
            ("4.9406564584124654e-324", Ok(5e-324)),
            ("4e-324", Err(NotRoundTrip)),
            ("1.7976931348623157e308", Ok(f64::MAX)),
            // An example of RFC 8785 that it lets a reader round; its double ends in ...333.
            ("333333333.33333329", Err(NotRoundTrip)),
        ] {
            assert_eq!(Number::read(literal).map(Number::get), expected, "{literal}");
        }
    }

    #[test]
    fn integers() {
        assert_eq!(Number::read("1e3").unwrap().as_i64(), Some(1000));
        assert_eq!(Number::read("1.5").unwrap().as_i64(), None);
        assert_eq!(Number::read("1e21").unwrap().as_i64(), None);
    }
}
