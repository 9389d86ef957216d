//! `If-Match` (RFC 9110 section 13.1.1): which ICE a PATCH is about. Out of order, a candidate must not reach another ICE than its own.

use axum::http::HeaderMap;
use axum::http::header::IF_MATCH;

use crate::problem::Problem;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    Missing,
    /// `*`: whatever ICE there is. Restarts say so, as they replace it (RFC 9725 section 4.3.3).
    Any,
    /// Strong entity tags, without their quotes.
    Tags(Vec<String>),
}

impl Precondition {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        let values = headers.get_all(IF_MATCH).iter().filter_map(|value| value.to_str().ok());
        let mut tags = Vec::new();
        let mut found = false;
        for value in values.flat_map(|value| value.split(',')).map(str::trim) {
            found = true;
            // RFC 9725 itself shows the asterisk with quotes in its example.
            if value == "*" || value == "\"*\"" {
                return Self::Any;
            }
            // A weak tag never matches: If-Match compares strongly.
            if let Some(tag) = value.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')) {
                tags.push(tag.to_owned());
            }
        }
        if found { Self::Tags(tags) } else { Self::Missing }
    }

    /// RFC 9725 section 4.3.1: 428 for none, 412 for another.
    pub(crate) fn check(&self, current: &str) -> Result<(), Problem> {
        match self {
            Self::Missing => Err(Problem::precondition_required()),
            Self::Any => Ok(()),
            Self::Tags(tags) if tags.iter().any(|tag| tag == current) => Ok(()),
            Self::Tags(_) => Err(Problem::precondition_failed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn read(values: &[&'static str]) -> Precondition {
        Precondition::read(&HeaderMap::from_iter(values.iter().map(|value| (IF_MATCH, HeaderValue::from_static(value)))))
    }

    #[test]
    fn if_match_is_read() {
        assert_eq!(read(&[]), Precondition::Missing);
        assert_eq!(read(&["*"]), Precondition::Any);
        assert_eq!(read(&["\"*\""]), Precondition::Any);
        assert_eq!(read(&["\"a\", \"b\"", "\"c\""]), Precondition::Tags(vec!["a".into(), "b".into(), "c".into()]));
        assert_eq!(read(&["W/\"a\""]), Precondition::Tags(Vec::new()), "weak tags match nothing");
        assert_eq!(read(&["a"]), Precondition::Tags(Vec::new()), "nor does what is no tag");
    }

    #[test]
    fn only_the_current_tag_matches() {
        assert!(read(&["\"a\", \"now\""]).check("now").is_ok() && read(&["*"]).check("now").is_ok());
        for other in [read(&[]), read(&["\"a\""]), read(&["W/\"now\""]), read(&["now"])] {
            assert!(other.check("now").is_err(), "{other:?}");
        }
    }
}
