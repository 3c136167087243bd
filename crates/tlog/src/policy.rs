//! Trust policies: which logs are known, which witnesses, and how many of them are enough, as C2SP
//! tlog-policy specifies.
//!
//! Reads a policy file and judges checkpoints by it. Fetches nothing and tells no time, so a
//! cosignature of long ago counts as much as one of today: who wants a recent one looks at the
//! times in [`Quorum`]. Keys are Ed25519 only; a policy with another is refused, because it could
//! not be judged.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use crate::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::cosignature::{CosignatureError, CosignerKey, PosixTime};
use crate::key::{KeyTextError, PublicKey};
use crate::note::{MAX_NOTE_SIGNATURES, VerifierKey};
use crate::text::parse_decimal;

/// The most bytes a policy file may have.
pub const MAX_POLICY_BYTES: usize = 256 * 1024;
/// The most logs. "It is strongly recommended that an implementation supports at least up to 32
/// logs, 32 witnesses, and 32 groups."
pub const MAX_POLICY_LOGS: usize = 64;
/// The most witnesses: as many as can cosign one checkpoint beside its log.
pub const MAX_POLICY_WITNESSES: usize = MAX_NOTE_SIGNATURES - 1;
/// The most groups.
pub const MAX_POLICY_GROUPS: usize = 64;

/// "The special name `none` is predefined".
const NONE: &[u8] = b"none";

/// A name or a URL in a policy: "all octets with the high bit set are opaque".
///
/// At least one octet, none of them a space, a tab or a newline. `Display` shows what is not UTF-8
/// as replacement characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Octets(Vec<u8>);

impl Octets {
    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets as text, if they are UTF-8: "strongly recommended".
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// A known log: `log <vkey> [<url>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLog {
    /// Its key, whose name "MUST correspond to the log's origin line".
    pub key: VerifierKey,
    /// Where it is; what for is "application specific".
    pub url: Option<Octets>,
}

/// A known witness: `witness <name> <vkey> [<url>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name in this policy: "they have no meaning outside of the policy file itself".
    pub name: Octets,
    /// Its key.
    pub key: CosignerKey,
    /// Its "submission prefix".
    pub url: Option<Octets>,
}

/// A policy: known logs, known witnesses, and the quorum.
///
/// ```
/// use tally_tlog::{Cosigner, WitnessPolicy};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let [w1, w2] = [1, 2].map(|n| {
///     let name = format!("witness.example/w{n}").parse().expect("a name");
///     Cosigner::from_seed(name, &[n; 32]).verifier_key()
/// });
/// let text = format!("witness W1 {w1}\nwitness W2 {w2}\ngroup both all W1 W2\nquorum both\n");
/// let policy = WitnessPolicy::parse(text.as_bytes())?;
/// assert_eq!(policy.witnesses().len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessPolicy {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// "To not require any cosignatures at all": none.
    quorum: Option<Member>,
}

/// A group: at least `threshold` of its members must have witnessed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    threshold: usize,
    /// Each is defined on a preceding line, so that of groups only earlier ones occur.
    members: Vec<Member>,
}

/// What a name stands for: an index among the witnesses or among the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Member {
    Witness(usize),
    Group(usize),
}

/// What a policy's witnesses say of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    /// Whether "it is cosigned by witnesses according to the defined quorum rule".
    pub met: bool,
    /// Every witness of the policy, in its order, with what it says.
    pub witnesses: Vec<(Octets, Standing)>,
}

/// What one witness says of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It cosigned, at this time.
    Cosigned(PosixTime),
    /// It says nothing.
    Silent,
    /// A line claims to be its cosignature and is not. It does not count.
    Bad(CosignatureError),
}

impl Quorum {
    /// The witnesses that cosigned, and when.
    pub fn cosigned(&self) -> impl Iterator<Item = (&Octets, PosixTime)> {
        self.witnesses.iter().filter_map(|(name, standing)| match standing {
            Standing::Cosigned(at) => Some((name, *at)),
            Standing::Silent | Standing::Bad(_) => None,
        })
    }
}

