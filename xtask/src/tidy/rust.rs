//! Just enough of Rust's surface to tell code from comments and literals.

use std::ops::Range;

/// A source text with comments and the insides of literals blanked, byte for byte.
pub(super) struct Code {
    text: String,
    literals: Vec<Literal>,
    tests: Vec<Range<usize>>,
}

/// A string literal without its quotes, escapes as written, and where it stands.
struct Literal {
    offset: usize,
    text: String,
}

impl Code {
    pub(super) fn new(source: &str) -> Self {
        let (text, literals) = Scanner::new(source).scan();
        let tests = test_regions(&text);
        Self {
            text,
            literals,
            tests,
        }
    }

    /// The code alone; offsets and lines are those of the source.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The string literals of code that is built into the crate: not of attributes, not of tests.
    pub(super) fn literals_of_code(&self) -> impl Iterator<Item = &str> {
        let attributes = self.attributes();
        self.literals
            .iter()
            .filter(move |literal| {
                let at = literal.offset;
                !self.in_tests(at) && !attributes.iter().any(|range| range.contains(&at))
            })
            .map(|literal| literal.text.as_str())
    }

    /// Whether the offset lies in an item under `#[cfg(test)]`.
    pub(super) fn in_tests(&self, offset: usize) -> bool {
        self.tests.iter().any(|region| region.contains(&offset))
    }

    /// Offsets where `word` stands as a whole path or identifier.
    pub(super) fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        words(&self.text, word)
    }

    /// Each attribute's range, from `#` to `]`.
    pub(super) fn attributes(&self) -> Vec<Range<usize>> {
        attributes(&self.text)
    }
}

/// Offsets where `word` stands with no letter, digit or `_` beside it.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word)
        .map(|(offset, _)| offset)
        .filter(move |&offset| {
            let bytes = text.as_bytes();
            let before = offset.checked_sub(1).and_then(|index| bytes.get(index));
            !part(before) && !part(bytes.get(offset + word.len()))
        })
}

fn attributes(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    for (start, _) in text.match_indices('#') {
        let bang = usize::from(bytes.get(start + 1) == Some(&b'!'));
        let open = start + 1 + bang;
        if bytes.get(open) == Some(&b'[')
            && let Some(close) = matching(bytes, open)
        {
            found.push(start..close + 1);
        }
    }
    found
}

/// The offset of the bracket that closes the one at `open`.
fn matching(bytes: &[u8], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (offset, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(offset);
                }
            }
            _ => {}
        }
    }
    None
}

/// The bodies of items under `#[cfg(test)]` and the like.
fn test_regions(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut regions = Vec::new();
    for attribute in attributes(text) {
        let inside = &text[attribute.clone()];
        let condition = inside.starts_with("#[cfg(");
        let on_test = words(inside, "test").any(|at| !inside[..at].ends_with("not("));
        if !(condition && on_test) {
            continue;
        }
        let mut at = attribute.end;
        // Up to the item's body; an item without one (`mod tests;`) has its code in another file.
        while let Some(byte) = bytes.get(at) {
            match byte {
                b';' => break,
                b'{' => {
                    let end = matching(bytes, at).unwrap_or(bytes.len());
                    regions.push(attribute.start..end);
                    break;
                }
                b'(' | b'[' => at = matching(bytes, at).unwrap_or(bytes.len()),
                _ => {}
            }
            at += 1;
        }
    }
    regions
}

struct Scanner<'a> {
    source: &'a [u8],
    out: Vec<u8>,
    literals: Vec<Literal>,
}

impl<'a> Scanner<'a> {
    fn new(source: &'a str) -> Self {
        Self {
            source: source.as_bytes(),
            out: Vec::with_capacity(source.len()),
            literals: Vec::new(),
        }
    }

    fn scan(mut self) -> (String, Vec<Literal>) {
        while let Some(&byte) = self.source.get(self.out.len()) {
            let rest = &self.source[self.out.len()..];
            if rest.starts_with(b"//") {
                let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                self.blank(end);
            } else if rest.starts_with(b"/*") {
                self.blank(block_comment(rest));
            } else if byte == b'"' {
                self.string(1, b"\"", true);
            } else if let Some(hashes) = self.raw_string(rest) {
                let open = rest
                    .iter()
                    .position(|b| *b == b'"')
                    .map_or(rest.len(), |quote| quote + 1);
                let close: Vec<u8> = std::iter::once(b'"')
                    .chain(std::iter::repeat_n(b'#', hashes))
                    .collect();
                self.string(open, &close, false);
            } else if byte == b'\'' {
                self.quote(rest);
            } else {
                self.out.push(byte);
            }
        }
        (String::from_utf8_lossy(&self.out).into_owned(), self.literals)
    }

    /// The number of `#` when a raw string starts here.
    fn raw_string(&self, rest: &[u8]) -> Option<usize> {
        let in_word = self
            .out
            .last()
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        let prefixes: [&[u8]; 3] = [b"r", b"br", b"cr"];
        let prefix = prefixes.into_iter().find(|prefix| rest.starts_with(prefix))?;
        let hashes = rest[prefix.len()..].iter().take_while(|b| **b == b'#').count();
        (!in_word && rest.get(prefix.len() + hashes) == Some(&b'"')).then_some(hashes)
    }

