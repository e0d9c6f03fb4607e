//! Programs that a reader can run: `cargo run -p examples --example NAME`.
//!
//! | example | shows |
//! |---|---|
//! | `calculator` | the smallest server, two tools over stdio |
//! | `signed_notes` | a server whose tools are signed |
//! | `careful_client` | a client that verifies, asks at the terminal and keeps the answer |
//! | `long_job` | a tool that outlives its request, over stdio or HTTP, and a client that finds it again |
//! | `interop_server`, `interop_client` | the two ends that are run against others' software |
//! | `bench_server` | the server that the benchmarks measure |
