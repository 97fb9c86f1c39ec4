//! Short text: frequent values as they are, all others written anew.
//!
//! A text is a run of words and numbers, each with the marks behind it. Words that at least t people use are kept; any other word is only its shape
//! (letters, capitals, digits), written with random letters. The order of words is that of a first-order Markov chain whose
//! steps at least t people share. So a new text reads like the old ones. It may meet an existing one by chance: a name made of
//! common words, a number of few digits.

use crate::category::Category;
use crate::observed::{Key, Observed};
use rand::{Rng, RngCore};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use twinmart_privacy::PersonThreshold;

/// Words of a text beyond this number are not learned, and none are written.
const MOST_WORDS: usize = 48;
/// Longer words are cut: their shape would tell who wrote them.
const LONGEST_SHAPE: usize = 24;

/// How texts that few people share are written anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Text {
    /// Words and shapes; shapes begin with [`SHAPE`].
    words: Vec<String>,
    /// For the beginning (0) and each word (1 + its number), the words that follow and running totals of how often; the
    /// number of words stands for the end.
    steps: Vec<Steps>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Steps {
    next: Vec<u32>,
    cumulative: Vec<u64>,
}

/// Marks a shape; a control character, which no word contains.
const SHAPE: char = '\u{1}';

impl Text {
    /// Learns from the values that `listed` does not hold.
    pub(crate) fn of(seen: &Observed, listed: Option<&Category>, threshold: PersonThreshold) -> Text {
        let listed = listed.map(Category::numbers).unwrap_or_default();
        let texts = || {
            seen.values.iter().filter_map(|(key, held)| match key {
                Key::Text(text) if !listed.contains_key(text.as_str()) => Some((text.as_str(), held)),
                _ => None,
            })
        };
        let mut words = Observed::default();
        for (text, held) in texts() {
            for word in split(text) {
                words.values.entry(Key::Text(word.into())).or_default().add(held.count, &held.subjects);
            }
        }
        let shared = |seen: &Observed, word: &str| {
            let held = seen.values.get(&Key::Text(word.into()));
            held.is_some_and(|h| threshold.allows(h.subjects.len()))
        };
        let mut steps = Observed::default();
        for (text, held) in texts() {
            let mut from = String::new();
            let tokens = split(text).map(|word| if shared(&words, word) { word.to_owned() } else { shape(word) });
            for token in tokens.chain([String::new()]) {
                let step = format!("{from}\0{token}");
                steps.values.entry(Key::Text(step)).or_default().add(held.count, &held.subjects);
                from = token;
            }
        }
        Text::from_steps(&steps, threshold)
    }

    fn from_steps(seen: &Observed, threshold: PersonThreshold) -> Text {
        let mut kept: Vec<(&str, &str, u64)> = Vec::new();
        for (key, held) in &seen.values {
            if let Key::Text(step) = key
                && threshold.allows(held.subjects.len())
                && let Some((from, to)) = step.split_once('\0')
            {
                kept.push((from, to, held.count));
            }
        }
        let mut words: Vec<&str> =
            kept.iter().flat_map(|(from, to, _)| [*from, *to]).filter(|w| !w.is_empty()).collect();
        words.sort_unstable();
        words.dedup();
        let numbers: HashMap<&str, u32> = words.iter().enumerate().map(|(n, w)| (*w, n as u32)).collect();
        let mut steps = vec![Steps::default(); words.len() + 1];
        for (from, to, count) in kept {
            let steps = &mut steps[numbers.get(from).map_or(0, |n| *n as usize + 1)];
            steps.next.push(numbers.get(to).copied().unwrap_or(words.len() as u32));
            steps.cumulative.push(steps.cumulative.last().copied().unwrap_or(0) + count);
        }
        Text { words: words.into_iter().map(str::to_owned).collect(), steps }
    }

