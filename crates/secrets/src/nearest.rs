//! The known name that somebody probably meant.
//!
//! Owns: how near is near enough. Must not know: what the names are of.

/// Longer names are nobody's typing slip, and the comparison costs their product.
const MAX_LENGTH: usize = 64;

/// The candidate with the fewest slips from `name`, if a third of its letters or fewer are wrong.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > MAX_LENGTH {
        return None;
    }
    let name = name.to_lowercase();
    let most = (name.len() / 3).max(1);
    candidates
        .into_iter()
        // Each letter too many or too few is a slip, so lengths alone rule most candidates out.
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= most)
        .map(|candidate| (strsim::damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(slips, _)| *slips <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The hint for an unknown name: `did you mean x?`.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(name, candidates).map(|candidate| format!("did you mean {candidate}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_far_and_huge() {
        let known = ["services", "routes", "vaults", "a"];
        assert_eq!(nearest("vault", known), Some("vaults"));
        assert_eq!(nearest("Serivces", known), Some("services"));
        assert_eq!(nearest("consumers", known), None);
        assert_eq!(nearest(&"v".repeat(100_000), known), None);
        assert_eq!(did_you_mean("route", known).as_deref(), Some("did you mean routes?"));
    }
}
