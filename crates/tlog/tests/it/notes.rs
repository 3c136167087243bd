//! Notes and keys: published ones, malformed ones, and what a verifier believes.

use proptest::prelude::*;
use tally_tlog::{
    Checkpoint, CheckpointError, Hash, KeyId, KeyName, KeyTextError, MAX_NOTE_BYTES,
    MAX_NOTE_SIGNATURES, NameError, Note, NoteError, NoteSignature, NoteSigner, NoteVerifyError,
    Origin, SignedCheckpoint, VerifierKey, key_id,
};

use crate::support::{leaf, sized};

/// The example of Go's `sumdb/note` documentation.
const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                       then you don't know what your problem is.\n";
const GO_SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuG\
                            UgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const GO_SECRET: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

/// An example made by an implementation in Elixir.
const ELIXIR_NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh\
                           2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72Ine\
                           yaQM=\n";
const ELIXIR_KEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";

/// The example of the signed-note specification, whose key it does not give.
const SPEC_NOTE: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\
                         \ned è subito sera.\n\n\u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS\
                         +Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRw\
                         NtIc=\n";

fn signer(name: &str, seed: u8) -> NoteSigner {
    NoteSigner::from_seed(name.parse().expect("a name"), &[seed; 32])
}

fn parse(note: &str) -> Note {
    Note::parse(note.as_bytes()).expect("a note")
}

#[test]
fn the_go_example_verifies_and_is_made_again() {
    let published = format!("{GO_TEXT}\n{GO_SIGNATURE}");
    let key: VerifierKey = GO_KEY.parse().expect("the key");
    let note = parse(&published);
    let verified = note.verify(std::slice::from_ref(&key)).expect("verified");
    assert_eq!(verified.text(), GO_TEXT);
    assert_eq!(verified.signers(), [key.name()]);

    let signer = NoteSigner::parse_secret(GO_SECRET).expect("the secret key");
    assert_eq!(signer.verifier_key(), key);
    assert_eq!(signer.to_secret_text(), GO_SECRET);
    assert_eq!(key.to_string(), GO_KEY);
    assert_eq!(signer.sign(GO_TEXT).expect("a note").to_bytes(), published.as_bytes());
}

#[test]
fn an_elixir_note_verifies() {
    let key: VerifierKey = ELIXIR_KEY.parse().expect("the key");
    let note = parse(ELIXIR_NOTE);
    let verified = note.verify(&[key]).expect("verified");
    assert_eq!(verified.text(), "This is an example message.\n");
}

#[test]
fn the_specification_s_example_is_read_at_its_last_empty_line() {
    let note = parse(SPEC_NOTE);
    assert!(note.unverified_text().ends_with("sole:\n\ned è subito sera.\n"));
    let [signature] = note.signatures() else { panic!("one signature") };
    assert_eq!(signature.name().as_str(), "quasimodo.example/salvatore");
    assert_eq!(signature.id(), KeyId::new(0x367b_a04b));
    assert_eq!(signature.bytes().len(), 64);
    assert_eq!(note.to_string(), SPEC_NOTE);
}

/// The expected note was made by a separate program, with another Ed25519 implementation.
#[test]
fn a_golden_checkpoint_of_a_fixed_seed() {
    let signer = signer("example.com/ledger", 7);
    let checkpoint = Checkpoint {
        origin: "example.com/ledger".parse().expect("an origin"),
        size: sized(3),
        root: leaf(0),
    };
    assert_eq!(
        checkpoint.sign(&signer).note().to_string(),
        "example.com/ledger\n\
         3\n\
         PnB3/S9m1ongzuanz1s3vy3KfJea81bQoxy8XIVgXH0=\n\
         \n\
         \u{2014} example.com/ledger 7E1ubX6rcgTqPPhmvOzoJuOHe4Hfh2DMPiDzt0aB20SsAfQJugBNwQJr3g+wHp1NHXTPB4DMkSoZsH9KRZy93cHuYgY=\n"
    );
}

fn check_refused(note: &str, error: NoteError) {
    assert_eq!(Note::parse(note.as_bytes()), Err(error), "{note:?}");
}

