//! R1 and R2: publishing, revising and retiring capabilities; searching for them.

use std::sync::Arc;

use tally_protocol::message::{
    AdvertiseCapability, CapabilityRetirement, CapabilityRevision, CapabilityTerms, Discover,
};
use tally_protocol::{EnvelopeId, parts::Name};

use super::{Context, Verdict};
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
    Ok(vec![Put::Capability(version(context, terms, context.id))])
}

fn revise(context: &Context<'_>, revision: &CapabilityRevision) -> Verdict {
    const FIELD: &str = "advertise_capability.revise.capability";
    let earlier = own_in_force(context, &revision.capability, FIELD)?;
    let terms = &revision.terms;
    let name_field = "advertise_capability.revise.terms.name";
    unused_name(context, &terms.name, Some(earlier.id), name_field)?;
    context.policies(&terms.policies, "advertise_capability.revise.terms.policies")?;
    let standing = CapabilityStanding::Superseded(context.id);
    Ok(vec![
        Put::Capability(Capability { standing, ..earlier.clone() }),
        Put::Capability(version(context, terms, earlier.root)),
    ])
}

fn retire(context: &Context<'_>, retirement: &CapabilityRetirement) -> Verdict {
    const FIELD: &str = "advertise_capability.retire.capability";
    let earlier = own_in_force(context, &retirement.capability, FIELD)?;
    let standing = CapabilityStanding::Retired;
    Ok(vec![Put::Capability(Capability { standing, ..earlier.clone() })])
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

fn own_in_force<'c>(
    context: &'c Context<'_>,
    id: &EnvelopeId,
    field: &'static str,
) -> Result<&'c Capability, Refusal> {
    let capability = context.capability(id, field)?;
    let object = Object::Capability(*id);
    if capability.owner != context.envelope.author {
        let found = format!("belongs to {}", capability.owner);
        return Err(Refusal::new(Rule::CapabilityOwner, object, field, found));
    }
    in_force(capability, field)?;
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
