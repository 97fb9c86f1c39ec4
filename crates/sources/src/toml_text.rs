//! Values as TOML writes them.

/// A TOML string; literal where it can be, so that SQL keeps its quotes.
pub(crate) fn toml_text(text: &str) -> String {
    let literal = !text.contains('\'') && !text.chars().any(char::is_control);
    if literal && text.contains('"') { format!("'{text}'") } else { format!("{:?}", text).replace("\\'", "'") }
}

/// SQL over several lines; on one where a name would end the quotes.
pub(crate) fn toml_sql(sql: &str) -> String {
    if sql.contains("\"\"") || sql.contains('\\') || sql.chars().any(|c| c.is_control() && c != '\n') {
        return toml_text(&sql.replace('\n', " "));
    }
    format!("\"\"\"\n{sql}\n\"\"\"")
}

/// A TOML key, quoted where it is not a plain word.
pub(crate) fn toml_key(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain { name.to_string() } else { toml_text(name) }
}
