//! Trust policies: the specification's example, every rule broken once, and a definition of quorums
//! that shares nothing with ours.

use proptest::prelude::*;
use tally_tlog::{
    Checkpoint, CheckpointError, Cosigner, CosignerKey, KeyTextError, MAX_POLICY_BYTES,
    MAX_POLICY_GROUPS, MAX_POLICY_LOGS, MAX_POLICY_WITNESSES, NoteSigner, NoteVerifyError,
    PolicyError, PolicyRule, PosixTime, SignedCheckpoint, WitnessPolicy,
};

use crate::support::{leaf, sized};

const EXAMPLE: &str = "log LOG\n\
    \n\
    witness X1 W1\n\
    witness X2 W2\n\
    witness X3 W3\n\
    group X-witnesses 2 X1 X2 X3\n\
    \n\
    witness Y1 W4\n\
    witness Y2 W5\n\
    witness Y3 W6\n\
    group Y-witnesses any Y1 Y2 Y3\n\
    \n\
    group X-and-Y all X-witnesses Y-witnesses\n\
    quorum X-and-Y\n";

fn cosigner(n: u8) -> Cosigner {
    Cosigner::from_seed(format!("witness.example/w{n}").parse().expect("a name"), &[n; 32])
}

fn log(n: u8) -> NoteSigner {
    NoteSigner::from_seed("example.com/log".parse().expect("a name"), &[100 + n; 32])
}

/// `W1` to `W9` and `LOG` stand for keys.
fn text(policy: &str) -> String {
    let policy = policy.replace("LOG", &log(0).verifier_key().to_string());
    (1..=9).fold(policy, |policy, n| {
        policy.replace(&format!(" W{n}"), &format!(" {}", cosigner(n).verifier_key()))
    })
}

fn parse(policy: &str) -> WitnessPolicy {
    WitnessPolicy::parse(text(policy).as_bytes()).expect("a policy")
}

/// A checkpoint that these witnesses cosigned.
fn checkpoint(cosigners: &[u8]) -> SignedCheckpoint {
    let origin = "example.com/log".parse().expect("an origin");
    let head = Checkpoint { origin, size: sized(5), root: leaf(0) };
    let mut signed = head.sign(&log(0));
    for &n in cosigners {
        let at = PosixTime::new(1000 + u64::from(n)).expect("a time");
        signed.add_signature(cosigner(n).cosign(&head, at)).expect("room");
    }
    signed
}

fn met(policy: &str, cosigners: &[u8]) -> bool {
    parse(policy).judge(&checkpoint(cosigners)).met
}

#[test]
fn the_specification_s_example_is_judged() {
    for enough in [&[1, 2, 4][..], &[2, 3, 6], &[1, 3, 5], &[1, 2, 3, 4, 5, 6]] {
        assert!(met(EXAMPLE, enough), "{enough:?}");
    }
    for few in [&[][..], &[1, 4], &[1, 2], &[1, 2, 3], &[4, 5, 6], &[3, 4, 5, 6], &[1, 2, 7]] {
        assert!(!met(EXAMPLE, few), "{few:?}");
    }
}

#[test]
fn the_judgement_lists_every_witness() {
    let mut signed = checkpoint(&[2, 7]);
    // Witness 3's word on another tree.
    let origin = "example.com/log".parse().expect("an origin");
    let other = Checkpoint { origin, size: sized(6), root: leaf(0) };
    let at = PosixTime::new(9).expect("a time");
    signed.add_signature(cosigner(3).cosign(&other, at)).expect("room");
    let quorum = parse("witness a W1\nwitness b W2\nwitness c W3\ngroup g any a b c\nquorum g\n")
        .judge(&signed);
    assert!(quorum.met);
    let shown: Vec<String> =
        quorum.witnesses.iter().map(|(name, standing)| format!("{name} {standing:?}")).collect();
    assert_eq!(shown, ["a Silent", "b Cosigned(PosixTime(1002))", "c Bad(Signature)"]);
    let cosigned: Vec<String> =
        quorum.cosigned().map(|(name, at)| format!("{name} {at}")).collect();
    assert_eq!(cosigned, ["b 1002"]);
    // A bad one does not count.
    assert!(!parse("witness c W3\nquorum c\n").judge(&signed).met);
}

