//! R9: claims, delegations, and their revocation.

use std::sync::Arc;

use tally_protocol::message::{Attest, ClaimSubject, Revocation};

use super::{Context, Verdict, known};
use crate::refusal::{Object, Refusal, Rule};
use crate::state::{Attestation, Put};

pub(super) fn attest(context: &Context<'_>, message: &Attest) -> Verdict {
    let object = Object::Attestation(context.id);
    match message {
        Attest::Claim(claim) => {
            if let ClaimSubject::Envelope(id) = &claim.subject {
                known(context.state, id, "attest.claim.subject")?;
            }
            context.future(claim.expires_at_us, object, "attest.claim.expires_at_us")?;
        }
        Attest::Delegate(delegation) => {
            if delegation.delegate == context.envelope.author {
                let field = "attest.delegate.delegate";
                let found = "names its own author";
                return Err(Refusal::new(Rule::DelegateOther, object, field, found));
            }
            context.future(delegation.expires_at_us, object, "attest.delegate.expires_at_us")?;
            if let Some(id) = &delegation.intent {
                const FIELD: &str = "attest.delegate.intent";
                let intent = context.intent(id, FIELD)?;
                if intent.author != context.envelope.author {
                    let found = format!("is {}'s", intent.author);
                    let object = Object::Intent(*id);
                    return Err(Refusal::new(Rule::IntentAuthor, object, FIELD, found));
                }
            }
        }
        Attest::Revoke(revocation) => return revoke(context, revocation),
    }
    Ok(vec![Put::Attestation(Attestation {
        id: context.id,
        author: context.envelope.author,
        statement: Arc::new(message.clone()),
        revoked: false,
        position: context.position(),
    })])
}

fn revoke(context: &Context<'_>, revocation: &Revocation) -> Verdict {
    const FIELD: &str = "attest.revoke.attestation";
    let id = revocation.attestation;
    let found = context.state.attestation(&id);
    let attestation = context.object(&id, FIELD, "attestation", found)?;
    let object = Object::Attestation(id);
    if attestation.author != context.envelope.author {
        let found = format!("is {}'s", attestation.author);
        return Err(Refusal::new(Rule::AttestAuthor, object, FIELD, found));
    }
    if attestation.revoked {
        return Err(Refusal::new(Rule::AttestLive, object, FIELD, "is revoked"));
    }
    Ok(vec![Put::Attestation(Attestation { revoked: true, ..attestation.clone() })])
}
