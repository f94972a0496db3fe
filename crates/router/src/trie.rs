//! A radix tree: all keys that some bytes begin with, in one walk.
//!
//! Owns: the tree. Must not know: what keys and values are. `index.rs` looks up paths and hosts with it.

/// Keys with values.
#[derive(Debug)]
pub(crate) struct Trie<V> {
    /// The first is the root; others are named by their place.
    nodes: Vec<Node<V>>,
}

#[derive(Debug)]
struct Node<V> {
    /// What leads here from the node above.
    label: Vec<u8>,
    /// By the first byte of their label.
    children: Vec<(u8, u32)>,
    value: Option<V>,
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self { nodes: vec![Node { label: Vec::new(), children: Vec::new(), value: None }] }
    }
}

impl<V: Default> Trie<V> {
    /// The value of a key, which comes to be.
    pub(crate) fn entry(&mut self, key: &[u8]) -> &mut V {
        let (mut at, mut rest) = (0, key);
        while let Some(&first) = rest.first() {
            match self.nodes[at].children.binary_search_by_key(&first, |child| child.0) {
                Ok(place) => {
                    at = self.nodes[at].children[place].1 as usize;
                    let label = &self.nodes[at].label;
                    let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
                    self.split(at, common);
                    rest = &rest[common..];
                }
                Err(place) => {
                    let leaf = self.add(Node { label: rest.to_vec(), children: Vec::new(), value: None });
                    self.nodes[at].children.insert(place, (first, leaf));
                    (at, rest) = (leaf as usize, &[]);
                }
            }
        }
        self.nodes[at].value.get_or_insert_default()
    }

    /// Ends a node's label after so many bytes; the rest becomes its only child.
    fn split(&mut self, at: usize, len: usize) {
        let node = &mut self.nodes[at];
        if len == node.label.len() {
            return;
        }
        let label = node.label.split_off(len);
        let first = label[0];
        let below = Node { label, children: std::mem::take(&mut node.children), value: node.value.take() };
        let below = self.add(below);
        self.nodes[at].children = vec![(first, below)];
    }

    fn add(&mut self, node: Node<V>) -> u32 {
        self.nodes.push(node);
        // A configuration with four thousand million paths does not fit into memory.
        (self.nodes.len() - 1) as u32
    }
}

impl<V> Trie<V> {
    /// Shows the value of each key with which the bytes begin, shortest first, and how many bytes are behind it.
    pub(crate) fn walk(&self, bytes: impl ExactSizeIterator<Item = u8>, mut visit: impl FnMut(&V, usize)) {
        let mut bytes = bytes;
        let mut node = &self.nodes[0];
        loop {
            if let Some(value) = &node.value {
                visit(value, bytes.len());
            }
            let Some(first) = bytes.next() else { return };
            let Ok(place) = node.children.binary_search_by_key(&first, |child| child.0) else { return };
            node = &self.nodes[node.children[place].1 as usize];
            if !node.label[1..].iter().all(|byte| bytes.next() == Some(*byte)) {
                return;
            }
        }
    }
}