#[test]
fn a_single_witness_and_none_are_quorums() {
    assert!(met("witness a W1\nquorum a\n", &[1]));
    assert!(!met("witness a W1\nquorum a\n", &[2]));
    assert!(met("quorum none\n", &[]));
    assert!(met("witness a W1\nquorum none\n", &[]));
    assert!(parse("quorum none\n").needs_no_witness());
    assert!(!parse("witness a W1\nquorum a\n").needs_no_witness());
    // What follows the quorum line may be anything but another one.
    assert!(met("witness a W1\nquorum a\nwitness b W2\n", &[1]));
    // A member of a group can be the quorum.
    assert!(met("witness a W1\ngroup g all a\nquorum a\n", &[1]));
}

#[test]
fn logs_sign_for_their_own_origin() {
    let policy = parse("log LOG https://log.example/\nquorum none\n");
    assert_eq!(
        policy.logs()[0].url.as_ref().and_then(|url| url.as_str()),
        Some("https://log.example/")
    );
    assert_eq!(policy.open(&checkpoint(&[])).expect("verified").size(), sized(5));
    let stranger = Err(CheckpointError::Verify(NoteVerifyError::NoKnownKey));
    assert_eq!(parse("quorum none\n").open(&checkpoint(&[])), stranger);
    // The same key under another name does not vouch for this origin.
    let renamed = NoteSigner::from_seed("example.com/log2".parse().expect("a name"), &[100; 32]);
    let policy = parse(&format!("log {}\nquorum none\n", renamed.verifier_key()));
    assert_eq!(policy.open(&checkpoint(&[])), stranger);
}

#[test]
fn space_comments_and_foreign_octets() {
    let policy = text(
        "\t \n  # a comment, caf\u{e9}\n#\n\twitness\t \tna W1   https://w.example/x \t\n quorum na\n",
    );
    let policy = WitnessPolicy::parse(policy.as_bytes()).expect("a policy");
    let witness = &policy.witnesses()[0];
    assert_eq!(witness.name.as_bytes(), b"na");
    assert_eq!(witness.url.as_ref().and_then(|url| url.as_str()), Some("https://w.example/x"));

    // "the name 0x4B (ASCII "K") is different from the name 0xE2 0x84 0xAA".
    let policy = parse("witness K W1\nwitness \u{212a} W2\ngroup g all K \u{212a}\nquorum g\n");
    assert_eq!(policy.witnesses()[1].name.as_bytes(), b"\xe2\x84\xaa");
    let opaque = text("witness ~ W1\nquorum ~\n").into_bytes();
    let opaque: Vec<u8> = opaque.split(|&b| b == b'~').collect::<Vec<_>>().join(&b"\xff\x80"[..]);
    let policy = WitnessPolicy::parse(&opaque).expect("opaque octets");
    assert_eq!(policy.witnesses()[0].name.as_bytes(), b"\xff\x80");
    assert_eq!(policy.witnesses()[0].name.as_str(), None);
    // Unicode spaces and DEL: the first separate nothing, the second is not allowed.
    assert_eq!(
        parse("witness a\u{a0}b W1\nquorum a\u{a0}b\n").witnesses()[0].name.to_string(),
        "a\u{a0}b"
    );
}

fn check_refused(policy: &str, number: usize, expected: impl Fn(&PolicyRule) -> bool) {
    match WitnessPolicy::parse(text(policy).as_bytes()) {
        Err(PolicyError::Line { number: found, rule }) if found == number && expected(&rule) => {}
        other => panic!("{policy:?}: {other:?}"),
    }
}

macro_rules! refused {
    ($policy:expr, $number:expr, $rule:pat) => {
        check_refused(&$policy, $number, |rule| matches!(rule, $rule))
    };
}

