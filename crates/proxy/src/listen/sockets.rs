//! Listening sockets: one for each worker and listener.
//!
//! Owns: that all workers listen on the same port. Must not know: what is done with a connection.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;
use crate::options::Listener;

/// Sockets for each worker.
#[expect(clippy::type_complexity, reason = "used in one place")]
pub(super) fn bind(
    listeners: &[Listener],
    workers: usize,
) -> Result<(Vec<Vec<(Listener, TcpListener)>>, Vec<SocketAddr>), StartError> {
    let mut by_worker: Vec<Vec<(Listener, TcpListener)>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::with_capacity(listeners.len());
    for listener in listeners {
        let mut address = listener.address;
        for sockets in &mut by_worker {
            let fail =
                |error: io::Error| StartError::Listen { address, reason: postern_secrets::io_reason(&error) };
            let socket = bind_one(address, listener.ipv6_only).map_err(fail)?;
            // Of port 0 the kernel chooses one, and the other workers take the same.
            address = socket.local_addr().map_err(fail)?;
            sockets.push((Listener { address, ..*listener }, socket));
        }
        addresses.push(address);
    }
    Ok((by_worker, addresses))
}

fn bind_one(address: SocketAddr, ipv6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(ipv6_only)?;
    }
    socket.bind(&address.into())?;
    socket.listen(16_384)?;
    Ok(socket.into())
}
