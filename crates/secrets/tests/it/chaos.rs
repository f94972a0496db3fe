//! The chaos matrix: every login × every fault, against real OpenBao, with readers at work all the time.
//!
//! What a cell is: [`cell`]. The faults and what is promised in each, as data: [`fault`]; what they do: [`inject`].
//! Cells with the same fault run together, and several faults at a time; each group on a thread and a runtime of its
//! own, so that one group's clock can jump. `CHAOS=full` runs all cells (as `make chaos` does); without it, the logins
//! by token and JWT meet every fault, and the others those faults in which a login matters.

mod cell;
mod fault;
mod files;
mod inject;
mod judge;
mod log;
mod login;
mod proxy;
mod readers;
mod site;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use postern_conformance::Canary;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use cell::Cell;
use fault::{DENIED, Fault, Promise, SEEN_WITHIN};
use judge::{HEAD, Measured};
use log::Log;
use login::Login;
use site::{Site, Surroundings};

/// So many groups at a time; two cores are enough for that.
const AT_ONCE: usize = 6;

/// What one group of cells gave.
struct Group {
    measured: Vec<Measured>,
    /// Everything that must not be in the log.
    credentials: BTreeSet<String>,
}

#[test]
fn every_login_survives_every_fault() {
    let log = Log::of_this_process();
    let run = format!("chaos{}", uuid::Uuid::new_v4().simple());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build().unwrap();
    let groups = runtime.block_on(all(&run));
    println!("\n{HEAD}");
    let mut broken = Vec::new();
    let mut credentials = BTreeSet::new();
    for (fault, group) in groups {
        let group = match group {
            Ok(group) => group,
            Err(panic) => {
                broken.push(format!("{}: {panic}", fault.name()));
                continue;
            }
        };
        credentials.extend(group.credentials);
        for measured in group.measured {
            println!("{}", measured.line());
            let cell = format!("{}, {}", fault.name(), measured.login.name());
            broken.extend(measured.broken().into_iter().map(|what| format!("{cell}: {what}")));
        }
    }
    let logged = log.bytes();
    println!("\n{} bytes of log at level TRACE; {} credentials", logged.len(), credentials.len());
    assert!(logged.len() > 10_000 && credentials.len() > 2, "nothing was logged, or nothing was used");
    let mut canary = Canary::new();
    canary.watch("the secrets' values", &run);
    canary.assert_absent_in("the log", &logged);
    assert_eq!(log::found(&logged, &credentials), 0, "credentials in the log");
    assert!(broken.is_empty(), "{} promises broken:\n{}", broken.len(), broken.join("\n"));
}

/// All groups, in the order of the table.
async fn all(run: &str) -> Vec<(Fault, Result<Group, String>)> {
    let around = Surroundings::start().await;
    let shared = Site::start(&around).await;
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let groups = Fault::ALL.into_iter().filter(|fault| wanted(*fault)).map(|fault| {
        let (around, shared, turns, run) =
            (Arc::clone(&around), shared.clone(), Arc::clone(&turns), run.to_owned());
        async move {
            let _turn = turns.acquire().await.expect("never closed");
            let site = if fault.is_of_the_site() { Site::start(&around).await } else { shared };
            let (tell, told) = tokio::sync::oneshot::channel();
            let thread = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let group = runtime.expect("a runtime").block_on(group(fault, &site, &run));
                // Nobody waits any longer: fine.
                let _ = tell.send(group);
            });
            let outcome = told.await;
            let panic = thread.join().err().map(|panic| match panic.downcast::<String>() {
                Ok(text) => *text,
                Err(_) => "panicked".to_owned(),
            });
            (fault, outcome.map_err(|_| panic.unwrap_or_default()))
        }
    });
    join_all(groups).await
}

