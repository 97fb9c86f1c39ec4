//! Detection of personal data in a column, from its name and its values.
//!
//! A detector sees the values of one column and says what they look like. Forms that carry their own proof (an `@` and a
//! domain, a check sum) are found by value alone. Forms without one need more: digits are a phone number only with a
//! plus sign, with separators in phone groups, or under a name that says so, because order codes and article numbers
//! look the same. Names of people, addresses and birth dates are found by the column's name.

use regex::Regex;
use serde::Serialize;
use std::sync::LazyLock;

/// Below this share of matching values a column is not reported; strays occur in any free text.
const MIN_SHARE: f64 = 0.05;
/// So many e-mail addresses are reported however long the column is: no other data looks like them.
const MIN_MATCHES: u64 = 20;
/// One of ten random numbers has a valid card check digit: only more than that means cards.
const MIN_CARD_SHARE: f64 = 0.3;

/// What personal data looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonalKind {
    /// E-mail address.
    Email,
    /// Phone or fax number.
    Phone,
    /// Payment card number with a valid check digit.
    PaymentCard,
    /// International bank account number with a valid check sum.
    Iban,
    /// IPv4 or IPv6 address.
    IpAddress,
    /// Street, house number.
    Address,
    /// First, last or full name.
    PersonName,
    /// Date of birth.
    BirthDate,
}

impl PersonalKind {
    /// Forms that are recognised by value.
    const BY_VALUE: [PersonalKind; 5] = [
        PersonalKind::Email,
        PersonalKind::Phone,
        PersonalKind::PaymentCard,
        PersonalKind::Iban,
        PersonalKind::IpAddress,
    ];

    /// In plain words, in the plural.
    pub fn name(self) -> &'static str {
        match self {
            PersonalKind::Email => "e-mail addresses",
            PersonalKind::Phone => "phone numbers",
            PersonalKind::PaymentCard => "payment card numbers",
            PersonalKind::Iban => "bank account numbers (IBAN)",
            PersonalKind::IpAddress => "IP addresses",
            PersonalKind::Address => "street addresses",
            PersonalKind::PersonName => "names of people",
            PersonalKind::BirthDate => "dates of birth",
        }
    }
}

/// What a column seems to hold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The kind of personal data.
    pub kind: PersonalKind,
    /// True where the column's name says so.
    pub by_name: bool,
    /// Values that have the form.
    pub matches: u64,
    /// Their share of the values seen; 0 where only the name speaks.
    pub share: f64,
}

/// Watches the values of one column.
#[derive(Debug, Clone)]
pub struct PersonalDetector {
    named: Vec<PersonalKind>,
    seen: u64,
    matches: [u64; PersonalKind::BY_VALUE.len()],
}

impl PersonalDetector {
    /// A detector for the column of this name.
    pub fn new(column: &str) -> PersonalDetector {
        PersonalDetector { named: kinds_by_name(column), seen: 0, matches: Default::default() }
    }

    /// Looks at one value.
    pub fn observe(&mut self, value: &str) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        self.seen += 1;
        for (kind, count) in PersonalKind::BY_VALUE.into_iter().zip(&mut self.matches) {
            *count += u64::from(has_form(kind, value, self.named.contains(&kind)));
        }
    }

    /// What the column seems to hold, the likeliest first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (kind, &matches) in PersonalKind::BY_VALUE.into_iter().zip(&self.matches) {
            let share = if self.seen == 0 { 0.0 } else { matches as f64 / self.seen as f64 };
            let by_name = self.named.contains(&kind);
            let enough = if kind == PersonalKind::PaymentCard { MIN_CARD_SHARE } else { MIN_SHARE };
            if share >= enough || matches >= MIN_MATCHES && kind == PersonalKind::Email {
                findings.push(Finding { kind, by_name, matches, share });
            }
        }
        findings.sort_by(|a, b| b.share.total_cmp(&a.share));
        let speaks_by_name = |k: &&PersonalKind| !PersonalKind::BY_VALUE.contains(k) && self.seen > 0;
        let named = self.named.iter().filter(speaks_by_name);
        findings.extend(named.map(|kind| Finding { kind: *kind, by_name: true, matches: 0, share: 0.0 }));
        findings
    }
}

fn has_form(kind: PersonalKind, value: &str, named: bool) -> bool {
    match kind {
        PersonalKind::Email => EMAIL.is_match(value),
        PersonalKind::Phone => is_phone(value, named),
        PersonalKind::PaymentCard => is_payment_card(value),
        PersonalKind::Iban => is_iban(value),
        PersonalKind::IpAddress => value.parse::<std::net::IpAddr>().is_ok() && value.len() >= 7,
        PersonalKind::Address | PersonalKind::PersonName | PersonalKind::BirthDate => false,
    }
}

