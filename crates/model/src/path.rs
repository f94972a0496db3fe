//! How a place in a document is spelt in messages: `plugins[0].config.headers["x.y"]`.
//!
//! Owns: the spelling. Must not know: what stands at the place. `decode` and `check` walk documents with it.

/// One step down.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    /// Into a mapping. Concealed keys come as their stand-in.
    Key(&'a str),
    /// Into a list.
    Index(usize),
}

/// The steps below a place that is spelt already.
pub(crate) fn join(start: &str, steps: &[Step<'_>]) -> String {
    let mut path = start.to_owned();
    for step in steps {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key)
                if key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) =>
            {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(key);
            }
            Step::Key(key) => path.push_str(&format!("[{key:?}]")),
        }
    }
    path
}
