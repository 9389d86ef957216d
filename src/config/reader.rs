//! Walks a file section by section and key by key. What was asked for is known; whatever else stands in the file is an error.
//!
//! The same walk reads the file, lets the environment override it, and notes every key with its value, so that the printed
//! configuration, the list of known keys and the reading cannot disagree.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem, Problems};
use super::setting::{self, Number, Setting, Unit};

/// A key that was asked for, with the value that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Empty at the top of the file.
    pub section: &'static str,
    pub key: String,
    /// As TOML, secrets hidden; `None` when it is not set.
    pub value: Option<String>,
}

pub struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    environment: &'a HashMap<String, String>,
    problems: Vec<Problem>,
    entries: Vec<Entry>,
    /// Sections in which any key may stand.
    open: Vec<&'static str>,
    places: HashMap<(&'static str, String), Place>,
}

/// One section of the file while it is read.
pub struct Section<'r, 'a> {
    reader: &'r mut Reader<'a>,
    name: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(file: &'a str, text: &'a str, environment: &'a HashMap<String, String>) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader =
            Self { file, text, root, environment, problems: Vec::new(), entries: Vec::new(), open: Vec::new(), places: HashMap::new() };
        for error in errors {
            let place = error.span().map_or(Place::File, |span| reader.line(&span));
            reader.problems.push(Problem { place, what: format!("not TOML: {}", error.message()) });
        }
        reader
    }

    /// Reads the keys of `[name]`; the top of the file when `name` is empty.
    pub fn section(&mut self, name: &'static str, read: impl FnOnce(&mut Section<'_, 'a>)) {
        if let Some(value) = self.root.get_ref().get(name)
            && !value.get_ref().is_table()
        {
            let place = self.line(&value.span());
            self.problems.push(Problem { place, what: format!("`{name}` is a section: write [{name}] and its keys below") });
        }
        read(&mut Section { reader: self, name });
    }

    /// Reads `[name]`, a section whose keys are names of the operator's own.
    pub fn names<T: Setting>(&mut self, name: &'static str, slot: &mut BTreeMap<String, T>) {
        self.open.push(name);
        if let Some(value) = self.root.get_ref().get(name) {
            match BTreeMap::from_toml(value) {
                Ok(read) => {
                    let lines = value.get_ref().as_table().into_iter().flat_map(DeTable::keys);
                    let lines: Vec<_> = lines.map(|key| ((name, key.get_ref().to_string()), self.line(&key.span()))).collect();
                    self.places.extend(lines);
                    *slot = read;
                }
                Err(wrong) => {
                    let place = self.line(&wrong.span);
                    self.problems.push(Problem { place, what: format!("[{name}]: {}", wrong.why) });
                }
            }
        }
        let variable = variable(name, "");
        if let Some(text) = self.environment.get(&variable) {
            match BTreeMap::from_text(text) {
                Ok(read) => {
                    let set = read.keys().map(|key| ((name, key.clone()), Place::Variable(variable.clone())));
                    self.places.extend(set);
                    *slot = read;
                }
                Err(what) => self.problems.push(Problem { place: Place::Variable(variable), what }),
            }
        }
        for (key, value) in slot.iter() {
            self.entries.push(Entry { section: name, key: key.clone(), value: value.show() });
        }
    }

    /// Reports what is wrong with a value that was read (or with its absence), at the place where it was read.
    pub fn problem(&mut self, section: &'static str, key: &str, what: impl Into<String>) {
        let place = self.places.get(&(section, key.to_owned())).cloned().unwrap_or(Place::File);
        self.problems.push(Problem { place, what: what.into() });
    }

    /// Ends the walk: every key with its value, or everything that is wrong.
    pub fn finish(mut self) -> Result<Vec<Entry>, Problems> {
        self.find_unknown_keys();
        self.find_unknown_variables();
        if self.problems.is_empty() {
            return Ok(self.entries);
        }
        self.problems.sort();
        self.problems.dedup();
        Err(Problems { file: self.file.to_owned(), list: self.problems })
    }

    fn find_unknown_keys(&mut self) {
        let mut unknown = Vec::new();
        for (key, value) in self.root.get_ref().iter() {
            let name: &str = key.get_ref();
            if self.has_section(name) {
                let (Some(table), false) = (value.get_ref().as_table(), self.open.contains(&name)) else { continue };
                let missing = table.keys().filter(|key| !self.has_key(name, key.get_ref()));
                unknown.extend(missing.map(|key| (key.span(), self.unknown_key(name, key.get_ref()))));
            } else if !self.has_key("", name) {
                unknown.push((key.span(), self.unknown_top(name, value.get_ref().is_table())));
            }
        }
        for (span, what) in unknown {
            let place = self.line(&span);
            self.problems.push(Problem { place, what });
        }
    }

    /// A variable that begins like one of ours but names nothing is a typing error, as an unknown key is. One whose section does
    /// not exist may be somebody else's (container platforms make `POINTSMAN_PORT`).
    fn find_unknown_variables(&mut self) {
        let mut unknown = Vec::new();
        for name in self.environment.keys() {
            let Some(rest) = name.strip_prefix("POINTSMAN_") else { continue };
            let known = self.entries.iter().any(|entry| variable(entry.section, &entry.key) == *name)
                || self.open.iter().any(|section| variable(section, "") == *name);
            if known {
                continue;
            }
            let section = self.sections().find(|section| rest.strip_prefix(&section.to_uppercase()).is_some_and(|r| r.starts_with('_')));
            let Some(section) = section else { continue };
            let all: Vec<String> =
                self.entries.iter().filter(|entry| entry.section == section).map(|entry| variable(section, &entry.key)).collect();
            let mut what = format!("sets no key of [{section}]");
            if let Some(near) = nearest(name, all.iter().map(String::as_str)) {
                what.push_str(&format!("; did you mean {near}?"));
            }
            unknown.push(Problem { place: Place::Variable(name.clone()), what });
        }
        self.problems.extend(unknown);
    }