/// An address anywhere in the text.
static EMAIL: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b[a-z0-9._%+-]+@[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}\b").ok());
/// A phone number as a whole value: plus or parentheses, groups of digits.
static PHONE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(\+|00)?[\s./-]?(\(\d{1,5}\)|\d{1,5})([\s./-]?(\(\d{1,5}\)|\d{1,8})){1,6}$").ok());

/// A pattern that is always there; a missing one matches nothing.
trait Matches {
    fn is_match(&self, text: &str) -> bool;
}

impl Matches for LazyLock<Option<Regex>> {
    fn is_match(&self, text: &str) -> bool {
        self.as_ref().is_some_and(|r| r.is_match(text))
    }
}

fn is_phone(value: &str, named: bool) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    if !(7..=15).contains(&digits) || !PHONE.is_match(value) {
        return false;
    }
    let groups = value.split(|c: char| !c.is_ascii_digit()).filter(|g| !g.is_empty()).count();
    let dotted_number = value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let date = value.len() >= 8 && groups == 3 && digits <= 8;
    let proof = value.starts_with('+') || value.contains('(') || groups >= 3 && !dotted_number && !date;
    proof || named
}

/// 13 to 19 digits, alone or in groups of four, with the check digit of ISO/IEC 7812 (Luhn) and a card scheme's prefix.
fn is_payment_card(value: &str) -> bool {
    let plain = value.bytes().all(|b| b.is_ascii_digit() || b == b' ' || b == b'-');
    let digits: Vec<u32> = value.chars().filter_map(|c| c.to_digit(10)).collect();
    let scheme = matches!(digits.first(), Some(3..=6));
    if !plain || !scheme || !(13..=19).contains(&digits.len()) || digits.iter().all(|d| *d == digits[0]) {
        return false;
    }
    let doubled = |d: u32| if d > 4 { 2 * d - 9 } else { 2 * d };
    let sum: u32 = digits.iter().rev().enumerate().map(|(i, d)| if i % 2 == 1 { doubled(*d) } else { *d }).sum();
    sum.is_multiple_of(10)
}

/// Country, two check digits and the account, whose number modulo 97 is 1 (ISO 13616).
fn is_iban(value: &str) -> bool {
    let text: String = value.chars().filter(|c| *c != ' ').collect();
    let bytes = text.as_bytes();
    let form = (15..=34).contains(&bytes.len())
        && bytes.iter().all(u8::is_ascii_alphanumeric)
        && bytes[..2].iter().all(u8::is_ascii_uppercase)
        && bytes[2..4].iter().all(u8::is_ascii_digit);
    if !form {
        return false;
    }
    let rotated = text[4..].chars().chain(text[..4].chars());
    let rest = rotated
        .filter_map(|c| c.to_digit(36))
        .fold(0, |rest, d| if d > 9 { (rest * 100 + d) % 97 } else { (rest * 10 + d) % 97 });
    rest == 1
}

/// What the name of a column promises.
fn kinds_by_name(column: &str) -> Vec<PersonalKind> {
    let words = words_of(column);
    let has = |list: &[&str]| words.iter().any(|w| list.contains(&w.as_str()));
    let joined = words.join(" ");
    let mut kinds = Vec::new();
    if has(&["phone", "telephone", "mobile", "tel", "fax", "cellphone", "telefon", "handy"]) {
        kinds.push(PersonalKind::Phone);
    }
    if has(&["email", "mail"]) || joined.contains("e mail") {
        kinds.push(PersonalKind::Email);
    }
    // An IP address or an e-mail address is no street.
    if has(&["street", "street1", "street2", "strasse", "straße"])
        || has(&["address", "address1", "address2", "adresse"]) && !has(&["ip", "email", "mail", "mac", "web"])
    {
        kinds.push(PersonalKind::Address);
    }
    let person = [
        "first name",
        "last name",
        "full name",
        "given name",
        "family name",
        "middle name",
        "customer name",
        "user name",
        "person name",
        "contact name",
    ];
    let one_word =
        ["firstname", "lastname", "fullname", "surname", "forename", "nachname", "vorname", "givenname", "familyname"];
    if person.iter().any(|p| joined.contains(p)) || has(&one_word) {
        kinds.push(PersonalKind::PersonName);
    }
    if has(&["birthdate", "birthday", "dob", "geburtsdatum", "birthdt"])
        || joined.contains("birth date")
        || joined.contains("date of birth")
    {
        kinds.push(PersonalKind::BirthDate);
    }
    kinds
}

