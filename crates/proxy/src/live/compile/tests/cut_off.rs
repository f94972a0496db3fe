//! A preparation that is cut off at any of its awaits has changed nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use postern_secrets::backend::env::Env;
use postern_secrets::resolve::{Origin, Resolver};
use postern_secrets::{Kind, Settings as VaultSettings};
use serde_json::json;
use tokio::runtime::Handle;

use super::super::*;
use crate::dns::{self, Dns};

/// Two services, one by name and one by an upstream, and a plugin whose value is in a vault.
fn snapshot(upstream: &str, port: u16) -> Snapshot {
    let text = json!({
        "_format_version": "3.0",
        "upstreams": [{
            "id": "11111111-1111-4111-8111-111111111111", "name": upstream,
            "targets": [{"target": format!("127.0.0.1:{port}")}],
        }],
        "services": [
            {"name": "by-upstream", "host": upstream, "routes": [{"name": "a", "paths": ["/a"]}]},
            {
                "name": "by-name", "host": "localhost", "port": port,
                "routes": [{"name": "b", "paths": ["/b"]}],
                "plugins": [{"name": "request-transformer", "config": {
                    "add": {"headers": [format!("x-secret:{{vault://files/{upstream}}}")]},
                }}],
            },
        ],
    });
    let document = postern_model::read(text.to_string().as_bytes(), &|_| None).unwrap();
    postern_model::check(document, &Registry::bundled()).unwrap().snapshot
}

fn nothing() -> Resolver {
    Resolver::new(Env::default(), Facts::default().trust)
}

fn vault(directory: &Path) -> Resolver {
    let config = json!({ "prefix": directory });
    let settings = VaultSettings::from_entity(Kind::Fs, config.as_object().unwrap());
    nothing().with_vault("files", settings, Origin::default())
}

fn compiler(engine: &Engine) -> Compiler {
    let control = Control::new(Handle::current(), Dns::new(dns::Settings::default()).unwrap());
    let maker = Maker::new(Means {
        registry: Registry::bundled(),
        control,
        flavour: Flavour::default(),
        system: Arc::new(RootCertStore::empty()),
        verify: false,
        facts: Arc::default(),
    });
    Compiler::new(maker, engine.clone(), Arc::default())
}

/// What a commit would change, and nothing else may.
fn seen(compiler: &Compiler, engine: &Engine) -> BTreeMap<String, String> {
    let kept = compiler.kept();
    let upstreams =
        kept.upstreams.iter().map(|(id, balancer)| (id.to_string(), format!("{:?}", Weak::as_ptr(balancer))));
    let singles = kept
        .singles
        .iter()
        .map(|((host, port), balancer)| (format!("{host}:{port}"), format!("{:?}", Weak::as_ptr(balancer))));
    let references = engine.status().references;
    let references = references.into_iter().map(|status| (status.reference, format!("{:?}", status.state)));
    upstreams.chain(singles).chain(references).collect()
}

#[tokio::test]
async fn at_any_await() {
    let directories = ["old", "new"].map(|name| {
        let directory = tempfile::TempDir::new().unwrap();
        std::fs::write(directory.path().join(name), name).unwrap();
        directory
    });
    let engine = Engine::start(nothing());
    let compiler = compiler(&engine);
    let deadline = || Instant::now() + Duration::from_secs(60);
    let before = snapshot("old", 1);
    let candidate = engine.prepare(vault(directories[0].path()));
    let prepared = compiler.prepare(&before, candidate, OnProblem::Refuse, deadline()).await.unwrap();
    // Who serves holds on to what was made.
    let (live, broken) = super::committed(prepared);
    assert!(broken.is_empty());
    let old = seen(&compiler, &engine);
    assert!(old.len() >= 3, "{old:?}");

    let after = snapshot("new", 2);
    let (mut cut, mut was_done) = (0, false);
    for polls in 0.. {
        let candidate = engine.prepare(vault(directories[1].path()));
        let mut preparing = Box::pin(compiler.prepare(&after, candidate, OnProblem::Refuse, deadline()));
        let mut prepared = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(outcome) = futures_util::poll!(&mut preparing) {
                prepared = Some(outcome.unwrap());
                break;
            }
            // What it waits for gets on.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(seen(&compiler, &engine), old, "after {polls} polls");
        let Some(prepared) = prepared else {
            drop(preparing);
            assert_eq!(seen(&compiler, &engine), old, "dropped after {polls} polls");
            cut += 1;
            continue;
        };
        // It is done; dropping that leaves no trace either, and committing it all of it.
        if !was_done {
            drop(prepared);
            assert_eq!(seen(&compiler, &engine), old, "dropped when it was done");
            was_done = true;
            continue;
        }
        let (_live, _) = super::committed(prepared);
        let new = seen(&compiler, &engine);
        assert!(new.keys().any(|key| key.contains("files/new")) && new != old, "{new:?}");
        break;
    }
    assert!(cut >= 2, "not polled at all, and cut off where it waits for the vault: {cut}");
    drop(live);
}
