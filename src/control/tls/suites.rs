//! Which cipher suites are offered: OpenSSL's cipher lists, as configurations for other servers have them, in terms of what is here.
//!
//! All suites of the library are good ones, so a list can only choose among them. As with OpenSSL it speaks of TLS 1.2 alone, unless it
//! names suites of TLS 1.3.

use rustls::{CipherSuite, SupportedCipherSuite};

/// OpenSSL's names, and the words by which its lists speak of groups.
const TLS_1_2: [(&str, CipherSuite, &[&str]); 6] = [
    (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        &["AESGCM", "AES", "AES256", "SHA384", "ECDSA"],
    ),
    ("ECDHE-RSA-AES256-GCM-SHA384", CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, &["AESGCM", "AES", "AES256", "SHA384", "RSA"]),
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        &["AESGCM", "AES", "AES128", "SHA256", "ECDSA"],
    ),
    ("ECDHE-RSA-AES128-GCM-SHA256", CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, &["AESGCM", "AES", "AES128", "SHA256", "RSA"]),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, &["CHACHA20", "ECDSA"]),
    ("ECDHE-RSA-CHACHA20-POLY1305", CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, &["CHACHA20", "RSA"]),
];
const TLS_1_3: [(&str, CipherSuite); 3] = [
    ("TLS_AES_256_GCM_SHA384", CipherSuite::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::TLS13_CHACHA20_POLY1305_SHA256),
];
/// Words for all that is here.
const EVERYTHING: [&str; 9] = ["ALL", "DEFAULT", "HIGH", "ECDHE", "EECDH", "kECDHE", "kEECDH", "TLSv1.2", "FIPS"];
/// Words for what is not here, and never offered.
const NOTHING: [&str; 34] = [
    "COMPLEMENTOFDEFAULT",
    "COMPLEMENTOFALL",
    "MEDIUM",
    "LOW",
    "EXP",
    "EXPORT",
    "NULL",
    "eNULL",
    "aNULL",
    "MD5",
    "SHA",
    "SHA1",
    "DES",
    "3DES",
    "RC2",
    "RC4",
    "IDEA",
    "SEED",
    "CAMELLIA",
    "ARIA",
    "DH",
    "DHE",
    "EDH",
    "kDHE",
    "kEDH",
    "ADH",
    "AECDH",
    "kRSA",
    "DSS",
    "aDSS",
    "PSK",
    "SRP",
    "SSLv3",
    "TLSv1",
];

/// What a list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    suites: Vec<CipherSuite>,
    /// Names in the list that mean nothing here: suites that are not offered, or slips of the pen.
    pub unknown: Vec<String>,
}

impl Chosen {
    /// Reads a list.
    pub fn read(list: &str) -> Self {
        let (mut suites, mut forbidden, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for item in list.split([':', ',', ' ']).filter(|item| !item.is_empty() && !item.starts_with('@')) {
            let (sign, words) = match item.split_at(1) {
                (sign @ ("!" | "-" | "+"), words) => (sign, words),
                _ => ("", item),
            };
            let Some(named) = named(words) else {
                // What is forbidden and not here is forbidden already.
                if sign.is_empty() {
                    unknown.push(item.to_owned());
                }
                continue;
            };
            match sign {
                "!" => forbidden.extend(named),
                "-" => suites.retain(|suite| !named.contains(suite)),
                // Puts suites behind others: their order is ours.
                "+" => {}
                _ => suites.extend(named),
            }
        }
        suites.retain(|suite| !forbidden.contains(suite));
        if !suites.iter().any(|suite| TLS_1_3.iter().any(|(_, known)| known == suite)) {
            suites.extend(TLS_1_3.map(|(_, suite)| suite).into_iter().filter(|suite| !forbidden.contains(suite)));
        }
        Self { suites, unknown }
    }

    /// Those of the library's suites that are offered, in its order.
    pub fn of(&self, all: &[SupportedCipherSuite]) -> Vec<SupportedCipherSuite> {
        all.iter().copied().filter(|suite| self.suites.contains(&suite.suite())).collect()
    }

    /// Whether a client of TLS 1.2 finds anything.
    pub fn has_tls_1_2(&self) -> bool {
        TLS_1_2.iter().any(|(_, suite, _)| self.suites.contains(suite))
    }
}

/// The suites that one item without its sign names; `None` when it means nothing here.
fn named(words: &str) -> Option<Vec<CipherSuite>> {
    if let Some((_, suite)) = TLS_1_3.iter().find(|(name, _)| *name == words) {
        return Some(vec![*suite]);
    }
    if let Some((_, suite, _)) = TLS_1_2.iter().find(|(name, ..)| *name == words) {
        return Some(vec![*suite]);
    }
    let mut suites = TLS_1_2.to_vec();
    // All of these words at once.
    for word in words.split('+') {
        let group = word.strip_prefix('a').filter(|word| ["RSA", "ECDSA"].contains(word)).unwrap_or(word);
        if EVERYTHING.contains(&word) {
            continue;
        }
        if NOTHING.contains(&word) {
            return Some(Vec::new());
        }
        if !TLS_1_2.iter().any(|(_, _, words)| words.contains(&group)) {
            return None;
        }
        suites.retain(|(_, _, words)| words.contains(&group));
    }
    Some(suites.into_iter().map(|(_, suite, _)| suite).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenSSL's names of the chosen suites of TLS 1.2.
    fn names(list: &str) -> Vec<&'static str> {
        let chosen = Chosen::read(list);
        TLS_1_2.iter().filter(|(_, suite, _)| chosen.suites.contains(suite)).map(|(name, ..)| *name).collect()
    }

    #[test]
    fn names_choose_and_tls_1_3_stays() {
        assert_eq!(names("ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA"), ["ECDHE-RSA-AES256-GCM-SHA384"]);
        let chosen = Chosen::read("ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA");
        assert_eq!(chosen.unknown, ["AES256-SHA"]);
        assert!(TLS_1_3.iter().all(|(_, suite)| chosen.suites.contains(suite)));
        let chosen = Chosen::read("TLS_AES_128_GCM_SHA256");
        assert_eq!(chosen.suites, [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        assert!(!chosen.has_tls_1_2());
    }

    #[test]
    fn words_choose_groups() {
        for all in ["DEFAULT", "HIGH:!aNULL:!MD5:!RC4", "ECDHE+AESGCM:ECDHE+CHACHA20", "EECDH:@STRENGTH", "ALL:!EXPORT:!LOW"] {
            assert_eq!(names(all).len(), 6, "{all}");
            assert_eq!(Chosen::read(all).unknown, [""; 0], "{all}");
        }
        assert_eq!(names("EECDH+aECDSA+AES256"), ["ECDHE-ECDSA-AES256-GCM-SHA384"]);
        assert_eq!(names("ALL:!ECDSA:-CHACHA20"), ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
        // What is forbidden stays so.
        assert_eq!(names("!RSA:ALL").len(), 3);
        assert_eq!(names("RC4:MEDIUM"), [""; 0]);
    }

    #[test]
    fn every_suite_of_the_library_has_a_name() {
        let all = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
        assert_eq!(Chosen::read("ALL").of(&all).len(), all.len());
    }
}