    /// True where no text can be written.
    pub(crate) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// A new text.
    pub(crate) fn write(&self, stream: &mut impl RngCore) -> String {
        let mut text = String::new();
        let mut at = 0;
        for _ in 0..MOST_WORDS {
            let steps = &self.steps[at];
            let Some(total) = steps.cumulative.last() else { break };
            let draw = stream.random_range(0..*total);
            let next = steps.next[steps.cumulative.partition_point(|c| *c <= draw)] as usize;
            let Some(word) = self.words.get(next) else { break };
            match word.strip_prefix(SHAPE) {
                Some(shape) => text.extend(shape.chars().map(|c| letter(c, stream))),
                None => text.push_str(word),
            }
            at = next + 1;
        }
        text
    }

    pub(crate) fn is_sound(&self) -> bool {
        let sound = |s: &Steps| {
            s.next.len() == s.cumulative.len()
                && s.next.iter().all(|n| *n as usize <= self.words.len())
                && s.cumulative.first().is_none_or(|c| *c > 0)
                && s.cumulative.is_sorted_by(|a, b| a < b)
        };
        self.steps.len() == self.words.len() + 1 && self.steps.iter().all(sound)
    }
}

#[derive(PartialEq, Clone, Copy)]
enum Class {
    Letter,
    Digit,
    Mark,
}

fn class(c: char) -> Class {
    match c {
        c if c.is_alphabetic() => Class::Letter,
        c if c.is_numeric() => Class::Digit,
        _ => Class::Mark,
    }
}

/// Words and numbers, each with the marks behind it, in order.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let words = std::iter::from_fn(move || {
        let first = class(rest.chars().next()?);
        let after_word = |(_, c): &(usize, char)| class(*c) != first;
        let word_end = rest.char_indices().find(after_word).map_or(rest.len(), |(at, _)| at);
        let marks = rest[word_end..].char_indices().find(|(_, c)| class(*c) != Class::Mark);
        let (word, after) = rest.split_at(word_end + marks.map_or(rest.len() - word_end, |(at, _)| at));
        rest = after;
        Some(word)
    });
    words.filter(|w| !w.contains(['\0', SHAPE])).take(MOST_WORDS)
}

/// The shape of a word: a, A, 9; marks stay.
fn shape(word: &str) -> String {
    let one = |c: char| match class(c) {
        Class::Letter if c.is_uppercase() => 'A',
        Class::Letter => 'a',
        Class::Digit => '9',
        Class::Mark => c,
    };
    std::iter::once(SHAPE).chain(word.chars().take(LONGEST_SHAPE).map(one)).collect()
}

fn letter(of: char, stream: &mut impl RngCore) -> char {
    let (first, count) = match of {
        'a' => (b'a', 26),
        'A' => (b'A', 26),
        '9' => (b'0', 10),
        other => return other,
    };
    char::from(first + stream.random_range(0..count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use twinmart_tables::Stream;

    fn seen(texts: &[String]) -> Observed {
        let mut seen = Observed::default();
        for (subject, text) in texts.iter().enumerate() {
            seen.values.entry(Key::Text(text.clone())).or_default().add(1, &[subject as u64]);
        }
        seen
    }

    #[test]
    fn shared_words_stay_and_names_become_shapes() {
        let name = |i: usize| -> String { format!("{i:06}").bytes().map(|b| char::from(b'a' + (b - b'0'))).collect() };
        let texts: Vec<String> =
            (0..100).map(|i| format!("red {} bag {}", ["small", "large"][i % 2], name(i))).collect();
        let text = Text::of(&seen(&texts), None, PersonThreshold::draw(0));
        assert!(text.is_sound());
        let mut stream = Stream::seed_from_u64(1);
        for _ in 0..1000 {
            let new = text.write(&mut stream);
            let words: Vec<&str> = new.split(' ').collect();
            assert!(matches!(words[..], ["red", "small" | "large", "bag", name] if name.len() == 6), "{new}");
            assert!(!texts.contains(&new));
        }
    }

    #[test]
    fn nothing_is_learned_from_few() {
        assert!(Text::of(&seen(&["only one".into()]), None, PersonThreshold::draw(0)).is_empty());
    }
}
