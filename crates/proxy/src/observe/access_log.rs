//! The access log: a line for each request, written by a thread of its own.
//!
//! Owns: the two forms of a line, and that what a client sent cannot break out of its field. Must not know: who reads
//! it. A worker gathers lines and hands them on a few times a second; where the disk does not keep up, lines are left
//! out and counted, and no request waits.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use http::header::{HeaderName, REFERER, USER_AGENT};
use postern_plugins::view::{Source, Summary};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::exchange::Exchange;

/// nginx's `$time_local`, in UTC.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000");
/// Handed on at the latest when so many bytes were gathered.
const GATHERED: usize = 32 * 1024;
/// Batches that may wait for the disk.
const WAITING: usize = 256;

/// A worker's end of the log.
pub(crate) struct Log {
    lines: RefCell<Vec<u8>>,
    json: bool,
    out: SyncSender<Vec<u8>>,
    left_out: Arc<AtomicU64>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    out: Option<SyncSender<Vec<u8>>>,
    left_out: Arc<AtomicU64>,
    reopen: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the file and starts the thread.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn start(path: &Path) -> std::io::Result<Self> {
        let file = open(path)?;
        let (out, batches) = sync_channel(WAITING);
        let (path, reopen) = (path.to_owned(), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&reopen);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write(&path, file, batches, &asked))?;
        Ok(Self { out: Some(out), left_out: Arc::default(), reopen, thread: Some(thread) })
    }

    /// Has the file opened again: it may have been moved away, as logrotate does.
    pub fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        // Wakes the thread; where the queue is full, it is awake.
        let _ = self.out.as_ref().map(|out| out.try_send(Vec::new()));
    }

    /// Writes a line, with its end. Where the disk does not keep up, it is left out.
    pub fn line(&self, line: String) {
        let full = self.out.as_ref().is_some_and(|out| out.try_send(line.into_bytes()).is_err());
        if full && self.left_out.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::warn!("a log file cannot be written fast enough; lines are left out");
        }
    }

    /// An end for a worker.
    pub(crate) fn log(&self, json: bool) -> Option<Log> {
        let out = self.out.clone()?;
        Some(Log { lines: RefCell::default(), json, out, left_out: Arc::clone(&self.left_out) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.out = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[expect(clippy::needless_pass_by_value, reason = "the thread owns them")]
fn write(path: &Path, mut file: File, batches: Receiver<Vec<u8>>, reopen: &AtomicBool) {
    while let Ok(batch) = batches.recv() {
        if reopen.swap(false, Ordering::AcqRel) {
            match open(path) {
                Ok(new) => file = new,
                Err(error) => {
                    let error = postern_secrets::io_reason(&error);
                    tracing::error!(path = %path.display(), error, "cannot open a log file again");
                }
            }
        }
        if let Err(error) = file.write_all(&batch) {
            tracing::warn!(error = postern_secrets::io_reason(&error), "cannot write a log file");
        }
    }
}

impl Log {
    pub(super) fn line(&self, exchange: &Exchange, summary: &Summary<'_>) {
        let mut lines = self.lines.borrow_mut();
        match self.json {
            true => as_json(&mut lines, exchange, summary),
            false => as_nginx(&mut lines, exchange, summary),
        }
        if lines.len() > GATHERED {
            drop(lines);
            self.flush();
        }
    }

    pub(super) fn flush(&self) {
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        if lines.is_empty() {
            return;
        }
        let number = lines.iter().filter(|byte| **byte == b'\n').count();
        if let Err(TrySendError::Full(_)) = self.out.try_send(lines) {
            let before = self.left_out.fetch_add(number as u64, Ordering::Relaxed);
            if before == 0 {
                tracing::warn!("the access log cannot be written fast enough; lines are left out");
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.flush();
    }
}

/// nginx's combined form, and Kong's request id.
fn as_nginx(lines: &mut Vec<u8>, exchange: &Exchange, summary: &Summary<'_>) {
    let view = &exchange.view;
    let _ = write!(lines, "{} - - [", view.client.ip);
    let _ = now().format_into(lines, TIME);
    let _ = write!(lines, "] \"{} ", view.method);
    let redaction = &exchange.worker.options.redaction;
    let shown = |text| redaction.text(view, text);
    escape(lines, shown(exchange.target.path().into()).as_bytes());
    if let Some(query) = exchange.target.query() {
        lines.push(b'?');
        escape(lines, shown(redaction.query(view, query)).as_bytes());
    }
    let _ = write!(lines, " {:?}\" {} {} \"", view.client.version, summary.status.as_u16(), summary.sent);
    header(lines, exchange, REFERER);
    lines.extend_from_slice(b"\" \"");
    header(lines, exchange, USER_AGENT);
    let _ = writeln!(lines, "\" kong_request_id: \"{}\"", view.id);
}

fn header(lines: &mut Vec<u8>, exchange: &Exchange, name: HeaderName) {
    match exchange.view.headers.get(name) {
        Some(value) => {
            let redaction = &exchange.worker.options.redaction;
            match redaction.met_any(&exchange.view) {
                false => escape(lines, value.as_bytes()),
                true => {
                    let text = String::from_utf8_lossy(value.as_bytes());
                    escape(lines, redaction.text(&exchange.view, text).as_bytes());
                }
            }
        }
        None => lines.push(b'-'),
    }
}

/// As nginx: quotes, backslashes and what is no printable ASCII as `\xXX`.
fn escape(lines: &mut Vec<u8>, text: &[u8]) {
    for byte in text {
        match byte {
            b'"' | b'\\' | 0..=31 | 127..=255 => drop(write!(lines, "\\x{byte:02X}")),
            byte => lines.push(*byte),
        }
    }
}

/// One JSON object a line.
fn as_json(lines: &mut Vec<u8>, exchange: &Exchange, summary: &Summary<'_>) {
    let view = &exchange.view;
    let redaction = &exchange.worker.options.redaction;
    let shown = |text| redaction.text(view, text);
    let text = |name: HeaderName| {
        view.headers.get(name).map(|value| shown(String::from_utf8_lossy(value.as_bytes())).into_owned())
    };
    let milliseconds = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let line = json!({
        "time": now().format(&Rfc3339).unwrap_or_default(),
        "request_id": view.id.to_string(),
        "client_ip": view.client.ip.to_string(),
        "method": view.method.as_str(),
        "host": view.client.host,
        "path": shown(exchange.target.path().into()),
        "query": exchange.target.query().map(|query| shown(redaction.query(view, query))),
        "protocol": format!("{:?}", view.client.version),
        "status": summary.status.as_u16(),
        "source": match summary.source {
            Source::Upstream => "upstream",
            Source::Plugin => "plugin",
            Source::Gateway => "gateway",
        },
        "received": summary.received,
        "sent": summary.sent,
        "route": view.route.as_ref().map(|route| route.name.clone().unwrap_or_else(|| route.id.to_string())),
        "service": view.service.as_ref().map(|service| service.name.clone().unwrap_or_else(|| service.id.to_string())),
        "consumer": view.consumer.as_ref().map(|consumer| consumer.id.to_string()),
        "target": exchange.upstream.picked.as_ref().map(|picked| shown(picked.target.to_string().into())),
        "tries": exchange.upstream.tries,
        "referer": text(REFERER),
        "user_agent": text(USER_AGENT),
        "total_ms": milliseconds(summary.total),
        "gateway_ms": milliseconds(summary.gateway),
        "upstream_ms": summary.upstream.map(milliseconds),
    });
    let _ = serde_json::to_writer(&mut *lines, &line);
    lines.push(b'\n');
}

fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_cannot_end_before_its_end() {
        let mut lines = Vec::new();
        escape(&mut lines, "a\" 200 \n\\ä\u{1b}[2J".as_bytes());
        assert_eq!(String::from_utf8(lines).unwrap(), r"a\x22 200 \x0A\x5C\xC3\xA4\x1B[2J");
    }

    #[test]
    fn lines_come_out_of_the_writer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("access.log");
        let writer = Writer::start(&path).unwrap();
        let log = writer.log(false).unwrap();
        log.lines.borrow_mut().extend_from_slice(b"one\n");
        drop(log);
        drop(writer);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "one\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_opened_again_when_that_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let (path, moved) = (directory.path().join("access.log"), directory.path().join("access.log.1"));
        let writer = Writer::start(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        writer.reopen();
        let log = writer.log(false).unwrap();
        log.lines.borrow_mut().extend_from_slice(b"two\n");
        drop(log);
        drop(writer);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "two\n");
        assert_eq!(std::fs::read_to_string(moved).unwrap(), "");
    }
}
