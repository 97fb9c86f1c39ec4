//! The text of a constraint as a rule.

use super::{Expression, Literal, Logic, Operator, Rule, Sign};

/// Parentheses, signs and words that may stand within each other.
const DEEPEST: usize = 64;

/// Words with a meaning; columns of such names are quoted.
const WORDS: [&str; 14] = [
    "and",
    "or",
    "not",
    "in",
    "is",
    "missing",
    "null",
    "present",
    "if",
    "then",
    "round",
    "combinations",
    "true",
    "false",
];

/// True for words that cannot stand for a column without quotes.
pub(super) fn is_word_of_the_language(name: &str) -> bool {
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(name))
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    /// A name in double quotes.
    Quoted(String),
    Word(String),
    Symbol(&'static str),
}

/// Longer ones before those that they begin with.
const SYMBOLS: [&str; 15] = ["<=", ">=", "!=", "<>", "==", "=", "<", ">", "+", "-", "*", "/", "(", ")", ","];

pub(super) fn rule(text: &str) -> Result<Rule, String> {
    let mut tokens = Tokens { all: tokens(text)?, at: 0, depth: 0 };
    let rule = if tokens.takes_call("combinations") {
        let mut columns = vec![tokens.column()?];
        while tokens.takes(",") {
            let column = tokens.column()?;
            if columns.contains(&column) {
                return Err(format!("{column} stands in it twice"));
            }
            columns.push(column);
        }
        tokens.expect(")")?;
        if columns.len() < 2 {
            return Err("combinations are of two columns or more".into());
        }
        Rule::Combinations(columns)
    } else {
        Rule::Condition(tokens.condition()?)
    };
    match tokens.next() {
        None => Ok(rule),
        Some(token) => Err(format!("{} is not expected here", told(&token))),
    }
}

fn told(token: &Token) -> String {
    match token {
        Token::Number(n) => n.to_string(),
        Token::Text(t) => format!("'{t}'"),
        Token::Quoted(name) => format!("\"{name}\""),
        Token::Word(word) => format!("`{word}`"),
        Token::Symbol(symbol) => format!("`{symbol}`"),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' {
            quoted(rest, '\'').map(|(t, after)| (Token::Text(t), after)).ok_or("a ' is not closed")?
        } else if first == '"' {
            quoted(rest, '"').map(|(t, after)| (Token::Quoted(t), after)).ok_or("a \" is not closed")?
        } else if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest)?
        } else if first.is_alphabetic() || first == '_' {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            (Token::Word(rest[..end].to_string()), &rest[end..])
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) {
            (Token::Symbol(symbol), &rest[symbol.len()..])
        } else {
            return Err(format!(
                "`{first}` has no meaning here; texts stand in single quotes, unusual names in double quotes"
            ));
        };
        found.push(token);
        rest = after.trim_start();
    }
    if found.is_empty() { Err("it is empty".into()) } else { Ok(found) }
}

/// A quoted text at the beginning, where a doubled quote stands for one, and what follows.
pub(crate) fn quoted(text: &str, mark: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix(mark)?;
    loop {
        let (part, after) = rest.split_once(mark)?;
        value.push_str(part);
        match after.strip_prefix(mark) {
            Some(after) => {
                value.push(mark);
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let mut end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let exponent = &text[end..];
    if exponent.starts_with(['e', 'E']) {
        let digits = exponent[1..].strip_prefix(['+', '-']).unwrap_or(&exponent[1..]);
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            let length = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            end = text.len() - digits.len() + length;
        }
    }
    match text[..end].parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Number(number), &text[end..])),
        _ => Err(format!("{} is no number", &text[..end])),
    }
}