impl WitnessPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]: the first line that breaks a rule, or a rule of the whole.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        if bytes.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLarge { length: bytes.len() });
        }
        let mut reading = Reading::default();
        for (index, line) in bytes.split_inclusive(|&b| b == b'\n').enumerate() {
            let at = |rule| PolicyError::Line { number: index + 1, rule };
            reading.line(line).map_err(at)?;
        }
        let Reading { logs, witnesses, groups, quorum, .. } = reading;
        // "A policy file must include exactly one quorum line."
        let quorum = quorum.ok_or(PolicyError::NoQuorum)?;
        Ok(WitnessPolicy { logs, witnesses, groups, quorum })
    }

    /// The known logs, in the file's order. May be empty: "An application where the appropriate
    /// log(s) are known from other context may accept a policy with an empty set of logs."
    pub fn logs(&self) -> &[PolicyLog] {
        &self.logs
    }

    /// The known witnesses, in the file's order.
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether the quorum is `none`.
    pub fn needs_no_witness(&self) -> bool {
        self.quorum.is_none()
    }

    /// Verifies that one of the policy's logs signed a checkpoint of its own. Says nothing about
    /// witnesses: that is [`WitnessPolicy::judge`].
    ///
    /// # Errors
    ///
    /// As [`SignedCheckpoint::open`].
    pub fn open(&self, signed: &SignedCheckpoint) -> Result<VerifiedCheckpoint, CheckpointError> {
        let origin = &signed.unverified().origin;
        // "This name MUST correspond to the log's origin line".
        let own = |log: &&PolicyLog| log.key.name().as_str() == origin.as_str();
        let keys: Vec<VerifierKey> =
            self.logs.iter().filter(own).map(|log| log.key.clone()).collect();
        signed.open(&keys, origin)
    }

    /// Says whether enough witnesses cosigned a checkpoint, and what each of them says. Looks at
    /// cosignatures only, not at who signed for the log: that is [`WitnessPolicy::open`].
    pub fn judge(&self, checkpoint: &SignedCheckpoint) -> Quorum {
        let standing = |witness: &PolicyWitness| match witness.key.verify(checkpoint) {
            Ok(Some(cosignature)) => Standing::Cosigned(cosignature.timestamp),
            Ok(None) => Standing::Silent,
            Err(error) => Standing::Bad(error),
        };
        let witnesses: Vec<(Octets, Standing)> = self
            .witnesses
            .iter()
            .map(|witness| (witness.name.clone(), standing(witness)))
            .collect();
        let cosigned: Vec<bool> = witnesses
            .iter()
            .map(|(_, standing)| matches!(standing, Standing::Cosigned(_)))
            .collect();
        Quorum { met: self.is_met_by(&cosigned), witnesses }
    }

    /// "the group is considered to witness a checkpoint if and only if at least k of its n members
    /// have witnessed that checkpoint, each group member being either a witness or another group."
    fn is_met_by(&self, cosigned: &[bool]) -> bool {
        let mut groups: Vec<bool> = Vec::with_capacity(self.groups.len());
        let witnessed = |groups: &[bool], member: &Member| match *member {
            Member::Witness(index) => cosigned[index],
            Member::Group(index) => groups[index],
        };
        for group in &self.groups {
            let count = group.members.iter().filter(|member| witnessed(&groups, member)).count();
            groups.push(count >= group.threshold);
        }
        self.quorum.as_ref().is_none_or(|quorum| witnessed(&groups, quorum))
    }
}

/// Why a file is no policy.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// Over the limit.
    #[error("a policy of {length} bytes is over the limit of {MAX_POLICY_BYTES}")]
    TooLarge {
        /// The file's bytes.
        length: usize,
    },
    /// No quorum line: who wants no witness says `quorum none`.
    #[error("a policy has no quorum line; `quorum none` asks for no witness")]
    NoQuorum,
    /// A line breaks a rule.
    #[error("line {number} of the policy: {rule}")]
    Line {
        /// The line, from 1.
        number: usize,
        /// The rule.
        #[source]
        rule: PolicyRule,
    },
}

