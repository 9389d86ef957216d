//! `turnserver.conf`: one option a line. Reading never fails; what makes no sense is for the caller to tell.
//!
//! ```text
//! name            a switch that is on
//! name=value      blanks and `=` part them, as many as there are
//! name value      the rest of the line belongs to the value: there are no comments after it
//! name="value"    a value that begins with a quote loses both
//! # comment
//! ```

/// A line that is neither empty nor a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    pub name: &'a str,
    /// Empty when there is none.
    pub value: &'a str,
    /// The line ends with a semicolon, which belongs to the value: probably a slip.
    pub semicolon: bool,
}

/// Between name and value.
const SEPARATORS: [char; 3] = [' ', '\t', '='];

/// The lines of a file.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.split('\n').enumerate().filter_map(|(index, line)| read(index + 1, line))
}

fn read(number: usize, line: &str) -> Option<Line<'_>> {
    let line = line.trim_start_matches([' ', '\t']).trim_end_matches(|c: char| c.is_ascii_whitespace() || c == '\u{b}');
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (name, value) = match line.find(SEPARATORS) {
        Some(end) => (line.get(..end)?, line.get(end..)?.trim_start_matches(SEPARATORS)),
        None => (line, ""),
    };
    Some(Line { number, name, value: unquoted(value), semicolon: line.ends_with(';') })
}

fn unquoted(value: &str) -> &str {
    match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or(rest),
        None => value,
    }
}
