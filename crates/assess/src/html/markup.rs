//! HTML and SVG elements as values: balanced and escaped by construction.
//!
//! Text and attribute values may be hostile (a column may be called `<script>`), so there is no way to put a string into
//! a page unescaped except [`Element::style_sheet`], which takes only text compiled into the program.

use std::fmt::{self, Display, Write};

/// One element with its attributes and everything inside it, ready to be printed.
#[derive(Debug, Clone)]
pub(super) struct Element {
    name: &'static str,
    attributes: String,
    body: String,
}

/// An empty element of this name.
pub(super) fn element(name: &'static str) -> Element {
    Element { name, attributes: String::new(), body: String::new() }
}

/// An element of this name and class.
pub(super) fn classed(name: &'static str, class: &'static str) -> Element {
    element(name).set("class", class)
}

impl Element {
    /// Sets an attribute; each name once.
    pub(super) fn set(mut self, name: &'static str, value: impl Display) -> Self {
        let value = escape(&value.to_string());
        write!(self.attributes, " {name}=\"{value}\"").ok();
        self
    }

    /// Sets an attribute without a value, such as `popover`.
    pub(super) fn flag(mut self, name: &'static str) -> Self {
        write!(self.attributes, " {name}").ok();
        self
    }

    /// Appends text.
    pub(super) fn text(mut self, text: impl Display) -> Self {
        self.body.push_str(&escape(&text.to_string()));
        self
    }

    /// Appends an element.
    pub(super) fn add(mut self, child: Element) -> Self {
        write!(self.body, "{child}").ok();
        self
    }

    /// Appends elements in order; an `Option` counts as none or one.
    pub(super) fn extend(self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().fold(self, Element::add)
    }

    /// The `<style>` element of a style sheet that is part of the program.
    pub(super) fn style_sheet(css: &'static str) -> Self {
        Element { body: css.to_string(), ..element("style") }
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element { name, attributes, body } = self;
        match *name {
            "meta" => write!(f, "<{name}{attributes}>"),
            "path" | "polyline" | "rect" | "line" | "circle" => write!(f, "<{name}{attributes}/>"),
            _ => write!(f, "<{name}{attributes}>{body}</{name}>"),
        }
    }
}

/// Replaces the five characters that mean something in HTML and XML, and control characters, which mean nothing but harm.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Direction overrides could make a value read as something else than it is.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            // XML knows them not.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_are_inert() {
        let hostile = "\"><script>alert('x')</script>&\u{202e}\0";
        let page = element("p").set("title", hostile).text(hostile).to_string();
        let inert = "&quot;&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;\u{fffd}\u{fffd}";
        assert_eq!(page, format!("<p title=\"{inert}\">{inert}</p>"));
    }

    #[test]
    fn elements_nest_and_close() {
        let list = element("ul").extend(["a", "b"].map(|x| element("li").text(x)));
        let page = classed("div", "box").flag("hidden").add(list).add(element("line").set("x1", 3)).to_string();
        assert_eq!(page, "<div class=\"box\" hidden><ul><li>a</li><li>b</li></ul><line x1=\"3\"/></div>");
    }
}