/// The rule that a line of a policy breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyRule {
    /// "each line is terminated by ASCII newline".
    #[error("it does not end in a newline")]
    Unterminated,
    /// "the allowed octet values are 0x09 (tab), 0x0A (newline), 0x20-0x7E, and 0x80-0xFF".
    #[error("it contains the octet {octet:#04x}; of control characters only the tab is allowed")]
    Octet {
        /// The octet found.
        octet: u8,
    },
    /// The first item is none of the four.
    #[error("it begins with {0:?}, not with log, witness, group or quorum")]
    Keyword(Octets),
    /// Too few or too many items.
    #[error("it is not of the form `{0}`")]
    Form(&'static str),
    /// Not a key of the right type.
    #[error("its key can't be used: {0}")]
    Key(#[from] KeyTextError),
    /// A key that is not even UTF-8.
    #[error("its key is not UTF-8")]
    KeyNotUtf8,
    /// "Two vkeys are considered *duplicate* if they wrap the same underlying public key".
    #[error("its public key was listed before, on another line")]
    DuplicateKey,
    /// "Witnesses and groups share a single namespace."
    #[error("the name {0:?} is defined already")]
    DuplicateName(Octets),
    /// "The special name `none` is predefined; it can be used when defining the quorum", only.
    #[error("the name none is predefined and can only stand on the quorum line")]
    ReservedName,
    /// "A line defining a group can only reference names of groups and witnesses defined on
    /// preceding lines", and so the quorum.
    #[error("the name {0:?} is not defined on a line above")]
    UnknownName(Octets),
    /// "Each defined name can be listed as a group member at most once."
    #[error("{0:?} is a member of a group already")]
    MemberTwice(Octets),
    /// "1 <= k <= n".
    #[error("{0:?} is not any, all, or a number from 1 to the {1} members of the group")]
    Threshold(Octets, usize),
    /// "A policy file must include exactly one quorum line."
    #[error("there is a quorum line already")]
    SecondQuorum,
    /// Over the limit.
    #[error("it is one over the limit of {MAX_POLICY_LOGS} logs")]
    TooManyLogs,
    /// Over the limit.
    #[error("it is one over the limit of {MAX_POLICY_WITNESSES} witnesses")]
    TooManyWitnesses,
    /// Over the limit.
    #[error("it is one over the limit of {MAX_POLICY_GROUPS} groups")]
    TooManyGroups,
}

const LOG_FORM: &str = "log <vkey> [<url>]";
const WITNESS_FORM: &str = "witness <name> <vkey> [<url>]";
const GROUP_FORM: &str = "group <name> all|any|<k> <name>...";
const QUORUM_FORM: &str = "quorum <name>";

/// What has been read of a policy, up to a line.
#[derive(Default)]
struct Reading {
    logs: Vec<PolicyLog>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `Some(None)` is `quorum none`.
    quorum: Option<Option<Member>>,
    /// What the names that are defined so far stand for, and whether they are members of a group.
    names: HashMap<Vec<u8>, (Member, bool)>,
}

impl Reading {
    fn line(&mut self, line: &[u8]) -> Result<(), PolicyRule> {
        let line = line.strip_suffix(b"\n").ok_or(PolicyRule::Unterminated)?;
        let allowed = |b: &u8| matches!(b, 0x09 | 0x20..=0x7E | 0x80..=0xFF);
        if let Some(&octet) = line.iter().find(|octet| !allowed(octet)) {
            return Err(PolicyRule::Octet { octet });
        }
        // "the items on each line are separated by \"whitespace\" ... sequences of ASCII space and
        // tab characters *only*. Leading and trailing whitespace is allowed."
        let items: Vec<&[u8]> =
            line.split(|&b| matches!(b, b' ' | b'\t')).filter(|item| !item.is_empty()).collect();
        match items.split_first() {
            // "Empty lines (whitespace only) and comment lines (lines starting with \"#\", possibly
            // preceded by whitespace) are allowed and ignored."
            None => Ok(()),
            Some((word, _)) if word.starts_with(b"#") => Ok(()),
            Some((&b"log", items)) => self.log(items),
            Some((&b"witness", items)) => self.witness(items),
            Some((&b"group", items)) => self.group(items),
            Some((&b"quorum", items)) => self.quorum(items),
            Some((word, _)) => Err(PolicyRule::Keyword(octets(word))),
        }
    }

    fn log(&mut self, items: &[&[u8]]) -> Result<(), PolicyRule> {
        let (key, url) = match *items {
            [key] => (key, None),
            [key, url] => (key, Some(octets(url))),
            _ => return Err(PolicyRule::Form(LOG_FORM)),
        };
        let key: VerifierKey = parse_vkey(key)?;
        // "multiple log lines with the same public key, are not allowed"
        if self.logs.iter().any(|log| log.key.public_key() == key.public_key()) {
            return Err(PolicyRule::DuplicateKey);
        }
        if self.logs.len() == MAX_POLICY_LOGS {
            return Err(PolicyRule::TooManyLogs);
        }
        self.logs.push(PolicyLog { key, url });
        Ok(())
    }

    fn witness(&mut self, items: &[&[u8]]) -> Result<(), PolicyRule> {
        let (name, key, url) = match *items {
            [name, key] => (name, key, None),
            [name, key, url] => (name, key, Some(octets(url))),
            _ => return Err(PolicyRule::Form(WITNESS_FORM)),
        };
        let key: CosignerKey = parse_vkey(key)?;
        // "multiple witness lines with the same public key, are not allowed"
        if self.witnesses.iter().any(|witness| witness.key.public_key() == key.public_key()) {
            return Err(PolicyRule::DuplicateKey);
        }
        if self.witnesses.len() == MAX_POLICY_WITNESSES {
            return Err(PolicyRule::TooManyWitnesses);
        }
        self.define(name, Member::Witness(self.witnesses.len()))?;
        self.witnesses.push(PolicyWitness { name: octets(name), key, url });
        Ok(())
    }

    fn group(&mut self, items: &[&[u8]]) -> Result<(), PolicyRule> {
        // "At least one member must be listed (i.e., n >= 1)."
        let [name, threshold, names @ ..] = items else {
            return Err(PolicyRule::Form(GROUP_FORM));
        };
        if names.is_empty() {
            return Err(PolicyRule::Form(GROUP_FORM));
        }
        let threshold = parse_threshold(threshold, names.len())?;
        if self.groups.len() == MAX_POLICY_GROUPS {
            return Err(PolicyRule::TooManyGroups);
        }
        // The members before the name: a group is no member of itself.
        let members = names.iter().map(|name| self.join(name)).collect::<Result<_, _>>()?;
        self.define(name, Member::Group(self.groups.len()))?;
        self.groups.push(Group { threshold, members });
        Ok(())
    }

    fn quorum(&mut self, items: &[&[u8]]) -> Result<(), PolicyRule> {
        let [name] = *items else { return Err(PolicyRule::Form(QUORUM_FORM)) };
        if self.quorum.is_some() {
            return Err(PolicyRule::SecondQuorum);
        }
        let named = if name == NONE { None } else { Some(self.entry(name)?.0) };
        self.quorum = Some(named);
        Ok(())
    }

    fn define(&mut self, name: &[u8], member: Member) -> Result<(), PolicyRule> {
        if name == NONE {
            return Err(PolicyRule::ReservedName);
        }
        match self.names.insert(name.to_vec(), (member, false)) {
            None => Ok(()),
            Some(_) => Err(PolicyRule::DuplicateName(octets(name))),
        }
    }

    /// Makes what a name stands for a member of a group: "This ensures that each witness can
    /// contribute to a group, or to the quorum in particular, in only one way."
    fn join(&mut self, name: &[u8]) -> Result<Member, PolicyRule> {
        if name == NONE {
            return Err(PolicyRule::ReservedName);
        }
        let (member, is_member) = self.entry(name)?;
        if std::mem::replace(is_member, true) {
            return Err(PolicyRule::MemberTwice(octets(name)));
        }
        Ok(*member)
    }

    fn entry(&mut self, name: &[u8]) -> Result<&mut (Member, bool), PolicyRule> {
        self.names.get_mut(name).ok_or_else(|| PolicyRule::UnknownName(octets(name)))
    }
}

fn octets(item: &[u8]) -> Octets {
    Octets(item.to_vec())
}

fn parse_vkey<const TYPE: u8>(item: &[u8]) -> Result<PublicKey<TYPE>, PolicyRule> {
    let text = std::str::from_utf8(item).map_err(|_| PolicyRule::KeyNotUtf8)?;
    Ok(text.parse()?)
}

/// "The `any` variant is a shorthand for k = 1, and the `all` variant is a shorthand for k = n. If k
/// is given numerically, it must be written in decimal, and it is required that 1 <= k <= n."
fn parse_threshold(item: &[u8], members: usize) -> Result<usize, PolicyRule> {
    let number = || {
        let number = parse_decimal(std::str::from_utf8(item).ok()?)?;
        usize::try_from(number).ok().filter(|k| (1..=members).contains(k))
    };
    match item {
        b"any" => Ok(1),
        b"all" => Ok(members),
        _ => number().ok_or_else(|| PolicyRule::Threshold(octets(item), members)),
    }
}
