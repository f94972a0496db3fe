//! What stands between `${{` and `}}`: commands joined by pipes.
//!
//! Owns: the small part of Go's template language that decK's documentation shows: a function with its arguments,
//! text in double quotes or backquotes, numbers, pipes, parentheses. Must not know: where in a file it stands.
//! `function` does the work.

use super::function::{TemplateError, Value, call};

/// Deeper parentheses than this are nobody's template.
const MAX_DEPTH: usize = 16;

/// Evaluates the template whose body begins `text`: the value, and the length of the body with its `}}`.
pub(super) fn evaluate(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, usize), TemplateError> {
    let mut parser = Parser { rest: text, env };
    let value = parser.pipeline(&Token::Close, 0)?;
    Ok((value.into_text(), text.len() - parser.rest.len()))
}

#[derive(Debug, PartialEq)]
enum Token {
    Name(String),
    Text(String),
    Integer(i64),
    Pipe,
    OpenParen,
    CloseParen,
    /// The `}}` after a template.
    Close,
}

struct Parser<'a> {
    rest: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl Parser<'_> {
    /// Commands up to `end`, each taking the value of the one before as its last argument.
    fn pipeline(&mut self, end: &Token, depth: usize) -> Result<Value, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(TemplateError::TooDeep);
        }
        let mut piped = None;
        loop {
            let (value, after) = self.command(piped, depth)?;
            match after {
                Token::Pipe => piped = Some(value),
                after if after == *end => return Ok(value),
                after => return Err(unexpected(&after)),
            }
        }
    }

    /// A function with its arguments, or a value; and the token after it.
    fn command(&mut self, piped: Option<Value>, depth: usize) -> Result<(Value, Token), TemplateError> {
        let function = match self.token()? {
            Token::Name(name) => name,
            Token::Close | Token::CloseParen | Token::Pipe => return Err(TemplateError::Empty),
            value if piped.is_some() => return Err(unexpected(&value)),
            value => return Ok((self.value(value, depth)?, self.token()?)),
        };
        let mut arguments = Vec::new();
        loop {
            match self.token()? {
                end @ (Token::Pipe | Token::Close | Token::CloseParen) => {
                    arguments.extend(piped);
                    return Ok((call(&function, arguments, self.env)?, end));
                }
                token if arguments.len() < 2 => arguments.push(self.value(token, depth)?),
                token => return Err(unexpected(&token)),
            }
        }
    }

    fn value(&mut self, token: Token, depth: usize) -> Result<Value, TemplateError> {
        match token {
            Token::Text(text) => Ok(Value::Written(text)),
            Token::Integer(value) => Ok(Value::Integer(value)),
            Token::OpenParen => self.pipeline(&Token::CloseParen, depth + 1),
            other => Err(unexpected(&other)),
        }
    }

    fn token(&mut self) -> Result<Token, TemplateError> {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
        if let Some(rest) = self.rest.strip_prefix("}}") {
            self.rest = rest;
            return Ok(Token::Close);
        }
        let first = self.rest.chars().next().ok_or(TemplateError::Unclosed)?;
        match first {
            '|' => Ok(self.single(Token::Pipe)),
            '(' => Ok(self.single(Token::OpenParen)),
            ')' => Ok(self.single(Token::CloseParen)),
            '"' => self.quoted(),
            '`' => self.raw(),
            'a'..='z' | 'A'..='Z' | '_' => Ok(Token::Name(self.word().to_owned())),
            '0'..='9' => {
                let word = self.word();
                word.parse().map(Token::Integer).map_err(|_| TemplateError::Unexpected("number".to_owned()))
            }
            other => Err(TemplateError::Unexpected(format!("character {other:?}"))),
        }
    }

    fn single(&mut self, token: Token) -> Token {
        self.rest = &self.rest[1..];
        token
    }

    fn word(&mut self) -> &str {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// `"..."` with the escapes `\"`, `\\`, `\n`, `\t`; it ends on its own line.
    fn quoted(&mut self) -> Result<Token, TemplateError> {
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Token::Text(text));
                }
                '\n' => break,
                '\\' => text.push(match characters.next() {
                    Some((_, 'n')) => '\n',
                    Some((_, 't')) => '\t',
                    Some((_, escaped @ ('"' | '\\'))) => escaped,
                    _ => return Err(TemplateError::Unexpected("escape".to_owned())),
                }),
                other => text.push(other),
            }
        }
        Err(TemplateError::Unclosed)
    }

    /// `` `...` ``, as it is.
    fn raw(&mut self) -> Result<Token, TemplateError> {
        let body = &self.rest[1..];
        let end = body.find('`').ok_or(TemplateError::Unclosed)?;
        self.rest = &body[end + 1..];
        Ok(Token::Text(body[..end].to_owned()))
    }
}

fn unexpected(token: &Token) -> TemplateError {
    TemplateError::Unexpected(match token {
        Token::Name(name) => format!("name `{name}`"),
        Token::Text(_) => "text".to_owned(),
        Token::Integer(number) => format!("number {number}"),
        Token::Pipe => "`|`".to_owned(),
        Token::OpenParen => "`(`".to_owned(),
        Token::CloseParen => "`)`".to_owned(),
        Token::Close => "`}}`".to_owned(),
    })
}
