//! A real Redis of a test, with one user that has a password.
//!
//! Owns: the process, and what a test does to it beside the gateway. `redis-server` comes from the system's packages.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::ask::becomes;

/// A Redis that lets `gateway` in with a password. It ends when it is dropped.
pub struct Redis {
    port: u16,
    process: Child,
    _directory: TempDir,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Redis {
    /// On a free port.
    ///
    /// # Panics
    /// When there is no `redis-server`.
    pub async fn start(password: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let port =
            TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("a port").port();
        let lines = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nuser gateway on >{password} ~* &* +@all\n",
            directory.path().display()
        );
        let file = directory.path().join("redis.conf");
        std::fs::write(&file, lines).expect("a file");
        let mut command = Command::new("redis-server");
        let command = command.arg(&file).stdout(Stdio::null());
        let process = command.spawn().expect("redis-server is needed: apt-get install redis-server");
        let redis = Self { port, process, _directory: directory };
        becomes("Redis answers", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        redis
    }

    /// The port, of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives `gateway` another password, and ends its connections.
    ///
    /// # Panics
    /// When Redis does not do it.
    pub async fn rotate(&self, password: &str) {
        let said = format!("ACL SETUSER gateway resetpass >{password}\r\nCLIENT KILL USER gateway\r\n");
        let heard = self.say(&said, 2).await;
        assert!(heard.starts_with("+OK\r\n:"), "{heard}");
    }

    /// The sum of all counters that it has.
    ///
    /// # Panics
    /// When it does not say.
    pub async fn counted(&self) -> u64 {
        // A script, because keys are the gateway's own.
        let script = "local all = 0 for _, key in ipairs(redis.call('KEYS', '*')) do \
                      local kind = redis.call('TYPE', key).ok \
                      if kind == 'string' then all = all + (tonumber(redis.call('GET', key)) or 0) \
                      elseif kind == 'hash' then for _, value in ipairs(redis.call('HVALS', key)) do \
                      all = all + (tonumber(value) or 0) end end end return all";
        let length = script.len();
        let said = format!("*3\r\n$4\r\nEVAL\r\n${length}\r\n{script}\r\n$1\r\n0\r\n");
        let heard = self.say(&said, 1).await;
        heard
            .trim()
            .strip_prefix(':')
            .and_then(|count| count.parse().ok())
            .unwrap_or_else(|| panic!("{heard}"))
    }

    /// Says something, and reads so many lines.
    async fn say(&self, said: &str, lines: usize) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("a connection");
        stream.write_all(said.as_bytes()).await.expect("said");
        let (mut heard, mut buffer) = (String::new(), [0; 256]);
        while heard.matches("\r\n").count() < lines {
            let read = stream.read(&mut buffer).await.expect("an answer");
            assert!(read > 0, "Redis ended the connection after {heard:?}");
            heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        heard
    }
}
