//! The way to a file, through links: what may change so that a name means another file. Must not know: what watches it.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// Like the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Each directory on the way from `prefix` to `name` below it, and the name that counts there. Where a part of the way
/// is absent, the last step says where it would have to appear. Ways that lead out of the prefix end there: such a file
/// is not read.
pub(super) fn steps(prefix: &Path, name: &str) -> Vec<(PathBuf, OsString)> {
    let mut steps = Vec::new();
    let mut links = 0;
    let mut directory = prefix.to_owned();
    let mut depth = 0_usize;
    // The next part of the way is at the end.
    let mut rest: Vec<OsString> = match parts(Path::new(name)) {
        Some(parts) => parts,
        None => return steps,
    };
    while let Some(part) = rest.pop() {
        if part == ".." {
            let Some(up) = depth.checked_sub(1) else { return steps };
            depth = up;
            directory.pop();
            continue;
        }
        let path = directory.join(&part);
        steps.push((directory.clone(), part));
        let Ok(metadata) = path.symlink_metadata() else { return steps };
        if metadata.is_symlink() {
            links += 1;
            let target = std::fs::read_link(&path).ok().and_then(|target| parts(&target));
            let Some(target) = target.filter(|_| links <= MAX_LINKS) else { return steps };
            rest.extend(target);
        } else if metadata.is_dir() {
            directory = path;
            depth += 1;
        } else {
            return steps;
        }
    }
    steps
}

/// The parts of a relative path, the first one last; `None` for an absolute one.
fn parts(path: &Path) -> Option<Vec<OsString>> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => parts.push("..".into()),
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    parts.reverse();
    Some(parts)
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;

    use super::*;

    fn shown(prefix: &Path, name: &str) -> Vec<String> {
        let relative = |path: PathBuf| path.strip_prefix(prefix).unwrap().display().to_string();
        let steps = steps(prefix, name).into_iter();
        steps.map(|(directory, name)| format!("{}:{}", relative(directory), name.display())).collect()
    }

    #[test]
    fn links_are_followed_and_what_is_absent_is_waited_for() {
        let prefix = tempfile::tempdir().unwrap();
        let at = |name: &str| prefix.path().join(name);
        create_dir(at("a")).unwrap();
        write(at("a/file"), "").unwrap();
        // As Kubernetes does it.
        create_dir(at("..1")).unwrap();
        write(at("..1/db"), "").unwrap();
        symlink("..1", at("..data")).unwrap();
        symlink("..data/db", at("db")).unwrap();
        symlink("../db", at("a/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("/etc/passwd", at("absolute")).unwrap();
        symlink("../../etc", at("out")).unwrap();
        let cases = [
            ("a/file", vec![":a", "a:file"]),
            ("a/./file", vec![":a", "a:file"]),
            ("a/absent/below", vec![":a", "a:absent"]),
            ("a/file/below", vec![":a", "a:file"]),
            ("db", vec![":db", ":..data", ":..1", "..1:db"]),
            ("a/up", vec![":a", "a:up", ":db", ":..data", ":..1", "..1:db"]),
            ("absolute", vec![":absolute"]),
            ("out/passwd", vec![":out"]),
            ("/etc/passwd", vec![]),
            ("../x", vec![]),
        ];
        for (name, expected) in cases {
            assert_eq!(shown(prefix.path(), name), expected, "{name}");
        }
        assert_eq!(steps(prefix.path(), "loop").len(), MAX_LINKS + 1);
        assert_eq!(steps(&at("nowhere"), "x"), [(at("nowhere"), "x".into())]);
    }
}
