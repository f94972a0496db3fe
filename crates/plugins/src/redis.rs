//! The Redis that plugins share counts and tokens in.
//!
//! Owns: one connection for each server, over which commands of all requests go one behind the other; that it is made anew when
//! it breaks or its credentials rotate; that a server which is away costs a request nothing but a moment. Must not know: what
//! is asked. Why this is not a library's client: docs/decisions/0018. `connect` logs in, `resp` is the protocol.

pub(crate) mod connect;
pub(crate) mod resp;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use postern_secrets::backoff::Backoff;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use self::connect::{Connection, Failure, Place, Settings, connect, is_about_credentials};
use self::resp::Reply;
use crate::prepared::Living;
use crate::renewal::Renewal;

/// Commands that may wait for a connection.
const WAITING: usize = 4096;
/// After a failure, nobody is asked for so long.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// A Redis: one server, the master that Sentinels name, or a cluster.
#[derive(Default)]
pub(crate) struct Redis {
    terms: ArcSwapOption<Terms>,
    /// By place; `None` is the one of the settings.
    servers: Mutex<HashMap<Option<Place>, mpsc::Sender<Command>>>,
    /// Where a cluster keeps its slots, as far as it has told.
    slots: Mutex<HashMap<u16, Place>>,
}

struct Terms {
    settings: Settings,
    renewal: Renewal,
    runtime: Handle,
    /// Told when other terms are there.
    replaced: Arc<Notify>,
}

struct Command {
    bytes: Vec<u8>,
    reply: oneshot::Sender<Result<Reply, Failure>>,
}

impl Redis {
    /// From now on it is reached like this. Connections that were made otherwise end when they have answered; where nothing
    /// changes, they stay.
    pub(crate) fn reach(&self, settings: Settings, living: &Living<'_>) {
        let (renewal, runtime) = (living.renewal.clone(), living.io.clone());
        let before = self.terms.load_full();
        let same = before.as_ref().filter(|before| before.settings == settings);
        let replaced = same.map(|same| Arc::clone(&same.replaced));
        let is_same = replaced.is_some();
        let replaced = replaced.unwrap_or_default();
        self.terms.store(Some(Arc::new(Terms { settings, renewal, runtime, replaced })));
        if !is_same {
            before.iter().for_each(|before| before.replaced.notify_waiters());
            self.slots.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// Asks; `key` says which server of a cluster has it.
    pub(crate) async fn ask(self: &Arc<Self>, key: &[u8], words: &[&[u8]]) -> Result<Reply, Failure> {
        let terms =
            self.terms.load_full().ok_or_else(|| Failure::Away("Redis is not configured".to_owned()))?;
        let bytes = resp::command(words.iter().copied());
        let slot = slot(key);
        let mut place = self.slots.lock().unwrap_or_else(PoisonError::into_inner).get(&slot).cloned();
        let mut asking = false;
        for _ in 0..=terms.settings.redirections {
            if asking {
                self.send(&terms, place.clone(), resp::command([b"ASKING".as_slice()])).await?;
            }
            let reply = self.send(&terms, place.clone(), bytes.clone()).await?;
            let Reply::Error(error) = &reply else { return Ok(reply) };
            match redirection(error) {
                Some((to, for_good)) => {
                    if for_good {
                        self.slots.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, to.clone());
                    }
                    (place, asking) = (Some(to), !for_good);
                }
                None if is_about_credentials(error) => return Err(Failure::Refused),
                None => return Ok(reply),
            }
        }
        Err(Failure::Away("the cluster sends us on and on".to_owned()))
    }

    async fn send(
        self: &Arc<Self>,
        terms: &Terms,
        place: Option<Place>,
        bytes: Vec<u8>,
    ) -> Result<Reply, Failure> {
        let (reply, answer) = oneshot::channel();
        let server = self.server(terms, place);
        let full = |_| Failure::Away("too many requests wait for Redis".to_owned());
        server.try_send(Command { bytes, reply }).map_err(full)?;
        // Login and answer have the time of the settings, each.
        match timeout(terms.settings.timeout * 2, answer).await {
            Ok(Ok(reply)) => reply,
            _ => Err(Failure::Away("Redis does not answer in time".to_owned())),
        }
    }

    fn server(self: &Arc<Self>, terms: &Terms, place: Option<Place>) -> mpsc::Sender<Command> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, server| !server.is_closed());
        if let Some(server) = servers.get(&place) {
            return server.clone();
        }
        let (sender, commands) = mpsc::channel(WAITING);
        servers.insert(place.clone(), sender.clone());
        // The task holds no handle to this: when the last is let go, the channel closes and the task ends.
        terms.runtime.spawn(serve(Arc::downgrade(self), place, commands));
        sender
    }
}

