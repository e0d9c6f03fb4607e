//! What a person is told besides the difference: names that look alike, scopes that are dangerous.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use unicode_security::confusable_detection::skeleton;

use super::{Approvals, Stored, unnoted};
use crate::approval::{Approval, ApprovalKey, Facts, Granted, Reason, Refusal, StoreError};
use crate::change::visible;
use crate::definition::RawTool;
use crate::event::{EventKind, Severity};
use crate::permission::{Risk, Scope};
use crate::time::UnixTime;

/// The approved tools by what their names look like.
pub(super) struct Names {
    /// The store's, from before it was read.
    generation: u64,
    by: HashMap<String, Vec<ApprovalKey>>,
}

impl Approvals {
    /// The approved tools that a new tool could be taken for. An event tells of one that has another
    /// name.
    pub(super) async fn alike(
        &self,
        facts: &Facts<'_>,
        known: &Stored,
        open: &Refusal,
        now: UnixTime,
    ) -> Result<Vec<ApprovalKey>, Box<Refusal>> {
        if known.approval.is_some() {
            return Ok(Vec::new());
        }
        let alike = self.approved_alike(facts, now).await;
        let alike = alike.map_err(|error| self.failed(facts, error, now))?;
        if let Some(twin) = alike.iter().find(|twin| twin.tool != facts.tool()) {
            let detail = format!(
                "its name looks like that of `{}` of {}, which is approved",
                visible(&twin.tool),
                visible(&twin.server)
            );
            let event = self.event(EventKind::SecurityViolation, open, facts);
            let event = event.severity(Severity::High).detail(&detail);
            self.note(&event, now).map_err(|error| unnoted(facts, known, &error))?;
        }
        Ok(alike)
    }

    /// The approved tools of other servers, or of other names, with a name that a person could take
    /// for this one's: the same, or other only in case, in hyphens, or in letters that look alike.
    async fn approved_alike(
        &self,
        facts: &Facts<'_>,
        now: UnixTime,
    ) -> Result<Vec<ApprovalKey>, StoreError> {
        let looks = looks(facts.tool());
        let other = |key: &&ApprovalKey| key.server != facts.server || key.tool != facts.tool();
        let found = |names: &Names| {
            let mut alike: Vec<ApprovalKey> = looks
                .iter()
                .flat_map(|one| names.by.get(one).into_iter().flatten())
                .filter(other)
                .cloned()
                .collect();
            alike.sort();
            alike.dedup();
            alike
        };
        let generation = self.store.generation().await?;
        {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(names) = names.as_ref().filter(|names| names.generation == generation) {
                return Ok(found(names));
            }
        }
        let mut by: HashMap<String, Vec<ApprovalKey>> = HashMap::new();
        for approval in self.store.list().await?.approvals {
            let counts = approval.ended_at(now).is_none() && approval.reason != Reason::Imported;
            for look in self::looks(&approval.key.tool).into_iter().filter(|_| counts) {
                by.entry(look).or_default().push(approval.key.clone());
            }
        }
        let names = Names { generation, by };
        let alike = found(&names);
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        Ok(alike)
    }

    /// The dangerous and the broad among what a tool asks for beyond what was approved.
    pub(super) fn risks(&self, facts: &Facts<'_>, known: &Stored) -> Vec<Risk> {
        let last = known.approval.as_ref().or(known.previous.as_ref());
        let approved = last.map(approved_scopes).unwrap_or_default();
        self.lexicon.added(&approved, facts.permissions())
    }

    /// Warns of these scopes where a tool asks for them anew, in place of the usual ones.
    #[must_use]
    pub fn lexicon(self, lexicon: crate::permission::RiskLexicon) -> Self {
        Self { lexicon: Arc::new(lexicon), ..self }
    }
}

/// The scopes that an approval granted. One that cannot be read granted nothing.
fn approved_scopes(approval: &Approval) -> Vec<Scope> {
    if let Granted::Only(scopes) = &approval.granted {
        return scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
    }
    let Ok(tool) = RawTool::read(&approval.definition) else { return Vec::new() };
    let declared = tool.definition().block().map_or(&[][..], |block| &block.permissions);
    let granted = declared.iter().filter(|one| approval.granted.allows(one.scope.as_str()));
    granted.map(|one| one.scope.clone()).collect()
}

/// What a name looks like, by the skeletons of UTS 39, section 4, of letters and digits alone: once
/// of the name in lower case and once as it stands, since `I` looks like `l` and `i` does not.
pub(crate) fn looks(name: &str) -> Vec<String> {
    let look = |text: &str| -> String {
        let seen: String = skeleton(text).filter(|c| c.is_alphanumeric()).collect();
        seen.to_lowercase()
    };
    let plain: String = name.chars().map(half_width).filter(|c| c.is_alphanumeric()).collect();
    let mut looks = vec![look(&plain), look(&plain.to_lowercase())];
    looks.dedup();
    looks.retain(|look| !look.is_empty());
    looks
}

