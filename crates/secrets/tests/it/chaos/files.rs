//! The same for files: whoever writes secrets into files does so in halves, or by swapping a link as Kubernetes does.
//!
//! Owns: what a reader of the slots sees meanwhile. Requests are not counted: there is no server.

use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use postern_client::Trust;
use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::rotate::Engine;
use postern_secrets::{Kind, Settings, Template};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::readers::{Readers, Readings, Watched};

/// So many versions are written.
const VERSIONS: u64 = 5;
/// A version that is written whole is seen after its ttl, and a back-off where halves came before.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

/// A line of the table.
struct Line {
    name: &'static str,
    readings: Readings,
    slowest: Duration,
}

#[tokio::test]
async fn files_in_halves_and_links_that_are_swapped() {
    let lines = [
        halves().await.unwrap(),
        swapped_links().await.unwrap(),
        gone_for_a_while().await.unwrap(),
        no_use_beyond_the_ttl().await.unwrap(),
    ];
    println!("\n| files | readers | each new version is seen within |\n| --- | ---: | ---: |");
    for Line { name, readings, slowest } in &lines {
        println!(
            "| {name} | {} good, {} bad | {:.1} s |",
            readings.good,
            readings.bad,
            slowest.as_secs_f64()
        );
    }
    for Line { name, readings, .. } in lines {
        assert!(readings.good > 0 && readings.bad == 0, "{name}: {:?}", readings.first_bad);
    }
}

/// Every new version is first half there.
async fn halves() -> io::Result<Line> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("db");
    let write = async |version| {
        let whole = secret(version);
        if version > 1 {
            std::fs::write(&file, &whole[..whole.len() / 2])?;
            sleep(Duration::from_millis(1500)).await;
        }
        std::fs::write(&file, whole)
    };
    run("a file written in halves", directory.path(), json!({"ttl": 1, "neg_ttl": 1}), write).await
}

/// `db` -> `..data/db`, `..data` -> `..v1`: each new version is a new directory, and `..data` is swapped.
async fn swapped_links() -> io::Result<Line> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    symlink("..data/db", root.join("db"))?;
    let write = async |version: u64| {
        let name = format!("..v{version}");
        std::fs::create_dir(root.join(&name))?;
        std::fs::write(root.join(&name).join("db"), secret(version))?;
        symlink(&name, root.join("..new"))?;
        std::fs::rename(root.join("..new"), root.join("..data"))?;
        if version > 1 {
            std::fs::remove_dir_all(root.join(format!("..v{}", version - 1)))?;
        }
        Ok(())
    };
    run("a Kubernetes volume", root, json!({"ttl": 1}), write).await
}

/// The file, and then its directory, are not there before each new version.
async fn gone_for_a_while() -> io::Result<Line> {
    let directory = tempfile::tempdir()?;
    let root = directory.path().join("mounted");
    let write = async |version| {
        if version > 1 {
            std::fs::remove_dir_all(&root)?;
            sleep(Duration::from_millis(1500)).await;
        }
        std::fs::create_dir(&root)?;
        std::fs::write(root.join("db"), secret(version))
    };
    run("a directory that goes and comes back", &root, json!({"ttl": 1, "neg_ttl": 1}), write).await
}

/// Nothing may be used beyond its ttl, and yet the slot is never empty while the value can be read.
async fn no_use_beyond_the_ttl() -> io::Result<Line> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("db");
    let write = async |version| {
        let new = directory.path().join(".new");
        std::fs::write(&new, secret(version))?;
        std::fs::rename(new, &file)
    };
    run("resurrect_ttl: 0", directory.path(), json!({"ttl": 1, "resurrect_ttl": 0}), write).await
}

async fn run(
    name: &'static str,
    prefix: &Path,
    mut config: serde_json::Value,
    write: impl AsyncFn(u64) -> io::Result<()>,
) -> io::Result<Line> {
    let written = Arc::new(AtomicU64::new(1));
    write(1).await?;
    config["prefix"] = prefix.to_string_lossy().as_ref().into();
    let settings = Settings::from_entity(Kind::Fs, config.as_object().expect("an object"));
    let resolver = Resolver::new(Env::default(), Trust::none());
    let engine = Engine::start(resolver.with_vault("files", settings, Origin::new("chaos")));
    let watched = |text: &str, stems: &[&str]| Watched {
        slot: engine.slot(&Template::parse(text).expect("a template")),
        secret: 0,
        stems: stems.iter().map(|stem| (*stem).to_owned()).collect(),
        written: Arc::clone(&written),
    };
    let all = [watched("{vault://files/db/user}", &["u."]), watched("{vault://files/db/pass}", &["p."])];
    engine.settled(&all.clone().map(|watched| watched.slot)).await;
    let readers = Readers::start(&all, &all[0]);
    let mut slowest = Duration::ZERO;
    for version in 2..=VERSIONS {
        written.store(version, Ordering::Release);
        write(version).await?;
        let began = Instant::now();
        while all.iter().any(|watched| watched.seen() != Some(version)) {
            assert!(began.elapsed() < SEEN_WITHIN, "{name}: version {version} is not seen");
            sleep(Duration::from_millis(10)).await;
        }
        slowest = slowest.max(began.elapsed());
    }
    Ok(Line { name, readings: readers.stop(), slowest })
}

fn secret(version: u64) -> String {
    // Long, so that half of it is still JSON only by accident.
    let filler = "x".repeat(5000);
    format!(r#"{{"filler":"{filler}","user":"u.{version}","pass":"p.{version}"}}"#)
}
