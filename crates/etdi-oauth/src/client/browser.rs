//! Opens a browser: by argv, never through a shell, and only for URLs that were checked.

use std::process::{Command, Stdio};

use super::InteractionError;
use crate::flow::AuthorizationUrl;
use crate::web::checked;

/// Opens the user's browser at `url`.
///
/// The URL is HTTPS or a page of this computer, as its type says, and is looked at once more; it is
/// one argument of one program. Programs that open URLs are often scripts themselves, so a URL with
/// a character that means something to a shell is not given to them at all.
///
/// # Errors
///
/// When there is no such program here, or the URL is one that should be opened by hand.
pub fn open_browser(url: &AuthorizationUrl) -> Result<(), InteractionError> {
    let unavailable = |why: &str| InteractionError::Unavailable(why.to_owned());
    let url = spelled(url.as_str()).map_err(unavailable)?;
    let (program, before): (&str, &[&str]) = if cfg!(target_os = "macos") {
        ("/usr/bin/open", &[])
    } else if cfg!(windows) {
        ("rundll32.exe", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    };
    let mut command = Command::new(program);
    command.args(before).arg(url);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command
        .spawn()
        .map_err(|_| unavailable("no browser can be opened, open the URL by hand"))?;
    // Whoever is not waited for stays in the table of processes.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// The URL as it may be given to a program.
fn spelled(url: &str) -> Result<&str, &'static str> {
    checked(url, true)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?[]@=&%+,".contains(&byte);
    match url.bytes().all(plain) {
        true => Ok(url),
        false => Err("the URL holds a character that a shell could read, open it by hand"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2025-6514 and its kin.
    #[test]
    fn what_no_program_is_given() {
        for url in [
            "https://auth.example/$(touch${IFS}pwned)?x",
            "https://auth.example/`id`",
            "https://auth.example/a;b",
            "https://auth.example/a|b",
            "https://auth.example/a'b",
            "https://auth.example/(b)",
            "https://auth.example/a!b",
            "https://auth.example/a*b",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "vbscript:x",
            "data:text/html,x",
            "ms-msdt:/id",
            "http://auth.example/",
            "-psn",
            "https://user@auth.example/",
        ] {
            assert!(spelled(url).is_err(), "{url}");
        }
        let fine = "https://auth.example/authorize?response_type=code&scope=a%20b+c&state=x-_~.";
        assert_eq!(spelled(fine), Ok(fine));
        assert!(spelled("http://127.0.0.1:3000/authorize").is_ok());
    }
}
