//! Whether Python is there: some servers and readers of these tests are written in it, as those of users are in any language.

/// True when it is. A machine that has a Rust toolchain and nothing else goes without these tests, and is told so; in CI (`CI=true`)
/// it must be there.
pub(crate) fn is_there(untested: &str) -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    assert!(there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "python3 is not there, and CI tests {untested}");
    if !there {
        eprintln!("python3 is not there: {untested} was not tested");
    }
    there
}
