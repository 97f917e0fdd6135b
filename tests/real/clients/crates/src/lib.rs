//! What the adapters share: what streamspec tells a client.

/// Ends with status 127 when a case needs what this client cannot do.
pub fn supports(can: &[&str]) {
    let needs = std::env::var("STREAMSPEC_NEEDS").unwrap_or_default();
    if needs.split(',').any(|need| !need.is_empty() && !can.contains(&need)) {
        std::process::exit(127);
    }
}

/// The stream.
pub fn url() -> String {
    std::env::args().next_back().expect("the URL is the last argument")
}

/// The caller's headers.
pub fn headers() -> Vec<(String, String)> {
    let lines = std::env::var("STREAMSPEC_HEADERS").unwrap_or_default();
    lines.lines().filter_map(|line| line.split_once(": ")).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Writes a line.
pub fn say(line: &serde_json::Value) {
    println!("{line}");
}
