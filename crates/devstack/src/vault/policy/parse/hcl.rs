//! Reads HCL, as far as policies use it, and JSON, into one tree.
//!
//! Owns characters, lines and columns. Must not know what a policy is.

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A number or a flag. No rule needs its value.
    Other,
    List(Vec<Node>),
    Object(Vec<Block>),
}

/// `key "label" ... value`.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) key: String,
    pub(super) labels: Vec<String>,
    pub(super) value: Node,
    pub(super) line: usize,
}

/// How deep blocks and lists may nest.
const DEPTH_LIMIT: usize = 32;

pub(super) fn parse(text: &str) -> Result<Vec<Block>, String> {
    if text.trim_start().starts_with('{') {
        let document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        return match from_json(document) {
            Node::Object(members) => Ok(members),
            _ => Err("expected an object".to_owned()),
        };
    }
    let mut reader = Reader { rest: text, line: 1, column: 1, depth: 0 };
    reader.members(None)
}

fn from_json(value: serde_json::Value) -> Node {
    match value {
        serde_json::Value::String(text) => Node::Text(text),
        serde_json::Value::Array(items) => Node::List(items.into_iter().map(from_json).collect()),
        serde_json::Value::Object(members) => Node::Object(
            members
                .into_iter()
                .map(|(key, value)| Block { key, labels: Vec::new(), value: from_json(value), line: 0 })
                .collect(),
        ),
        _ => Node::Other,
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
    column: usize,
    depth: usize,
}

impl Reader<'_> {
    fn error<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("At {}:{}: {what}", self.line, self.column))
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(c)
    }

    /// Takes `c`, if it comes next.
    fn taken(&mut self, c: char) -> bool {
        let next = self.peek() == Some(c);
        if next {
            self.take();
        }
        next
    }

    fn take_until(&mut self, end: &str) -> bool {
        while !self.rest.is_empty() {
            if self.rest.starts_with(end) {
                return true;
            }
            self.take();
        }
        false
    }

    /// Skips white space and comments.
    fn skip(&mut self) -> Result<(), String> {
        loop {
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                self.take_until("\n");
            } else if self.rest.starts_with("/*") {
                if !self.take_until("*/") {
                    return self.error("comment not terminated");
                }
                self.take();
                self.take();
            } else if self.peek().is_some_and(|c| c.is_whitespace() || c == '\u{feff}') {
                self.take();
            } else {
                return Ok(());
            }
        }
    }

    /// `key value` pairs up to `end`, or to the end of the text.
    fn members(&mut self, end: Option<char>) -> Result<Vec<Block>, String> {
        let mut members = Vec::new();
        loop {
            self.skip()?;
            match self.peek() {
                None if end.is_none() => return Ok(members),
                None => return self.error("object expected closing RBRACE got: EOF"),
                Some(c) if Some(c) == end => {
                    self.take();
                    return Ok(members);
                }
                // Members may be separated by commas.
                Some(',') if !members.is_empty() => drop(self.take()),
                Some(_) => members.push(self.member()?),
            }
        }
    }

    fn member(&mut self) -> Result<Block, String> {
        let line = self.line;
        let key = self.name()?;
        let mut labels = Vec::new();
        loop {
            self.skip()?;
            match self.peek() {
                Some('=') => {
                    self.take();
                    self.skip()?;
                    let value = self.value()?;
                    return Ok(Block { key, labels, value, line });
                }
                Some('{') => {
                    let value = self.value()?;
                    return Ok(Block { key, labels, value, line });
                }
                Some('"') => labels.push(self.quoted()?),
                _ => {
                    return self
                        .error(&format!("key '{key}' expected start of object ('{{') or assignment ('=')"));
                }
            }
        }
    }

    fn name(&mut self) -> Result<String, String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let mut name = String::new();
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.')) {
            name.push(c);
            self.take();
        }
        if name.is_empty() { self.error("expected a name") } else { Ok(name) }
    }

    fn value(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return self.error("nested too deeply");
        }
        let value = match self.peek() {
            Some('"') => Node::Text(self.quoted()?),
            Some('{') => {
                self.take();
                Node::Object(self.members(Some('}'))?)
            }
            Some('[') => self.list()?,
            Some('<') if self.rest.starts_with("<<") => Node::Text(self.heredoc()?),
            _ => {
                self.name()?;
                Node::Other
            }
        };
        self.depth -= 1;
        Ok(value)
    }

    fn list(&mut self) -> Result<Node, String> {
        self.take();
        let mut items = Vec::new();
        loop {
            self.skip()?;
            if self.taken(']') {
                return Ok(Node::List(items));
            }
            items.push(self.value()?);
            self.skip()?;
            if !self.taken(',') && self.peek() != Some(']') {
                return self.error("error parsing list, expected comma or list end");
            }
        }
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.take();
        let mut text = String::new();
        loop {
            match self.take() {
                Some('"') => return Ok(text),
                Some('\\') => match self.take() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c @ ('"' | '\\')) => text.push(c),
                    _ => return self.error("illegal char escape"),
                },
                None | Some('\n') => return self.error("literal not terminated"),
                Some(c) => text.push(c),
            }
        }
    }

    /// `<<EOT` or `<<-EOT`, up to a line that is the same word.
    fn heredoc(&mut self) -> Result<String, String> {
        self.take();
        self.take();
        self.taken('-');
        let mut word = String::new();
        while let Some(c) = self.take().filter(|c| *c != '\n') {
            word.push(c);
        }
        let mut text = String::new();
        while !self.rest.is_empty() {
            let mut line = String::new();
            while let Some(c) = self.take().filter(|c| *c != '\n') {
                line.push(c);
            }
            if line.trim() == word.trim() {
                return Ok(text);
            }
            text.push_str(&line);
            text.push('\n');
        }
        self.error("heredoc not terminated")
    }
}