#[test]
fn malformed_notes_are_refused() {
    use NoteError as E;
    let good = "text\n\n\u{2014} name AAAAAAE=\n";
    assert!(Note::parse(good.as_bytes()).is_ok());
    check_refused("", E::NoBlankLine);
    check_refused("text\n\u{2014} name AAAAAAE=\n", E::NoBlankLine);
    check_refused("text\n\n", E::NoSignature);
    check_refused(&good.replace("=\n", "=\n\n"), E::NoSignature);
    check_refused(good.trim_end(), E::UnterminatedSignature);
    check_refused(&good.replace("text", "te\txt"), E::ControlCharacter);
    check_refused(&good.replace("text\n", "text\r\n"), E::ControlCharacter);
    check_refused(&good.replace('\u{2014}', "--"), E::SignatureLine);
    check_refused(&good.replace("\u{2014} ", "\u{2014}\u{a0}"), E::SignatureLine);
    check_refused(&good.replace(" AAAAAAE=", ""), E::SignatureLine);
    check_refused(&good.replace("name ", " "), E::Name(NameError::Empty));
    check_refused(&good.replace("name", "na+me"), E::Name(NameError::Plus));
    check_refused(&good.replace("name", "na\u{2003}me"), E::Name(NameError::Space));
    check_refused(&good.replace("name", "name two"), E::SignatureBase64);
    check_refused(&good.replace("AAAAAAE=", "AAAAAAF="), E::SignatureBase64);
    check_refused(&good.replace("AAAAAAE=", "AAAAAAE"), E::SignatureBase64);
    check_refused(&good.replace("AAAAAAE=", "AAAAAA=="), E::EmptySignature);
    check_refused(&good.replace("AAAAAAE=", "AAAA"), E::EmptySignature);
    assert_eq!(Note::parse(b"te\xffxt\n\n"), Err(E::NotUtf8));
}

#[test]
fn limits_are_held_on_both_sides() {
    let signer = signer("log", 1);
    let full = |count: usize| "text\n\n".to_owned() + &"\u{2014} name AAAAAAE=\n".repeat(count);
    let mut note = parse(&full(MAX_NOTE_SIGNATURES - 1));
    check_refused(&full(MAX_NOTE_SIGNATURES + 1), NoteError::TooManySignatures);
    signer.countersign(&mut note).expect("room for one");
    assert_eq!(signer.countersign(&mut note), Err(NoteError::TooManySignatures));
    assert_eq!(parse(&note.to_string()), note);
    // "MUST accept at least up to 16 signatures ... post-quantum signatures can be up to nearly
    // 5kB in size."
    let mut note = signer.sign("text\n").expect("a note");
    for _ in 0..16 {
        let name = KeyName::new("w".repeat(255)).expect("a name");
        let large = NoteSignature::new(name, KeyId::new(1), vec![1; 5000]).expect("a signature");
        note.add_signature(large).expect("room");
    }
    assert_eq!(parse(&note.to_string()), note);

    let overhead = signer.sign("\n").expect("a note").to_bytes().len() - 1;
    let text = |length: usize| "x".repeat(length - 1) + "\n";
    let largest = signer.sign(&text(MAX_NOTE_BYTES - overhead)).expect("the largest note");
    assert!(Note::parse(&largest.to_bytes()).is_ok());
    let too_large = NoteError::TooLarge { length: MAX_NOTE_BYTES + 1 };
    assert_eq!(signer.sign(&text(MAX_NOTE_BYTES - overhead + 1)), Err(too_large));
    assert_eq!(Note::parse(&vec![b'x'; MAX_NOTE_BYTES + 1]), Err(too_large));
    let mut unchanged = largest.clone();
    assert!(matches!(signer.countersign(&mut unchanged), Err(NoteError::TooLarge { .. })));
    assert_eq!(unchanged, largest);
}

