//! Questions as older revisions know them.

use mcp_types::{
    ElicitRequestParams, InputRequest, LegacyTitledEnumSchema, PrimitiveSchemaDefinition,
    ProtocolVersion,
};

/// The first revision whose forms have titled choices of their own.
const TITLED_CHOICES: ProtocolVersion = ProtocolVersion::V2025_11_25;

/// Writes a form so that a client of `version` can show it: titles of choices stand beside the
/// values (2025-06-18, "Elicitation", "Requested Schema"). What it cannot know is left as it is.
pub(super) fn simplify(question: &mut InputRequest, version: ProtocolVersion) {
    if version >= TITLED_CHOICES {
        return;
    }
    let InputRequest::Elicit(ElicitRequestParams::Form(form)) = question else { return };
    for field in form.requested_schema.properties.values_mut() {
        if let PrimitiveSchemaDefinition::TitledSingleSelect(choice) = field {
            let values = choice.one_of.iter().map(|one| one.r#const.clone()).collect();
            let mut plain = LegacyTitledEnumSchema::new(values);
            plain.enum_names = Some(choice.one_of.iter().map(|one| one.title.clone()).collect());
            plain.default = choice.default.take();
            plain.description = choice.description.take();
            plain.title = choice.title.take();
            *field = PrimitiveSchemaDefinition::LegacyTitled(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::RawText;

    use super::*;

    #[test]
    fn titles_stand_where_an_older_client_looks_for_them() {
        let text = r#"{"method":"elicitation/create","params":{"mode":"form","message":"Which?","requestedSchema":{"type":"object","properties":{"colour":{"type":"string","default":"r","oneOf":[{"const":"r","title":"Red"},{"const":"g","title":"Green"}]}}}}}"#;
        let written = |version: &str| {
            let mut question: InputRequest = RawText::new(text).unwrap().parse().unwrap();
            simplify(&mut question, ProtocolVersion::parse(version).unwrap());
            serde_json::to_string(&question).unwrap()
        };
        let newest = written("2025-11-25");
        assert!(newest.contains(r#""oneOf":[{"const":"r","title":"Red"}"#), "{newest}");
        let older = written("2025-06-18");
        assert!(older.contains(r#""enum":["r","g"],"enumNames":["Red","Green"]"#), "{older}");
        assert!(older.contains(r#""default":"r""#) && !older.contains("oneOf"), "{older}");
    }
}
