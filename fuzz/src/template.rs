//! URI templates, and URIs held against them.

use mcp_server::UriTemplate;

/// A template on the first line, a URI below it.
///
/// # Panics
///
/// When a template is not what it was written as, or a value gets a control character into a URI.
pub fn template(data: &[u8]) {
    let Some((text, uri)) = super::line_and_rest(data) else { return };
    let Ok(template) = UriTemplate::new(text) else { return };
    assert_eq!(template.as_str(), text);
    if let Some(values) = template.matches(uri) {
        for name in values.keys() {
            assert!(template.variables().any(|known| known == name), "{name} in {text}");
        }
        let filled = template.expand(|name| values.get(name));
        let hidden = |uri: &str| uri.chars().any(char::is_control);
        assert!(hidden(text) || !hidden(&filled), "{filled:?}");
    }
    let _ = template.expand(|_| Some(uri));
}
