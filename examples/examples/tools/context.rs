//! What a running tool tells its client, and what it reads of its own server.

use mcp_server::types::LoggingLevel;
use mcp_server::{BuildError, CallError, Context, Server, resource, server, tool};

/// A file of the server.
#[resource("file:///{name}", mime_type = "text/plain")]
async fn file(name: String) -> Option<&'static str> {
    match name.as_str() {
        "one.txt" => Some("the first"),
        "two.txt" => Some("and the second"),
        _ => None,
    }
}

/// Processes files one after the other, and says how far it is.
#[tool]
async fn long_task(cx: Context, files: Vec<String>) -> Result<String, CallError> {
    let total = u32::try_from(files.len()).unwrap_or(u32::MAX);
    let mut contents = 0;
    for (file, done) in files.iter().zip(0_u32..) {
        cx.log(LoggingLevel::Info, &format!("processing {file}")).await;
        cx.progress(done, f64::from(total)).await;
        // Through all layers around the server, as any client reads it.
        contents += cx.read_resource(&format!("file:///{file}")).await?.contents.len();
    }
    cx.progress_with(total, f64::from(total), "done").await;
    Ok(format!("processing complete: {contents} of {total}"))
}

pub(crate) fn server() -> Result<Server, BuildError> {
    server!().resource::<file>().tool::<long_task>().build()
}
