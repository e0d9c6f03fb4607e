//! Texts of others in messages.

/// A text of a peer as a message may show it: short, and nothing in it writes to a terminal.
pub(crate) fn shown(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    short.escape_debug().to_string()
}