    /// Keeps the opening and the closing mark, blanks what stands between them.
    fn string(&mut self, open: usize, close: &[u8], escapes: bool) {
        let start = self.out.len() + open;
        self.out.extend_from_slice(&self.source[self.out.len()..start]);
        let mut end = start;
        while end < self.source.len() && !self.source[end..].starts_with(close) {
            end += if escapes && self.source[end] == b'\\' {
                2
            } else {
                1
            };
        }
        let end = end.min(self.source.len());
        let text = String::from_utf8_lossy(&self.source[start..end]).into_owned();
        self.literals.push(Literal { offset: start, text });
        self.blank(end - start);
        let close = close.len().min(self.source.len() - end);
        self.out.extend_from_slice(&self.source[end..end + close]);
    }

    /// A character literal is blanked, a lifetime is code.
    fn quote(&mut self, rest: &[u8]) {
        let length = match rest.get(1) {
            Some(b'\\') => rest
                .iter()
                .skip(3)
                .position(|b| *b == b'\'')
                .map(|quote| quote + 4),
            Some(first) => {
                let width = match first {
                    0xF0.. => 4,
                    0xE0.. => 3,
                    0xC0.. => 2,
                    _ => 1,
                };
                (rest.get(1 + width) == Some(&b'\'')).then_some(width + 2)
            }
            None => None,
        };
        match length {
            Some(length) => self.blank(length),
            None => self.out.push(b'\''),
        }
    }

    fn blank(&mut self, length: usize) {
        let start = self.out.len();
        let keep_lines = |byte: &u8| if *byte == b'\n' { b'\n' } else { b' ' };
        self.out
            .extend(self.source[start..start + length].iter().map(keep_lines));
    }
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(source: &str) -> String {
        let code = Code::new(source);
        assert_eq!(code.text().len(), source.len(), "offsets must stay");
        code.text().to_owned()
    }

    fn has(source: &str, word: &str) -> bool {
        words(&code(source), word).next().is_some()
    }

    #[test]
    fn comments_are_blanked() {
        assert!(!has("a // stop\nb", "stop"));
        assert!(!has("a /* x /* stop */ stop */ b", "stop"));
        assert!(has("a /* x /* y */ z */ stop", "stop"));
        assert_eq!(code("a /* unclosed"), "a            ");
    }

    #[test]
    fn strings_are_blanked_and_kept_as_literals() {
        for source in [
            "\"stop\"",
            "r\"stop\"",
            "r#\"a\" stop\"#",
            "b\"stop\"",
            "br##\"stop\"##",
            "c\"stop\"",
        ] {
            assert!(!has(source, "stop"), "{source}");
        }
        assert!(has("\"\\\"\" stop", "stop"));
        assert!(has("r\"\\\" stop", "stop"));
        assert!(has("var#r stop", "stop"));
        let found = Code::new("x(\"memory\", r#\"a\"b\"#)");
        assert_eq!(found.literals_of_code().collect::<Vec<_>>(), ["memory", "a\"b"]);
        assert_eq!(code("\"unclosed \\"), "\"          ");
    }

    #[test]
    fn characters_are_blanked_and_lifetimes_are_not() {
        assert!(has("let q = '\"'; stop", "stop"));
        assert!(has("let q = '\\''; stop", "stop"));
        assert!(has("let q = '\\u{1F600}'; stop", "stop"));
        assert!(has("let q = 'é'; stop", "stop"));
        assert!(has("fn f<'stop>()", "stop"));
        assert!(!has("'{'", "{"));
    }

    #[test]
    fn words_are_whole() {
        assert!(!has("sleeper", "sleep") && !has("asleep", "sleep") && !has("sleep_ms", "sleep"));
        assert!(has("thread::sleep(x)", "sleep"));
    }

    #[test]
    fn test_items_are_found_with_their_whole_body() {
        let source = "fn a() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests { fn b() { c(); } }\nfn d() {}";
        let code = Code::new(source);
        let at = |word: &str| source.find(word).unwrap();
        assert!(code.in_tests(at("c()")) && !code.in_tests(at("fn a")) && !code.in_tests(at("fn d")));
        assert!(Code::new("#[cfg(all(test, unix))] mod t { x }").in_tests(33));
        assert!(Code::new("#[cfg(all(test, not(loom)))] mod t { x }").in_tests(37));
        assert!(!Code::new("#[cfg(not(test))] mod t { x }").in_tests(26));
        assert!(!Code::new("#[cfg(test)] mod t; mod u { x }").in_tests(28));
    }

    #[test]
    fn attributes_reach_to_their_bracket() {
        let source = "#![allow(a)] #[cfg_attr(x, expect(b[0]))] fn f() {}";
        let code = Code::new(source);
        let found: Vec<&str> = code
            .attributes()
            .into_iter()
            .map(|range| &source[range])
            .collect();
        assert_eq!(found, ["#![allow(a)]", "#[cfg_attr(x, expect(b[0]))]"]);
    }
}
