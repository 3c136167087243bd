//! How a rule is provoked: refused with the fault, admitted without it.

use tally_coordination::{Object, Refusal};
use tally_protocol::Message;

use crate::world::{Who, World};

/// Declares one test for each rule. The body provokes the refusal and gives it back; that it is
/// of the rule that the test is declared for is checked here.
macro_rules! refusals {
    ($($rule:ident => $test:ident $body:block)*) => {
        $(
            #[test]
            fn $test() {
                let refusal: tally_coordination::Refusal = $body;
                assert_eq!(refusal.rule, Rule::$rule, "{refusal}");
                assert!(!refusal.found.is_empty());
            }
        )*

        pub(crate) const TESTED: &[Rule] = &[$(Rule::$rule,)*];
    };
}

/// Refused as it is, for this object and at this field; admitted in the form without the fault.
#[track_caller]
pub(crate) fn check(
    world: &mut World,
    (who, wrong): (Who, Message),
    (object, field): (Object, &str),
    (right_who, right): (Who, Message),
) -> Refusal {
    let refusal = world.append(who, wrong).expect_err("is refused");
    assert_eq!((refusal.object, refusal.field), (object, field), "{refusal}");
    world.admits(right_who, right);
    refusal
}