#[test]
fn texts_that_no_note_may_have_are_not_signed() {
    let signer = signer("log", 1);
    assert_eq!(signer.sign(""), Err(NoteError::UnterminatedText));
    assert_eq!(signer.sign("text"), Err(NoteError::UnterminatedText));
    assert_eq!(signer.sign("te\0xt\n"), Err(NoteError::ControlCharacter));
    let name = KeyName::new("log").expect("a name");
    let empty = NoteSignature::new(name, KeyId::new(1), Vec::new());
    assert_eq!(empty, Err(NoteError::EmptySignature));
}

/// The note's signature lines in place of others.
fn with_signatures(note: &Note, signatures: &[NoteSignature]) -> Note {
    let lines: String = signatures.iter().map(|signature| format!("{signature}\n")).collect();
    parse(&format!("{}\n{lines}", note.unverified_text()))
}

fn broken(signature: &NoteSignature) -> NoteSignature {
    let mut bytes = signature.bytes().to_vec();
    bytes[0] ^= 1;
    NoteSignature::new(signature.name().clone(), signature.id(), bytes).expect("a signature")
}

#[test]
fn signatures_of_unknown_keys_are_ignored() {
    let (log, other) = (signer("log", 1), signer("other", 2));
    let mut note = other.sign("text\n").expect("a note");
    let keys = [log.verifier_key()];
    assert_eq!(note.verify(&keys).unwrap_err(), NoteVerifyError::NoKnownKey);
    assert_eq!(note.verify(&[]).unwrap_err(), NoteVerifyError::NoKnownKey);
    log.countersign(&mut note).expect("room");
    assert_eq!(note.verify(&keys).expect("verified").signers(), [log.name()]);
    // Even broken ones, "even if they share a name or ID (but not both) with a known key".
    let [theirs, ours] = note.signatures() else { panic!("two signatures") };
    let same_name =
        NoteSignature::new(log.name().clone(), other.key_id(), vec![1]).expect("a signature");
    let same_id =
        NoteSignature::new(other.name().clone(), log.key_id(), vec![1]).expect("a signature");
    let note = with_signatures(&note, &[broken(theirs), same_name, same_id, ours.clone()]);
    assert_eq!(note.verify(&keys).expect("verified").text(), "text\n");
}

#[test]
fn a_known_key_s_broken_signature_rejects_the_note() {
    let (log, other) = (signer("log", 1), signer("other", 2));
    let mut note = log.sign("text\n").expect("a note");
    other.countersign(&mut note).expect("room");
    let keys = [log.verifier_key(), other.verifier_key()];
    assert_eq!(note.verify(&keys).expect("verified").signers(), [log.name(), other.name()]);
    let [first, second] = note.signatures() else { panic!("two signatures") };
    let bad = |signer: &NoteSigner| NoteVerifyError::BadSignature {
        name: signer.name().clone(),
        id: signer.key_id(),
    };
    let check = |signatures: &[NoteSignature], error| {
        assert_eq!(with_signatures(&note, signatures).verify(&keys).unwrap_err(), error);
    };
    check(&[first.clone(), broken(second)], bad(&other));
    check(&[broken(first), second.clone()], bad(&log));
    check(&[first.clone(), broken(first)], bad(&log));
    let short = NoteSignature::new(log.name().clone(), log.key_id(), vec![1; 63]);
    check(&[short.expect("a signature"), second.clone()], bad(&log));
    let changed = parse(&note.to_string().replace("text", "test"));
    assert_eq!(changed.verify(&keys).unwrap_err(), bad(&log));
}

/// Two seeds, found by search, whose keys have the same id under the name "log".
const COLLIDING_SEEDS: [u32; 2] = [11324, 51932];

#[test]
fn known_keys_that_cannot_be_told_apart_are_refused() {
    let [first, second] = COLLIDING_SEEDS.map(|number| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&number.to_le_bytes());
        NoteSigner::from_seed(KeyName::new("log").expect("a name"), &seed)
    });
    assert_eq!(first.key_id(), second.key_id());
    let note = first.sign("text\n").expect("a note");
    let both = [first.verifier_key(), second.verifier_key()];
    let ambiguous =
        NoteVerifyError::AmbiguousKey { name: first.name().clone(), id: first.key_id() };
    assert_eq!(note.verify(&both).unwrap_err(), ambiguous);
    let twice = [first.verifier_key(), first.verifier_key()];
    assert!(note.verify(&twice).is_ok(), "the same key twice is one key");
}

