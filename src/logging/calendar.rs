//! The calendar, in UTC: enough of `strftime` for log lines and file names.

use std::fmt::{self, Write};
use std::time::Duration;

const DAY_S: u64 = 86_400;
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Longest form that is written out.
const FORM_CHARS_MAX: usize = 256;

/// A second of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    unix_s: u64,
    year: u64,
    /// From 1.
    month: u64,
    day: u64,
    /// From 1.
    day_of_year: u64,
}

impl Moment {
    pub fn at(since_epoch: Duration) -> Self {
        let unix_s = since_epoch.as_secs();
        // The calendar repeats every 400 years. Counted from 1 March of the year 0, leap days come at the end of a year.
        let days = unix_s / DAY_S + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_march_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_march_year + 2) / 153;
        let day = day_of_march_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before = if month > 2 { 59 + u64::from(leap) } else { 0 };
        let day_of_year = if month > 2 { day_of_march_year + before + 1 } else { (month - 1) * 31 + day };
        Self { unix_s, year, month, day, day_of_year }
    }

    /// Days since the epoch: changes at midnight.
    pub const fn day_number(&self) -> u64 {
        self.unix_s / DAY_S
    }

    /// As `2026-11-22`.
    pub fn date(&self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// As `Nov 22 21:03:04`, which RFC 3164 section 4.1.2 wants.
    pub fn syslog(&self) -> String {
        let mut text = String::new();
        let _ = self.write(&mut text, "%b %e %T");
        text
    }

    /// What `strftime` would make of `form`; what it does not know stays as it is.
    pub fn write(&self, out: &mut impl Write, form: &str) -> fmt::Result {
        let mut chars = form.chars().take(FORM_CHARS_MAX);
        while let Some(char) = chars.next() {
            match char {
                '%' => self.write_part(out, chars.next())?,
                _ => out.write_char(char)?,
            }
        }
        Ok(())
    }

    fn write_part(&self, out: &mut impl Write, part: Option<char>) -> fmt::Result {
        let (hour, minute, second) = (self.unix_s / 3_600 % 24, self.unix_s / 60 % 60, self.unix_s % 60);
        let month = MONTHS[(self.month - 1) as usize % 12];
        let day = DAYS[((self.day_number() + 4) % 7) as usize];
        let short = |name: &'static str| name.get(..3).unwrap_or(name);
        let half_day = |hour: u64| if hour.is_multiple_of(12) { 12 } else { hour % 12 };
        match part {
            Some('Y') => write!(out, "{}", self.year),
            Some('y') => write!(out, "{:02}", self.year % 100),
            Some('C') => write!(out, "{:02}", self.year / 100),
            Some('m') => write!(out, "{:02}", self.month),
            Some('d') => write!(out, "{:02}", self.day),
            Some('e') => write!(out, "{:2}", self.day),
            Some('j') => write!(out, "{:03}", self.day_of_year),
            Some('H') => write!(out, "{hour:02}"),
            Some('I') => write!(out, "{:02}", half_day(hour)),
            Some('M') => write!(out, "{minute:02}"),
            Some('S') => write!(out, "{second:02}"),
            Some('p') => out.write_str(if hour < 12 { "AM" } else { "PM" }),
            Some('F') => write!(out, "{:04}-{:02}-{:02}", self.year, self.month, self.day),
            Some('T') => write!(out, "{hour:02}:{minute:02}:{second:02}"),
            Some('R') => write!(out, "{hour:02}:{minute:02}"),
            Some('D') => write!(out, "{:02}/{:02}/{:02}", self.month, self.day, self.year % 100),
            Some('c') => write!(out, "{} {} {:2} {hour:02}:{minute:02}:{second:02} {}", short(day), short(month), self.day, self.year),
            Some('B') => out.write_str(month),
            Some('b' | 'h') => out.write_str(short(month)),
            Some('A') => out.write_str(day),
            Some('a') => out.write_str(short(day)),
            Some('s') => write!(out, "{}", self.unix_s),
            Some('z') => out.write_str("+0000"),
            Some('Z') => out.write_str("UTC"),
            Some('n') => out.write_char('\n'),
            Some('t') => out.write_char('\t'),
            Some('%') => out.write_char('%'),
            Some(other) => write!(out, "%{other}"),
            None => out.write_char('%'),
        }
    }
}
