//! From a text and an environment to settings.

use super::*;

#[test]
fn the_defaults_are_those_of_the_readme() {
    let config = EtdiClientConfig::default();
    assert_eq!(read("{}").unwrap(), config);
    let written: serde_json::Value = serde_json::to_value(&config).unwrap();
    assert_eq!(written["security_level"], "enhanced");
    assert_eq!(written["oauth_config"], json!(null));
    assert_eq!(
        written["key_config"],
        json!({"private_key_path": null, "public_key_path": null, "key_algorithm": "RS256",
               "key_size": 2048, "auto_generate": true})
    );
    assert_eq!(
        written["storage_config"],
        json!({"storage_type": "file", "storage_path": null, "encryption_enabled": true,
               "backup_enabled": true, "retention_days": 365})
    );
    assert_eq!(
        written["options"],
        json!({"timeout_seconds": 30, "retry_attempts": 3, "enable_caching": true,
               "cache_ttl_seconds": 300, "enable_metrics": true})
    );
    assert_eq!(written["verification_cache_ttl"], 300);
    assert_eq!(written["allow_non_etdi_tools"], true);
    assert_eq!(written["show_unverified_tools"], false);
    assert_eq!(written["enable_request_signing"], false);
    assert_eq!(EtdiClientConfig::from_json(&written.to_string(), nothing).unwrap(), config);
}

#[test]
fn what_is_not_known_is_refused_with_what_was_meant() {
    for (text, message) in [
        (
            r#"{"securityLevel":"basic"}"#,
            "`securityLevel` is no setting, did you mean `security_level`?",
        ),
        (
            r#"{"options":{"timeout":3}}"#,
            "`options.timeout` is no setting, did you mean `options.timeout_seconds`?",
        ),
        (
            r#"{"storage_config":{"path":"x"}}"#,
            "`storage_config.path` is no setting, did you mean `storage_config.storage_path`?",
        ),
        (
            r#"{"oauth_config":{"client":"x"}}"#,
            "`oauth_config.client` is no setting, did you mean `oauth_config.client_id`?",
        ),
        (r#"{"zzz":1}"#, "`zzz` is no setting"),
        (
            r#"{"server_config":{"host":"0.0.0.0","port":8000,"name":"n","version":"1"}}"#,
            "`server_config` is no setting of a client: a server is named by `server!()` and listens \
             where its program says, such as `HttpServer::new(server).listen(\"127.0.0.1:8000\")`; \
             take it out",
        ),
        (
            r#"{"logging":{"level":"INFO","format":"json","file":"/var/log/etdi.log"}}"#,
            "`logging` is no setting of a client: log lines go where the program's `tracing` \
             subscriber sends them, by its own filter such as `RUST_LOG`, and what is decided goes to \
             `audit`; take it out",
        ),
        (
            r#"{"monitoring":{"enabled":true,"metrics_endpoint":"/metrics"}}"#,
            "`monitoring` is no setting of a client: `options.enable_metrics` has \
             `EtdiClient::get_stats` count, and pages for health or metrics are routes of the \
             program's own; take it out",
        ),
        (r#"{"config_version":2}"#, "`config_version` 2 is not known here, use 1"),
        (
            r#"{"options":{"retry_attempts":-1}}"#,
            "`options`: invalid value: integer `-1`, expected u32",
        ),
        (
            r#"{"security_level":"paranoid"}"#,
            "`security_level`: unknown variant `paranoid`, expected one of `basic`, `enhanced`, `strict`",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), message);
    }
    assert!(read("{").unwrap_err().starts_with("the settings are no JSON"));
}

#[test]
fn variables_are_put_in_as_texts_and_nothing_else() {
    let environment = |name: &str| match name {
        "SECRET" => Some(r#"x","domain":"evil"#.to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let read = |text: &str| EtdiClientConfig::from_json(text, environment);
    let text = r#"{"oauth_config":{"client_secret":"${SECRET}","domain":"$${A}",
        "client_id":"a-${EMPTY:-b}-${NONE:-c}", "provider":"${EMPTY}"}}"#;
    let oauth = read(text).unwrap().oauth_config.unwrap();
    assert_eq!(oauth.client_secret.as_ref().unwrap().reveal(), r#"x","domain":"evil"#);
    assert_eq!((&*oauth.domain, &*oauth.client_id, &*oauth.provider), ("${A}", "a-b-c", ""));
    assert!(!format!("{oauth:?}").contains("evil"));
    assert!(!serde_json::to_string(&oauth).unwrap().contains("evil"));
    let missing = read(r#"{"oauth_config":{"scopes":["a","${NONE}"]}}"#).unwrap_err().to_string();
    assert!(missing.starts_with("`oauth_config.scopes[1]` wants `${NONE}`, which is not set"));
    let open = read(r#"{"oauth_config":{"domain":"${X"}}"#).unwrap_err().to_string();
    assert!(open.contains("has `${` without `}`"), "{open}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("etdi.json");
    let text = r#"{"security_level":"basic","oauth_config":{"provider":"okta","domain":"a"}}"#;
    std::fs::write(&path, text).unwrap();
    let set = |name: &str| {
        Some(match name {
            "ETDI_CONFIG_PATH" => path.to_str().unwrap().to_owned(),
            "ETDI_SECURITY_LEVEL" => "strict".to_owned(),
            "ETDI_OAUTH_PROVIDER" => "auth0".to_owned(),
            "ETDI_CLIENT_ID" => "id".to_owned(),
            "ETDI_CLIENT_SECRET" => "secret".to_owned(),
            "ETDI_AUDIENCE" => "https://api.example".to_owned(),
            _ => return None,
        })
    };
    let config = EtdiClientConfig::load_from(set).unwrap();
    assert_eq!(config.security_level, SecurityLevel::Strict);
    let mut expected = OAuthConfig::new("auth0", "id", "a");
    expected.client_secret = Some(ClientSecret::new("secret"));
    expected.audience = Some("https://api.example".to_owned());
    assert_eq!(config.oauth_config, Some(expected));
    assert_eq!(EtdiClientConfig::load_from(nothing).unwrap(), EtdiClientConfig::default());
    let domain = |name: &str| (name == "ETDI_DOMAIN").then(|| "b".to_owned());
    assert_eq!(EtdiClientConfig::load_from(domain).unwrap().oauth_config.unwrap().domain, "b");
    let bad = |name: &str| (name == "ETDI_SECURITY_LEVEL").then(|| "none".to_owned());
    assert!(EtdiClientConfig::load_from(bad).unwrap_err().to_string().contains("ETDI_SECURITY"));
}
