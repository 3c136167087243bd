//! The body of `add-checkpoint`.

use tally_tlog::{ConsistencyProof, Hash};
use tally_witness::{AddCheckpoint, MAX_REQUEST_BYTES, MAX_REQUEST_HASHES, RequestError};

use crate::support::{Log, sized};

/// The specification's example.
const EXAMPLE: &str = "old 20852014\n\
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
    5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
    /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
    \n\
    example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    \u{2014} example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

#[test]
fn the_specification_s_example_is_read_and_written() {
    let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).expect("the example");
    assert_eq!(request.old(), sized(20_852_014));
    assert_eq!(request.proof().hashes().len(), 4);
    assert_eq!(request.checkpoint().unverified().size, sized(20_852_163));
    assert_eq!(request.checkpoint().note().signatures().len(), 2);
    assert_eq!(request.to_bytes(), EXAMPLE.as_bytes());
}

#[test]
fn what_is_written_is_read() {
    let log = Log::new();
    for (old, new) in [(0, 0), (0, 1), (1, 1), (3, 70), (64, 100)] {
        let request = log.request(old, new);
        assert_eq!(AddCheckpoint::parse(&request.to_bytes()), Ok(request));
    }
}

fn check_refused(body: &str, expected: impl Fn(&RequestError) -> bool) {
    match AddCheckpoint::parse(body.as_bytes()) {
        Err(error) if expected(&error) => {}
        other => panic!("{body:?}: {other:?}"),
    }
}

#[test]
fn other_bodies_are_refused() {
    use RequestError as E;
    check_refused("", |e| matches!(e, E::NoBlankLine));
    check_refused("old 0\n", |e| matches!(e, E::NoBlankLine));
    check_refused(&EXAMPLE.replace("old 20852014\n", ""), |e| matches!(e, E::OldLine));
    check_refused(&EXAMPLE.replace("old 2", "old\t2"), |e| matches!(e, E::OldLine));
    check_refused(&EXAMPLE.replace("old 2", "Old 2"), |e| matches!(e, E::OldLine));
    check_refused(&format!("\n\n{EXAMPLE}"), |e| matches!(e, E::OldLine));
    for size in ["", "00", "020852014", "+1", "-1", " 1", "1 ", "1\r", "18446744073709551616"] {
        let body = EXAMPLE.replace("20852014", size);
        check_refused(&body, |e| matches!(e, E::OldSize(_)));
    }
    check_refused(&EXAMPLE.replace("kaw=\n", "kaw=\r\n"), |e| matches!(e, E::Hash(_)));
    check_refused(&EXAMPLE.replace("kaw=", "kax="), |e| matches!(e, E::Hash(_)));
    check_refused(&EXAMPLE.replace("PlRN", ""), |e| matches!(e, E::Hash(_)));
    // Without its empty line, the request runs into the checkpoint.
    check_refused(&EXAMPLE.replacen("\n\n", "\n", 1), |e| matches!(e, E::Hash(_)));
    check_refused(&EXAMPLE.replacen("\n\n", "\n\n\n", 1), |e| matches!(e, E::Checkpoint(_)));
    check_refused(EXAMPLE.trim_end(), |e| matches!(e, E::Checkpoint(_)));
    check_refused(&EXAMPLE.replace("20852163", "0"), |e| matches!(e, E::EmptyTreeRoot));
}

#[test]
fn limits_are_reached_and_not_passed() {
    let log = Log::new();
    let hashes = |count: usize| {
        ConsistencyProof::new(vec![Hash::new([7; 32]); count]).expect("short enough")
    };
    let most = AddCheckpoint::new(sized(1), hashes(MAX_REQUEST_HASHES), log.signed(5));
    let most = most.expect("63 hashes").to_bytes();
    assert!(AddCheckpoint::parse(&most).is_ok());
    let many = AddCheckpoint::new(sized(1), hashes(MAX_REQUEST_HASHES + 1), log.signed(5));
    assert_eq!(many, Err(RequestError::TooManyHashes));
    let line = format!("{}\n", Hash::new([7; 32]));
    let body = String::from_utf8(most).expect("UTF-8").replacen(&line, &line.repeat(2), 1);
    check_refused(&body, |e| matches!(e, RequestError::TooManyHashes));
    let length = MAX_REQUEST_BYTES + 1;
    assert_eq!(AddCheckpoint::parse(&vec![b'x'; length]), Err(RequestError::TooLarge { length }));
}
