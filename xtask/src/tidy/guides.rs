//! What a guide names exists.

use super::{File, Finding, Repo};

const RULE: &str = "guides";

const GUIDES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"];

/// A name with one of these at its end, and no folder, is a file of some folder.
const EXTENSIONS: &[&str] = &[".rs", ".toml", ".md", ".proto", ".lua"];

pub(super) fn check(repo: &Repo) -> Vec<Finding> {
    let mut findings = Vec::new();
    for guide in GUIDES {
        let Some(file) = repo.file(guide) else {
            let advice = "the repository needs this guide; write it".to_owned();
            findings.push(Finding::of_file(*guide, RULE, advice));
            continue;
        };
        findings.extend(named(repo, file));
    }
    findings
}

fn named(repo: &Repo, file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        let spans = line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|span| is_path(repo, span));
        for span in spans.filter(|span| !exists_somewhere(repo, span)) {
            findings.push(file.finding(
                index + 1,
                RULE,
                format!("`{span}` does not exist; name what does"),
            ));
        }
        for target in links(line).filter(|target| !link_leads(repo, target)) {
            findings.push(file.finding(
                index + 1,
                RULE,
                format!("the link to {target} leads nowhere; mend it"),
            ));
        }
    }
    findings
}

/// Whether a piece of code in a guide means a file of this repository.
fn is_path(repo: &Repo, span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    // Capitals stand for a name that the reader chooses: `adapters/NAME/`.
    let placeholder = span
        .split('/')
        .any(|part| part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase()));
    if span.is_empty() || !span.chars().all(plain) || span.starts_with('/') || placeholder {
        return false;
    }
    match span.split_once('/') {
        Some((first, _)) => {
            let inside = format!("{first}/");
            repo.paths.iter().any(|path| path.starts_with(&inside))
                || EXTENSIONS.iter().any(|extension| span.ends_with(extension))
        }
        None => EXTENSIONS
            .iter()
            .any(|extension| span.len() > extension.len() && span.ends_with(extension)),
    }
}

/// Whether the path exists from the root or inside some folder (`tests/contract.rs`).
fn exists_somewhere(repo: &Repo, path: &str) -> bool {
    let name = path.trim_end_matches('/');
    let (file, folder) = (format!("/{name}"), format!("/{name}/"));
    repo.paths.iter().any(|known| {
        let known = format!("/{known}");
        known.ends_with(&file) || known.contains(&folder)
    })
}

/// The targets of `[text](target)` that lie in this repository.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains("://") && !target.starts_with(['#', '<']) && !target.is_empty())
}

fn link_leads(repo: &Repo, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    let path = path.trim_start_matches("./").trim_end_matches('/');
    let folder = format!("{path}/");
    repo.paths
        .iter()
        .any(|known| known == path || known.starts_with(&folder))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{places, repo};
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let files = [
            ("README.md", text),
            ("ARCHITECTURE.md", ""),
            ("CONTRIBUTING.md", ""),
            ("core/src/ring.rs", ""),
            ("adapters/memory/tests/contract.rs", ""),
        ];
        places(&check(&repo(&files)))
    }

    #[test]
    fn a_name_of_nothing_is_found() {
        assert_eq!(found("see\n`core/src/rings.rs`"), ["README.md:2"]);
        assert_eq!(found("`adapters/etcd/`"), ["README.md:1"]);
        assert_eq!(
            found("`rings.rs` and `gone/deny.toml`"),
            ["README.md:1", "README.md:1"]
        );
        assert_eq!(found("[the ring](core/src/rings.rs)"), ["README.md:1"]);
        assert_eq!(found("[the ring](./core/rings#top)"), ["README.md:1"]);
    }

    #[test]
    fn names_of_what_exists_pass() {
        assert_eq!(
            found("`core/src/ring.rs`, `core/`, `ring.rs`, `tests/contract.rs`, `README.md`"),
            [""; 0]
        );
        assert_eq!(
            found("[a](core/src/ring.rs) [b](./core/#x) [c](#here) [d](https://example.com/x)"),
            [""; 0]
        );
    }

    #[test]
    fn what_is_no_path_is_left_alone() {
        assert_eq!(
            found("`cargo test core/x` `and/or` `adapters/NAME/` `core::ring` `.rs` `/abs/file.rs`"),
            [""; 0]
        );
        assert_eq!(found("```text\n`core/gone.rs`\n```"), [""; 0]);
    }

    #[test]
    fn a_missing_guide_is_found() {
        let found = check(&repo(&[("README.md", ""), ("ARCHITECTURE.md", "")]));
        assert_eq!(places(&found), ["CONTRIBUTING.md:1"]);
    }
}
