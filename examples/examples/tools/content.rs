//! Images, and files that are found below one folder or not at all.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, ImageReader, Limits};
use mcp_server::checked::{FileError, Folder, RelativePath};
use mcp_server::types::ImageContent;
use mcp_server::{Server, State, ToolError, server, tool};

/// Makes a thumbnail of a PNG image.
///
/// The tool is not `async`: it runs on a thread of its own, where it may take its time.
#[tool(annotations(read_only, open_world = false))]
fn create_thumbnail(
    folder: State<Folder>,
    /// Where the image is.
    image_path: RelativePath,
) -> Result<ImageContent, ToolError> {
    let bytes = folder.read(&image_path, 8 << 20)?;
    let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
    // A small file may claim to be an image of a hundred gigapixels.
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(10_000), Some(10_000));
    limits.max_alloc = Some(256 << 20);
    reader.limits(limits);
    let mut png = Cursor::new(Vec::new());
    reader.decode()?.thumbnail(100, 100).write_to(&mut png, ImageFormat::Png)?;
    Ok(ImageContent::new(STANDARD.encode(png.into_inner()), "image/png"))
}

/// Reads a text file. No `..`, no absolute path and no link leads out of the folder.
#[tool(annotations(read_only, open_world = false))]
fn read_file(folder: State<Folder>, path: RelativePath) -> Result<String, FileError> {
    folder.read_text(&path, 64 << 10)
}

pub(crate) fn server(folder: &str) -> anyhow::Result<Server> {
    let server = server!().state(Folder::open(folder)?);
    Ok(server.tool::<create_thumbnail>().tool::<read_file>().build()?)
}
