//! Credentials in files, read at each login because whoever writes them replaces them. Owns: what such a file may hold.
//! Must not know: what the credential is for.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::vault::VaultError;
use postern_client::io_reason;
use postern_secret::Secret;

/// A credential in a file is at most this long.
const MAX: usize = 64 * 1024;

/// A file with one credential, white space around it aside.
#[derive(Debug)]
pub(super) struct CredentialFile {
    /// The field that names it.
    pub(super) field: &'static str,
    pub(super) path: PathBuf,
    /// What it holds: "one JWT".
    pub(super) holds: &'static str,
}

impl CredentialFile {
    /// What it holds now; never nothing.
    pub(super) async fn read(&self) -> Result<Secret, VaultError> {
        let (path, shown) = (self.path.clone(), self.shown());
        let hint = format!("{} names a file with {} that this process may read", self.field, self.holds);
        let read = tokio::task::spawn_blocking(move || text_of(&path)).await;
        let read = read.unwrap_or_else(|_| Err("the read was cancelled".to_owned()));
        let text = read
            .map_err(|reason| VaultError::unusable(format!("cannot read {shown}: {reason}"), hint.clone()))?;
        if text.expose().is_empty() {
            return Err(VaultError::unusable(format!("{shown} is empty"), hint));
        }
        Ok(text)
    }

    /// Field and path, for people.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.field, self.path.display())
    }
}

fn text_of(path: &Path) -> Result<Secret, String> {
    let mut file = std::fs::File::open(path).map_err(|error| io_reason(&error))?;
    // The whole buffer at once: a growing one would leave pieces of itself behind.
    let mut bytes = Zeroizing::new(vec![0; MAX + 1]);
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_reason(&error)),
        }
    }
    if length > MAX {
        return Err(format!("larger than {MAX} bytes"));
    }
    let text = std::str::from_utf8(&bytes[..length]).map_err(|_| "not UTF-8".to_owned())?;
    Ok(Secret::from(text.trim()))
}
