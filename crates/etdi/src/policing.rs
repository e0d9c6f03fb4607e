//! What a host puts around calls: engines that decide, and flows that are tracked.

use std::sync::Arc;
use std::time::Duration;

use etdi_core::audit::Auditor;
use etdi_core::flow::FlowTracker;
use etdi_core::layer::VerifyLayer;
use etdi_core::level::{Policy, Rules};
use etdi_core::policy::{Gate, LocalRules, PolicyEngine};
use mcp_transport::TokioRuntime;

/// Engines and flows.
#[derive(Clone, Default)]
pub(crate) struct Policing {
    pub(crate) gate: Option<Gate>,
    pub(crate) engines: Vec<Arc<dyn PolicyEngine>>,
    pub(crate) flows: Option<FlowTracker>,
    pub(crate) deadline: Option<Duration>,
}

impl Policing {
    /// The layer of a client with all of it, in which `agent` works for `user`.
    pub(crate) fn around(
        &self,
        mut layer: VerifyLayer,
        policy: &Policy,
        auditor: &Arc<dyn Auditor>,
        (user, agent): (&str, &str),
    ) -> VerifyLayer {
        if let Some(gate) = &self.gate {
            let gate = self.engines.iter().fold(gate.clone(), |gate, one| gate.and(one.clone()));
            layer = layer.gate(gate);
        } else if let Some(gate) = gate(&self.engines, policy, Some(auditor)) {
            let gate = gate.deadline(self.deadline.unwrap_or(Gate::DEADLINE));
            let gate = gate.acting(Some(user.to_owned()), Some(agent.to_owned()));
            // Where there is no runtime there is no timer: a call then waits for its engine.
            layer = layer.gate(match TokioRuntime::try_current() {
                Some(runtime) => gate.runtime(Arc::new(runtime)),
                None => gate,
            });
        }
        match &self.flows {
            Some(flows) => layer.flow(flows.clone()),
            None => layer,
        }
    }
}

/// A gate with these engines; without any, with the local rules where the policy has those.
pub(crate) fn gate(
    engines: &[Arc<dyn PolicyEngine>],
    policy: &Policy,
    auditor: Option<&Arc<dyn Auditor>>,
) -> Option<Gate> {
    let local: [Arc<dyn PolicyEngine>; 1];
    let engines = match engines {
        [] if policy.rules == Rules::Local => {
            local = [Arc::new(LocalRules::of(policy.level))];
            &local
        }
        given => given,
    };
    let (first, others) = engines.split_first()?;
    let gate = Gate::new(first.clone()).under(policy);
    let gate = others.iter().fold(gate, |gate, engine| gate.and(engine.clone()));
    Some(match auditor {
        Some(auditor) => gate.auditor(auditor.clone()),
        None => gate,
    })
}
