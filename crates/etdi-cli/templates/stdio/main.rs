//! The server over its standard streams: clients start this program.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Ok(mcp_transport::serve({{crate}}::build()?, mcp_transport::stdio()?).await?)
}
