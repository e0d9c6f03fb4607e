//! The smallest server: two tools over stdio.
//!
//! Run it under any client, such as `etdi call add a=2 b=3 -- target/release/examples/calculator`.

use mcp_server::{server, tool};

/// Adds two numbers.
#[tool]
fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Divides one number by another.
#[tool]
fn divide(dividend: f64, divisor: f64) -> Result<f64, &'static str> {
    if divisor == 0.0 { Err("the divisor is zero") } else { Ok(dividend / divisor) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = server!().tool::<add>().tool::<divide>().build()?;
    Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?)
}
