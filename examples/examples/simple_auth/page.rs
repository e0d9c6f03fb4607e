//! The page on which the user logs in and says yes or no. It is shown without scripts.

use etdi_oauth::embedded::Visit;

/// The page; `ticket` makes its answer count.
pub(crate) fn login(visit: &Visit<'_>, ticket: &str, again: bool) -> String {
    let (client, request) = (visit.client, visit.request);
    let wrong = if again { "<p><strong>That is not right, try again.</strong></p>" } else { "" };
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Log in</title></head>\
         <body><h1>Let {name} use {resource}?</h1><p>It wants: {scopes}. You are sent back to \
         <code>{back}</code>.</p>{wrong}<form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
         <p><label>Name <input name=\"name\" autocomplete=\"username\"></label></p>\
         <p><label>Password <input type=\"password\" name=\"password\"></label></p>\
         <p><button name=\"decision\" value=\"allow\">Allow</button> \
         <button name=\"decision\" value=\"deny\">Deny</button></p></form></body></html>",
        name = escaped(client.name.as_deref().unwrap_or(&client.id)),
        resource = escaped(&request.resource),
        scopes = escaped(&request.scopes.join(" ")),
        back = escaped(&request.redirect_uri),
        action = escaped(visit.action),
    )
}

/// What may stand in text and in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            one if one.is_control() => safe.push('\u{fffd}'),
            one => safe.push(one),
        }
    }
    safe
}
