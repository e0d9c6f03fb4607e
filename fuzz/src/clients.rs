//! Configuration files of clients, read and edited.

use etdi_clients::{Edit, Format, Value};

/// A format on the first line, a file below it.
///
/// # Panics
///
/// When an entry is put into a file and is not there, or the rest of the file says something else.
pub fn clients(data: &[u8]) {
    let Some((format, text)) = super::line_and_rest(data) else { return };
    let format = match format {
        "toml" => Format::Toml,
        "yaml" => Format::Yaml,
        _ => Format::Json,
    };
    let Ok(before) = format.parse(text).map(|root| root.value()) else { return };
    let path = ["mcpServers".to_owned(), "added".to_owned()];
    let entry = Value::Map(vec![("command".to_owned(), Value::text("x"))]);
    let Ok(with) = format.edit(text, &[Edit::Set(path.to_vec(), entry.clone())]) else { return };
    let mut root = format.parse(&with).expect("what was edited can be read").value();
    assert!(root.at(&path) == Some(&entry), "{with:?}");
    let was = before.at(&path).cloned();
    match was {
        Some(was) => root.set(&path, was),
        None => _ = root.remove(&path),
    }
    let mut rest = before.clone();
    rest.set(&path[..1], before.at(&path[..1]).cloned().unwrap_or(Value::Map(Vec::new())));
    assert!(root == rest, "{text:?} became {with:?}");
    let _ = format.edit(&with, &[Edit::Remove(path.to_vec())]);
}
