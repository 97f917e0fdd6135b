//! Containment: which file a path that a stranger wrote may name.

use std::path::{Path, PathBuf};

/// The regular file that `asked` names inside `root`, with every link followed; relative to the root, or absolute.
///
/// `None` for everything else, without a difference that could be told to the asker: what is missing, what is no file, and
/// what is outside are the same. Nothing is decoded: an encoded dot is a character of a name.
pub fn inside(root: &Path, asked: &str) -> Option<PathBuf> {
    if asked.is_empty() || asked.contains('\0') {
        return None;
    }
    let root = root.canonicalize().ok()?;
    let file = root.join(asked).canonicalize().ok()?;
    // By components: `/a/bc` is not inside `/a/b`.
    (file.starts_with(&root) && file.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_inside_the_root_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (root, near) = (dir.path().join("ab"), dir.path().join("abc"));
        for folder in [&root, &near] {
            std::fs::create_dir_all(folder.join("sub")).unwrap();
            std::fs::write(folder.join("f"), "x").unwrap();
        }
        std::os::unix::fs::symlink(near.join("f"), root.join("out")).unwrap();
        std::os::unix::fs::symlink(root.join("f"), root.join("in")).unwrap();
        let own = Some(root.canonicalize().unwrap().join("f"));
        for asked in ["f", "./f", "sub/../f", "in", root.join("f").to_str().unwrap()] {
            assert_eq!(inside(&root, asked), own, "{asked}");
        }
        let absolute = near.join("f");
        for asked in ["", ".", "/", "sub", "../abc/f", "out", "....//f", "%2e%2e/abc/f", "f\0", "missing", absolute.to_str().unwrap()] {
            assert_eq!(inside(&root, asked), None, "{asked}");
        }
    }
}
