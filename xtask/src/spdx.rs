//! Licence expressions: parsed, and decided against a list of accepted licences.
//!
//! Grammar (SPDX 2.3, annex D; AND binds tighter than OR; `/` is the registry's old spelling of OR):
//!
//! ```text
//! either = both ( ( "OR" | "/" ) both )*
//! both   = term ( "AND" term )*
//! term   = "(" either ")" | licence [ "WITH" exception ]
//! ```

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expression {
    /// One licence, with its exception where there is one: `Apache-2.0 WITH LLVM-exception`.
    Licence(String),
    /// All of them bind.
    All(Vec<Expression>),
    /// The user chooses one.
    Any(Vec<Expression>),
}

impl Expression {
    /// Parses an expression; the error says what was expected where.
    pub(crate) fn parse(text: &str) -> Result<Expression, String> {
        let tokens = tokens(text);
        let mut parser = Parser { tokens: &tokens, position: 0 };
        let expression = parser.either()?;
        match parser.peek() {
            None => Ok(expression),
            Some(token) => Err(format!("`{text}`: expected AND or OR, found `{token}`")),
        }
    }

    /// True where the expression can be met with accepted licences only.
    pub(crate) fn met_by(&self, accepted: &[&str]) -> bool {
        match self {
            Expression::Licence(name) => accepted.contains(&name.as_str()),
            Expression::All(parts) => parts.iter().all(|p| p.met_by(accepted)),
            Expression::Any(parts) => parts.iter().any(|p| p.met_by(accepted)),
        }
    }
}

fn tokens(text: &str) -> Vec<String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_string).collect()
}

struct Parser<'a> {
    tokens: &'a [String],
    position: usize,
}

impl Parser<'_> {
    fn either(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.both()?];
        while self.take("OR") {
            parts.push(self.both()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn both(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.term()?];
        while self.take("AND") {
            parts.push(self.term()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn term(&mut self) -> Result<Expression, String> {
        if self.take("(") {
            let inner = self.either()?;
            return if self.take(")") { Ok(inner) } else { Err("a parenthesis is not closed".into()) };
        }
        let mut licence = self.name("a licence")?;
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.name("an exception")?);
        }
        Ok(Expression::Licence(licence))
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        match self.peek() {
            Some(token) if !["AND", "OR", "WITH", "(", ")"].contains(&token) => {
                let name = token.to_string();
                self.position += 1;
                Ok(name)
            }
            Some(token) => Err(format!("expected {what}, found `{token}`")),
            None => Err(format!("expected {what}, found the end")),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.position).map(String::as_str)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.position += usize::from(found);
        found
    }
}

/// A list of one is its element.
fn one_or(mut parts: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { many(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(text: &str, accepted: &[&str]) -> bool {
        Expression::parse(text).unwrap().met_by(accepted)
    }

    #[test]
    fn and_binds_tighter_than_or_and_parentheses_win() {
        assert!(met("MIT OR GPL-3.0-only AND Zlib", &["MIT"]));
        assert!(!met("(MIT OR GPL-3.0-only) AND Zlib", &["MIT"]));
        assert!(met("(MIT OR GPL-3.0-only) AND Zlib", &["MIT", "Zlib"]));
        assert!(met("((MIT))", &["MIT"]));
    }

    #[test]
    fn an_exception_is_part_of_the_licence() {
        assert!(met("Apache-2.0 WITH LLVM-exception", &["Apache-2.0 WITH LLVM-exception"]));
        assert!(!met("Apache-2.0 WITH LLVM-exception", &["Apache-2.0"]));
        assert!(!met("Apache-2.0", &["Apache-2.0 WITH LLVM-exception"]));
    }

    #[test]
    fn names_are_whole_words() {
        assert!(!met("BUSL-1.1", &["BSL-1.0"]));
        assert!(!met("AGPL-3.0-only", &["GPL-3.0-only"]));
        assert!(!met("MIT-0", &["MIT"]));
    }

    #[test]
    fn the_old_slash_means_or() {
        assert!(met("MIT/Apache-2.0", &["Apache-2.0"]));
        assert!(met("Unlicense/MIT", &["MIT"]));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT Apache-2.0", "MIT WITH", "MIT or Apache-2.0", "()"] {
            assert!(Expression::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
