//! The page for those who come from Python: every row has its snippet, and every name of the README
//! has its row. The snippets themselves are compiled as documentation tests.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by a panic"
)]

const PAGE: &str = include_str!("../../../docs/from-python.md");

#[test]
fn every_row_has_its_snippet() {
    let number = |line: &str| line.split('|').nth(1)?.trim().parse::<u32>().ok();
    let rows: Vec<u32> =
        PAGE.lines().filter(|line| line.starts_with("| ")).filter_map(number).collect();
    assert!(rows.len() > 30);
    assert!(rows.iter().copied().eq(1..=rows.len() as u32), "{rows:?}");
    let sections: Vec<&str> = PAGE.split("\n## ").skip(1).collect();
    assert_eq!(sections.len(), rows.len());
    for (section, row) in sections.iter().zip(rows) {
        assert!(section.starts_with(&format!("{row}\n\n```rust\n")), "{section:.20}");
        assert_eq!(section.matches("```").count(), 2, "one snippet a row: {row}");
        // A name in the snippet that the row promises could go unnoticed; a body cannot be empty.
        assert!(section.lines().count() > 5, "{row}");
    }
}

/// The classes, methods, fields and options that the README and its client's settings name.
#[test]
fn every_name_of_the_readme_has_its_row() {
    let table: String = PAGE.lines().filter(|line| line.starts_with("| ")).collect();
    for name in "ETDIClient ETDIVerifier ApprovalManager SecureSession ETDISecureServer \
        SecurityMiddleware TokenManager ToolProvider Auth0Provider OktaProvider AzureADProvider \
        OAuthManager SecurityAnalyzer TokenDebugger OAuthValidator CallStackVerifier OAuthConfig \
        SecurityLevel BASIC ENHANCED STRICT to_dict provider client_id client_secret domain \
        audience scopes security_level oauth_config allow_non_etdi_tools show_unverified_tools \
        verification_cache_ttl enable_request_signing key_config private_key_path \
        public_key_path key_algorithm key_size auto_generate storage_config storage_type \
        storage_path encryption_enabled backup_enabled retention_days options timeout_seconds \
        retry_attempts enable_caching cache_ttl_seconds enable_metrics connect_to_server \
        discover_tools verification_status approve_tool invoke_tool tool.id verify_tool \
        is_tool_approved check_version_change request_reapproval check_permission client.on \
        client.off get_stats initialize secure_tool initialize_request_signing etdi=True \
        etdi_permissions etdi_oauth_scopes etdi_require_request_signing etdi_signature \
        etdi_timestamp etdi_key_id etdi_algorithm analyze_tool security_score vulnerabilities \
        debug_token valid claims issues validate_provider configuration_valid is_reachable \
        mcp.etdi.cli init validate-oauth debug-token analyze-tool OAuthAuthorizationServerProvider \
        AuthSettings OAuthClientProvider TokenStorage APIKeyAuth OAuth2Server FilePathArgs \
        sanitize_input ResourceACL SecureStorage"
        .split_whitespace()
    {
        assert!(table.contains(name), "`{name}` has no row");
    }
}
