//! CSV: a record reader over checked text, and the rules for headers and delimiters.
//!
//! RFC 4180 with the usual liberties: the delimiter is one of `,` `;` tab `|`, lines end with LF, CRLF or CR, blank lines
//! are skipped, a quote inside an unquoted field is a quote. A header is required. An empty field is a missing value.
//! Memory: one record, at most [`MAX_RECORD`] bytes.

use crate::source::{MAX_COLUMNS, MAX_RECORD};
use crate::text::Text;
use std::path::Path;
use twinmart_tables::{Error, Problem, Result};

/// What may separate fields; of equals, the first wins.
const DELIMITERS: [u8; 4] = *b",;\t|";

#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Plain,
    Quoted,
    /// After a quote inside a quoted field: the field's end or half of a doubled quote.
    QuoteSeen,
}

/// The records of a CSV file behind its header.
pub(crate) struct Records {
    text: Text,
    delimiter: u8,
    header: Vec<String>,
    /// The fields of the current record, one after the other; field `i` ends at `ends[i]`.
    fields: Vec<u8>,
    ends: Vec<usize>,
    /// Data rows read, the current one included.
    row: u64,
    /// The last record ended with CR: a LF right behind it belongs to that line end.
    after_return: bool,
}

impl Records {
    /// Opens a file and reads its header.
    pub(crate) fn open(path: &Path) -> Result<Records> {
        let mut text = Text::open(path)?;
        let delimiter = sniff(text.fill()?);
        let (header, fields, ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut records = Records { text, delimiter, header, fields, ends, row: 0, after_return: false };
        if !records.read()? {
            return Err(records.problem("the file is empty").remedy("give a file with a header and rows").into());
        }
        if records.ends.len() > MAX_COLUMNS {
            let what = format!("the header has {} columns, more than {MAX_COLUMNS}", records.ends.len());
            return Err(records.problem(what).remedy("check the delimiter, or split the table").into());
        }
        records.header = (0..records.ends.len()).map(|i| records.header_name(i)).collect();
        Ok(records)
    }

    /// Column names; a nameless column is called by its place.
    pub(crate) fn header(&self) -> &[String] {
        &self.header
    }

    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    fn header_name(&self, position: usize) -> String {
        match self.field(position).trim() {
            "" => format!("column_{}", position + 1),
            name => name.to_string(),
        }
    }

    /// Reads the next record; false at the end. Its number of fields equals the header's.
    pub(crate) fn advance(&mut self) -> Result<bool> {
        self.row += 1;
        if !self.read()? {
            return Ok(false);
        }
        let (found, expected) = (self.ends.len(), self.header.len());
        if found != expected {
            let what = format!("the row has {found} fields, the header has {expected}");
            return Err(self
                .problem(what)
                .row(self.row)
                .remedy("correct the row; quote fields that contain the delimiter")
                .into());
        }
        Ok(true)
    }

    /// The number of the current data row, from 1.
    pub(crate) fn row(&self) -> u64 {
        self.row
    }

    /// A field of the current record.
    pub(crate) fn field(&self, position: usize) -> &str {
        let start = position.checked_sub(1).and_then(|p| self.ends.get(p)).copied().unwrap_or(0);
        let bytes = self.ends.get(position).and_then(|end| self.fields.get(start..*end)).unwrap_or_default();
        // The text was checked and is cut at ASCII bytes only, so this never fails.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// Bytes of the current record.
    pub(crate) fn size(&self) -> usize {
        self.fields.len()
    }

    fn problem(&self, what: impl Into<String>) -> Problem {
        Error::data(what).file(self.text.path())
    }

    /// A problem of the current record, which is a row or the header.
    fn row_problem(&self, what: &str) -> Problem {
        match self.row {
            0 => self.problem(format!("the header: {what}")),
            row => self.problem(what).row(row),
        }
    }

    /// The state machine, one pass over the bytes; runs of ordinary bytes are copied at once.
    fn read(&mut self) -> Result<bool> {
        self.fields.clear();
        self.ends.clear();
        let mut state = State::FieldStart;
        loop {
            let chunk = self.text.fill()?;
            if chunk.is_empty() {
                return self.end_of_file(state);
            }
            let mut at = 0;
            let mut done = false;
            while at < chunk.len() && !done {
                let byte = chunk[at];
                let skip = byte == b'\n' && std::mem::take(&mut self.after_return);
                self.after_return = false;
                at += 1;
                if skip {
                    continue;
                }
                match (state, byte) {
                    (State::Quoted, b'"') => state = State::QuoteSeen,
                    (State::Quoted, _) => {
                        let run = chunk[at..].iter().position(|b| *b == b'"').unwrap_or(chunk.len() - at);
                        self.fields.extend_from_slice(&chunk[at - 1..at + run]);
                        at += run;
                    }
                    (State::QuoteSeen, b'"') => {
                        self.fields.push(b'"');
                        state = State::Quoted;
                    }
                    (_, b'\n' | b'\r') => {
                        self.after_return = byte == b'\r';
                        let blank = state == State::FieldStart && self.ends.is_empty();
                        if !blank {
                            self.ends.push(self.fields.len());
                            done = true;
                        }
                    }
                    (_, b) if b == self.delimiter => {
                        self.ends.push(self.fields.len());
                        state = State::FieldStart;
                    }
                    (State::FieldStart, b'"') => state = State::Quoted,
                    (State::QuoteSeen, _) => {
                        return Err(self
                            .row_problem("text follows a closing quote")
                            .remedy("write a quote inside a quoted field twice")
                            .into());
                    }
                    (State::FieldStart | State::Plain, _) => {
                        state = State::Plain;
                        let delimiter = self.delimiter;
                        let ends = |b: &u8| *b == delimiter || matches!(b, b'\n' | b'\r');
                        let run = chunk[at..].iter().position(ends).unwrap_or(chunk.len() - at);
                        self.fields.extend_from_slice(&chunk[at - 1..at + run]);
                        at += run;
                    }
                }
            }
            self.text.consume(at);
            if self.fields.len() + self.ends.len() > MAX_RECORD {
                let what = format!("the line is longer than {} MiB", MAX_RECORD >> 20);
                return Err(self.row_problem(&what).remedy("look for a quote that is never closed").into());
            }
            if done {
                return Ok(true);
            }
        }
    }

    fn end_of_file(&mut self, state: State) -> Result<bool> {
        if state == State::Quoted {
            let remedy = "close the quote; the file may be cut off";
            return Err(self.row_problem("a quote is opened and never closed").remedy(remedy).into());
        }
        let any = state != State::FieldStart || !self.ends.is_empty();
        if any {
            self.ends.push(self.fields.len());
        }
        Ok(any)
    }
}

/// The delimiter that occurs most often outside quotes in the first line.
fn sniff(start: &[u8]) -> u8 {
    let mut counts = [0_usize; DELIMITERS.len()];
    let mut quoted = false;
    for byte in start {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' | b'\r' if !quoted => break,
            _ if quoted => {}
            b => {
                if let Some(i) = DELIMITERS.iter().position(|d| d == b) {
                    counts[i] += 1;
                }
            }
        }
    }
    let best = (0..DELIMITERS.len()).rev().max_by_key(|i| counts[*i]).unwrap_or(0);
    DELIMITERS[best]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(content: &[u8]) -> Result<Vec<Vec<String>>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, content).unwrap();
        let mut records = Records::open(&path)?;
        let mut rows = vec![records.header().to_vec()];
        while records.advance()? {
            rows.push((0..records.header().len()).map(|i| records.field(i).to_string()).collect());
        }
        Ok(rows)
    }

    #[test]
    fn quotes_line_ends_and_blank_lines_follow_the_rules() {
        let rows = read(b"a,b\r\n1,\"x \"\"y\"\",\nz\"\r\r\n\n,q\"q\n\"\",").unwrap();
        assert_eq!(rows, [["a", "b"], ["1", "x \"y\",\nz"], ["", "q\"q"], ["", ""]]);
        assert_eq!(read(b",x\n1,2").unwrap()[0], ["column_1", "x"]);
        for (delimiter, content) in [(b';', "a;b;c,d\n"), (b'\t', "a\tb\n"), (b'|', "\"a,,,,\"|b\n"), (b',', "a\n")] {
            assert_eq!(sniff(content.as_bytes()), delimiter, "{content}");
        }
    }

    #[test]
    fn broken_rows_are_named() {
        let cases = [
            ("a,b\n1,2\n3\n", "row 2: the row has 1 fields, the header has 2"),
            ("a,b\n1,2,3\n", "row 1: the row has 3 fields"),
            ("a,b\n1,\"2\n", "row 1: a quote is opened and never closed"),
            ("a,b\n1,2\n\"1\"x,2\n", "row 2: text follows a closing quote"),
            ("", "the file is empty"),
        ];
        for (content, expected) in cases {
            let message = read(content.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = read(&[b"a,b\n1,2\n".to_vec(), vec![b'x'; MAX_RECORD + 1]].concat()).unwrap_err().to_string();
        assert!(message.contains("row 2: the line is longer than 16 MiB"), "{message}");
    }

    proptest! {
        #[test]
        fn written_rows_come_back(rows in prop::collection::vec(prop::collection::vec("[a-z\",\n\r; é]{0,5}", 3), 0..20)) {
            let quoted = |f: &String| format!("\"{}\"", f.replace('"', "\"\""));
            let mut content = String::from("x,y,z\n");
            for row in &rows {
                content += &row.iter().map(quoted).collect::<Vec<_>>().join(",");
                content.push('\n');
            }
            prop_assert_eq!(&read(content.as_bytes()).unwrap()[1..], &rows[..]);
        }

        #[test]
        fn random_bytes_give_rows_or_a_message(content in prop::collection::vec(prop::sample::select(b"ab,\"\n\r;\xC3\xA9\xFF".to_vec()), 0..200)) {
            match read(&content) {
                Ok(rows) => prop_assert!(rows.iter().all(|r| r.len() == rows[0].len())),
                Err(e) => prop_assert!(e.to_string().contains("a.csv")),
            }
        }
    }
}
