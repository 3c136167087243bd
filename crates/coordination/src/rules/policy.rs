//! R10: policies and their versions. What a policy says of others is judged where it applies.

use std::sync::Arc;

use tally_policy::PolicyError;
use tally_protocol::message::{PolicyAction, PolicyLanguage, PolicyScope, PolicyUpdate};

use super::{Context, Verdict};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Policy, PolicyKey, Put};

pub(super) fn update(context: &Context<'_>, message: &PolicyUpdate) -> Verdict {
    let key = (owned_scope(context, message)?, message.name.clone());
    check_version(context, message, &key)?;
    check_action(context, message, &key)?;
    let judged = read(context, message, &key)?;
    let policy = Policy {
        judged,
        update: context.id,
        terms: Arc::new(message.clone()),
        in_force: message.action != PolicyAction::Revoke,
        position: context.position(),
    };
    Ok(vec![Put::Policy(key, policy)])
}

/// R10: a text in a language that is judged can be read and is valid.
fn read(
    context: &Context<'_>,
    message: &PolicyUpdate,
    key: &PolicyKey,
) -> Result<Option<tally_policy::Policy>, Refusal> {
    if message.language != Some(PolicyLanguage::Cedar) || message.action == PolicyAction::Revoke {
        return Ok(None);
    }
    match read_text(key, message) {
        Ok(policy) => Ok(Some(policy)),
        Err(error) => {
            let object = Object::Policy(context.id);
            let found = format!("is not valid: {error}");
            Err(Refusal::new(Rule::PolicyText, object, "policy_update.text", found))
        }
    }
}

/// The text of a policy that is judged, read.
pub(crate) fn read_text(
    (scope, name): &PolicyKey,
    terms: &PolicyUpdate,
) -> Result<tally_policy::Policy, PolicyError> {
    let id = match scope {
        PolicyScope::Agent(agent) => format!("agent/{agent}/{name}"),
        PolicyScope::Capability(capability) => format!("capability/{capability}/{name}"),
        PolicyScope::Intent(intent) => format!("intent/{intent}/{name}"),
    };
    tally_policy::Policy::parse(&id, terms.policy_version, terms.text.as_str())
}

/// The scope by the first version of what it names, if the author owns it.
fn owned_scope(context: &Context<'_>, message: &PolicyUpdate) -> Result<PolicyScope, Refusal> {
    const FIELD: &str = "policy_update.scope";
    let (owner, object, scope) = match &message.scope {
        PolicyScope::Agent(agent) => {
            let scope = PolicyScope::Agent(context.state.party(agent));
            (*agent, Object::Agent(*agent), scope)
        }
        PolicyScope::Capability(id) => {
            let capability = context.capability(id, FIELD)?;
            super::capability::in_force(&capability, FIELD)?;
            let scope = PolicyScope::Capability(capability.root);
            (capability.owner, Object::Capability(*id), scope)
        }
        PolicyScope::Intent(id) => {
            let intent = context.intent(id, FIELD)?;
            super::intent::open_now(&intent, FIELD)?;
            (intent.author, Object::Intent(*id), PolicyScope::Intent(intent.root))
        }
    };
    if context.is_author(&owner) {
        return Ok(scope);
    }
    let found = format!("is owned by {owner}");
    Err(Refusal::new(Rule::PolicyOwner, object, FIELD, found))
}

fn check_version(
    context: &Context<'_>,
    message: &PolicyUpdate,
    key: &PolicyKey,
) -> Result<(), Refusal> {
    let earlier = context.state.policy(key);
    match earlier.filter(|earlier| message.policy_version <= earlier.terms.policy_version) {
        None => Ok(()),
        Some(earlier) => {
            let found = format!("is at version {}", earlier.terms.policy_version);
            let object = Object::Policy(earlier.update);
            let field = "policy_update.policy_version";
            Err(Refusal::new(Rule::PolicyVersion, object, field, found))
        }
    }
}

fn check_action(
    context: &Context<'_>,
    message: &PolicyUpdate,
    key: &PolicyKey,
) -> Result<(), Refusal> {
    let earlier = context.state.policy(key);
    let in_force = earlier.is_some_and(|policy| policy.in_force);
    let object = Object::Policy(earlier.map_or(context.id, |policy| policy.update));
    if in_force == (message.action == PolicyAction::Activate) {
        let found = if in_force { "is in force" } else { "is not in force" };
        let field = "policy_update.action";
        return Err(Refusal::new(Rule::PolicyAction, object, field, found));
    }
    let revokes = message.action == PolicyAction::Revoke;
    if revokes != message.text.as_str().is_empty() {
        let found = if revokes { "is revoked, with a text" } else { "has no text" };
        let object = Object::Policy(context.id);
        return Err(Refusal::new(Rule::Consistent, object, "policy_update.text", found));
    }
    Ok(())
}
