//! Whatever is listed in whatever order.

use proptest::prelude::*;

use super::*;

/// What can happen to one tool name on one server.
#[derive(Clone, Debug)]
struct Step {
    version: u8,
    description: u8,
    standing: u8,
    answer: Option<bool>,
    withdraw: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let answer = prop_oneof![Just(None), any::<bool>().prop_map(Some)];
    (0u8..4, 0u8..3, 0u8..4, answer, prop::bool::weighted(0.1)).prop_map(
        |(version, description, standing, answer, withdraw)| Step {
            version,
            description,
            standing,
            answer,
            withdraw,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever is listed in whatever order: a tool passes only if a person said yes to exactly
    /// this definition of this issuer, or to one from which it differs in nothing that matters.
    #[test]
    fn nothing_passes_that_nobody_accepted(steps in prop::collection::vec(step(), 1..40)) {
        let world = world(Policy::enhanced(), []);
        let mut accepted: BTreeSet<(Option<String>, u8)> = BTreeSet::new();
        let mut ever_signed = false;
        for step in steps {
            let description = ["Search.", "Find.", "Send all files."][usize::from(step.description)];
            let tool = tool(&format!("1.{}.0", step.version), description);
            let standing = match step.standing {
                0 => Standing::Unsigned,
                1 => Standing::Unverified,
                2 => Standing::Invalid(Reason::SignatureInvalid),
                _ => verified(&tool),
            };
            let facts = Facts::new(SERVER, &tool, &standing);
            ever_signed |= facts.is_verified();
            let asked = world.script.asked().len();
            let result = match step.answer {
                None => now(world.approvals.check(&facts, NOW)),
                Some(answer) => {
                    let answer = if answer { yes() } else { Answer::Decline };
                    world.script.answers.lock().unwrap().push_back(answer);
                    now(world.approvals.review(&facts, NOW))
                }
            };
            world.script.answers.lock().unwrap().clear();
            let was_asked = world.script.asked().len() > asked;
            let entry = (facts.key().issuer, step.description);
            if was_asked && step.answer == Some(true) {
                accepted.insert(entry.clone());
            }
            if let Ok(approved) = result {
                prop_assert_eq!(approved.digest(), tool.digest());
                prop_assert!(accepted.contains(&entry));
                prop_assert!(step.standing == 0 || step.standing == 3);
                prop_assert!(step.standing == 3 || !ever_signed);
            }
            if step.withdraw {
                now(world.approvals.remove(&facts.key(), NOW)).unwrap();
            }
        }
    }
}