/// The cells of one fault: all logins together.
async fn group(fault: Fault, site: &Site, run: &str) -> Group {
    let logins =
        Login::ALL.into_iter().filter(|login| fault.promise(*login).is_ok() && chosen(fault, *login));
    let mut cells = join_all(logins.map(|login| Cell::start(site, login, fault, run))).await;
    let readers: Vec<_> = cells.iter().map(Cell::read).collect();
    for at in join_all(cells.iter().map(settle)).await {
        assert!(at.is_some(), "a new version was not seen before the fault");
    }

    let mark = site.audit.mark();
    let asked: Vec<_> = cells.iter().map(|cell| cell.vault.requests()).collect();
    let begins = join_all(cells.iter_mut().map(|cell| async {
        let before = Instant::now();
        inject::begin(cell).await;
        (before, Instant::now())
    }));
    let begins = begins.await;
    let before = Instant::now();
    inject::begin_site(fault, site).await;
    let began = Instant::now();
    let begins: Vec<_> =
        begins.into_iter().map(|own| if fault.is_of_the_server() { (before, began) } else { own }).collect();
    let through = join_all(cells.iter().map(meanwhile)).await;
    let complaints: Vec<_> = cells.iter().map(Cell::complaint).collect();
    let left = fault.lasts(wants("CHAOS_LONG", "1")).saturating_sub(began.elapsed());
    sleep(left).await;
    let ending = Instant::now();
    let meanwhile: Vec<_> =
        cells.iter().zip(&asked).map(|(cell, asked)| cell.vault.requests() - asked).collect();
    inject::end_site(fault, site).await;
    join_all(cells.iter_mut().map(inject::end)).await;
    let ended = Instant::now();
    let healed = join_all(cells.iter().map(|cell| async move {
        let version = cell.write_next().await;
        let left = fault.heals_within().saturating_sub(ended.elapsed());
        let healed = cell.seen(version, left, |_| true).await.map(|_| ended.elapsed());
        (healed, cell.vault.requests(), site.audit.mark())
    }))
    .await;

    let mut credentials = BTreeSet::new();
    let mut measured = Vec::new();
    for (at, (cell, readers)) in cells.iter().zip(readers).enumerate() {
        let path = cell.login.path(&cell.name);
        let folder = format!("secret/data/{}/", cell.name);
        let policy = cell.name.as_str();
        let (healed, asked_then, mark_then) = healed[at];
        let requests = site.audit.requests_between(mark, mark_then);
        let of_cell = requests.iter().filter(|request| {
            let is_ours = request.policies.iter().any(|name| name == policy);
            let is_admins = request.policies.iter().any(|name| name == "root");
            let by_path =
                request.path.starts_with(&folder) || (request.path == path && cell.login != Login::Cert);
            !is_admins && (is_ours || by_path)
        });
        let of_cell: Vec<_> = of_cell.collect();
        let logins = of_cell.iter().filter(|request| request.path == path).count() as u64;
        let audited = of_cell.len() as u64;
        let sent = asked_then - asked[at];
        credentials.extend(cell.vault.credentials());
        credentials.insert(cell.client_secret.clone());
        let complaint = if healed.is_none() { cell.complaint() } else { complaints[at].clone() };
        measured.push(Measured {
            login: cell.login,
            fault,
            readings: readers.stop(),
            before: begins[at].0,
            began: begins[at].1,
            ending,
            ended,
            through: through[at],
            healed,
            complaint,
            asked: if cell.login == Login::Cert { sent + audited } else { sent },
            meanwhile: meanwhile[at],
            arrivals: cell.vault.arrivals(),
            audited,
            logins,
        });
    }
    Group { measured, credentials }
}

/// A new version before anything goes wrong.
async fn settle(cell: &Cell) -> Option<std::time::Duration> {
    let version = cell.write_next().await;
    cell.seen(version, 2 * SEEN_WITHIN, |_| true).await
}

/// A new version in the midst of it, where the fault does not matter.
async fn meanwhile(cell: &Cell) -> Option<std::time::Duration> {
    if cell.fault.promise(cell.login) != Ok(Promise::NoMatter) {
        return None;
    }
    sleep(cell.fault.lasts(false) / 3).await;
    let version = cell.write_next().await;
    let denied = |secret| cell.fault == Fault::SomeDenied && secret < DENIED;
    cell.seen(version, SEEN_WITHIN, |secret| !denied(secret)).await
}

fn chosen(fault: Fault, login: Login) -> bool {
    let login_matters = matches!(
        fault,
        Fault::Killed | Fault::Sealed | Fault::Revoked | Fault::LeasesRevoked | Fault::OneUse | Fault::Batch
    );
    wants("CHAOS", "full") || login_matters || matches!(login, Login::Token | Login::Jwt)
}

/// `CHAOS_ONLY=Killed` runs one fault, for whoever works on it.
#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn wanted(fault: Fault) -> bool {
    std::env::var("CHAOS_ONLY").map_or(true, |only| only.split(',').any(|name| name == format!("{fault:?}")))
}

#[expect(clippy::disallowed_methods, reason = "a test's own switch")]
fn wants(name: &str, value: &str) -> bool {
    std::env::var(name).is_ok_and(|given| given == value)
}
