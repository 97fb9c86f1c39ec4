//! JSON lines: one flat object a line. Memory: one line, at most [`MAX_RECORD`] bytes.
//!
//! Numbers beyond 64 bits become floating point; nested values are refused. A key that a line lacks is a missing value.

use crate::source::MAX_RECORD;
use crate::text::Text;
use crate::values::Shape;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use twinmart_tables::{Error, Problem, Result};

/// The objects of a file.
pub(crate) struct Lines {
    text: Text,
    line: Vec<u8>,
    row: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Lines> {
        Ok(Lines { text: Text::open(path)?, line: Vec::new(), row: 0 })
    }

    /// Number of the current row, from 1; blank lines do not count.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// Bytes of the current line.
    pub(crate) fn size(&self) -> usize {
        self.line.len()
    }

    /// The next object as pairs in the order written; `None` at the end.
    pub(crate) fn advance(&mut self) -> Result<Option<Pairs<'_>>> {
        self.row += 1;
        loop {
            if !self.read_line()? {
                return Ok(None);
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let object: serde_json::Result<Object<'_>> = serde_json::from_slice(&self.line);
        let pairs = object.map_err(|e| malformed(&e, &self.text, self.row))?.0;
        if let Some((key, _)) = pairs.iter().find(|(_, v)| matches!(v, Scalar::Nested)) {
            return Err(problem("the value is nested", &self.text, self.row)
                .column(key.as_ref())
                .remedy("write nested values as columns of their own")
                .into());
        }
        Ok(Some(pairs))
    }

    fn read_line(&mut self) -> Result<bool> {
        self.line.clear();
        loop {
            let chunk = self.text.fill()?;
            if chunk.is_empty() {
                return Ok(!self.line.is_empty());
            }
            let end = chunk.iter().position(|b| *b == b'\n');
            self.line.extend_from_slice(&chunk[..end.unwrap_or(chunk.len())]);
            let read = end.map_or(chunk.len(), |e| e + 1);
            self.text.consume(read);
            if self.line.len() > MAX_RECORD {
                let what = format!("the line is longer than {} MiB", MAX_RECORD >> 20);
                let remedy = "write one object a line (a file that is one JSON array is not JSON lines)";
                return Err(problem(what, &self.text, self.row).remedy(remedy).into());
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

fn problem(what: impl Into<String>, text: &Text, row: u64) -> Problem {
    Error::data(what).file(text.path()).row(row)
}

fn malformed(error: &serde_json::Error, text: &Text, row: u64) -> Problem {
    let what = if error.is_eof() {
        format!("the line is cut off at its character {}", error.column())
    } else {
        // serde adds «at line 1 column n»; the line is our row.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object ({message}, at character {} of the line)", error.column())
    };
    problem(what, text, row).remedy("write one whole object a line")
}

/// The keys and values of one object, in the order written.
pub(crate) type Pairs<'a> = Vec<(Cow<'a, str>, Scalar<'a>)>;

/// A value of a flat object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Number(f64),
    Text(Cow<'a, str>),
    /// An array or object.
    Nested,
}

impl Scalar<'_> {
    pub(crate) fn shape(&self) -> Shape {
        match self {
            Scalar::Null => Shape::Missing,
            Scalar::Boolean(_) => Shape::Boolean,
            Scalar::Integer(_) => Shape::Integer,
            Scalar::Number(_) => Shape::Number,
            Scalar::Text(text) => Shape::of_time(text),
            Scalar::Nested => Shape::Text,
        }
    }

    /// The text that a column builder reads.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Scalar::Null | Scalar::Nested => Cow::Borrowed(""),
            Scalar::Boolean(x) => Cow::Owned(x.to_string()),
            Scalar::Integer(x) => Cow::Owned(x.to_string()),
            Scalar::Number(x) => Cow::Owned(x.to_string()),
            Scalar::Text(x) => Cow::Borrowed(x),
        }
    }
}

/// The pairs of one object; a key that occurs twice is an error.
struct Object<'a>(Pairs<'a>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut pairs: Pairs<'de> = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    pairs.push((key, map.next_value()?));
                }
                let mut keys: Vec<&str> = pairs.iter().map(|(k, _)| k.as_ref()).collect();
                keys.sort_unstable();
                if let Some(pair) = keys.windows(2).find(|w| w[0] == w[1]) {
                    return Err(A::Error::custom(format!("the key `{}` occurs twice", pair[0])));
                }
                Ok(Object(pairs))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A key, borrowed from the line where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match Scalar::deserialize(deserializer)? {
            Scalar::Text(text) => Ok(Key(text)),
            _ => Err(D::Error::custom("a key is not text")),
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct ScalarVisitor;
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Null)
            }
            fn visit_bool<E>(self, value: bool) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Boolean(value))
            }
            fn visit_i64<E>(self, value: i64) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Integer(value))
            }
            fn visit_u64<E>(self, value: u64) -> std::result::Result<Self::Value, E> {
                Ok(i64::try_from(value).map_or(Scalar::Number(value as f64), Scalar::Integer))
            }
            fn visit_f64<E>(self, value: f64) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Number(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> std::result::Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(value.to_string())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Nested)
            }
        }
        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(content: &[u8]) -> Result<Vec<Vec<(String, String)>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        std::fs::write(&path, content).unwrap();
        let mut lines = Lines::open(&path)?;
        let mut rows = Vec::new();
        while let Some(pairs) = lines.advance()? {
            rows.push(pairs.iter().map(|(k, v)| (k.to_string(), v.text().to_string())).collect());
        }
        Ok(rows)
    }

    #[test]
    fn objects_come_back_in_order() {
        let rows = read("{\"b\":1,\"a\":\"x\\ny\"}\r\n\n {\"a\":null,\"c\":true,\"é\":-2.5e3}".as_bytes()).unwrap();
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        assert_eq!(rows[0], [pair("b", "1"), pair("a", "x\ny")]);
        assert_eq!(rows[1], [pair("a", ""), pair("c", "true"), pair("é", "-2500")]);
    }

    #[test]
    fn broken_lines_are_named() {
        let deep = format!("{{\"a\":{}", "[".repeat(100_000));
        let cases = [
            ("{\"a\":1}\n{\"a\":", "row 2: the line is cut off"),
            ("{\"a\":1}\n\n{\"a\":[1]}", "column `a`, row 2: the value is nested"),
            ("{\"a\":{\"b\":1}}", "the value is nested"),
            ("[1,2]", "row 1: not a JSON object"),
            ("{\"a\":1,\"a\":2}", "the key `a` occurs twice"),
            ("{\"a\":NaN}", "not a JSON object"),
            ("{\"a\":1} x", "not a JSON object"),
            (&deep, "row 1: "),
        ];
        for (content, expected) in cases {
            let message = read(content.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read(&vec![b' '; MAX_RECORD + 1]).unwrap_err().to_string();
        assert!(message.contains("row 1: the line is longer than 16 MiB"), "{message}");
    }

    proptest! {
        #[test]
        fn random_bytes_give_rows_or_a_message(content in prop::collection::vec(prop::sample::select(b"{}[]\"a:1,.-e\\u\n\xC3\xA9\xFF".to_vec()), 0..100)) {
            if let Err(e) = read(&content) {
                prop_assert!(e.to_string().contains("a.jsonl"));
            }
        }
    }
}
