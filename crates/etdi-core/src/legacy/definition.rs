//! A tool definition in the fork's own JSON, and the three hashes that the fork takes of it.

use ring::digest::{SHA256, digest};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ForkError, PythonStyle, python_json};

/// A definition as the fork writes it into files (`ETDIToolDefinition`).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForkDefinition {
    /// The tool's id, which the fork keys everything by.
    pub id: String,
    /// Its version.
    pub version: String,
    members: Members,
}

#[derive(Clone, Debug, Deserialize)]
struct Members {
    id: Box<RawValue>,
    name: Box<RawValue>,
    version: Box<RawValue>,
    description: Box<RawValue>,
    provider: Box<RawValue>,
    schema: Box<RawValue>,
    permissions: Vec<Box<RawValue>>,
    require_request_signing: Option<bool>,
}

#[derive(Deserialize)]
struct Scope {
    scope: String,
}

impl ForkDefinition {
    /// Reads a definition; members that no hash covers are left out.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] when a member is missing or of another type.
    pub fn read(text: &str) -> Result<Self, ForkError> {
        let members: Members = serde_json::from_str(text).map_err(|_| unreadable())?;
        let read = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| unreadable());
        Ok(Self { id: read(&members.id)?, version: read(&members.version)?, members })
    }

    /// The hash in approval records: default separators, permissions in their order.
    ///
    /// # Errors
    ///
    /// [`ForkError::Unreadable`] for numbers that Python does not write.
    pub fn approval_hash(&self) -> Result<String, ForkError> {
        self.hash(PythonStyle::Spaced, &self.permissions(), None)
    }

    /// The hash of the tool provider, over the string that it signs: compact.
    ///
    /// # Errors
    ///
    /// As [`ForkDefinition::approval_hash`].
    pub fn provider_hash(&self) -> Result<String, ForkError> {
        self.hash(PythonStyle::Compact, &self.permissions(), None)
    }

    /// The hash of the rug-pull detector: compact, permissions by scope, with the signing flag.
    ///
    /// # Errors
    ///
    /// As [`ForkDefinition::approval_hash`], and for a permission without a scope.
    pub fn detector_hash(&self) -> Result<String, ForkError> {
        let mut sorted = Vec::new();
        for permission in self.permissions() {
            let scope: Scope = serde_json::from_str(permission).map_err(|_| unreadable())?;
            sorted.push((scope.scope, permission));
        }
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        let sorted: Vec<&str> = sorted.into_iter().map(|(_, permission)| permission).collect();
        let flag = self.members.require_request_signing.unwrap_or_default();
        self.hash(PythonStyle::Compact, &sorted, Some(flag))
    }

    fn permissions(&self) -> Vec<&str> {
        self.members.permissions.iter().map(|raw| raw.get()).collect()
    }

    fn hash(
        &self,
        style: PythonStyle,
        permissions: &[&str],
        flag: Option<bool>,
    ) -> Result<String, ForkError> {
        let Members { id, name, version, description, provider, schema, .. } = &self.members;
        let flag =
            flag.map_or_else(String::new, |flag| format!(r#","require_request_signing":{flag}"#));
        let text = format!(
            r#"{{"id":{id},"name":{name},"version":{version},"description":{description},"provider":{provider},"schema":{schema},"permissions":[{}]{flag}}}"#,
            permissions.join(",")
        );
        let written = python_json(&text, style)?;
        Ok(crate::store::hex(digest(&SHA256, written.as_bytes()).as_ref()))
    }
}

fn unreadable() -> ForkError {
    let what = "the definition".to_owned();
    ForkError::Unreadable { what, why: "a member is missing or of another type" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the fork itself; the definition and the hashes are golden.
    #[test]
    fn takes_the_three_hashes_of_the_fork() {
        let text = r#"{"id":"get_weather","name":"Get Weather","version":"1.0.0","description":"Météo",
            "provider":{"id":"acme","name":"Acme"},
            "schema":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]},
            "permissions":[{"name":"w","description":"Read weather","scope":"weather:read","required":true}],
            "security":null,"call_stack_constraints":null,"verification_status":"unverified",
            "require_request_signing":false,"enable_rug_pull_prevention":true}"#;
        let definition = ForkDefinition::read(text).unwrap();
        assert_eq!((&*definition.id, &*definition.version), ("get_weather", "1.0.0"));
        for (hash, golden) in [
            (
                definition.detector_hash(),
                "d6b95fff450595ba1366b494c9eb07c85709025c4bc355f8c492ec7cf7fc0299",
            ),
            (
                definition.approval_hash(),
                "0429f73596c3710cb2ed7e36afbcca8d0f6288e1182951563577fc531a3cd9be",
            ),
            (
                definition.provider_hash(),
                "4f471cfd4b54e3d4f32f7e5c3adac8c1c932bf8fa05360b880b0c34f506d4e97",
            ),
        ] {
            assert_eq!(hash.unwrap(), golden);
        }
        assert!(ForkDefinition::read(r#"{"id":"x"}"#).is_err());
    }
}
