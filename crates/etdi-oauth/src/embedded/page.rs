//! The pages that users see: plain HTML without a script.

use url::Url;

use super::client::Source;
use super::server::Visit;

/// How a user can say who they are.
pub(super) struct Ways<'a> {
    /// By a name here; whether with a password.
    pub(super) here: Option<bool>,
    /// Elsewhere: names in the form, and for people.
    pub(super) elsewhere: Vec<(&'a str, &'a str)>,
}

/// The page that asks.
pub(super) fn consent(visit: &Visit<'_>, ticket: &str, ways: &Ways<'_>, again: bool) -> String {
    let (client, request) = (visit.client, visit.request);
    let url = Url::parse(&request.redirect_uri).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let name = client.name.as_deref().unwrap_or(&client.id);
    let told = match client.source {
        Source::Configured => "",
        Source::Registered => {
            "<p><strong>This application registered itself. Nobody has checked its name.</strong></p>"
        }
        Source::Document => {
            "<p><strong>The name is what the application says of itself. What counts is its id.\
             </strong></p>"
        }
    };
    let local = match request.redirect_uri.starts_with("http://") {
        true => {
            "<p><strong>Whatever program listens on this computer gets the access. Go on only if you \
             have just started this yourself.</strong></p>"
        }
        false => "",
    };
    let scopes: String = match &request.scopes[..] {
        [] => "<li>no scope in particular</li>".to_owned(),
        scopes => scopes.iter().map(|scope| format!("<li>{}</li>", escaped(scope))).collect(),
    };
    let wrong = if again { "<p><strong>That is not right, try again.</strong></p>" } else { "" };
    let secret = match ways.here {
        Some(true) => {
            "<p><label>Password <input type=\"password\" name=\"password\" \
             autocomplete=\"current-password\" required></label></p>"
        }
        _ => "",
    };
    let here = match ways.here {
        Some(_) => format!(
            "<p><label>Your name <input name=\"name\" autocomplete=\"username\" maxlength=\"64\">\
             </label></p>{secret}<p><button name=\"decision\" value=\"allow\">Allow</button></p>"
        ),
        None => String::new(),
    };
    let elsewhere: String = ways
        .elsewhere
        .iter()
        .map(|(name, label)| {
            format!(
                "<p><button name=\"upstream\" value=\"{}\" formnovalidate>Allow, and log in with {}\
             </button></p>",
                escaped(name),
                escaped(label)
            )
        })
        .collect();
    let body = format!(
        "<h1>Allow {name} to act for you?</h1>{told}\
         <dl><dt>Application</dt><dd>{name}</dd>\
         <dt>Its id</dt><dd><code>{id}</code></dd>\
         <dt>You are sent back to</dt><dd><code>{host}</code></dd>\
         <dt>It wants to use</dt><dd><code>{resource}</code></dd>\
         <dt>It may</dt><dd><ul>{scopes}</ul></dd></dl>{local}{wrong}\
         <form method=\"post\" action=\"{action}\">\
         <input type=\"hidden\" name=\"ticket\" value=\"{ticket}\">\
         {here}{elsewhere}\
         <p><button name=\"decision\" value=\"deny\" formnovalidate>Deny</button></p></form>",
        name = escaped(name),
        id = escaped(&client.id),
        host = escaped(host),
        resource = escaped(&request.resource),
        action = escaped(visit.action),
        ticket = escaped(ticket),
    );
    document("Allow access?", &body)
}

/// The page that leads to a login elsewhere.
pub(super) fn onward(url: &str) -> String {
    let host = Url::parse(url).ok();
    let host = host.as_ref().and_then(Url::host_str).unwrap_or_default();
    let head = format!("<meta http-equiv=\"refresh\" content=\"0;url={}\">", escaped(url));
    let body = format!(
        "<h1>Log in</h1><p><a href=\"{}\">Go on to {}</a></p>",
        escaped(url),
        escaped(host)
    );
    document_with("Log in", &head, &body)
}

/// The page that says why nothing is asked.
pub(super) fn refused(why: &str) -> String {
    document("This does not work", &format!("<h1>This does not work</h1><p>{}</p>", escaped(why)))
}

fn document(title: &str, body: &str) -> String {
    document_with(title, "", body)
}

fn document_with(title: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>{head}</head>\
         <body>{body}</body></html>"
    )
}

/// What may stand in text and in a quoted attribute. What turns the direction of writing around is
/// shown, not obeyed.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for one in text.chars() {
        match one {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' => {
                safe.push('\u{fffd}');
            }
            one if one.is_control() => safe.push('\u{fffd}'),
            one => safe.push(one),
        }
    }
    safe
}
