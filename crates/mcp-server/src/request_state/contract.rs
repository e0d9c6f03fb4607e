//! What every [`StateSealer`] must do, as a function that any sealer's tests can call.

use super::{SealError, StateSealer};

/// A clause of the contract that a sealer does not keep.
#[derive(Debug, thiserror::Error)]
#[error("a sealer of request states must {clause}; this one gave {found}")]
#[non_exhaustive]
pub struct StateSealerContractFailure {
    /// What it must do.
    pub clause: &'static str,
    /// What it did.
    pub found: String,
}

/// Holds a sealer to the contract of [`StateSealer`].
///
/// `clients` are the sealers of different nodes, each of which has to open what any of them sealed;
/// one alone will do. `late` is the sealer of a node at a time when nothing that is sealed now counts
/// any more, where its clock can be set. Besides the plain promises it tries what an attacker makes of
/// a state that was sealed.
///
#[cfg_attr(feature = "sealed-state", doc = "```")]
#[cfg_attr(not(feature = "sealed-state"), doc = "```ignore")]
/// use std::time::{Duration, SystemTime};
///
/// use mcp_server::{AeadSealer, state_sealer_contract};
///
/// # let key = [7; 32];
/// let (one, other) = (AeadSealer::new(1, &key), AeadSealer::new(1, &key));
/// let tomorrow = || SystemTime::now() + Duration::from_secs(86_400);
/// let late = AeadSealer::new(1, &key).clock(tomorrow);
/// state_sealer_contract(&[&one, &other], Some(&late))?;
///
/// // Two nodes with a key each do not open each other's states.
/// let other = AeadSealer::ephemeral()?;
/// assert!(state_sealer_contract(&[&one, &other], None).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first clause that the sealer does not keep.
pub fn state_sealer_contract(
    clients: &[&dyn StateSealer],
    late: Option<&dyn StateSealer>,
) -> Result<(), StateSealerContractFailure> {
    let long = "state ".repeat(10_000);
    let states = ["paid 3 of 4", "", "\u{1f511} \0 \"", &long];
    for (number, sealer) in clients.iter().enumerate() {
        for state in states {
            let bound_to = format!("ada asks node {number}").into_bytes();
            let sealed = seal(*sealer, state, &bound_to)?;
            for opener in clients {
                opens(*opener, &sealed, &bound_to, state)?;
                bound(*opener, &sealed, &bound_to)?;
            }
            if let Some(late) = late {
                let clause = "open nothing whose time is over";
                refused(clause, late.open(&sealed, &bound_to))?;
            }
        }
        let sealed = seal(*sealer, "paid 3 of 4", b"ada")?;
        for opener in clients {
            changed(*opener, &sealed)?;
        }
    }
    Ok(())
}

fn seal(
    sealer: &dyn StateSealer,
    state: &str,
    bound_to: &[u8],
) -> Result<String, StateSealerContractFailure> {
    let failed = |error: SealError| StateSealerContractFailure {
        clause: "seal any text of 60,000 bytes for anybody",
        found: error.to_string(),
    };
    let sealed = sealer.seal(state, bound_to).map_err(failed)?;
    if state.len() > 4 && sealed.contains(state) {
        let clause = "let nobody read what is sealed";
        return Err(StateSealerContractFailure { clause, found: sealed });
    }
    Ok(sealed)
}

fn opens(
    sealer: &dyn StateSealer,
    sealed: &str,
    bound_to: &[u8],
    state: &str,
) -> Result<(), StateSealerContractFailure> {
    // A seal does not make a state good for one use only.
    for _ in 0..2 {
        let found = sealer.open(sealed, bound_to);
        if found.as_deref() != Ok(state) {
            let clause = "open on each node what any node sealed, each time it is asked";
            return Err(StateSealerContractFailure { clause, found: format!("{found:?}") });
        }
    }
    Ok(())
}

fn bound(
    sealer: &dyn StateSealer,
    sealed: &str,
    bound_to: &[u8],
) -> Result<(), StateSealerContractFailure> {
    let clause = "open a state for what it was sealed for, and for nothing that is alike";
    let (mut more, mut other) = (bound_to.to_vec(), bound_to.to_vec());
    more.push(0);
    other.iter_mut().take(1).for_each(|byte| *byte ^= 1);
    let less = bound_to.get(1..).unwrap_or_default();
    for origin in [&more, &other, less, b""] {
        refused(clause, sealer.open(sealed, origin))?;
    }
    Ok(())
}

fn changed(sealer: &dyn StateSealer, sealed: &str) -> Result<(), StateSealerContractFailure> {
    let clause = "refuse whatever it did not seal, however alike it is";
    let mut forged = vec![
        String::new(),
        "\u{e9}".to_owned(),
        "A".repeat(sealed.len()),
        "A".repeat(100_000),
        format!("{sealed}A"),
        format!("{sealed} "),
        format!("{sealed}{sealed}"),
    ];
    for (at, letter) in sealed.char_indices() {
        let (before, after) = (sealed.get(..at), sealed.get(at + letter.len_utf8()..));
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let other = if letter.is_ascii_uppercase() { 'z' } else { 'A' };
        forged.extend([format!("{before}{other}{after}"), before.to_owned()]);
    }
    forged.into_iter().try_for_each(|text| refused(clause, sealer.open(&text, b"ada")))
}

/// Refused, and not failed: a peer that sends nonsense is no fault of the server.
fn refused(
    clause: &'static str,
    found: Result<String, SealError>,
) -> Result<(), StateSealerContractFailure> {
    if found == Err(SealError::Refused) {
        return Ok(());
    }
    Err(StateSealerContractFailure { clause, found: format!("{found:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hides what it seals, and binds it to nobody.
    struct Unbound(bool);

    impl StateSealer for Unbound {
        fn seal(&self, state: &str, bound_to: &[u8]) -> Result<String, SealError> {
            let origin = if self.0 { bound_to.len() } else { 0 };
            let text: String = state.chars().rev().collect();
            Ok(format!("{origin}.{text}"))
        }

        fn open(&self, sealed: &str, bound_to: &[u8]) -> Result<String, SealError> {
            let (origin, text) = sealed.split_once('.').ok_or(SealError::Refused)?;
            if self.0 && origin != bound_to.len().to_string() {
                return Err(SealError::Refused);
            }
            Ok(text.chars().rev().collect())
        }
    }

    #[test]
    fn it_notices_what_is_bound_to_nobody_or_to_too_little() {
        for sealer in [Unbound(false), Unbound(true)] {
            let broken = state_sealer_contract(&[&sealer], None).unwrap_err();
            assert!(broken.clause.starts_with("open a state for what"), "{broken}");
        }
    }

    #[cfg(feature = "sealed-state")]
    #[test]
    fn it_notices_two_keys_and_what_never_ends() {
        use crate::AeadSealer;

        let one = AeadSealer::new(1, &[7; 32]);
        let broken = state_sealer_contract(&[&one, &AeadSealer::new(1, &[8; 32])], None);
        assert!(broken.unwrap_err().clause.starts_with("open on each node"));
        let broken = state_sealer_contract(&[&one], Some(&one)).unwrap_err();
        assert!(broken.clause.starts_with("open nothing whose time"), "{broken}");
    }
}
