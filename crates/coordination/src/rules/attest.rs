//! R9: claims, delegations and their revocation; the life of a key.

use std::sync::Arc;

use tally_protocol::message::{
    Attest, ClaimSubject, Delegation, DelegationScope, KeyRotation, Revocation,
};
use tally_protocol::{AgentId, AuthorSequence, Envelope, EnvelopeId};

use super::{Context, Verdict, known};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Attestation, Intent, KeyEnd, Put, State};

pub(super) fn attest(context: &Context<'_>, message: &Attest) -> Verdict {
    let object = Object::Attestation(context.id);
    match message {
        Attest::Claim(claim) => {
            if let ClaimSubject::Envelope(id) = &claim.subject {
                known(context.state, id, "attest.claim.subject")?;
            }
            context.future(claim.expires_at_us, object, "attest.claim.expires_at_us")?;
        }
        Attest::Delegate(delegation) => return delegate(context, message, delegation),
        Attest::RotateKey(rotation) => return rotate(context, rotation),
        Attest::RevokeKey(_) => {
            return Ok(vec![Put::Key(context.envelope.author, KeyEnd::Revoked)]);
        }
        Attest::Revoke(revocation) => return revoke(context, revocation),
    }
    Ok(vec![attestation(context, message, context.envelope.author)])
}

fn attestation(context: &Context<'_>, message: &Attest, principal: AgentId) -> Put {
    Put::Attestation(Attestation {
        id: context.id,
        author: context.envelope.author,
        principal,
        statement: Arc::new(message.clone()),
        revoked: false,
        position: context.position(),
    })
}

fn delegate(context: &Context<'_>, message: &Attest, delegation: &Delegation) -> Verdict {
    let object = Object::Attestation(context.id);
    if context.is_author(&delegation.delegate) {
        let field = "attest.delegate.delegate";
        let found = "names its own author";
        return Err(Refusal::new(Rule::DelegateOther, object, field, found));
    }
    context.future(delegation.expires_at_us, object, "attest.delegate.expires_at_us")?;
    let principal = match &delegation.of {
        None => context.envelope.author,
        Some(of) => passed_on(context, delegation, of)?,
    };
    if let Some(id) = &delegation.intent {
        const FIELD: &str = "attest.delegate.intent";
        let intent = context.intent(id, FIELD)?;
        if !context.state.is_same_party(&intent.author, &principal) {
            let found = format!("is {}'s", intent.author);
            let object = Object::Intent(*id);
            return Err(Refusal::new(Rule::IntentAuthor, object, FIELD, found));
        }
    }
    Ok(vec![attestation(context, message, principal)])
}

/// A delegation that is passed on is no more than the one before; for whom it then speaks.
fn passed_on(
    context: &Context<'_>,
    delegation: &Delegation,
    of: &EnvelopeId,
) -> Result<AgentId, Refusal> {
    const FIELD: &str = "attest.delegate.of";
    let found = context.state.attestation(of);
    let before = context.object(of, FIELD, "attestation", found)?;
    let refuse =
        |found| Err(Refusal::new(Rule::DelegationPassed, Object::Attestation(*of), FIELD, found));
    let Attest::Delegate(given) = &*before.statement else {
        return refuse("is no delegation");
    };
    if !context.is_author(&given.delegate) {
        return refuse("is to another agent");
    }
    if !before.holds(context.at) {
        return refuse("does not hold any more");
    }
    if delegation.depth >= given.depth {
        return refuse("is not to be passed on so often");
    }
    if given.intent.is_some() && given.intent != delegation.intent {
        return refuse("is about one intent, and this one not about the same");
    }
    let within = |scope| given.scopes.is_empty() || given.scopes.contains(scope);
    let all = delegation.scopes.is_empty();
    if (all && !given.scopes.is_empty()) || !delegation.scopes.iter().all(within) {
        return refuse("has fewer scopes");
    }
    Ok(before.principal)
}

/// Whether a delegation, and each that it passes on, holds and lets its delegate do this.
pub(super) fn covers(
    context: &Context<'_>,
    attestation: &Arc<Attestation>,
    intent: &Intent,
    scope: DelegationScope,
) -> bool {
    let mut next = Some(Arc::clone(attestation));
    while let Some(attestation) = next {
        let Attest::Delegate(delegation) = &*attestation.statement else { return false };
        // A delegation names any version of the intent and outlives its revisions.
        let about = delegation.intent.is_none_or(|id| {
            context.state.intent(&id).is_some_and(|named| named.root == intent.root)
        });
        let scopes = &delegation.scopes;
        let allows = scopes.is_empty() || scopes.contains(&scope);
        if !(attestation.holds(context.at) && about && allows) {
            return false;
        }
        match &delegation.of {
            None => return context.state.is_same_party(&attestation.author, &intent.author),
            Some(of) => next = context.state.attestation(of),
        }
    }
    false
}

/// R9: the author's next key. It must be nobody's yet, or it would take over what it signed. It
/// succeeds only with its own consent (see [`succession`]): nobody can push a history on another.
fn rotate(context: &Context<'_>, rotation: &KeyRotation) -> Verdict {
    const FIELD: &str = "attest.rotate_key.successor";
    let (state, successor) = (context.state, rotation.successor);
    let known = state.agent(&successor).is_some()
        || state.party(&successor) != successor
        || successor == context.envelope.author;
    if known {
        let found = "has signed in this ledger, or succeeds another key";
        let object = Object::Agent(successor);
        return Err(Refusal::new(Rule::Successor, object, FIELD, found));
    }
    let author = context.envelope.author;
    let rotation = Put::Rotation(context.id, author, successor);
    Ok(vec![Put::Key(author, KeyEnd::Rotated(successor)), rotation])
}

/// R9: a key consents to succeed another by naming the rotation among the causes of its first
/// envelope; from that envelope on it stands for the agent. The key, and the one that it succeeds.
pub(super) fn succession(state: &State, envelope: &Envelope) -> Option<(AgentId, AgentId)> {
    if envelope.author_sequence > AuthorSequence(0) {
        return None;
    }
    let rotations = envelope.causes.iter().filter_map(|cause| state.rotation(cause));
    let mut own = rotations.filter(|(_, successor)| *successor == envelope.author);
    own.next().map(|(predecessor, successor)| (successor, predecessor))
}

fn revoke(context: &Context<'_>, revocation: &Revocation) -> Verdict {
    const FIELD: &str = "attest.revoke.attestation";
    let id = revocation.attestation;
    let found = context.state.attestation(&id);
    let attestation = context.object(&id, FIELD, "attestation", found)?;
    let object = Object::Attestation(id);
    if !context.is_author(&attestation.author) {
        let found = format!("is {}'s", attestation.author);
        return Err(Refusal::new(Rule::AttestAuthor, object, FIELD, found));
    }
    if attestation.revoked {
        return Err(Refusal::new(Rule::AttestLive, object, FIELD, "is revoked"));
    }
    Ok(vec![Put::Attestation(Attestation { revoked: true, ..attestation.as_ref().clone() })])
}
