//! Where the cluster lives.

use std::ffi::OsString;
use std::path::PathBuf;

use super::FolderArgs;
use crate::exit::Failure;

/// The folder that was asked for, or the user's own.
pub(super) fn folder(args: &FolderArgs) -> Result<PathBuf, Failure> {
    choose(args.dir.as_ref(), |name| std::env::var_os(name))
}

fn choose(dir: Option<&PathBuf>, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Failure> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    if let Some(dir) = dir {
        return Ok(std::path::absolute(dir)?);
    }
    let cache = variable("XDG_CACHE_HOME")
        .and_then(absolute)
        .or_else(|| Some(variable("HOME").and_then(absolute)?.join(".cache")));
    cache
        .map(|cache| cache.join("ringhold").join("dev-cluster"))
        .ok_or_else(|| Failure::usage("there is no HOME to keep the cluster in; name a folder with --dir"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_wins_over_the_cache_and_that_over_home() {
        let all = |name: &str| match name {
            "XDG_CACHE_HOME" => Some("/cache".into()),
            "HOME" => Some("/people/ada".into()),
            _ => None,
        };
        let home = |name: &str| all(name).filter(|_| name == "HOME");
        let dir = PathBuf::from("/here");
        assert_eq!(choose(Some(&dir), all).unwrap(), dir);
        assert_eq!(
            choose(None, all).unwrap(),
            PathBuf::from("/cache/ringhold/dev-cluster")
        );
        assert_eq!(
            choose(None, home).unwrap(),
            PathBuf::from("/people/ada/.cache/ringhold/dev-cluster")
        );
        assert!(choose(None, |_| None).is_err());
        assert!(choose(None, |_| Some("relative".into())).is_err());
        assert!(choose(Some(&"relative".into()), all).unwrap().is_absolute());
    }
}