#[test]
fn a_signature_s_second_form_is_refused() {
    // The group order l, little-endian: S + l is the same number in the exponent, but "0 <= s < L"
    // (RFC 8032 §5.1.7).
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let log = signer("log", 1);
    let note = log.sign("text\n").expect("a note");
    let mut bytes = note.signatures()[0].bytes().to_vec();
    let mut carry = 0;
    for (byte, addend) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + addend + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    let second = NoteSignature::new(log.name().clone(), log.key_id(), bytes).expect("a signature");
    let note = with_signatures(&note, &[second]);
    assert!(matches!(
        note.verify(&[log.verifier_key()]),
        Err(NoteVerifyError::BadSignature { .. })
    ));
}

#[test]
fn keys_are_read_strictly() {
    use KeyTextError as E;
    let check = |text: &str, error| assert_eq!(text.parse::<VerifierKey>(), Err(error), "{text}");
    check("", E::Form);
    check("PeterNeumann", E::Form);
    check("PeterNeumann+c74f20a3", E::Form);
    check(&GO_KEY.replace("PeterNeumann", ""), E::Name(NameError::Empty));
    check(&GO_KEY.replace("PeterN", "Peter N"), E::Name(NameError::Space));
    check(&GO_KEY.replace("PeterN", "PeterM"), E::WrongId);
    check(&GO_KEY.replace("c74f20a3", "c74f20a4"), E::WrongId);
    check(&GO_KEY.replace("c74f20a3", "74f20a3"), E::Id);
    check(&GO_KEY.replace("c74f20a3", "c74f20ag"), E::Id);
    check(&GO_KEY.replace("+ARpc", "+BRpc"), E::Type { found: 5 });
    check(&GO_KEY.replace("y10TW", "y10T"), E::Base64);
    check(&GO_KEY[..GO_KEY.len() - 4], E::Length);
    check("a+00000000+", E::Length);
    check(GO_SECRET, E::Id);
    let secret = |text: &str| NoteSigner::parse_secret(text).map(|_| ()).unwrap_err();
    assert_eq!(secret(GO_KEY), E::Form);
    assert_eq!(secret(&GO_SECRET.replace("c74f20a3", "00000000")), E::WrongId);
}

#[test]
fn weak_and_second_spellings_of_public_keys_are_refused() {
    let name = || KeyName::new("log").expect("a name");
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(VerifierKey::new(name(), &identity), Err(KeyTextError::WeakKey));
    // y and y + p are the same number; only y below p = 2^255 - 19 is canonical.
    let mut second_spellings = 0;
    for y in 0..19u8 {
        let (mut canonical, mut other) = ([0; 32], [0xff; 32]);
        canonical[0] = y;
        (other[0], other[31]) = (0xed + y, 0x7f);
        if VerifierKey::new(name(), &canonical).is_ok() {
            assert_eq!(VerifierKey::new(name(), &other), Err(KeyTextError::NotAPoint));
            second_spellings += 1;
        }
    }
    assert!(second_spellings > 0);
}

#[test]
fn debug_output_does_not_have_the_secret() {
    let signer = signer("log", 0x5a);
    let shown = format!("{signer:?}");
    assert!(shown.contains("log") && !shown.contains("90, 90, 90") && !shown.contains("5a5a"));
    assert!(!shown.contains(&signer.to_secret_text()[20..]));
}

#[test]
fn the_type_byte_is_part_of_the_key_id() {
    let signer = signer("log", 1);
    let public = signer.verifier_key();
    assert_eq!(key_id(signer.name(), 0x01, public.public_key()), signer.key_id());
    assert_ne!(key_id(signer.name(), 0x04, public.public_key()), signer.key_id());
}