#[test]
fn every_rule_can_be_broken() {
    use PolicyRule as R;
    refused!("quorum none", 1, R::Unterminated);
    refused!("# x\nquorum none\n ", 3, R::Unterminated);
    refused!("quorum none\r\n", 1, R::Octet { octet: 0x0d });
    refused!("#\0\nquorum none\n", 1, R::Octet { octet: 0 });
    refused!("#\u{7f}\nquorum none\n", 1, R::Octet { octet: 0x7f });
    refused!("quorum none\nlogs LOG\n", 2, R::Keyword(_));
    refused!("Quorum none\n", 1, R::Keyword(_));
    refused!("log\nquorum none\n", 1, R::Form(_));
    refused!("log LOG url more\nquorum none\n", 1, R::Form(_));
    refused!("witness a\nquorum none\n", 1, R::Form(_));
    refused!("witness a W1 url more\nquorum none\n", 1, R::Form(_));
    refused!("witness a W1\ngroup g all\nquorum g\n", 2, R::Form(_));
    refused!("group g\nquorum none\n", 1, R::Form(_));
    refused!("quorum\n", 1, R::Form(_));
    refused!("quorum none # nobody\n", 1, R::Form(_));
    refused!("log W1\nquorum none\n", 1, R::Key(KeyTextError::Type { found: 0x04 }));
    refused!("witness a LOG\nquorum a\n", 1, R::Key(KeyTextError::Type { found: 0x01 }));
    refused!("witness a b\nquorum a\n", 1, R::Key(KeyTextError::Form));
    refused!("log LOG\nlog LOG https://two.example\nquorum none\n", 2, R::DuplicateKey);
    let renamed = NoteSigner::from_seed("other.example".parse().expect("a name"), &[100; 32]);
    refused!(format!("log LOG\nlog {}\nquorum none\n", renamed.verifier_key()), 2, R::DuplicateKey);
    refused!("witness a W1\nwitness b W1\nquorum a\n", 2, R::DuplicateKey);
    refused!("witness a W1\nwitness a W2\nquorum a\n", 2, R::DuplicateName(_));
    refused!("witness a W1\ngroup a all a\nquorum a\n", 2, R::DuplicateName(_));
    refused!("witness a W1\ngroup g all a\nwitness g W2\nquorum g\n", 3, R::DuplicateName(_));
    refused!("witness none W1\nquorum none\n", 1, R::ReservedName);
    refused!("witness a W1\ngroup none all a\nquorum none\n", 2, R::ReservedName);
    refused!("witness a W1\ngroup g any a none\nquorum g\n", 2, R::ReservedName);
    refused!("witness a W1\ngroup g any a b\nwitness b W2\nquorum g\n", 2, R::UnknownName(_));
    refused!("witness a W1\ngroup g any a g\nquorum g\n", 2, R::UnknownName(_));
    refused!("quorum a\nwitness a W1\n", 1, R::UnknownName(_));
    refused!("witness a W1\ngroup g any a a\nquorum g\n", 2, R::MemberTwice(_));
    refused!("witness a W1\ngroup g any a\ngroup h any a\nquorum h\n", 3, R::MemberTwice(_));
    refused!(
        "witness a W1\ngroup g all a\ngroup h all g\ngroup i all g\nquorum i\n",
        4,
        R::MemberTwice(_)
    );
    for k in ["0", "2", "01", "+1", "-1", "1.0", "ALL", "one", "99999999999999999999"] {
        refused!(format!("witness a W1\ngroup g {k} a\nquorum g\n"), 2, R::Threshold(_, 1));
    }
    refused!("quorum none\nquorum none\n", 2, R::SecondQuorum);
    refused!("witness a W1\nquorum a\nquorum none\n", 3, R::SecondQuorum);

    let refused = |policy: &str| WitnessPolicy::parse(text(policy).as_bytes());
    assert_eq!(refused(""), Err(PolicyError::NoQuorum));
    assert_eq!(refused("log LOG\nwitness a W1\n"), Err(PolicyError::NoQuorum));
    let error = refused("log LOG\nlog LOG\n").expect_err("refused").to_string();
    assert_eq!(error, "line 2 of the policy: its public key was listed before, on another line");
    let octets = text("witness a W1\nquorum a\n").replace("witness.", "\u{1}");
    let octets: Vec<u8> = octets.bytes().map(|b| if b == 1 { 0xff } else { b }).collect();
    let rule = PolicyRule::KeyNotUtf8;
    assert_eq!(WitnessPolicy::parse(&octets), Err(PolicyError::Line { number: 1, rule }));
}

