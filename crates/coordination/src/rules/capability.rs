//! R1 and R2: publishing, revising and retiring capabilities; searching for them.

use std::sync::Arc;

use tally_protocol::message::{
    AdvertiseCapability, CapabilityRetirement, CapabilityRevision, CapabilityTerms, Discover,
};
use tally_protocol::{EnvelopeId, parts::Name};

use super::{Context, Verdict};
use crate::compliance;
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Capability, CapabilityStanding, Put};

pub(super) fn advertise(context: &Context<'_>, message: &AdvertiseCapability) -> Verdict {
    match message {
        AdvertiseCapability::Publish(terms) => publish(context, terms),
        AdvertiseCapability::Revise(revision) => revise(context, revision),
        AdvertiseCapability::Retire(retirement) => retire(context, retirement),
    }
}

/// A search changes nothing; whatever it asks for is a legal question.
pub(super) fn search(_: &Context<'_>, _: &Discover) -> Verdict {
    Ok(Vec::new())
}

fn publish(context: &Context<'_>, terms: &CapabilityTerms) -> Verdict {
    unused_name(context, &terms.name, None, "advertise_capability.publish.name")?;
    context.policies(&terms.policies, "advertise_capability.publish.policies")?;
    let mut puts = schemas(context, terms)?;
    let version = version(context, terms, context.id);
    allowed(context, &version, "advertise_capability.publish")?;
    puts.push(Put::Capability(version));
    Ok(puts)
}

fn schemas(context: &Context<'_>, terms: &CapabilityTerms) -> Verdict {
    let input = context.schema(terms.input_schema.as_ref(), "input_schema")?;
    let output = context.schema(terms.output_schema.as_ref(), "output_schema")?;
    Ok(input.into_iter().chain(output).collect())
}

/// R10: the owner's own policies allow the capability.
fn allowed(
    context: &Context<'_>,
    version: &Capability,
    field: &'static str,
) -> Result<(), Refusal> {
    let object = Object::Capability(version.id);
    let applicable = compliance::applicable(context.state, None, version, &version.terms.policies);
    let policies = context.policy_set(&applicable, object, field)?;
    let request = || compliance::advertise_request((context.state, &policies), version, context.at);
    context.allowed(&policies, request, object, field)
}

fn revise(context: &Context<'_>, revision: &CapabilityRevision) -> Verdict {
    const FIELD: &str = "advertise_capability.revise.capability";
    let earlier = own_in_force(context, &revision.capability, FIELD)?;
    let terms = &revision.terms;
    let name_field = "advertise_capability.revise.terms.name";
    unused_name(context, &terms.name, Some(earlier.id), name_field)?;
    context.policies(&terms.policies, "advertise_capability.revise.terms.policies")?;
    let mut puts = schemas(context, terms)?;
    let version = version(context, terms, earlier.root);
    allowed(context, &version, "advertise_capability.revise")?;
    let standing = CapabilityStanding::Superseded(context.id);
    puts.push(Put::Capability(Capability { standing, ..earlier.as_ref().clone() }));
    puts.push(Put::Capability(version));
    Ok(puts)
}

fn retire(context: &Context<'_>, retirement: &CapabilityRetirement) -> Verdict {
    const FIELD: &str = "advertise_capability.retire.capability";
    let earlier = own_in_force(context, &retirement.capability, FIELD)?;
    let standing = CapabilityStanding::Retired;
    Ok(vec![Put::Capability(Capability { standing, ..earlier.as_ref().clone() })])
}

fn version(context: &Context<'_>, terms: &CapabilityTerms, root: EnvelopeId) -> Capability {
    Capability {
        id: context.id,
        root,
        owner: context.envelope.author,
        terms: Arc::new(terms.clone()),
        standing: CapabilityStanding::InForce,
        position: context.position(),
        recorded_at: context.at,
    }
}

fn own_in_force(
    context: &Context<'_>,
    id: &EnvelopeId,
    field: &'static str,
) -> Result<Arc<Capability>, Refusal> {
    let capability = context.capability(id, field)?;
    let object = Object::Capability(*id);
    if !context.is_author(&capability.owner) {
        let found = format!("belongs to {}", capability.owner);
        return Err(Refusal::new(Rule::CapabilityOwner, object, field, found));
    }
    in_force(&capability, field)?;
    Ok(capability)
}

pub(super) fn in_force(capability: &Capability, field: &'static str) -> Result<(), Refusal> {
    if capability.standing == CapabilityStanding::InForce {
        return Ok(());
    }
    let object = Object::Capability(capability.id);
    Err(Refusal::new(Rule::CapabilityInForce, object, field, capability.standing.found()))
}

fn unused_name(
    context: &Context<'_>,
    name: &Name,
    except: Option<EnvelopeId>,
    field: &'static str,
) -> Result<(), Refusal> {
    match context.state.capability_named(&context.envelope.author, name) {
        Some(id) if Some(id) != except => {
            let found = format!("has the name {name:?} already", name = name.as_str());
            Err(Refusal::new(Rule::CapabilityName, Object::Capability(id), field, found))
        }
        _ => Ok(()),
    }
}
