//! A file as it is changed in every way, and what is handed out of it.

use tokio::time::timeout;

use super::*;

/// Whether a change is seen after something was done.
async fn sees(watch: &mut Watch) -> bool {
    timeout(Duration::from_secs(5), watch.changed()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_seen_however_it_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("a"), "1").unwrap();
    std::os::unix::fs::symlink(path("a"), path("link")).unwrap();
    let mut watch = Watch::new(path("link"));
    assert!(!sees(&mut watch).await);
    std::fs::write(path("a"), "22").unwrap();
    assert!(sees(&mut watch).await, "in place");
    std::fs::write(path("new"), "33").unwrap();
    std::fs::rename(path("new"), path("a")).unwrap();
    assert!(sees(&mut watch).await, "by renaming");
    std::fs::write(path("b"), "4").unwrap();
    std::os::unix::fs::symlink(path("b"), path("other")).unwrap();
    std::fs::rename(path("other"), path("link")).unwrap();
    assert!(sees(&mut watch).await, "by another link");
    std::fs::remove_file(path("b")).unwrap();
    assert!(!sees(&mut watch).await, "gone");
    std::fs::write(path("b"), "55").unwrap();
    assert!(sees(&mut watch).await, "back again");
}
