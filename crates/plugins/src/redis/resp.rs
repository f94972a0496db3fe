//! Redis's wire protocol, RESP2.
//!
//! Owns: commands to bytes, bytes to replies. Must not know: connections. A reply is hostile until it is read: its lengths,
//! its depth and the number of its parts are bounded.

use bytes::{Buf as _, Bytes, BytesMut};

/// Bytes of a text in a reply.
const LONGEST: usize = 1024 * 1024;
/// Parts of an array.
const WIDEST: usize = 16 * 1024;
/// Arrays within arrays.
const DEEPEST: usize = 8;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// `+OK`
    Status(String),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3`
    Text(Bytes),
    /// `$-1` and `*-1`
    Nothing,
    /// `*2`
    Array(Vec<Reply>),
}

/// What came is no reply, or too much of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A command, as an array of its words.
pub(crate) fn command<'a>(words: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator>) -> Vec<u8> {
    let words = words.into_iter();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// The next reply, once all of it is there; it is taken out of the buffer.
pub(crate) fn take(buffer: &mut BytesMut) -> Result<Option<Reply>, Malformed> {
    let mut rest: &[u8] = buffer;
    let Some(reply) = read(&mut rest, 0)? else { return Ok(None) };
    let read = buffer.len() - rest.len();
    buffer.advance(read);
    Ok(Some(reply))
}

fn read(rest: &mut &[u8], depth: usize) -> Result<Option<Reply>, Malformed> {
    let Some(line) = line(rest)? else { return Ok(None) };
    let (kind, text) = line.split_first().ok_or(Malformed)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed);
    let number = |text: &str| text.parse::<i64>().map_err(|_| Malformed);
    Ok(Some(match kind {
        b'+' => Reply::Status(text?.to_owned()),
        b'-' => Reply::Error(text?.to_owned()),
        b':' => Reply::Integer(number(text?)?),
        b'$' => match number(text?)? {
            -1 => Reply::Nothing,
            length => {
                let length =
                    usize::try_from(length).ok().filter(|length| *length <= LONGEST).ok_or(Malformed)?;
                let Some((text, after)) = rest.split_at_checked(length) else { return Ok(None) };
                let Some((end, after)) = after.split_at_checked(2) else { return Ok(None) };
                if end != b"\r\n" {
                    return Err(Malformed);
                }
                *rest = after;
                Reply::Text(Bytes::copy_from_slice(text))
            }
        },
        b'*' => match number(text?)? {
            -1 => Reply::Nothing,
            count => {
                let count = usize::try_from(count).ok().filter(|count| *count <= WIDEST).ok_or(Malformed)?;
                if depth == DEEPEST {
                    return Err(Malformed);
                }
                let mut parts = Vec::new();
                for _ in 0..count {
                    let Some(part) = read(rest, depth + 1)? else { return Ok(None) };
                    parts.push(part);
                }
                Reply::Array(parts)
            }
        },
        _ => return Err(Malformed),
    }))
}

/// Up to the line's end, without it.
fn line<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        // A line that does not end is an attack on our memory.
        return if rest.len() > 64 * 1024 { Err(Malformed) } else { Ok(None) };
    };
    let (line, after) = rest.split_at(end);
    *rest = &after[2..];
    Ok(Some(line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(bytes: &[u8]) -> Result<Option<Reply>, Malformed> {
        take(&mut BytesMut::from(bytes))
    }

    #[test]
    fn replies_are_read() {
        for (bytes, reply) in [
            (&b"+OK\r\n"[..], Reply::Status("OK".to_owned())),
            (b"-ERR no\r\n", Reply::Error("ERR no".to_owned())),
            (b":-7\r\n", Reply::Integer(-7)),
            (b"$3\r\na\r\n\r\n", Reply::Text(Bytes::from_static(b"a\r\n"))),
            (b"$-1\r\n", Reply::Nothing),
            (b"*2\r\n:1\r\n*0\r\n", Reply::Array(vec![Reply::Integer(1), Reply::Array(Vec::new())])),
        ] {
            assert_eq!(all(bytes), Ok(Some(reply.clone())));
            for cut in 0..bytes.len() {
                assert_eq!(all(&bytes[..cut]), Ok(None), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_none_or_too_much_is_refused() {
        for bytes in [
            &b"hello\r\n"[..],
            b"\r\n",
            b":x\r\n",
            b"$-2\r\n",
            b"$9999999999\r\n",
            b"*9999999999\r\n",
            b"$1\r\nabc",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
        ] {
            assert_eq!(all(bytes), Err(Malformed), "{bytes:?}");
        }
        assert_eq!(all(&vec![b'+'; 100_000]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>, parts in "[*$:+0-9\r\n-]{0,60}") {
            let _ = all(&bytes);
            let _ = all(parts.as_bytes());
        }

        #[test]
        fn a_command_is_an_array_of_texts(words: Vec<Vec<u8>>) {
            let bytes = command(words.iter().map(Vec::as_slice));
            let texts = words.iter().map(|word| Reply::Text(Bytes::copy_from_slice(word))).collect();
            prop_assert_eq!(all(&bytes), Ok(Some(Reply::Array(texts))));
        }
    }
}
