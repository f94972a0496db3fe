//! Vaults whose own fields come out of vaults.
//!
//! Owns: that a field of a vault refers only to `env` and `fs` vaults, which need no login, and that no vault needs
//! itself. Must not know: documents; it sees checked vaults only.

use std::collections::HashMap;

use postern_secrets::{Kind, Reference};

use crate::entity::vault::VaultEntity;
use crate::violation::{Report, Violation};

/// More of the way round a circle is not spelled out.
const MAX_SHOWN: usize = 8;

/// What is wrong with vaults because of others.
pub(super) struct Fault {
    /// Which of them cannot be used for it, by their places in the list.
    pub(super) vaults: Vec<usize>,
    /// What is wrong.
    pub(super) violation: Violation,
}

/// Checks all vaults together; each comes with its path.
pub(super) fn check(vaults: &[(String, VaultEntity)], report: &mut Report) {
    faults(vaults).into_iter().for_each(|fault| report.push(fault.violation));
}

/// The same, by the vaults that it concerns: all that are in a circle, and no others.
pub(super) fn faults(vaults: &[(String, VaultEntity)]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let index: HashMap<&str, usize> =
        vaults.iter().enumerate().map(|(index, (_, vault))| (vault.prefix.as_str(), index)).collect();
    let mut edges: Vec<Vec<Edge>> = vaults.iter().map(|_| Vec::new()).collect();
    for (from, (path, vault)) in vaults.iter().enumerate() {
        for (field, reference) in vault.settings.references() {
            let (to, kind) = target(&reference, vaults, &index);
            if let Some(kind) = kind.filter(|kind| !kind.may_fill_settings()) {
                let message = format!(
                    "a field of a vault may refer to an {} vault only, not to {}",
                    Kind::names_of(Kind::may_fill_settings),
                    kind.name()
                );
                let violation = violation(path, vault, field, message);
                faults.push(Fault { vaults: vec![from], violation });
            }
            edges[from].extend(to.map(|to| Edge { to, field }));
        }
    }
    let circles = circles(&edges);
    let components = if circles.is_empty() { Vec::new() } else { components(&edges) };
    for (way, field) in circles {
        let (path, last) = &vaults[way[way.len() - 1]];
        let names = way.iter().map(|index| vaults[*index].1.prefix.as_str());
        let mut names: Vec<_> = names.take(MAX_SHOWN).collect();
        if way.len() > MAX_SHOWN {
            names.push("…");
        }
        let message = format!("the vault needs itself: {} → {}", names.join(" → "), names[0]);
        let violation = violation(path, last, field, message);
        // There may be another way round that the walk did not take.
        let all = (0..vaults.len()).filter(|index| components[*index] == components[way[0]]).collect();
        faults.push(Fault { vaults: all, violation });
    }
    faults
}

/// A field of one vault that refers to another vault of the document.
struct Edge {
    to: usize,
    field: &'static str,
}

/// The vault that a reference names, if the document has it, and its kind, if that is known.
fn target(
    reference: &Reference,
    vaults: &[(String, VaultEntity)],
    index: &HashMap<&str, usize>,
) -> (Option<usize>, Option<Kind>) {
    let to = index.get(reference.name()).copied();
    let kind = to.map(|to| vaults[to].1.kind).or_else(|| Kind::parse(reference.name()).ok());
    (to, kind)
}

/// Every edge that closes a circle in a walk over the graph, with the way round that ends at that edge's start.
/// Looks at each edge once and does not recurse: a file may chain a hundred thousand vaults.
fn circles(edges: &[Vec<Edge>]) -> Vec<(Vec<usize>, &'static str)> {
    let mut found = Vec::new();
    let mut done = vec![false; edges.len()];
    let mut place: Vec<Option<usize>> = vec![None; edges.len()];
    for start in 0..edges.len() {
        if done[start] {
            continue;
        }
        let mut way = vec![(start, edges[start].iter())];
        place[start] = Some(0);
        while let Some((at, rest)) = way.last_mut() {
            let at = *at;
            match rest.next() {
                None => {
                    (done[at], place[at]) = (true, None);
                    way.pop();
                }
                Some(edge) if done[edge.to] => {}
                Some(edge) => match place[edge.to] {
                    Some(first) => {
                        // The last one is where the message belongs; what lies between is cut when it is shown.
                        let round = way[first..].iter().map(|(index, _)| *index);
                        let mut round: Vec<_> = round.take(MAX_SHOWN + 1).collect();
                        if round.last() != Some(&at) {
                            round.push(at);
                        }
                        found.push((round, edge.field));
                    }
                    None => {
                        place[edge.to] = Some(way.len());
                        way.push((edge.to, edges[edge.to].iter()));
                    }
                },
            }
        }
    }
    found
}

/// A number for each vault, the same for those that need each other. Does not recurse either.
fn components(edges: &[Vec<Edge>]) -> Vec<usize> {
    let mut back: Vec<Vec<usize>> = edges.iter().map(|_| Vec::new()).collect();
    for (from, edges) in edges.iter().enumerate() {
        edges.iter().for_each(|edge| back[edge.to].push(from));
    }
    // In the order in which a walk is done with them; then against the arrows, the last one first.
    let (mut done, mut seen) = (Vec::with_capacity(edges.len()), vec![false; edges.len()]);
    for start in 0..edges.len() {
        let mut way = if std::mem::replace(&mut seen[start], true) { Vec::new() } else { vec![(start, 0)] };
        while let Some((at, next)) = way.last_mut() {
            match edges[*at].get(*next) {
                Some(edge) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[edge.to], true) {
                        way.push((edge.to, 0));
                    }
                }
                None => {
                    done.push(*at);
                    way.pop();
                }
            }
        }
    }
    let mut component: Vec<Option<usize>> = vec![None; edges.len()];
    for start in done.into_iter().rev() {
        let mut way = vec![start];
        while let Some(at) = way.pop() {
            if component[at].is_none() {
                component[at] = Some(start);
                way.extend(&back[at]);
            }
        }
    }
    component.into_iter().map(Option::unwrap_or_default).collect()
}

fn violation(path: &str, vault: &VaultEntity, field: &'static str, message: String) -> Violation {
    let spellings = vault.kind.field(field).into_iter().flat_map(|field| field.spellings());
    let written = spellings.filter_map(|name| Some((name, *vault.field_positions.get(name)?))).next();
    let (name, position) = written.unwrap_or((field, vault.position));
    let hint = format!(
        "take the value from an {} vault that needs nothing itself, such as {{vault://env/name}}",
        Kind::names_of(Kind::may_fill_settings)
    );
    Violation::error(format!("{path}.config.{name}"), Some(position), message).with_hint(hint)
}