/// `FirstName`, `first_name` and `first name` are `first`, `name`.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = ' ';
    for c in name.chars() {
        if !c.is_alphanumeric() || c.is_uppercase() && previous.is_lowercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_alphanumeric()) {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    words.retain(|w| !w.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(column: &str, values: &[&str]) -> Vec<PersonalKind> {
        let mut detector = PersonalDetector::new(column);
        values.iter().for_each(|v| detector.observe(v));
        detector.findings().iter().map(|f| f.kind).collect()
    }

    #[test]
    fn forms_with_their_own_proof_are_found_under_any_name() {
        use PersonalKind as K;
        let cases = [
            (K::Email, vec!["ann@example.org", "write to bob.x@mail.example.co.uk please"]),
            (K::Phone, vec!["+49 30 123456", "(030) 123-4567", "030 1234 5678", "+1 (780) 428-9482", "415-555-2671"]),
            (K::PaymentCard, vec!["4111 1111 1111 1111", "5500005555555559", "378282246310005"]),
            (K::Iban, vec!["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"]),
            (K::IpAddress, vec!["192.168.0.1", "2001:db8::8a2e:370:7334"]),
        ];
        for (kind, values) in cases {
            for value in values {
                assert_eq!(kinds("x", &[value]), [kind], "{value}");
            }
        }
    }

    #[test]
    fn ordinary_shop_data_is_not_personal() {
        let columns = [
            ("StockCode", vec!["85123A", "22423", "POST", "4006381333931", "9780306406157"]),
            ("InvoiceNo", vec!["536365", "C536379", "581587"]),
            (
                "InvoiceDate",
                vec!["2010-12-01 08:26:00", "2010-12-01", "01.12.2010", "1/12/2010 8:26", "20101201", "01-12-2010"],
            ),
            ("UnitPrice", vec!["2.55", "1234567.89", "-4.25", "1,234,567.00"]),
            ("epoch", vec!["1291191960", "1291191960000", "1291191960123456"]),
            ("Description", vec!["WHITE HANGING HEART T-LIGHT HOLDER", "SET 7 BABUSHKA NESTING BOXES", "@ 5 each"]),
            ("version", vec!["1.2.3", "10.0.1"]),
            ("time", vec!["12:50:00", "::", "8:26"]),
            ("ProductName", vec!["Widget", "Gadget"]),
        ];
        for (name, values) in columns {
            assert_eq!(kinds(name, &values), [], "{name}");
        }
    }

    #[test]
    fn names_speak_where_values_cannot() {
        use PersonalKind as K;
        assert_eq!(kinds("Phone", &["7804289482"]), [K::Phone]);
        assert_eq!(kinds("order_code", &["7804289482"]), []);
        for (name, kind) in [
            ("BillingAddress", K::Address),
            ("street", K::Address),
            ("LastName", K::PersonName),
            ("customer_name", K::PersonName),
            ("BirthDate", K::BirthDate),
            ("date of birth", K::BirthDate),
        ] {
            assert_eq!(kinds(name, &["something"]), [kind], "{name}");
        }
        assert_eq!(kinds("ip_address", &["10.0.0.1"]), [K::IpAddress]);
        assert_eq!(kinds("LastName", &[]), []);
    }

    #[test]
    fn the_share_counts_matching_values() {
        let mut detector = PersonalDetector::new("contact");
        ["a@b.org", "none", "", "c@d.org", "x"].iter().for_each(|v| detector.observe(v));
        let findings = detector.findings();
        assert_eq!((findings[0].matches, findings[0].share, findings[0].by_name), (2, 0.5, false));
    }

    proptest! {
        #[test]
        fn a_changed_digit_breaks_card_and_iban(at in 0..16_usize, shift in 1..10_u32) {
            let change = |text: &str, at: usize| -> String {
                text.chars().enumerate().map(|(i, c)| match c.to_digit(10) {
                    Some(d) if i == at => char::from_digit((d + shift) % 10, 10).unwrap_or(c),
                    _ => c,
                }).collect()
            };
            prop_assert!(!is_payment_card(&change("4111111111111111", at)) || shift == 10);
            prop_assert!(!is_iban(&change("DE89370400440532013000", at + 2)));
        }

        #[test]
        fn any_text_is_taken(text in ".{0,60}") {
            let _ = kinds(&text, &[&text]);
        }
    }
}