#[test]
fn a_checkpoint_is_opened_for_its_own_log_only() {
    let log = signer("example.com/ledger", 7);
    let origin: Origin = "example.com/ledger".parse().expect("an origin");
    assert_eq!(origin.key_name(), *log.name());
    let head = Checkpoint { origin: origin.clone(), size: sized(9), root: leaf(9) };
    let signed = SignedCheckpoint::parse(&head.sign(&log).to_bytes()).expect("a checkpoint");
    let opened = signed.open(&[log.verifier_key()], &origin).expect("verified");
    assert_eq!((opened.checkpoint(), opened.size(), opened.root()), (&head, sized(9), leaf(9)));
    assert_eq!((opened.origin(), opened.signed()), (&origin, &signed));

    let other = Origin::new("example.com/other").expect("an origin");
    let refused = signed.open(&[log.verifier_key()], &other);
    assert_eq!(refused, Err(CheckpointError::WrongOrigin { claimed: origin.clone() }));
    let stranger = signer("example.com/ledger", 8);
    let refused = signed.open(&[stranger.verifier_key()], &origin);
    assert_eq!(refused, Err(CheckpointError::Verify(NoteVerifyError::NoKnownKey)));
    let forged = signed.note().to_string().replace("\n9\n", "\n8\n");
    let forged = SignedCheckpoint::parse(forged.as_bytes()).expect("a checkpoint");
    assert!(matches!(
        forged.open(&[log.verifier_key()], &origin),
        Err(CheckpointError::Verify(NoteVerifyError::BadSignature { .. }))
    ));
}

#[test]
fn cosignatures_travel_with_a_checkpoint() {
    let log = signer("example.com/ledger", 7);
    let origin = Origin::new("example.com/ledger").expect("an origin");
    let mut signed =
        Checkpoint { origin: origin.clone(), size: sized(1), root: leaf(0) }.sign(&log);
    let witness = KeyName::new("witness.example").expect("a name");
    let cosignature = NoteSignature::new(witness, KeyId::new(4), vec![9; 72]).expect("a signature");
    signed.add_signature(cosignature.clone()).expect("room");
    let received = SignedCheckpoint::parse(&signed.to_bytes()).expect("a checkpoint");
    assert_eq!(received.note().signatures()[1], cosignature);
    assert!(received.open(&[log.verifier_key()], &origin).is_ok());
}

#[test]
#[should_panic(expected = "empty tree's root")]
fn an_empty_log_does_not_sign_another_root() {
    let origin = Origin::new("example.com/ledger").expect("an origin");
    let head = Checkpoint { origin, size: sized(0), root: leaf(0) };
    head.sign(&signer("example.com/ledger", 7));
}

proptest! {
    /// What is read is written back to the byte, so no signature is checked over other bytes.
    #[test]
    fn whatever_parses_is_written_back(
        note in "([a-z+é]{0,3}\n){0,3}\n?(\u{2014} [a-z]{0,3} (AAAAAAE=|[A-C=]{8,16})\n){0,3}",
    ) {
        if let Ok(parsed) = Note::parse(note.as_bytes()) {
            prop_assert_eq!(parsed.to_string(), note);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(parsed) = Note::parse(&bytes) {
            prop_assert_eq!(parsed.to_bytes(), bytes);
        }
    }

    #[test]
    fn signed_texts_are_read_back(text in "([ -~é]{0,9}\n){1,6}", seed in any::<u8>()) {
        let signer = signer("log", seed);
        let note = signer.sign(&text).expect("a note");
        let read = Note::parse(&note.to_bytes()).expect("a note");
        prop_assert_eq!(&read, &note);
        let keys = [signer.verifier_key()];
        prop_assert_eq!(read.verify(&keys).expect("verified").text(), text);
    }

    #[test]
    fn checkpoint_texts_are_read_back(size in 1u64.., root in any::<[u8; 32]>()) {
        let origin = Origin::new("example.com/ledger").expect("an origin");
        let head = Checkpoint { origin, size: sized(size), root: Hash::new(root) };
        prop_assert_eq!(Checkpoint::parse_text(&head.to_string()), Ok(head));
    }
}
