//! URLs whose errors repeat no secret.
//!
//! A password with `/`, `?`, `#` or `@` that is not percent-encoded ends up in another part of the URL: the rest of
//! `redis://user:4711?hunter2@host` is a query. Such a URL has an `@` after the host. It is refused before any part of it
//! can get into an error.

use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use ringhold_core::{Error, ErrorKind, Result};
use url::Url;

const ADVICE: &str = "percent-encode the user, the password and all else that is not a separator: %23 for #, %2F for /, \
                      %3A for :, %3F for ?, %40 for @";

/// Parses a URL.
///
/// # Errors
/// `InvalidArgument` for a text that is not a URL, and for an `@` after the host. Neither repeats the text.
pub fn parse(operation: &'static str, text: &str) -> Result<Url> {
    let url = Url::parse(text).map_err(|error| {
        let advice = if text.contains('@') {
            ADVICE
        } else {
            "write for example memory:?fleet=arena"
        };
        Error::new(
            ErrorKind::InvalidArgument,
            operation,
            format!("is not a URL ({error}); {advice}"),
        )
    })?;
    UrlReader::new(operation, &url)?;
    Ok(url)
}

/// The parts of a URL, decoded. Its errors are `InvalidArgument` and repeat neither the user nor the password.
#[derive(Clone, Copy)]
pub struct UrlReader<'a> {
    operation: &'static str,
    url: &'a Url,
}

impl<'a> UrlReader<'a> {
    /// A reader of `url`, whose errors are those of `operation`.
    ///
    /// # Errors
    /// `InvalidArgument` for an `@` in the path, the query or the fragment, and for a host with `%`: each may be a part
    /// of the user or the password.
    pub fn new(operation: &'static str, url: &'a Url) -> Result<Self> {
        let reader = Self { operation, url };
        let rest = [Some(url.path()), url.query(), url.fragment()];
        let is_misplaced = rest.into_iter().flatten().any(|part| part.contains('@'));
        if is_misplaced || url.host_str().is_some_and(|host| host.contains(['%', '@'])) {
            return Err(reader.misplaced());
        }
        Ok(reader)
    }

    fn misplaced(&self) -> Error {
        self.invalid(format!("expected no @ after the host; {ADVICE}"))
    }

    /// An error about this URL.
    pub fn invalid(&self, context: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::InvalidArgument, self.operation, context)
    }

    /// The host without brackets; `None` for a URL without one.
    ///
    /// # Errors
    /// `InvalidArgument` for a host that is neither a name nor an address.
    pub fn host(&self) -> Result<Option<&'a str>> {
        let Some(host) = self.url.host_str().filter(|host| !host.is_empty()) else {
            return Ok(None);
        };
        let host = host.trim_matches(['[', ']']);
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.len() > 255 || !host.bytes().all(is_known) {
            return Err(self.invalid("the host is neither a name nor an address"));
        }
        Ok(Some(host))
    }

    /// The user; `None` for an empty one.
    ///
    /// # Errors
    /// `InvalidArgument` where it is not UTF-8.
    pub fn user(&self) -> Result<Option<String>> {
        self.decoded(self.url.username())
    }

    /// The password; `None` for an empty one.
    ///
    /// # Errors
    /// `InvalidArgument` where it is not UTF-8.
    pub fn password(&self) -> Result<Option<String>> {
        self.decoded(self.url.password().unwrap_or_default())
    }

    fn decoded(&self, text: &str) -> Result<Option<String>> {
        let decoded = percent_decode_str(text).decode_utf8();
        let decoded = decoded.map_err(|_| self.invalid("the user or the password is not UTF-8"))?;
        Ok(Some(decoded.into_owned()).filter(|text| !text.is_empty()))
    }

    /// All parameters in their order. Only `repeatable` may occur several times.
    ///
    /// # Errors
    /// `InvalidArgument` for another parameter that occurs twice.
    pub fn parameters(&self, repeatable: &[&str]) -> Result<Vec<(Cow<'a, str>, Cow<'a, str>)>> {
        let mut parameters: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
        for (key, value) in self.url.query_pairs() {
            if key.contains('@') {
                return Err(self.misplaced());
            }
            if !repeatable.contains(&&*key) && parameters.iter().any(|(known, _)| *known == key) {
                return Err(self.invalid(format!("duplicate parameter {key:?}")));
            }
            parameters.push((key, value));
        }
        Ok(parameters)
    }

    /// A number from a parameter.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else, or a number out of `range`.
    pub fn number(&self, key: &str, value: &str, range: RangeInclusive<u64>) -> Result<u64> {
        let number = value.parse().ok().filter(|number| range.contains(number));
        let (first, last) = (range.start(), range.end());
        number.ok_or_else(|| {
            self.invalid(format!(
                "expected a number from {first} to {last} for {key:?}, got {value:?}"
            ))
        })
    }

    /// The file that a parameter names; `None` without the parameter.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty value.
    pub fn file(&self, name: &str) -> Result<Option<PathBuf>> {
        match self.url.query_pairs().find(|(key, _)| key == name) {
            Some((_, path)) if path.is_empty() => Err(self.invalid(format!("{name}= names no file"))),
            found => Ok(found.map(|(_, path)| PathBuf::from(&*path))),
        }
    }

    /// An error that names the parameters that exist.
    pub fn unknown(&self, key: &str, known: &str) -> Error {
        self.invalid(format!("unknown parameter {key:?}; known are: {known}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = parse("test", text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        format!("{error} {error:?}")
    }

    #[test]
    fn at_sign_after_the_host_is_refused_without_its_text() {
        for text in [
            "redis://user:4711?hunter2@h",
            "redis://user:4711/hunter2@h",
            "redis://user:4711#hunter2@h",
            "redis://user:p/hunter2@h",
            "redis://hunter2%40h",
            "redis:user:hunter2@h",
            "user:hunter2@h",
            "hunter2@h",
        ] {
            let shown = refusal(text);
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("percent-encode"), "{shown}");
        }
    }

    #[test]
    fn parts_are_decoded() {
        let url = parse("test", "x://a%40:%23%2F%3A%3F%40@[::1]:7?n=1&n=2&f=/a%40b").unwrap();
        let reader = UrlReader::new("test", &url).unwrap();
        assert_eq!(reader.user().unwrap().as_deref(), Some("a@"));
        assert_eq!(reader.password().unwrap().as_deref(), Some("#/:?@"));
        assert_eq!(reader.host().unwrap(), Some("::1"));
        assert_eq!(reader.parameters(&["n"]).unwrap().len(), 3);
        assert_eq!(reader.file("f").unwrap(), Some(PathBuf::from("/a@b")));
        let error = reader.parameters(&[]).unwrap_err();
        assert!(error.context().contains("duplicate parameter \"n\""), "{error}");
    }

    #[test]
    fn a_key_that_hides_an_at_sign_is_not_repeated() {
        let url = Url::parse("x://u:1?hunter2%40h").unwrap();
        let error = UrlReader::new("test", &url).unwrap().parameters(&[]).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}
