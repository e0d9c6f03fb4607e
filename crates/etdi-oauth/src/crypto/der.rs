//! As much of DER as a public RSA key needs (RFC 8017, appendix A.1.1).

/// The modulus and the exponent of an `RSAPublicKey`, without leading zeros.
pub(super) fn rsa_public_key(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (numbers, rest) = value(der, 0x30)?;
    let (modulus, numbers) = value(numbers, 0x02)?;
    let (exponent, numbers) = value(numbers, 0x02)?;
    let positive = |number: &[u8]| match number {
        [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => {
            Some(rest.to_vec())
        }
        [first, ..] if *first != 0 && first & 0x80 == 0 => Some(number.to_vec()),
        _ => None,
    };
    let both = (positive(modulus)?, positive(exponent)?);
    (rest.is_empty() && numbers.is_empty()).then_some(both)
}

/// The value of the first element, which has this tag, and what stands behind it.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 | 0x82 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
            // The shortest form is the only one.
            let least = if first == 0x81 { 0x80 } else { 0x100 };
            (Some(length).filter(|length| *length >= least)?, rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use super::rsa_public_key;

    #[test]
    fn two_numbers_are_read_and_nothing_else() {
        let key = [0x30, 7, 2, 2, 0, 0x81, 2, 1, 3];
        assert_eq!(rsa_public_key(&key), Some((vec![0x81], vec![3])));
        let bad: [&[u8]; 8] = [
            &[],
            &[0x30],
            &[0x31, 7, 2, 2, 0, 0x81, 2, 1, 3],
            &[0x30, 7, 2, 2, 0, 0x81, 2, 1, 3, 0],
            &[0x30, 0x81, 7, 2, 2, 0, 0x81, 2, 1, 3],
            &[0x30, 6, 2, 1, 0x81, 2, 1, 3],
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 3],
            &[0x30, 4, 2, 2, 0, 0x81],
        ];
        for der in bad {
            assert_eq!(rsa_public_key(der), None, "{der:?}");
        }
    }
}
