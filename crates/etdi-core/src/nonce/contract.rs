//! What all [`Nonces`] must do, as a function that any implementation's tests can call.

use super::{MAX_LENGTH, Nonces};
use crate::time::UnixTime;

/// A clause of the contract that an implementation does not keep.
#[derive(Debug, thiserror::Error)]
#[error("nonces of a server must {clause}; these gave {found}")]
#[non_exhaustive]
pub struct NoncesContractFailure {
    /// What they must do.
    pub clause: &'static str,
    /// What they did.
    pub found: String,
}

/// Holds an implementation to the contract of [`Nonces`].
///
/// `clients` are the nonces of different nodes, which have to know each other's; one alone will do.
/// Besides the plain promises it tries what happens between nodes, whose clocks are a few seconds
/// apart, and what an attacker makes of a nonce that was given out.
///
/// ```
/// use etdi_core::nonce::{SecretNonces, nonces_contract};
/// use etdi_core::time::UnixTime;
///
/// let (one, other) = (SecretNonces::shared(&[7; 32]), SecretNonces::shared(&[7; 32]));
/// nonces_contract(&[&one, &other], UnixTime(1_767_323_045))?;
///
/// // Two nodes with a secret each do not know each other's.
/// let other = SecretNonces::shared(&[8; 32]);
/// assert!(nonces_contract(&[&one, &other], UnixTime(1_767_323_045)).is_err());
/// # Ok::<(), etdi_core::nonce::NoncesContractFailure>(())
/// ```
///
/// # Errors
///
/// The first clause that is not kept.
pub fn nonces_contract(
    clients: &[&dyn Nonces],
    now: UnixTime,
) -> Result<(), NoncesContractFailure> {
    for issuer in clients {
        let nonce = issuer.issue(now);
        expect(
            "give out base64url of 1 to 128 characters",
            (1..=MAX_LENGTH).contains(&nonce.len()) && nonce.chars().all(is_base64url),
            &nonce,
        )?;
        for node in clients {
            known_for_a_while(*node, &nonce, now)?;
            changed(*node, &nonce, now)?;
        }
    }
    Ok(())
}

fn is_base64url(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')
}

fn expect(clause: &'static str, kept: bool, found: &str) -> Result<(), NoncesContractFailure> {
    // What is far too long is a text of the contract's own.
    let found = || found.chars().take(2 * MAX_LENGTH).collect();
    if kept { Ok(()) } else { Err(NoncesContractFailure { clause, found: found() }) }
}

fn known_for_a_while(
    node: &dyn Nonces,
    nonce: &str,
    now: UnixTime,
) -> Result<(), NoncesContractFailure> {
    let clause = "know on each node what any node gave out, also by a clock five seconds off";
    for at in [now, now.plus(5), now.minus(5), now.plus(30)] {
        expect(clause, node.holds(nonce, at), &format!("no {nonce} at {at:?}"))?;
    }
    let clause = "let a nonce be named by several calls while it is fresh";
    expect(clause, node.holds(nonce, now) && node.holds(nonce, now), nonce)?;
    let clause = "know no nonce again that was given out an hour ago, or that is an hour ahead";
    for at in [now.plus(3_600), now.minus(3_600), UnixTime(0), UnixTime(u64::MAX)] {
        expect(clause, !node.holds(nonce, at), &format!("{nonce} at {at:?}"))?;
    }
    Ok(())
}

fn changed(node: &dyn Nonces, nonce: &str, now: UnixTime) -> Result<(), NoncesContractFailure> {
    let clause = "hold nothing that was not given out, however alike it is";
    let mut forged = vec![
        String::new(),
        "AAAA".to_owned(),
        "A".repeat(nonce.len()),
        "A".repeat(100_000),
        format!("{nonce}A"),
        format!("{nonce}="),
        format!(" {nonce}"),
        format!("{nonce}{nonce}"),
        format!("{nonce}\u{e9}"),
    ];
    for (at, letter) in nonce.char_indices() {
        let (before, after) = (nonce.get(..at), nonce.get(at + letter.len_utf8()..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        // A digit becomes another one: a time in clear, which nobody signed, is still a time then.
        let other = match letter {
            '9' => '8',
            '0'..='8' => '9',
            'A'..='Z' => 'z',
            _ => 'A',
        };
        forged.extend([format!("{before}{other}{after}"), before.to_owned()]);
    }
    for text in forged {
        expect(clause, !node.holds(&text, now), &text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nonce::SecretNonces;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    #[test]
    fn secrets_keep_the_contract() {
        nonces_contract(&[&SecretNonces::new().unwrap()], NOW).unwrap();
        let (one, other) = (SecretNonces::shared(&[1; 32]), SecretNonces::shared(&[1; 32]));
        nonces_contract(&[&one, &other], NOW).unwrap();
    }

    struct Bad(fn(&str, UnixTime) -> bool);

    impl Nonces for Bad {
        fn issue(&self, now: UnixTime) -> String {
            format!("n{}", now.0)
        }

        fn holds(&self, nonce: &str, now: UnixTime) -> bool {
            (self.0)(nonce, now)
        }
    }

    #[test]
    fn it_notices_what_does_not_keep_it() {
        let (one, other) = (SecretNonces::new().unwrap(), SecretNonces::new().unwrap());
        let stranger = nonces_contract(&[&one, &other], NOW).unwrap_err();
        assert!(stranger.clause.starts_with("know on each node"), "{stranger}");
        let for_ever = nonces_contract(&[&Bad(|_, _| true)], NOW).unwrap_err();
        assert!(for_ever.clause.starts_with("know no nonce again"), "{for_ever}");
        let unsigned = Bad(|nonce, now| {
            let given = nonce.strip_prefix('n').and_then(|text| text.parse::<u64>().ok());
            given.is_some_and(|given| given.abs_diff(now.0) < 3_600)
        });
        let unsigned = nonces_contract(&[&unsigned], NOW).unwrap_err();
        assert!(unsigned.clause.starts_with("hold nothing"), "{unsigned}");
    }
}
