//! A member that is no data.

#[mcp_server::data]
struct Hit {
    place: Place,
}

struct Place;

fn main() {}
