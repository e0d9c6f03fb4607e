//! Arguments, titles, and a tool that waits for somebody else.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mcp_server::checked::{Matches, Pattern, Text};
use mcp_server::{BuildError, Server, State, ToolError, server, tool};

/// Calculates the body mass index.
#[tool(title = "BMI Calculator", annotations(read_only, open_world = false))]
fn calculate_bmi(
    /// Weight in kilograms.
    weight_kg: f64,
    /// Height in metres.
    height_m: f64,
) -> Result<f64, &'static str> {
    if height_m <= 0.0 {
        Err("the height must be above zero")
    } else {
        Ok(weight_kg / height_m.powi(2))
    }
}

/// A name that can stand in a URL as it is.
enum CityName {}

impl Pattern for CityName {
    const REGEX: &str = "[A-Za-z][A-Za-z-]{0,63}";
    const MEANING: &str = "the name of a city, in letters and hyphens";
}

struct WeatherService {
    client: Client<HttpConnector, Empty<Bytes>>,
    url: String,
}

/// Fetches the current weather of a city.
#[tool(title = "Weather Fetcher", annotations(read_only))]
async fn fetch_weather(
    service: State<WeatherService>,
    city: Text<Matches<CityName>>,
) -> Result<String, ToolError> {
    let unreachable = |error: &dyn std::fmt::Display| {
        ToolError::new("the weather service cannot be reached, try again later").log(error)
    };
    let url = format!("{}/{city}", service.url).parse()?;
    let answer = service.client.get(url).await.map_err(|error| unreachable(&error))?;
    if !answer.status().is_success() {
        return Err(ToolError::new(format!("the weather of {city} is not known")));
    }
    let body = Limited::new(answer.into_body(), 64 << 10).collect().await;
    let body = body.map_err(|error| unreachable(&error))?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

pub(crate) fn server(weather: &str) -> Result<Server, BuildError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    server!()
        .tool::<calculate_bmi>()
        .state(WeatherService { client, url: weather.to_owned() })
        .tool::<fetch_weather>()
        .build()
}
