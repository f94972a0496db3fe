//! Pairs of keys and texts → a tree of texts: `config.minute=5`, `paths[]=/a`, `paths[1]=/a`, `hosts=a&hosts=b`.
//!
//! Owns: the grammar of keys, which is Kong's. Must not know: fields; `infer` knows which lists are lists.

use std::collections::BTreeMap;

use super::{DEPTH, PAIRS, Unreadable};

/// Texts, by name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// One.
    Text(String),
    /// Several for one key, or with `[]`.
    List(Vec<Tree>),
    /// By name; also `[1]`, for whether that is a list is for the field to say.
    Map(BTreeMap<String, Tree>),
}

/// Reads `a=1&b=2`.
pub(super) fn urlencoded(bytes: &[u8]) -> Result<Tree, Unreadable> {
    let text = std::str::from_utf8(bytes).map_err(|_| Unreadable::NotUtf8)?;
    let mut pairs = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decoded(key)?, decoded(value)?));
        if pairs.len() > PAIRS {
            return Err(Unreadable::TooMany);
        }
    }
    tree(pairs)
}

/// `form_urlencoded` would put U+FFFD in place of what is no UTF-8; that is another text than was sent.
fn decoded(text: &str) -> Result<String, Unreadable> {
    let spaces = text.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaces).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_| Unreadable::NotUtf8)
}

/// Puts the pairs together.
pub(super) fn tree(pairs: Vec<(String, String)>) -> Result<Tree, Unreadable> {
    if pairs.len() > PAIRS {
        return Err(Unreadable::TooMany);
    }
    let mut root = Tree::Map(BTreeMap::new());
    for (key, value) in pairs {
        if key.contains('\0') || value.contains('\0') {
            return Err(Unreadable::Nul);
        }
        let steps = steps(&key)?;
        insert(&mut root, &steps, value)?;
    }
    Ok(root)
}

/// One step of a key.
#[derive(Clone, Debug, PartialEq)]
enum Step<'a> {
    Name(&'a str),
    /// `[]`
    Append,
}

fn steps(key: &str) -> Result<Vec<Step<'_>>, Unreadable> {
    const BRACKET: Unreadable = Unreadable::NotForm("a key has a bracket that does not fit");
    let end = |text: &str| text.find(['.', '[']).unwrap_or(text.len());
    let (first, mut rest) = key.split_at(end(key));
    let mut steps = vec![Step::Name(first)];
    while !rest.is_empty() {
        if steps.len() >= DEPTH {
            return Err(Unreadable::TooDeep);
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let (name, after) = inside.split_once(']').ok_or(BRACKET)?;
            if !(after.is_empty() || after.starts_with(['.', '['])) {
                return Err(BRACKET);
            }
            steps.push(if name.is_empty() { Step::Append } else { Step::Name(name) });
            rest = after;
        } else {
            let name = &rest[1..];
            let (name, after) = name.split_at(end(name));
            steps.push(Step::Name(name));
            rest = after;
        }
    }
    Ok(steps)
}

fn insert(node: &mut Tree, steps: &[Step<'_>], value: String) -> Result<(), Unreadable> {
    const MIXED: Unreadable = Unreadable::NotForm("a key is given in two ways that exclude each other");
    let Some((step, rest)) = steps.split_first() else {
        match node {
            Tree::Text(first) => {
                let first = std::mem::take(first);
                *node = Tree::List(vec![Tree::Text(first), Tree::Text(value)]);
            }
            Tree::List(items) => items.push(Tree::Text(value)),
            // A place that was just made for it.
            Tree::Map(entries) if entries.is_empty() => *node = Tree::Text(value),
            Tree::Map(_) => return Err(MIXED),
        }
        return Ok(());
    };
    match step {
        Step::Name(name) => {
            let Tree::Map(entries) = node else { return Err(MIXED) };
            insert(entries.entry((*name).to_owned()).or_insert_with(empty), rest, value)
        }
        Step::Append => {
            if *node == empty() {
                *node = Tree::List(Vec::new());
            }
            let Tree::List(items) = node else { return Err(MIXED) };
            let mut item = empty();
            insert(&mut item, rest, value)?;
            items.push(item);
            Ok(())
        }
    }
}

fn empty() -> Tree {
    Tree::Map(BTreeMap::new())
}
