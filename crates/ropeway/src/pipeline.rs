//! The flow of filters that a request takes.

use std::sync::Arc;

use crate::context::Context;
use crate::filters::{Filter, Verdict};

/// Filters in order, with jumps.
#[derive(Debug)]
pub struct Pipeline {
    /// As the user named it.
    pub name: String,
    /// In the order of the flow. A jump only ever leads forward, so a request passes each step once at most.
    pub steps: Vec<Step>,
}

/// One place in a flow.
#[derive(Debug)]
pub struct Step {
    /// What is done here.
    pub filter: Arc<dyn Filter>,
    /// Where to go on, by the filter's result.
    pub jumps: Vec<(String, Target)>,
    /// What it works on; `None` for the client's request.
    pub namespace: Option<Arc<str>>,
}

/// Where a jump leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A later step.
    Step(usize),
    /// The end of the flow.
    End,
}

impl Pipeline {
    /// Leads a request through the flow. What came of it stands in `context`.
    ///
    /// Cancel safe: dropped, the request is given up together with whatever a filter was doing for it.
    pub async fn run(&self, context: &mut Context) {
        self.walk(context).await;
        context.finish();
    }

    async fn walk(&self, context: &mut Context) {
        let mut at = 0;
        while let Some(step) = self.steps.get(at) {
            let verdict = step.run(context).await;
            match step.follow(verdict) {
                Some(Target::End) => return,
                Some(Target::Step(later)) => at = later.max(at + 1),
                None => at += 1,
            }
        }
    }
}

impl Step {
    async fn run(&self, context: &mut Context) -> Verdict {
        let Some(namespace) = &self.namespace else { return self.filter.handle(context).await };
        context.switch(namespace);
        let verdict = self.filter.handle(context).await;
        context.switch(namespace);
        verdict
    }

    /// A result without a jump of its own ends the flow; no result goes on.
    fn follow(&self, verdict: Verdict) -> Option<Target> {
        let result = match verdict {
            Verdict::Next => "",
            Verdict::Result(result) => result,
        };
        let jump = self.jumps.iter().find(|(on, _)| on == result).map(|(_, target)| *target);
        jump.or_else(|| (!result.is_empty()).then_some(Target::End))
    }
}