struct Tokens {
    all: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Tokens {
    fn next(&mut self) -> Option<Token> {
        let token = self.all.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let found = matches!(self.all.get(self.at), Some(Token::Symbol(s)) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.all.get(self.at), Some(Token::Word(w)) if w.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    /// A word with an opening parenthesis behind it.
    fn takes_call(&mut self, word: &str) -> bool {
        let before = self.at;
        let found = self.takes_word(word) && self.takes("(");
        if !found {
            self.at = before;
        }
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.takes(symbol) {
            return Ok(());
        }
        Err(match self.all.get(self.at) {
            Some(token) => format!("`{symbol}` is expected, not {}", told(token)),
            None => format!("`{symbol}` is missing at its end"),
        })
    }

    /// Runs `part` one level deeper.
    fn deeper<T>(&mut self, part: impl FnOnce(&mut Tokens) -> Result<T, String>) -> Result<T, String> {
        self.depth += 1;
        let found = if self.depth > DEEPEST { Err("it is nested too deeply".into()) } else { part(self) };
        self.depth -= 1;
        found
    }

    fn column(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Quoted(name)) => Ok(name),
            Some(Token::Word(name)) if !is_word_of_the_language(&name) => Ok(name),
            Some(token) => Err(format!("a column is expected, not {}", told(&token))),
            None => Err("a column is missing at its end".into()),
        }
    }

    fn condition(&mut self) -> Result<Logic, String> {
        if !self.takes_word("if") {
            return self.any();
        }
        let premise = self.deeper(Tokens::any)?;
        if !self.takes_word("then") {
            return Err("`if` has no `then`".into());
        }
        let conclusion = self.deeper(Tokens::any)?;
        Ok(Logic::Or(vec![Logic::Not(Box::new(premise)), conclusion]))
    }

    fn any(&mut self) -> Result<Logic, String> {
        let mut parts = vec![self.all()?];
        while self.takes_word("or") {
            parts.push(self.all()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::Or(parts) })
    }

    fn all(&mut self) -> Result<Logic, String> {
        let mut parts = vec![self.one()?];
        while self.takes_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Logic::And(parts) })
    }

    fn one(&mut self) -> Result<Logic, String> {
        if self.takes_word("not") {
            return Ok(Logic::Not(Box::new(self.deeper(Tokens::one)?)));
        }
        // A parenthesis opens a condition or a sum; what follows it tells.
        let before = self.at;
        if self.takes("(") {
            let condition = self.deeper(Tokens::condition);
            if let Ok(condition) = condition
                && self.takes(")")
                && !self.goes_on()
            {
                return Ok(condition);
            }
            self.at = before;
        }
        self.test()
    }

    /// True before what can only follow a sum.
    fn goes_on(&self) -> bool {
        match self.all.get(self.at) {
            Some(Token::Symbol(symbol)) => !matches!(*symbol, ")" | ","),
            Some(Token::Word(word)) => ["in", "is", "not"].iter().any(|w| w.eq_ignore_ascii_case(word)),
            _ => false,
        }
    }

    fn test(&mut self) -> Result<Logic, String> {
        let left = self.sum()?;
        if self.takes_word("is") {
            let Expression::Column(column) = left else {
                return Err("only a column `is missing` or `is present`".into());
            };
            let negated = self.takes_word("not");
            let missing = if self.takes_word("missing") || self.takes_word("null") {
                true
            } else if self.takes_word("present") {
                false
            } else {
                return Err("`is` is followed by `missing` or `present`".into());
            };
            let test = Logic::Missing(column);
            return Ok(if missing != negated { test } else { Logic::Not(Box::new(test)) });
        }
        let negated = self.takes_word("not");
        if self.takes_word("in") {
            self.expect("(")?;
            let mut values = vec![self.literal()?];
            while self.takes(",") {
                values.push(self.literal()?);
            }
            self.expect(")")?;
            let test = Logic::In(left, values);
            return Ok(if negated { Logic::Not(Box::new(test)) } else { test });
        }
        let sign = match self.next() {
            Some(Token::Symbol("=" | "==")) if !negated => Sign::Equal,
            Some(Token::Symbol("!=" | "<>")) if !negated => Sign::Unequal,
            Some(Token::Symbol("<")) if !negated => Sign::Below,
            Some(Token::Symbol("<=")) if !negated => Sign::AtMost,
            Some(Token::Symbol(">")) if !negated => Sign::Above,
            Some(Token::Symbol(">=")) if !negated => Sign::AtLeast,
            Some(token) => return Err(format!("a comparison is expected, not {}", told(&token))),
            None => return Err("it compares nothing; write for example `quantity >= 1`".into()),
        };
        Ok(Logic::Compared(left, sign, self.sum()?))
    }

    fn literal(&mut self) -> Result<Literal, String> {
        let negative = self.takes("-");
        match self.next() {
            Some(Token::Number(n)) => Ok(Literal::Number(if negative { -n } else { n })),
            Some(Token::Text(text)) if !negative => Ok(Literal::Text(text)),
            Some(Token::Word(word)) if !negative && truth(&word).is_some() => {
                Ok(Literal::Text(truth(&word).unwrap_or_default().into()))
            }
            Some(token) => Err(format!("a number or a 'text' is expected, not {}", told(&token))),
            None => Err("a value is missing at its end".into()),
        }
    }

    fn sum(&mut self) -> Result<Expression, String> {
        let mut sum = self.product()?;
        let mut terms = 0;
        loop {
            let operator = match self.all.get(self.at) {
                Some(Token::Symbol("+")) => Operator::Plus,
                Some(Token::Symbol("-")) => Operator::Minus,
                _ => return Ok(sum),
            };
            self.at += 1;
            terms = short(terms)?;
            sum = Expression::Computed(Box::new(sum), operator, Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, String> {
        let mut product = self.factor()?;
        let mut terms = 0;
        loop {
            let operator = match self.all.get(self.at) {
                Some(Token::Symbol("*")) => Operator::Times,
                Some(Token::Symbol("/")) => Operator::Over,
                _ => return Ok(product),
            };
            self.at += 1;
            terms = short(terms)?;
            product = Expression::Computed(Box::new(product), operator, Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Expression, String> {
        if self.takes("-") {
            return Ok(match self.deeper(Tokens::factor)? {
                Expression::Literal(Literal::Number(n)) => Expression::Literal(Literal::Number(-n)),
                of => Expression::Negative(Box::new(of)),
            });
        }
        if self.takes("(") {
            let sum = self.deeper(Tokens::sum)?;
            self.expect(")")?;
            return Ok(sum);
        }
        if self.takes_call("round") {
            let of = self.deeper(Tokens::sum)?;
            self.expect(",")?;
            let digits = match self.next() {
                Some(Token::Number(n)) if n.fract() == 0.0 && (0.0..=9.0).contains(&n) => n as u8,
                _ => return Err("round takes 0 to 9 decimals: round(price * quantity, 2)".into()),
            };
            self.expect(")")?;
            return Ok(Expression::Round(Box::new(of), digits));
        }
        match self.next() {
            Some(Token::Number(n)) => Ok(Expression::Literal(Literal::Number(n))),
            Some(Token::Text(text)) => Ok(Expression::Literal(Literal::Text(text))),
            Some(Token::Quoted(name)) => Ok(Expression::Column(name)),
            Some(Token::Word(word)) => match truth(&word) {
                Some(truth) => Ok(Expression::Literal(Literal::Text(truth.into()))),
                None if is_word_of_the_language(&word) => {
                    Err(format!("a value is expected, not `{word}`; a column of that name stands in double quotes"))
                }
                None => Ok(Expression::Column(word)),
            },
            Some(token) => Err(format!("a value is expected, not {}", told(&token))),
            None => Err("a value is missing at its end".into()),
        }
    }
}

/// One more term of a sum, which must not become so long that it is walked too deeply.
fn short(terms: usize) -> Result<usize, String> {
    if terms < DEEPEST { Ok(terms + 1) } else { Err(format!("it has more than {DEEPEST} terms in a row")) }
}

fn truth(word: &str) -> Option<&'static str> {
    ["true", "false"].into_iter().find(|truth| truth.eq_ignore_ascii_case(word))
}
