//! Lists paths as folders do: direct children only, folders with a trailing `/`.

/// The children of `folder`, which is empty or ends in `/`. Sorted, each once.
pub(super) fn children<'a>(paths: impl Iterator<Item = &'a String>, folder: &str) -> Vec<String> {
    let below = paths.filter_map(|path| path.strip_prefix(folder)).filter(|rest| !rest.is_empty());
    let mut names: Vec<String> =
        below.map(|rest| rest.split_inclusive('/').next().unwrap_or_default().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_direct_children() {
        let paths = ["a", "x", "x/y", "x/y/z", "x/w"].map(str::to_owned);
        assert_eq!(children(paths.iter(), ""), ["a", "x", "x/"]);
        assert_eq!(children(paths.iter(), "x/"), ["w", "y", "y/"]);
        assert_eq!(children(paths.iter(), "a/"), [""; 0]);
    }
}
