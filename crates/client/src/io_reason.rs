//! How a failure of the operating system is told: in its own words, which people search for, without its number.
//! Must not know: what was to be done.

use std::io;

/// "no such file or directory", "permission denied".
pub fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let Some(code) = error.raw_os_error() else { return text };
    let words = text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text);
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_system_says() {
        assert_eq!(io_reason(&std::fs::read("/nowhere").unwrap_err()), "no such file or directory");
        assert_eq!(io_reason(&std::fs::read("/").unwrap_err()), "is a directory");
        assert_eq!(io_reason(&io::Error::other("Our own")), "Our own");
    }
}