/// Answers commands, over one connection after the other.
async fn serve(redis: std::sync::Weak<Redis>, place: Option<Place>, mut commands: mpsc::Receiver<Command>) {
    let mut failed: Option<(Instant, Failure)> = None;
    let mut failures = 0_u32;
    while let Some(first) = commands.recv().await {
        if let Some((until, failure)) = &failed
            && Instant::now() < *until
        {
            let _ = first.reply.send(Err(failure.clone()));
            continue;
        }
        let Some(terms) = redis.upgrade().and_then(|redis| redis.terms.load_full()) else { return };
        let mut connected = connect(&terms.settings, place.as_ref()).await;
        let mut terms = terms;
        if connected.as_ref().is_err_and(|failure| *failure == Failure::Refused)
            && terms.renewal.renew().await
        {
            // The plugin was made anew, and with it the terms.
            let Some(fresh) = redis.upgrade().and_then(|redis| redis.terms.load_full()) else { return };
            connected = connect(&fresh.settings, place.as_ref()).await;
            terms = fresh;
        }
        match connected {
            Ok(connection) => {
                (failed, failures) = (None, 0);
                exchange(connection, &terms, first, &mut commands).await;
            }
            Err(failure) => {
                failures = failures.saturating_add(1);
                failed = Some((Instant::now() + BACKOFF.after(failures), failure.clone()));
                let _ = first.reply.send(Err(failure.clone()));
                while let Ok(other) = commands.try_recv() {
                    let _ = other.reply.send(Err(failure.clone()));
                }
            }
        }
    }
}

/// Commands and their replies over one connection, until it breaks or there are other terms.
async fn exchange(
    connection: Connection,
    terms: &Terms,
    first: Command,
    commands: &mut mpsc::Receiver<Command>,
) {
    let Connection { stream, mut buffer } = connection;
    let (mut input, mut output) = tokio::io::split(stream);
    let mut waiting: VecDeque<(Instant, oneshot::Sender<Result<Reply, Failure>>)> = VecDeque::new();
    let replaced = terms.replaced.notified();
    tokio::pin!(replaced);
    let (mut next, mut ending) = (Some(first), false);
    let failure = loop {
        if let Some(command) = next.take() {
            waiting.push_back((Instant::now() + terms.settings.timeout, command.reply));
            let sent = async {
                output.write_all(&command.bytes).await?;
                output.flush().await
            };
            if !matches!(timeout(terms.settings.timeout, sent).await, Ok(Ok(()))) {
                break "the connection to Redis broke";
            }
        }
        match resp::take(&mut buffer) {
            Ok(Some(reply)) => {
                let Some((_, asked)) = waiting.pop_front() else { break "Redis says what nobody asked" };
                let is_refusal = matches!(&reply, Reply::Error(error) if is_about_credentials(error));
                let _ = asked.send(Ok(reply));
                // The server has forgotten who we are: the next connection logs in again.
                ending |= is_refusal;
                continue;
            }
            Ok(None) => {}
            Err(_) => break "this is no Redis",
        }
        if ending && waiting.is_empty() {
            return;
        }
        let until = waiting.front().map(|(until, _)| *until);
        tokio::select! {
            biased;
            () = &mut replaced, if !ending => ending = true,
            read = input.read_buf(&mut buffer) => {
                if !matches!(read, Ok(1..)) {
                    break "Redis closed the connection";
                }
            }
            command = commands.recv(), if !ending && waiting.len() < WAITING => match command {
                Some(command) => next = Some(command),
                None => ending = true,
            },
            () = async { sleep_until(until.unwrap_or_else(Instant::now)).await }, if until.is_some() => {
                break "Redis does not answer in time";
            }
        }
    };
    for (_, asked) in waiting {
        let _ = asked.send(Err(Failure::Away(failure.to_owned())));
    }
}

/// Where a cluster sends us: `MOVED 1234 host:port` for good, `ASK` for once.
fn redirection(error: &str) -> Option<(Place, bool)> {
    let mut words = error.split(' ');
    let for_good = match words.next()? {
        "MOVED" => true,
        "ASK" => false,
        _ => return None,
    };
    let (host, port) = words.nth(1)?.rsplit_once(':')?;
    Some(((host.to_owned(), port.parse().ok()?), for_good))
}

/// The slot of a key: CRC16 (XMODEM) of what stands in the first braces, or of all of it.
fn slot(key: &[u8]) -> u16 {
    let tagged = || {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[start..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[start..start + length])
    };
    let mut crc = 0_u16;
    for byte in tagged().unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        }
    }
    crc % SLOTS
}

#[cfg(test)]
pub(crate) mod tests;
