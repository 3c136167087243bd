//! Asks a policy set about a request.

use cedar_policy::{AuthorizationError, Authorizer, EvaluationError};

use crate::decision::{Decision, Failure, Finding, Ground};
use crate::limits::MAX_REQUEST_BYTES;
use crate::policy::{Effect, Policy};
use crate::request::{self, Request};
use crate::set::PolicySet;
use crate::stack;
use crate::translate::{Question, question};

/// Asks every policy of the set; all must allow. A function of its arguments alone.
///
/// An error denies: Cedar itself skips a rule that it can't evaluate, a `forbid` too.
pub fn evaluate(policies: &PolicySet, request: &Request) -> Decision {
    let canonical = request.canonical();
    let mut decision = Decision {
        allowed: true,
        grounds: Vec::new(),
        policy_set: policies.digest(),
        request: request::digest(&canonical),
    };
    if policies.is_empty() {
        return decision;
    }
    let verdicts = if canonical.len() > MAX_REQUEST_BYTES {
        policies.policies().iter().map(|_| vec![Finding::TooLarge]).collect()
    } else {
        stack::evaluating(|| ask_all(policies.policies(), &question(request)))
    };
    decision.allowed = verdicts.iter().flatten().all(|finding| !finding.denies());
    for (policy, findings) in policies.policies().iter().zip(verdicts) {
        let decides = |finding: &Finding| finding.denies() != decision.allowed;
        decision.grounds.extend(findings.into_iter().filter(decides).map(|finding| Ground {
            policy: policy.id().to_owned(),
            version: policy.version(),
            finding,
        }));
    }
    decision
}

impl Finding {
    fn denies(&self) -> bool {
        match self {
            Self::Permits(_) => false,
            Self::Forbids(_) | Self::PermitsNot | Self::Fails { .. } | Self::TooLarge => true,
        }
    }
}

fn ask_all(policies: &[Policy], question: &Question) -> Vec<Vec<Finding>> {
    let authorizer = Authorizer::new();
    policies.iter().map(|policy| ask(&authorizer, policy, question)).collect()
}

/// What one policy finds, in the order of its rules.
fn ask(authorizer: &Authorizer, policy: &Policy, question: &Question) -> Vec<Finding> {
    let Question { request, entities } = question;
    let response = authorizer.is_authorized(request, policy.cedar(), entities);
    let diagnostics = response.diagnostics();
    let mut findings: Vec<(usize, Finding)> = Vec::new();
    for AuthorizationError::PolicyEvaluationError(error) in diagnostics.errors() {
        if let Some((index, rule)) = policy.rule(error.policy_id()) {
            let failure = failure(error.inner());
            findings.push((index, Finding::Fails { rule: rule.name.clone(), failure }));
        }
    }
    for id in diagnostics.reason() {
        if let Some((index, rule)) = policy.rule(id) {
            let name = rule.name.clone();
            findings.push((
                index,
                match rule.effect {
                    Effect::Permit => Finding::Permits(name),
                    Effect::Forbid => Finding::Forbids(name),
                },
            ));
        }
    }
    if response.decision() == cedar_policy::Decision::Deny && findings.is_empty() {
        return vec![Finding::PermitsNot];
    }
    findings.sort_by_key(|(index, _)| *index);
    findings.into_iter().map(|(_, finding)| finding).collect()
}

fn failure(error: &EvaluationError) -> Failure {
    match error {
        EvaluationError::IntegerOverflow(_) => Failure::Overflow,
        EvaluationError::EntityAttrDoesNotExist(_) | EvaluationError::RecordAttrDoesNotExist(_) => {
            Failure::Attribute
        }
        EvaluationError::EntityDoesNotExist(_) => Failure::Entity,
        EvaluationError::TypeError(_) => Failure::Type,
        EvaluationError::RecursionLimit(_) => Failure::Nesting,
        EvaluationError::FailedExtensionFunctionLookup(_)
        | EvaluationError::FailedExtensionFunctionExecution(_)
        | EvaluationError::WrongNumArguments(_)
        | EvaluationError::UnlinkedSlot(_)
        | EvaluationError::NonValue(_) => Failure::Construct,
    }
}
