//! R10: scopes, activation, amendment, override and revocation, as the sets in force that the
//! ledger's rules would make of them; R21: what is open or running is asked again.

use tally_policy::request::Action;
use tally_policy::{Policy, PolicySet, evaluate};

use crate::support::{asked, execution, intent, map, offer, policy, set};

fn cost_limit(version: u64, most: i64) -> Policy {
    let text = format!(
        "forbid (principal, action, resource) unless {{ \
         context has cost && context.cost.amount <= {most} }};"
    );
    policy("agent/cost", version, &text)
}

fn in_force(policies: &[&Policy]) -> PolicySet {
    PolicySet::new(policies.iter().copied().cloned()).expect("a set")
}

#[test]
fn activation_amendment_and_revocation_change_the_decision_and_the_digest() {
    let (first, amended) = (cost_limit(1, 2_000), cost_limit(2, 1_000));
    let sets = [in_force(&[]), in_force(&[&first]), in_force(&[&amended]), in_force(&[])];
    let allowed: Vec<bool> = sets.iter().map(|set| evaluate(set, &offer()).allowed).collect();
    assert_eq!(allowed, [true, true, false, true]);
    assert_ne!(sets[0].digest(), sets[1].digest());
    assert_ne!(sets[1].digest(), sets[2].digest());
    assert_eq!(sets[0].digest(), sets[3].digest());
}

#[test]
fn a_new_version_with_the_old_text_is_another_set() {
    let (first, again) = (cost_limit(1, 2_000), cost_limit(2, 2_000));
    assert_ne!(in_force(&[&first]).digest(), in_force(&[&again]).digest());
}

#[test]
fn an_override_takes_the_place_of_the_wider_scope() {
    let (wide, narrow) = (cost_limit(1, 1_000), cost_limit(2, 5_000));
    assert!(!evaluate(&in_force(&[&wide]), &offer()).allowed);
    // Beside the wider one it opens nothing; in its place it does.
    let beside = policy("intent/cost", 1, narrow.text());
    assert!(!evaluate(&in_force(&[&wide, &beside]), &offer()).allowed);
    assert!(evaluate(&in_force(&[&narrow]), &offer()).allowed);
}

#[test]
fn policies_of_all_scopes_of_a_decision_must_allow() {
    let initiators = policy(
        "initiator/region",
        1,
        r#"forbid (principal, action, resource) unless {
               context.any_of.hasTag("region") &&
               ["eu-central"].containsAll(context.any_of.getTag("region")) };"#,
    );
    let providers = policy("provider/open", 1, "permit (principal, action, resource);");
    let both = in_force(&[&initiators, &providers]);
    assert!(evaluate(&both, &offer()).allowed);
    let mut abroad = offer();
    abroad.terms.any_of = map("region", set(&["us-east"]));
    let denied = evaluate(&both, &abroad);
    assert!(!denied.allowed);
    assert_eq!(denied.grounds.len(), 1);
    assert_eq!(denied.grounds[0].policy, "initiator/region");
}

#[test]
fn open_offers_and_running_tasks_are_asked_again() {
    let open = asked(Action::Offer(intent()));
    let running = asked(Action::Continue(execution()));
    let before = in_force(&[&cost_limit(1, 2_000)]);
    let after = in_force(&[&cost_limit(2, 1_000)]);
    for request in [open, running] {
        assert!(evaluate(&before, &request).allowed);
        assert!(!evaluate(&after, &request).allowed);
    }
}

#[test]
fn a_policy_can_be_for_new_tasks_only() {
    let text = r#"
        forbid (principal, action in [Action::"offer", Action::"start"], resource)
        when { context.at > 0 };"#;
    let set = in_force(&[&policy("p", 1, text)]);
    assert!(!evaluate(&set, &asked(Action::Start(execution()))).allowed);
    assert!(evaluate(&set, &asked(Action::Continue(execution()))).allowed);
}
