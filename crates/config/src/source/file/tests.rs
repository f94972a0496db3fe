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

/// Reads what it is told.
struct Told(std::sync::Mutex<Result<Option<&'static str>, &'static str>>);

#[async_trait]
impl Reader for std::sync::Arc<Told> {
    async fn read(&self) -> Result<Option<Loaded>, Vec<Violation>> {
        match *self.0.lock().unwrap() {
            Err(message) => Err(vec![Violation::error("", None, message)]),
            Ok(None) => Ok(None),
            Ok(Some(name)) => {
                let text = format!("_format_version: \"3.0\"\nservices: [{{name: {name}, host: h}}]\n");
                let document = postern_model::read(text.as_bytes(), &|_| None).unwrap();
                let checked = postern_model::check(document, &Vec::new()).unwrap();
                let hash = crate::apply::hash(text.as_bytes());
                let text = text.into_bytes().into();
                Ok(Some(Loaded { name: "kong.yaml".to_owned(), checked, hash, text }))
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_the_same_is_nothing_new() {
    let told = std::sync::Arc::new(Told(std::sync::Mutex::new(Ok(Some("one")))));
    let current = std::sync::Arc::new(std::sync::Mutex::new(None::<String>));
    let in_effect = std::sync::Arc::clone(&current);
    let mut source =
        FileSource::new(None, std::sync::Arc::clone(&told), move || in_effect.lock().unwrap().clone());
    let one = source.next(false).await.unwrap().expect("nothing is in effect yet");
    let document = one.document.unwrap();
    assert_eq!((document.rows.len(), one.snapshot.services.len(), one.revision), (1, 1, None));
    assert!(String::from_utf8_lossy(&document.text).contains("name: one"));
    assert!(source.next(false).await.unwrap().is_some(), "it was refused, and may not be any longer");
    *current.lock().unwrap() = Some(one.hash);
    assert!(source.next(false).await.unwrap().is_none());
    assert!(source.next(true).await.unwrap().is_some(), "a person wants to see it done");
    *current.lock().unwrap() = Some("by the Admin API".to_owned());
    assert!(source.next(false).await.unwrap().is_some());

    *told.0.lock().unwrap() = Err("line 3");
    assert_eq!(source.next(false).await.unwrap_err()[0].to_string(), "line 3");
    *told.0.lock().unwrap() = Ok(None);
    assert!(source.next(true).await.unwrap().is_none(), "without a file, what came by the Admin API stays");
    // What is not watched never changes.
    assert!(timeout(Duration::from_secs(3600), source.changed()).await.is_err());
}
