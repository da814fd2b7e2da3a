//! URLs of servers, which a test changes.

use std::path::PathBuf;

use url::Url;

/// A URL without these parameters.
///
/// # Panics
/// Where the text is not a URL.
pub fn without_parameters(url: &str, parameters: &[&str]) -> String {
    let mut url = Url::parse(url).expect("a URL");
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !parameters.contains(&&**name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut().clear().extend_pairs(kept);
    url.into()
}

/// The file that a parameter of a URL names.
///
/// # Panics
/// Where the text is not a URL with this parameter.
pub fn file_parameter(url: &str, parameter: &str) -> PathBuf {
    let url = Url::parse(url).expect("a URL");
    let found = url.query_pairs().find(|(name, _)| name == parameter);
    PathBuf::from(found.expect("the parameter").1.into_owned())
}