    fn unknown_key(&self, section: &str, key: &str) -> String {
        let mut what = format!("unknown key `{key}` in [{section}]");
        if let Some(home) = self.entries.iter().find(|entry| entry.key == key) {
            let home = if home.section.is_empty() { "at the top of the file".into() } else { format!("in [{}]", home.section) };
            what.push_str(&format!("; it belongs {home}"));
        } else if let Some(near) = nearest(key, self.keys_of(section)) {
            what.push_str(&format!("; did you mean `{near}`?"));
        } else {
            let all: Vec<&str> = self.keys_of(section).collect();
            what.push_str(&format!("; known are {}", all.join(", ")));
        }
        what
    }

    fn unknown_top(&self, name: &str, is_table: bool) -> String {
        if is_table {
            let mut what = format!("unknown section [{name}]");
            if let Some(near) = nearest(name, self.sections()) {
                what.push_str(&format!("; did you mean [{near}]?"));
            }
            return what;
        }
        let mut what = format!("unknown key `{name}` at the top of the file");
        if let Some(home) = self.entries.iter().find(|entry| entry.key == name) {
            what.push_str(&format!("; it belongs in [{}]", home.section));
        } else if let Some(near) = nearest(name, self.keys_of("")) {
            what.push_str(&format!("; did you mean `{near}`?"));
        }
        what
    }

    fn sections(&self) -> impl Iterator<Item = &'static str> {
        let mut all: Vec<&'static str> = self.entries.iter().map(|entry| entry.section).chain(self.open.iter().copied()).collect();
        all.retain(|section| !section.is_empty());
        all.sort_unstable();
        all.dedup();
        all.into_iter()
    }

    fn keys_of(&self, section: &str) -> impl Iterator<Item = &str> {
        self.entries.iter().filter(move |entry| entry.section == section).map(|entry| entry.key.as_str())
    }

    fn has_section(&self, name: &str) -> bool {
        self.sections().any(|section| section == name)
    }

    fn has_key(&self, section: &str, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.section == section && entry.key == key)
    }

    fn line(&self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        Place::Line(1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}

impl Section<'_, '_> {
    /// Reads `key` into `slot`, which holds the default.
    pub fn set<T: Setting>(&mut self, key: &str, slot: &mut T) {
        let name = self.name;
        self.read(key, slot, |value| T::from_toml(value), |text| T::from_text(text));
        self.reader.entries.push(Entry { section: name, key: key.to_owned(), value: slot.show() });
    }

    /// Reads a whole number within `allowed`.
    pub fn number<N: Number>(&mut self, key: &str, slot: &mut N, allowed: RangeInclusive<N>) {
        let (min, max) = (*allowed.start(), *allowed.end());
        self.read(
            key,
            slot,
            |value| setting::number_from_toml(value.get_ref(), min, max).map_err(|why| setting::Wrong { span: value.span(), why }),
            |text| setting::number_from_text(text, min, max),
        );
        let value = Some(slot.to_string());
        self.reader.entries.push(Entry { section: self.name, key: key.to_owned(), value });
    }

    /// Reads a span of time in the unit that the key's name ends with (`_s`, `_ms`, `_us`).
    pub fn duration(&mut self, key: &str, slot: &mut Duration, allowed: RangeInclusive<u64>) {
        let unit = Unit::of(key);
        let mut number = u64::try_from(unit.number(*slot)).unwrap_or(u64::MAX);
        self.number(key, &mut number, allowed);
        *slot = unit.duration(number);
    }

    fn read<T>(
        &mut self,
        key: &str,
        slot: &mut T,
        from_toml: impl FnOnce(&Spanned<DeValue<'_>>) -> Result<T, setting::Wrong>,
        from_text: impl FnOnce(&str) -> Result<T, String>,
    ) {
        let reader = &mut *self.reader;
        let root = reader.root.get_ref();
        let table = if self.name.is_empty() { Some(root) } else { root.get(self.name).and_then(|value| value.get_ref().as_table()) };
        if let Some(value) = table.and_then(|table| table.get(key)) {
            let place = reader.line(&value.span());
            match from_toml(value) {
                Ok(read) => *slot = read,
                Err(wrong) => {
                    let place = reader.line(&wrong.span);
                    reader.problems.push(Problem { place, what: format!("`{key}`: {}", wrong.why) });
                }
            }
            reader.places.insert((self.name, key.to_owned()), place);
        }
        let variable = variable(self.name, key);
        if let Some(text) = reader.environment.get(&variable) {
            match from_text(text) {
                Ok(read) => *slot = read,
                Err(what) => reader.problems.push(Problem { place: Place::Variable(variable.clone()), what }),
            }
            reader.places.insert((self.name, key.to_owned()), Place::Variable(variable));
        }
    }
}

/// The environment variable that overrides a key.
pub fn variable(section: &str, key: &str) -> String {
    let mut name = "POINTSMAN".to_owned();
    for part in [section, key] {
        if !part.is_empty() {
            name.push('_');
            name.push_str(&part.to_uppercase());
        }
    }
    name
}

/// The word that was probably meant, if one is near enough.
fn nearest<'w>(word: &str, among: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let reach = (word.chars().count() / 3).max(2);
    among
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
