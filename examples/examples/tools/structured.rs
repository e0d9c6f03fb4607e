//! Results as data. The type is the schema: what does not fit it cannot be returned.

use std::collections::BTreeMap;

use mcp_server::{BuildError, Server, data, server, tool};
use serde::Serialize;

#[data]
struct WeatherData {
    /// Temperature in Celsius.
    temperature: f64,
    /// Humidity in percent.
    humidity: f64,
    condition: String,
    wind_speed: f64,
}

/// Gets the weather of a city.
#[tool]
fn get_weather(city: String) -> WeatherData {
    let condition = format!("partly cloudy in {city}");
    WeatherData { temperature: 22.5, humidity: 65.0, condition, wind_speed: 12.3 }
}

#[data]
struct LocationInfo {
    latitude: f64,
    longitude: f64,
    name: String,
}

/// Gets the coordinates of an address.
#[tool]
fn get_location(address: String) -> LocationInfo {
    LocationInfo { latitude: 51.5074, longitude: -0.1278, name: format!("{address}, London") }
}

/// Gets statistics; the names are not known beforehand.
#[tool]
fn get_statistics(data_type: String) -> BTreeMap<String, f64> {
    let numbers = [("mean", 42.5), ("median", 40.0), ("std_dev", 5.2)];
    numbers.map(|(name, number)| (format!("{data_type}_{name}"), number)).into()
}

#[data]
struct UserProfile {
    name: String,
    age: u8,
    email: Option<String>,
}

/// Gets a user's profile.
#[tool]
fn get_user(user_id: u64) -> Option<UserProfile> {
    (user_id == 1).then(|| UserProfile { name: "Alice".into(), age: 30, email: None })
}

/// What has a JSON form but no schema is text.
#[derive(Serialize)]
struct UntypedConfig {
    setting1: &'static str,
    setting2: &'static str,
}

/// Gets the configuration as text alone.
#[tool(structured = false)]
fn get_config() -> UntypedConfig {
    UntypedConfig { setting1: "value1", setting2: "value2" }
}

/// Lists cities. What is no object with known members stands under `result`.
#[tool]
fn list_cities() -> Vec<&'static str> {
    vec!["London", "Paris", "Tokyo"]
}

/// Gets a temperature as a number.
#[tool]
fn get_temperature(city: String) -> f64 {
    if city.is_empty() { 0.0 } else { 22.5 }
}

pub(crate) fn server() -> Result<Server, BuildError> {
    server!()
        .tool::<get_weather>()
        .tool::<get_location>()
        .tool::<get_statistics>()
        .tool::<get_user>()
        .tool::<get_config>()
        .tool::<list_cities>()
        .tool::<get_temperature>()
        .build()
}
