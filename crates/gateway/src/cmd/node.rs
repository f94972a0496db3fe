//! Commands about a running node: `check`, `reload`, `quit`, `health`, `version`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use postern_config::apply::NO_CONFIGURATION;
use postern_config::source::feed::StoreFeed;
use postern_config::source::store::Followed;
use postern_model::Violation;
use postern_plugins::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::vault::println;
use crate::boot::{self, Kept};
use crate::cli::Options;
use crate::node_files::NodeFiles;
use crate::report::{Failure, Refused};
use crate::serve;
use crate::settings::Settings;
use crate::settings::node;

/// Everything that `start` does before it listens, but for the configuration's own references.
pub(super) async fn check(options: &Options, conf: Option<PathBuf>) -> Result<ExitCode> {
    let options = Options { conf: conf.or_else(|| options.conf.clone()), ..options.clone() };
    let running = boot::run(&options, &Handle::current()).await?;
    let is_empty = matches!(&running.kept, Kept::Document(document) if document.hash == NO_CONFIGURATION);
    let name = match running.kept {
        Kept::Document(document) => {
            let snapshot = &document.checked.snapshot;
            refuse(serve::problems(&running.settings, &running.trust, snapshot)?, &document.name)?;
            document.name
        }
        Kept::Store(store) => {
            let file = format!("the database ({})", store.name());
            let feed = Arc::new(StoreFeed::new(store, Handle::current()));
            let mut rows = Followed::read(feed, Box::new(Registry::bundled())).await?;
            let (snapshot, _) = rows.snapshot();
            // A node would start and serve without them; whoever asks wants to know.
            let reasons = snapshot.broken.iter().flat_map(|broken| broken.reasons.iter().cloned());
            let mut violations: Vec<_> = reasons.collect();
            violations.extend(serve::problems(&running.settings, &running.trust, &snapshot)?);
            refuse(violations, &file)?;
            file
        }
    };
    match is_empty {
        true => println("the settings are valid; the node starts without a configuration")?,
        false => println(&format!("configuration at {name} is valid"))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn refuse(violations: Vec<Violation>, file: &str) -> Result<(), Refused> {
    match violations.is_empty() {
        true => Ok(()),
        false => Err(Refused { file: file.to_owned(), violations }),
    }
}

/// Has the node read its configuration again.
pub(super) async fn reload(options: &Options) -> Result<ExitCode> {
    let (files, pid) = NodeFiles::running(&Settings::load(options)?.prefix())?;
    files.reload(pid, Duration::from_secs(60)).await?;
    println("reloaded")?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the node.
pub(super) async fn quit(options: &Options, seconds: u64) -> Result<ExitCode> {
    let (files, pid) = NodeFiles::running(&Settings::load(options)?.prefix())?;
    files.quit(pid, Duration::from_secs(seconds)).await?;
    println("ended")?;
    Ok(ExitCode::SUCCESS)
}

/// Asks the node's status listener; without one, whether its process is there.
pub(super) async fn health(options: &Options) -> Result<ExitCode> {
    let settings = Settings::load(options)?;
    let (_, pid) = NodeFiles::running(&settings.prefix())?;
    let listeners = node::status_listeners(&settings)?;
    let Some(address) = listeners.iter().find(|listener| !listener.tls).map(|listener| listener.address)
    else {
        println(&format!(
            "process {} is running; there is no status listener without TLS to ask",
            pid.as_raw_nonzero()
        ))?;
        return Ok(ExitCode::SUCCESS);
    };
    let ready = timeout(Duration::from_secs(5), async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /status/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await?;
        Ok::<_, std::io::Error>(head.starts_with(b"HTTP/1.1 200"))
    });
    match ready.await {
        Ok(Ok(true)) => {
            println(&format!("the node is ready (process {})", pid.as_raw_nonzero()))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Ok(false)) => {
            Err(Failure::new("the node is not ready", format!("http://{address}/status says why")).into())
        }
        _ => {
            Err(Failure::new(format!("the node does not answer on {address}"), "status_listen says where")
                .into())
        }
    }
}

/// The version, and with `all` those of what matters for security.
pub(super) fn version(all: bool) -> Result<ExitCode> {
    println(env!("CARGO_PKG_VERSION"))?;
    if all {
        println(
            "speaks Kong's configuration format 3.0 and, of plugins, what `postern config schema` lists",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
