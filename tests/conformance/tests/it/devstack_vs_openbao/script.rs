//! Reads `requests.txt`; its head describes the form.

use std::time::Duration;

/// One line of the list, with what belongs to it.
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) text: String,
    pub(super) kind: Kind,
    /// Where the replies differ on purpose.
    pub(super) differences: Vec<String>,
}

pub(super) enum Kind {
    Wait(Duration),
    /// What follows, up to the end, is about things that live for a second or two. Where the machine was too slow to be in time
    /// for them, all of it is done once more.
    Timed,
    TimedEnd,
    Rotate,
    Request(Request),
}

pub(super) struct Request {
    /// `None`: the root token.
    pub(super) token: Option<String>,
    pub(super) namespace: Option<String>,
    /// For how long the answer is to be wrapped.
    pub(super) wrap_ttl: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    /// As it stands in the list; empty: none.
    pub(super) body: String,
    /// Name and pointer of what the reply gives for later requests.
    pub(super) keep: Vec<(String, String)>,
}

pub(super) fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut words = line.trim().splitn(3, ' ');
        match words.next().unwrap_or_default() {
            "" | "#" | "==" => {}
            mark @ (">" | "!") => {
                let step = steps.last_mut().unwrap_or_else(|| panic!("line {number} belongs to no request"));
                let rest = (words.next(), words.next());
                match (mark, rest, &mut step.kind) {
                    (">", (Some(name), Some(pointer)), Kind::Request(request)) => {
                        request.keep.push((name.to_owned(), pointer.to_owned()));
                    }
                    ("!", (Some(pointer), Some(_reason)), _) => step.differences.push(pointer.to_owned()),
                    _ => panic!(
                        "line {number}: a difference needs a pointer and a reason, a kept value a name"
                    ),
                }
            }
            _ => {
                let (text, differences) = (line.to_owned(), Vec::new());
                steps.push(Step { line: number, text, kind: kind(line), differences });
            }
        }
    }
    steps
}

fn kind(line: &str) -> Kind {
    match line {
        "rotate" => return Kind::Rotate,
        "timed" => return Kind::Timed,
        "timed end" => return Kind::TimedEnd,
        _ => {}
    }
    if let Some(seconds) = line.strip_prefix("wait ") {
        return Kind::Wait(Duration::from_secs(seconds.parse().expect("seconds")));
    }
    let mut rest = line;
    let mut option = |keyword: &str| {
        let (value, after) = rest.strip_prefix(keyword)?.split_once(' ')?;
        rest = after;
        Some(value.to_owned())
    };
    let (token, namespace, wrap_ttl) = (option("as "), option("in "), option("wrap "));
    let mut words = rest.splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    let (method, path, body) = (word(), word(), word());
    Kind::Request(Request { token, namespace, wrap_ttl, method, path, body, keep: Vec::new() })
}
