//! The name that was probably meant.

/// Longer names are not compared, and no more of them, so that a wrong name costs little.
const MAX_LENGTH: usize = 64;
const MAX_NAMES: usize = 512;

/// The name of `names` that is few edits away from `wrong`, whatever its case.
pub(crate) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > MAX_LENGTH {
        return None;
    }
    let wrong = wrong.to_lowercase();
    let names = names.take(MAX_NAMES).filter(|name| name.len() <= MAX_LENGTH);
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong, &name.to_lowercase());
    let (distance, name) = names.map(|name| (distance(name), name)).min()?;
    (distance <= ((name.chars().count() + 1) / 3).max(1)).then_some(name)
}

/// How an error goes on after the name that is not there: with the nearest, or with where to look.
pub(crate) fn hint(near: Option<&str>, otherwise: &str) -> String {
    match near {
        Some(near) => format!("did you mean `{near}`?"),
        None => otherwise.to_owned(),
    }
}
