//! Redis' protocol, version 3 (RESP3), as far as the bus speaks it: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

/// What the server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Integer(i64),
    /// Simple and bulk strings, and the other scalars, as they came.
    Text(Vec<u8>),
    Error(String),
    /// Arrays and sets; maps as keys and values in turn.
    List(Vec<Value>),
    /// What nobody asked for: messages of channels.
    Push(Vec<Value>),
}

/// It is no RESP, or larger than anything that is sent here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The first value of `bytes` and its length; `None` where more has to come.
///
/// # Errors
/// [`Malformed`]: the connection is to be closed.
pub fn parse(bytes: &[u8]) -> Result<Option<(Value, usize)>, Malformed> {
    let mut reader = Reader { bytes, at: 0 };
    match reader.value(DEEPEST) {
        Ok(value) => Ok(Some((value, reader.at))),
        Err(Stop::More) if bytes.len() > LARGEST => Err(Malformed),
        Err(Stop::More) => Ok(None),
        Err(Stop::Malformed) => Err(Malformed),
    }
}

/// A command as it is sent: an array of bulk strings.
pub fn command(parts: &[&[u8]], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        into.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        into.extend_from_slice(part);
        into.extend_from_slice(b"\r\n");
    }
}

enum Stop {
    More,
    Malformed,
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, Stop> {
        let depth = depth.checked_sub(1).ok_or(Stop::Malformed)?;
        let line = self.line()?;
        let (kind, rest) = line.split_first().ok_or(Stop::Malformed)?;
        match kind {
            b'+' | b',' | b'(' => Ok(Value::Text(rest.to_vec())),
            b'-' => Ok(Value::Error(String::from_utf8_lossy(rest).into_owned())),
            b':' => number(rest).map(Value::Integer),
            b'#' => Ok(Value::Integer(i64::from(rest == b"t"))),
            b'_' => Ok(Value::Null),
            b'$' | b'=' => match length(rest)? {
                Some(length) => self.bulk(length).map(|bytes| Value::Text(bytes.to_vec())),
                None => Ok(Value::Null),
            },
            b'!' => match length(rest)? {
                Some(length) => {
                    self.bulk(length).map(|bytes| Value::Error(String::from_utf8_lossy(bytes).into_owned()))
                }
                None => Ok(Value::Null),
            },
            b'*' | b'~' => match length(rest)? {
                Some(count) => self.list(count, depth).map(Value::List),
                None => Ok(Value::Null),
            },
            b'>' => self.list(length(rest)?.unwrap_or(0), depth).map(Value::Push),
            b'%' => {
                let count = length(rest)?.unwrap_or(0).checked_mul(2).ok_or(Stop::Malformed)?;
                self.list(count, depth).map(Value::List)
            }
            _ => Err(Stop::Malformed),
        }
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Vec<Value>, Stop> {
        if count > LONGEST {
            return Err(Stop::Malformed);
        }
        // Nothing is set aside for what has not come.
        (0..count).map(|_| self.value(depth)).collect()
    }

    fn bulk(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        if length > LARGEST {
            return Err(Stop::Malformed);
        }
        let end = self.at.checked_add(length).ok_or(Stop::Malformed)?;
        let bytes = self.bytes.get(self.at..end).ok_or(Stop::More)?;
        match self.bytes.get(end..).unwrap_or_default() {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Err(Stop::More),
            _ => return Err(Stop::Malformed),
        }
        self.at = end.saturating_add(2);
        Ok(bytes)
    }

    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.windows(2).position(|pair| pair == b"\r\n").ok_or(Stop::More)?;
        self.at = self.at.saturating_add(end).saturating_add(2);
        Ok(rest.get(..end).unwrap_or_default())
    }
}

fn number(text: &[u8]) -> Result<i64, Stop> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Stop::Malformed)
}

/// `None` for -1, which version 2 says for nothing.
fn length(text: &[u8]) -> Result<Option<usize>, Stop> {
    match number(text)? {
        -1 => Ok(None),
        number => usize::try_from(number).map(Some).map_err(|_| Stop::Malformed),
    }
}

/// No hint of ours is as large.
pub const LARGEST: usize = 4 * 1024 * 1024;

/// Keys of a scan, and some.
const LONGEST: usize = 65_536;

const DEEPEST: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_documentation_shows_is_read() {
        let text = |text: &str| Value::Text(text.as_bytes().to_vec());
        let whole = |bytes: &[u8]| parse(bytes).expect("well-formed").expect("whole");
        assert_eq!(whole(b"+OK\r\n"), (text("OK"), 5));
        assert_eq!(whole(b":-3\r\n").0, Value::Integer(-3));
        assert_eq!(whole(b"$-1\r\n").0, Value::Null);
        assert_eq!(whole(b"-WRONGPASS no\r\n").0, Value::Error("WRONGPASS no".into()));
        let push = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n+rest";
        assert_eq!(whole(push), (Value::Push(vec![text("message"), text("c"), text("a\r\nb")]), 34));
        assert_eq!(whole(b"%1\r\n+proto\r\n:3\r\n").0, Value::List(vec![text("proto"), Value::Integer(3)]));
        let mut sent = Vec::new();
        command(&[b"PUBLISH", b"c", b"x\r\ny"], &mut sent);
        assert_eq!(whole(&sent).0, Value::List(vec![text("PUBLISH"), text("c"), text("x\r\ny")]));
    }

    #[test]
    fn what_cannot_be_right_is_malformed_before_anything_is_set_aside() {
        for wrong in
            [&b"?x\r\n"[..], b"\r\n", b":x\r\n", b"$99999999999\r\n", b"*9999999\r\n", b"$1\r\nxyz\r\n", b"$-7\r\n"]
        {
            assert_eq!(parse(wrong), Err(Malformed), "{:?}", String::from_utf8_lossy(wrong));
        }
        assert_eq!(parse("*1\r\n".repeat(9).as_bytes()), Err(Malformed), "too deep");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_value_or_none_or_malformed(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(Some((_, length))) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn what_comes_in_parts_is_read_when_it_is_whole(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)) {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let mut sent = Vec::new();
            command(&parts, &mut sent);
            for cut in 0..sent.len() {
                prop_assert_eq!(parse(&sent[..cut]), Ok(None));
            }
            let expected = Value::List(parts.iter().map(|part| Value::Text(part.to_vec())).collect());
            prop_assert_eq!(parse(&sent), Ok(Some((expected, sent.len()))));
        }
    }
}