#[test]
fn limits_are_reached_and_not_passed() {
    let key = |n: usize| -> CosignerKey {
        let seed: [u8; 32] = std::array::from_fn(|i| if i < 8 { n.to_be_bytes()[i] } else { 7 });
        Cosigner::from_seed(format!("w{n}").parse().expect("a name"), &seed).verifier_key()
    };
    let witnesses = |count: usize| -> String {
        (0..count).map(|n| format!("witness {n} {}\n", key(n))).collect()
    };
    let logs = |count: usize| -> String {
        let log = |n: usize| {
            let key = key(n);
            tally_tlog::VerifierKey::new(key.name().clone(), key.public_key()).expect("a key")
        };
        (0..count).map(|n| format!("log {}\n", log(n))).collect()
    };
    let groups = |count: usize| -> String {
        (0..count)
            .map(|n| match n {
                0 => "group g0 all 0\n".to_owned(),
                _ => format!("group g{n} all g{}\n", n - 1),
            })
            .collect()
    };
    let full = [witnesses(MAX_POLICY_WITNESSES), logs(MAX_POLICY_LOGS), groups(MAX_POLICY_GROUPS)]
        .concat();
    let last = format!("quorum g{}\n", MAX_POLICY_GROUPS - 1);
    assert!(WitnessPolicy::parse(format!("{full}{last}").as_bytes()).is_ok());
    refused!(
        witnesses(MAX_POLICY_WITNESSES + 1),
        MAX_POLICY_WITNESSES + 1,
        PolicyRule::TooManyWitnesses
    );
    refused!(logs(MAX_POLICY_LOGS + 1), MAX_POLICY_LOGS + 1, PolicyRule::TooManyLogs);
    let many = format!("{}{}", witnesses(1), groups(MAX_POLICY_GROUPS + 1));
    refused!(many, MAX_POLICY_GROUPS + 2, PolicyRule::TooManyGroups);
    let most = format!("quorum none\n{}\n", "#".repeat(MAX_POLICY_BYTES - 13));
    assert_eq!(most.len(), MAX_POLICY_BYTES);
    assert!(WitnessPolicy::parse(most.as_bytes()).is_ok());
    let length = MAX_POLICY_BYTES + 1;
    assert_eq!(
        WitnessPolicy::parse(format!("#{most}").as_bytes()),
        Err(PolicyError::TooLarge { length })
    );
}

/// A tree of groups as the specification defines it: by recursion, over names.
#[derive(Clone, Debug)]
enum Rule {
    Witness(u8),
    Group(usize, Vec<Rule>),
}

impl Rule {
    fn holds(&self, cosigned: &[u8]) -> bool {
        match self {
            Rule::Witness(n) => cosigned.contains(n),
            Rule::Group(k, rules) => rules.iter().filter(|rule| rule.holds(cosigned)).count() >= *k,
        }
    }

    /// Writes its lines, members first, and gives its name.
    fn write(&self, lines: &mut String, next: &mut usize) -> String {
        match self {
            Rule::Witness(n) => format!("x{n}"),
            Rule::Group(k, rules) => {
                let names: Vec<String> = rules.iter().map(|rule| rule.write(lines, next)).collect();
                *next += 1;
                lines.push_str(&format!("group g{next} {k} {}\n", names.join(" ")));
                format!("g{next}")
            }
        }
    }
}

/// Splits the witnesses into groups of groups, each witness in one place.
fn rule(witnesses: Vec<u8>, cuts: &[u8], ks: &[u8]) -> Rule {
    let (Some((&cut, cuts)), Some((&k, ks))) = (cuts.split_first(), ks.split_first()) else {
        let rules: Vec<Rule> = witnesses.into_iter().map(Rule::Witness).collect();
        return Rule::Group(1, rules);
    };
    if witnesses.len() < 2 {
        return Rule::Witness(witnesses[0]);
    }
    let middle = 1 + usize::from(cut) % (witnesses.len() - 1);
    let (left, right) = witnesses.split_at(middle);
    let rules = vec![rule(left.to_vec(), cuts, ks), rule(right.to_vec(), cuts, ks)];
    Rule::Group(1 + usize::from(k) % 2, rules)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn quorums_follow_the_definition(
        cuts in any::<[u8; 4]>(), ks in any::<[u8; 4]>(),
        cosigned in prop::collection::vec(1u8..=9, 0..9),
    ) {
        let rule = rule((1..=9).collect(), &cuts, &ks);
        let mut policy: String = (1..=9).map(|n| format!("witness x{n} W{n}\n")).collect();
        let name = rule.write(&mut policy, &mut 0);
        policy.push_str(&format!("quorum {name}\n"));
        let mut cosigned = cosigned;
        cosigned.sort();
        cosigned.dedup();
        prop_assert_eq!(met(&policy, &cosigned), rule.holds(&cosigned), "{}", policy);
    }

    #[test]
    fn any_octets_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = WitnessPolicy::parse(&bytes);
    }
}
