//! The cold start: 10,000 references on 1,000 secrets, beside a bare loop that does the same 1,000 GETs.
//!
//! Both are processes of their own on a runtime of one thread, as the gateway has, and take turns. The engine's time
//! runs from its start to the last value in its slot, its login included; the bare loop has its token and does nothing
//! with the bodies. What a configuration check has done before (parsing the references) is told beside it.

use postern_secrets::rotate::Engine;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::bao::{Bao, Seen};
use crate::report::{Report, progress};
use crate::stand::{SECRETS, Stand, check, process_cpu, secret_name, slots, templates};
use crate::stats::median;
use crate::{Effort, Failure, child};

/// Runs that do not count.
const WARM_UP: usize = 2;

/// What one run took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    wall_ms: f64,
    cpu_ms: f64,
    /// For parsing all references, before; the bare loop has none.
    parse_ms: f64,
}

/// The engine's side.
pub(crate) async fn engine(stand: Stand) -> Result<Taken, Failure> {
    let began = Instant::now();
    let templates = templates()?;
    let parse_ms = began.elapsed().as_secs_f64() * 1e3;
    let resolver = stand.resolver(Some(60))?;

    let (started, cpu) = (Instant::now(), process_cpu());
    let engine = Engine::start(resolver);
    let slots = slots(&engine, &templates);
    engine.settled(&slots).await;
    let taken = Taken {
        wall_ms: started.elapsed().as_secs_f64() * 1e3,
        cpu_ms: (process_cpu() - cpu).as_secs_f64() * 1e3,
        parse_ms,
    };
    check(&slots, 0)?;
    Ok(taken)
}

/// The bare loop.
pub(crate) async fn bare(stand: Stand) -> Result<Taken, Failure> {
    let http = stand.reader();
    let (started, cpu) = (Instant::now(), process_cpu());
    let get = |http: crate::http::Http, number| async move {
        http.get(&format!("secret/data/{}", secret_name(number))).await.map(drop)
    };
    http.each(SECRETS, get).await?;
    Ok(Taken {
        wall_ms: started.elapsed().as_secs_f64() * 1e3,
        cpu_ms: (process_cpu() - cpu).as_secs_f64() * 1e3,
        parse_ms: 0.0,
    })
}

/// Both in turns.
pub(crate) async fn measure(bao: &Bao, effort: Effort, report: &mut Report) -> Result<(), Failure> {
    let stand = bao.stand().await?;
    let (mut ours, mut bare, mut most) = (Vec::new(), Vec::new(), Seen::default());
    for turn in 0..WARM_UP + effort.runs {
        let mark = bao.mark()?;
        let engine: Taken = child::measure("cold-engine", &stand).await?;
        let seen = bao.seen_since(mark)?;
        let beside: Taken = child::measure("cold-bare", &stand).await?;
        most = Seen {
            reads: most.reads.max(seen.reads),
            logins: most.logins.max(seen.logins),
            others: most.others.max(seen.others),
        };
        if turn >= WARM_UP {
            ours.push(engine);
            bare.push(beside);
            progress(&format!(
                "cold {turn}: engine {:.0} ms ({:.0} CPU), bare {:.0} ms ({:.0} CPU)",
                engine.wall_ms, engine.cpu_ms, beside.wall_ms, beside.cpu_ms
            ));
        }
    }
    let Seen { reads, logins, others } = most;
    report.row(
        "10,000 references on 1,000 secrets, cold: requests that OpenBao's audit device saw",
        "1,000 reads, 1 login",
        format_args!("{reads} reads, {logins} login, {others} others (the most of all runs)"),
        reads <= SECRETS && logins <= 1 && others == 0,
    );

    let of = |runs: &[Taken], pick: fn(&Taken) -> f64| median(&runs.iter().map(pick).collect::<Vec<_>>());
    let pairs = ours.iter().zip(&bare);
    let ratio = median(&pairs.clone().map(|(ours, bare)| ours.wall_ms / bare.wall_ms).collect::<Vec<_>>());
    let cpu = median(&pairs.map(|(ours, bare)| ours.cpu_ms / bare.cpu_ms).collect::<Vec<_>>());
    let (ours_ms, bare_ms) = (of(&ours, |run| run.wall_ms), of(&bare, |run| run.wall_ms));
    report.row(
        "the same: time, beside a bare loop of 1,000 GETs, 8 at a time",
        "≤ 1.2×",
        format_args!("{ratio:.2}× ({ours_ms:.0} ms beside {bare_ms:.0} ms)"),
        ratio <= 1.2,
    );
    report.note(format_args!(
        "Cold start, CPU of the client's process: {:.0} ms beside {:.0} ms of the bare loop ({cpu:.2}×). Parsing the \
         references took another {:.0} ms, before. Medians of {} runs in turns.",
        of(&ours, |run| run.cpu_ms),
        of(&bare, |run| run.cpu_ms),
        of(&ours, |run| run.parse_ms),
        effort.runs
    ));
    Ok(())
}