/// The wide forms of ASCII, which the table of look-alikes has in part.
fn half_width(c: char) -> char {
    match u32::from(c) {
        wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use mcp_types::BoxFuture;
    use serde_json::json;

    use super::*;
    use crate::approval::{Answer, Approver, MemoryStore, Question, Standing};
    use crate::audit::MemoryAuditor;
    use crate::definition::ToolDefinition;
    use crate::level::Policy;
    use crate::permission::RiskLexicon;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    /// Says yes, and keeps what it was told: words of risks, and names that look alike.
    #[derive(Default)]
    struct Told(Mutex<Vec<(Vec<String>, Vec<String>)>>);

    impl Approver for Told {
        fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
            let risks = question.risks.iter().map(|risk| risk.word.clone()).collect();
            let alike = question.alike.iter().map(|key| format!("{} {}", key.server, key.tool));
            self.0.lock().unwrap().push((risks, alike.collect()));
            Box::pin(std::future::ready(Answer::approve(Granted::All, "tester")))
        }
    }

    fn tool(name: &str, version: &str, scopes: &[&str]) -> ToolDefinition {
        let permissions: Vec<_> = scopes.iter().map(|scope| json!({ "scope": scope })).collect();
        let text = json!({
            "name": name, "inputSchema": {"type": "object"},
            "_meta": {"dev.etdi/etdi": {"v": 1, "version": version, "permissions": permissions}}
        });
        RawTool::read(&text.to_string()).unwrap().definition().clone()
    }

    fn host(lexicon: RiskLexicon) -> (Approvals, Arc<Told>, Arc<MemoryAuditor>) {
        let (told, auditor) = (Arc::new(Told::default()), Arc::new(MemoryAuditor::default()));
        let store = Arc::new(MemoryStore::new());
        let approvals = Approvals::new(Policy::basic(), store, told.clone(), auditor.clone());
        (approvals.lexicon(lexicon), told, auditor)
    }

    fn review(approvals: &Approvals, server: &str, tool: &ToolDefinition) {
        let facts = Facts::new(server, tool, &Standing::Unsigned);
        futures_executor::block_on(approvals.review(&facts, NOW)).unwrap();
    }

    /// The list is held against what an update adds, not against what was approved long ago.
    #[test]
    fn a_person_is_warned_of_what_an_update_adds() {
        let (approvals, told, _) = host(RiskLexicon::default());
        review(&approvals, "stdio:a", &tool("search", "1.0.0", &["notes:admin"]));
        review(&approvals, "stdio:a", &tool("search", "1.1.0", &["notes:admin", "notes:read"]));
        review(&approvals, "stdio:a", &tool("search", "1.2.0", &["notes:*", "shell:run"]));
        let risks: Vec<_> = told.0.lock().unwrap().iter().map(|told| told.0.join(" ")).collect();
        assert_eq!(risks, ["admin", "", "* shell"]);
        let mut own = RiskLexicon::empty();
        own.dangerous.push("notes".to_owned());
        let (approvals, told, _) = host(own);
        review(&approvals, "stdio:a", &tool("search", "1.0.0", &["notes:admin"]));
        assert_eq!(told.0.lock().unwrap()[0].0, ["notes"]);
    }

    /// T6: another publisher's twin asks like any tool; without a word a person takes it for the
    /// one that they know.
    #[test]
    fn a_person_is_told_of_a_twin() {
        let (approvals, told, auditor) = host(RiskLexicon::default());
        review(&approvals, "stdio:a", &tool("get_weather", "1.0.0", &[]));
        review(&approvals, "stdio:b", &tool("get_forecast", "1.0.0", &[]));
        review(&approvals, "stdio:b", &tool("get-weather", "1.0.0", &[]));
        review(&approvals, "stdio:c", &tool("get_weather", "1.0.0", &[]));
        // An update of the same tool is not a twin of itself, whatever else there is.
        review(&approvals, "stdio:a", &tool("get_weather", "1.1.0", &[]));
        let alike: Vec<_> = told.0.lock().unwrap().iter().map(|told| told.1.join(", ")).collect();
        let both = "stdio:a get_weather, stdio:b get-weather";
        assert_eq!(alike, ["", "", "stdio:a get_weather", both, ""]);
        let noted = auditor.entries().into_iter().map(|entry| entry.event);
        let noted: Vec<_> =
            noted.filter(|event| event.kind == EventKind::SecurityViolation).collect();
        assert_eq!(noted.len(), 2);
        assert!(noted.iter().all(|event| event.severity == Severity::High));
        // Who was withdrawn is nobody to be mistaken for.
        let key = ApprovalKey::new("stdio:b", None, "get_forecast");
        let withdrawn = crate::approval::Withdrawn::new(NOW, "tester");
        futures_executor::block_on(approvals.withdraw(&key, withdrawn)).unwrap();
        review(&approvals, "stdio:d", &tool("getForecast", "1.0.0", &[]));
        assert_eq!(told.0.lock().unwrap()[5].1, [""; 0]);
    }

    #[test]
    fn names_that_a_person_could_mistake() {
        let alike = |a: &str, b: &str| looks(a).iter().any(|look| looks(b).contains(look));
        for twin in [
            "get_weather",
            "get-weather",
            "GetWeather",
            "get.weather",
            "getweather",
            "g\u{435}t_weather",
            "get_we\u{430}ther",
            "get_\u{200b}weather",
            "ｇｅｔ_weather",
            "get_w\u{3b5}ather",
        ] {
            let same = alike("get_weather", twin);
            assert_eq!(same, twin != "get_w\u{3b5}ather", "{twin}");
        }
        assert!(alike("fi1e", "file") && alike("fIle", "file") && alike("fIle", "flle"));
        assert!(alike("rn", "m") && alike("t00l", "tool"));
        for other in ["get_forecast", "get_weathers", "weather_get", "", "___"] {
            assert!(!alike("get_weather", other), "{other}");
        }
    }
}
