#!/usr/bin/env python3
"""A second verifier for Tally: checks a log receipt or a provenance bundle, offline.

    tally_verify.py FILE --log-key KEY [--checkpoint FILE]... [--json]

It shares no line with the ledger and needs Python 3.9 and `cryptography`. Trust comes from KEY, the
verdict is *valid*, *invalid* (by which rule) or *incomplete*; exit codes: 0 valid, 1 not, 2 usage.

An author signs an *envelope*, a protobuf message (`proto/tally/v1/envelope.proto`) in one encoding;
its id is its BLAKE3, and messages name each other by id. The ledger keeps it in an *event*:

    version 1: u8 | position: u64 | chain of the event before: 32 | recorded at, µs: i64 |
    length of the payload: u32 | payload: the envelope | the author's Ed25519 signature: 64

Numbers are big-endian; the signature is over DSSE's pre-authentication encoding; an event's chain
is its BLAKE3 as `derive_key`. Events are the leaves of an RFC 6962 tree, whose size and root stand
in a *checkpoint*, a C2SP signed note. A *log receipt* is a C2SP tlog-proof, a *bundle* JSON in one
spelling: events in order, one proof for all under one checkpoint, and what is left out.

Not judged, though `tally verify` does: policies, but for whose an agent's are and their versions;
schemas, evaluations, auctions, prices, parts, percentages, checks, attempts, weak keys; when an
intent, a task or a delegation ends by time, how far one goes, whether one passed on stands; whether
a cancellation was asked for; what is in no table below. What comes later counts as missing.
Signatures are held to RFC 8032, stricter than the ledger's ZIP 215 where no honest signer goes.
"""
import argparse, base64, functools, hashlib, json, re, struct, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

class Fault(Exception):
    """Why a file is not valid: the answer, with rule, position and envelope where there are."""
def need(holds, rule, found="does not hold"):
    if not holds:
        raise Fault({"verdict": "invalid", "found": found, "rule": rule})

# ---------------------------------------------------------------- hashes
IV = bytes.fromhex("67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b")
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
MIX = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
       (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
START, END, PARENT, ROOT, CONTEXT, MATERIAL, WORD = 1, 2, 4, 8, 32, 64, 0xFFFFFFFF

def compress(chaining, block, counter, length, flags):
    words = struct.unpack("<16I", block.ljust(64, b"\0"))
    v = [*struct.unpack("<12I", chaining + IV[:16]), counter, 0, length, flags]
    for _ in range(7):
        for (a, b, c, d), *pair in zip(MIX, words[::2], words[1::2]):
            for word, turn, twist in zip(pair, (16, 8), (12, 7)):
                v[a] = v[a] + v[b] + word & WORD
                v[d] = (v[d] ^ v[a]) * 0x100000001 >> turn & WORD  # rotated to the right
                v[c] = v[c] + v[d] & WORD
                v[b] = (v[b] ^ v[c]) * 0x100000001 >> twist & WORD
        words = [words[i] for i in ORDER]
    return struct.pack("<8I", *(v[i] ^ v[i + 8] for i in range(8)))

def blake3(data, key=IV, flags=0, chunk=0, root=ROOT):
    if len(data) > 1024:
        middle = split(0, -(-len(data) // 1024))
        left = blake3(data[:middle * 1024], key, flags, chunk, 0)
        right = blake3(data[middle * 1024:], key, flags, chunk + middle, 0)
        return compress(key, left + right, 0, 64, flags | PARENT | root)
    chaining, start = key, START
    while len(data) > 64:
        chaining = compress(chaining, data[:64], chunk, 64, flags | start)
        data, start = data[64:], 0
    return compress(chaining, data, chunk, len(data), flags | start | END | root)

def chain(data, genesis=""):
    context = "tally 2026-11-22 event v1 log chain" + genesis
    return blake3(data, blake3(context.encode(), IV, CONTEXT), MATERIAL)
def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()

# ---------------------------------------------------------------- keys and signed notes
def unbase64(text, length=None):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text and length in (None, len(data)), "format")
    return data

def read_checkpoint(note):
    """Origin, size and base64(root), a line each; a gap; lines with name and base64(id | sig)."""
    pattern = r"((.+)\n(0|[1-9][0-9]{0,18})\n(.+)\n)\n((?:— [^ \n]+ [^ \n]+\n)+)"
    text, origin, size, root, lines = re.fullmatch(pattern, note).groups()
    signed = [line.split(" ")[1:] for line in lines[:-1].split("\n")]
    signatures = [(name, unbase64(data)) for name, data in signed]
    return origin, int(size), unbase64(root, 32), text.encode(), signatures

def open_checkpoint(claimed, key):
    """Size and root, if the trusted key, name, id and base64(0x01 | Ed25519 key), signed them."""
    (origin, size, root, text, signatures), (name, key_id, typed) = claimed, key
    own = [data[4:] for by, data in signatures if (by, data[:4].hex()) == (name, key_id)]
    need(own and origin == name, "checkpoint", f"the trusted key did not sign it for {origin}")
    for signature in own:
        PublicKey.from_public_bytes(unbase64(typed)[1:]).verify(signature, text)
    return size, root

# ---------------------------------------------------------------- the tree: RFC 6962
def split(low, high):
    return low + (1 << (high - low - 1).bit_length() - 1)  # the largest power below the width

def roots(last, low, high, path, single):
    """The roots over low..=last and low..high that a path leads to: an audit path behind its leaf
    (`single`), or a consistency proof behind the hash of the first range that it builds on."""
    bottom = high - low == 1 if single else high == last + 1
    need(bottom == (len(path) == 1), "tree", "wrong number of hashes")
    if bottom:
        return path * 2
    middle, side = split(low, high), path[-1]
    if last < middle:
        before, after = roots(last, low, middle, path[:-1], single)
        return [before, sha256(b"\1", after, side)]
    return [sha256(b"\1", side, root) for root in roots(last, middle, high, path[:-1], single)]

def subset_root(leaves, low, high, nodes):
    """The root over some leaves, `(index, hash)` in order: a complete range without one of them
    takes the next node; one of them is its own hash; everything else splits."""
    if not leaves and high - low & high - low - 1 == 0:
        need(nodes, "tree", "too few nodes")
        return nodes.pop(0)
    if high - low == 1:
        return leaves[0][1]
    middle = split(low, high)
    left = subset_root([leaf for leaf in leaves if leaf[0] < middle], low, middle, nodes)
    right = subset_root([leaf for leaf in leaves if leaf[0] >= middle], middle, high, nodes)
    return sha256(b"\1", left, right)

# ---------------------------------------------------------------- envelopes and events
# Fields by number: bytes or text; `u` a number, `i` a signed one, `*` repeated; (name, message).
# All fields of the envelope are here, and of the messages inside it those that are read below.
TERMS, WISH, OFFER = {1: "name"}, {8: "deadline_us i", 16: "parts *"}, {1: "offer"}
DATA = ("outputs *", {1: "uri", 2: "digest"})
ENVELOPE = {
    1: "version u", 2: "origin", 3: "author", 4: "author_sequence u", 5: "previous",
    6: "issued_at_us i", 7: "trace_id", 8: "object_schema", 9: "causes *", 17: ("discover", {}),
    16: ("advertise_capability", {1: ("publish", TERMS), 3: ("retire", {1: "capability"}),
                                  2: ("revise", {1: "capability", 2: ("terms", TERMS)})}),
    18: ("intent", {1: ("open", WISH), 3: ("cancel", {1: "intent"}),
                    2: ("revise", {1: "intent", 2: ("terms", WISH)})}),
    19: ("offer", {1: "intent", 2: "capability", 3: "replaces", 9: "valid_until_us i"}),
    20: ("negotiate", {1: ("counter", OFFER), 2: ("decline", OFFER), 3: ("withdraw", OFFER),
                       4: ("request_cancellation", {1: "task"}), 5: ("reveal", OFFER)}),
    21: ("task_start", {1: "intent", 2: "offer", 8: "depends_on *", 9: "replaces"}),
    22: ("task_progress", {1: "task", 2: "state u", 5: DATA, 8: "depends_on *"}),
    23: ("task_done", {1: "task", 2: "outcome u", 6: DATA}),
    24: ("attest", {1: ("claim", {}), 3: ("revoke", {1: "attestation"}), 5: ("revoke_key", {}),
        2: ("delegate", {1: "delegate", 6: "of"}), 4: ("rotate_key", {1: "successor"})}),
    25: ("policy_update", {1: "agent", 4: "name", 5: "policy_version u", 6: "action u"}),
    26: ("observe", {1: "task_status", 3: "coordination_graph"}),
}

def varint(data, at):
    value = shift = 0
    while data[at] > 127:
        value, at, shift = value | (data[at] & 127) << shift, at + 1, shift + 7
    need(data[at] or shift == 0, "envelope", "not the shortest number")
    return value | data[at] << shift, at + 1

def decode(data, table, flat):
    """A message by field names, if it is canonical; `flat` takes the fields at all depths."""
    message, at, before = {}, 0, 0
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        number, typed, entry = tag >> 3, tag & 7, table.get(tag >> 3, "? *")
        name, inner = entry if isinstance(entry, tuple) else (entry, None)
        name, _, mark = name.partition(" ")
        if typed == 2:
            value, at = data[at:at + value], at + value
        need(number > before - (mark == "*") and (value or inner is not None or mark == "*") and
             at <= len(data) and typed in (0, 2) and (name != "?" or table is not ENVELOPE),
             "envelope", f"field {number} is not canonical")
        value = value - (value >> 63 << 64) if mark == "i" else value
        value, before = value if inner is None else decode(value, inner, flat), number
        flat.append((name, value))
        message[name] = message.get(name, []) + [value] if mark == "*" else value
    return message

class Event:
    def __init__(self, data):
        version, self.position, self.before, self.at, length = struct.unpack(">BQ32sqI", data[:53])
        need(version == 1 and 117 + length == len(data) <= 65535, "format", "no event")
        self.data, self.payload, self.signature = data, data[53:-64], data[-64:]
        self.id, self.leaf, self.fields = blake3(self.payload), sha256(b"\0", data), []
    def open(self, origin):
        """The envelope, and which message it has, if its author signed it for this ledger."""
        said = decode(self.payload, ENVELOPE, self.fields)
        kind, = [name for name in said if isinstance(said[name], dict)]
        schema = "pervasive.link/v1/" + kind.title().replace("_", "")
        need(said["object_schema"] == schema.encode() and said["version"] == 1 and
             ("previous" in said) == ("author_sequence" in said), "envelope", "fields do not fit")
        head = b"DSSEv1 42 application/vnd.tally.envelope.v1+protobuf %d " % len(self.payload)
        PublicKey.from_public_bytes(said["author"]).verify(self.signature, head + self.payload)
        need(said["origin"] == origin.encode(), "R13.origin", "meant for another ledger")
        return said, kind

# ---------------------------------------------------------------- the core of the rules
# Fields that name an earlier message, and of what kind; lineage may lead to what is left out.
LINEAGE, LIMITS = ("causes", "depends_on"), ("deadline_us", "valid_until_us")
NAMES = {"capability": "advertise_capability", "intent": "intent", "coordination_graph": "intent",
         "offer": "offer", "task": "task_start", "task_status": "task_start", "of": "attest",
         "attestation": "attest", "replaces": "", "causes": "", "depends_on": "task_start"}
# Messages; what they name; who may sign, and the rule; the rule that it is live; whether it ends.
RULES = [line.split() for line in """
advertise_capability.revise,advertise_capability.retire capability author R1.owner R1.in-force ends
intent.revise,intent.cancel intent author R3.author R12.intent-open ends
offer capability author R4.owner R1.in-force -
offer intent anyone - R12.intent-open -
offer replaces author R4.replaces R4.replaces ends
negotiate.counter,negotiate.decline offer.intent client R3.author R12.intent-open -
negotiate.decline offer anyone - R12.offer-live ends
negotiate.withdraw offer author R5.provider R12.offer-live ends
negotiate.request_cancellation task author|intent.author|offer.author R5.task-party R18.terminal -
task_start intent client R6.initiator R12.intent-open -
task_start offer anyone - R12.offer-live ends
task_progress task offer.author R7.executor R18.terminal -
task_done task offer.author R7.executor - -
task_done.abandoned task author|intent.author R18.abandon-initiator - -
attest.delegate of delegate R9.delegation R9.delegation -
attest.revoke attestation author R9.author R9.live ends
""".strip().split("\n")]
STATES = ("", "accepted", "running", "blocked", "blocked", "blocked")
OUTCOMES = ("", "succeeded", "failed", "rejected", "violated", "cancelled", "abandoned")
AFTER = {"accepted": ["assigned"], "rejected": ["assigned"], "succeeded": ["running"]}

class Ledger:
    """What the events so far have come to. A thing is a message: a dict of its fields, in which
    those that name another thing hold that one; its author, and whether it is live."""
    def __init__(self, omitted):
        self.omitted, self.at, self.ended, self.made, self.links = omitted, 0, set(), set(), []
        self.things, self.chains, self.rotated, self.first = {}, {}, {}, {}
        self.named, self.policies = {}, {}
    def take(self, event, said, kind):
        author, sequence, self.at = said["author"], said.get("author_sequence", 0), event.at
        need(author not in self.ended, "R9.key-live", "the key was rotated or revoked")
        expected, last = self.chains.get(author, (0, None))
        need(sequence >= expected, "R13.equivocation", f"sequence {sequence} was signed before")
        need(sequence > expected or said.get("previous") == last, "R13.author-previous")  # or a gap
        self.chains[author] = sequence + 1, event.id
        for name, value in event.fields:
            need(name not in LIMITS or value > event.at, "R20.future", name)
            if name == "causes" and sequence == 0 and (value, author) in self.rotated:
                self.first[author] = self.rotated[value, author]
            left_out = name in LINEAGE and value in self.omitted
            if name in NAMES and isinstance(value, bytes) and not left_out:
                if value not in self.things:
                    raise Fault({"verdict": "incomplete", "found": name, "envelope": value.hex()})
                need(NAMES[name] in ("", self.things[value]["kind"]), "R13.reference-kind", name)
        self.author, self.agent = author, self.first.get(author, author)
        action, body = "", said[kind]
        if kind in ("advertise_capability", "intent", "negotiate", "attest"):
            (action, body), = body.items()
        elif kind == "task_done" and body["outcome"] == OUTCOMES.index("abandoned"):
            action = "abandoned"
        new = {**body, **body.get("terms", {}), "kind": kind, "author": self.agent}
        new.update({name: self.things[body[name]] for name in NAMES.keys() - LINEAGE & body.keys()})
        new["live"] = action not in ("retire", "cancel")
        if kind == "task_start" and new.get("replaces", {}).get("offer") is new["offer"]:
            new["offer"].update(live=True, valid_until_us=self.at)  # another attempt takes it again
        self.allow(new, f"{kind}.{action}" if action else kind)
        self.become(kind, action, new, event.id)
        self.things[event.id] = new
    def allow(self, new, message):
        rows = [row[1:] for row in RULES if message in row[0].split(",")]
        for path, who, mine, live, ends in (row for row in rows if row[0].split(".")[0] in new):
            thing = functools.reduce(dict.get, path.split("."), new)
            keys = [functools.reduce(dict.get, key.split("."), thing) for key in who.split("|")]
            if who == "client":  # an intent's author, or a delegate
                keys = [thing["author"]] + [link["delegate"] for link in self.links
                                            if link["live"] and link["for"] == thing["author"]]
            need(who == "anyone" or {self.agent, self.author} & set(keys), mine, "not its signer")
            lives = thing["live"] and self.at <= thing.get("valid_until_us", self.at)
            need(lives or live == "-", live, "it has ended")
            thing["live"] = thing["live"] and ends == "-"
    def become(self, kind, action, new, id):
        task, agent = new.get("task"), self.agent
        if kind == "advertise_capability" and action != "retire":
            need(not self.named.get((agent, new["name"]), {}).get("live"), "R1.name", "another")
            self.named[agent, new["name"]] = new
        elif kind == "task_start":
            need(new["offer"]["intent"] is new["intent"], "R6.offer", "for something else")
            new.update(state="assigned", late=set())
            new["intent"].setdefault("tasks", []).append(new)
        elif kind in ("task_progress", "task_done") and task["live"]:
            state = STATES[new["state"]] if "state" in new else OUTCOMES[new["outcome"]]
            after = AFTER.get(state, ["accepted", "running"])
            need(task["state"] in after or state in OUTCOMES[5:], "R18.transition", state)
            task["state"] = task["state"] if state == "blocked" else state
            task["live"], intent = kind == "task_progress", task["intent"]
            ends = [None if other["live"] else other["state"] for other in intent["tasks"]]
            if "succeeded" in ends and None not in ends and "parts" not in intent:
                intent["live"] = False
        elif kind == "task_done":
            need(agent not in task["late"], "R18.late-terminal", "said before")
            task["late"].add(agent)
        elif action in ("rotate_key", "revoke_key"):
            self.ended.add(self.author)
            self.rotated[id, new.get("successor")] = agent
        elif action == "delegate":
            need(new["delegate"] != self.author, "R9.delegate", "to oneself")
            new["for"] = new["of"]["for"] if "of" in new else agent
            self.links.append(new)
        elif kind == "policy_update" and "agent" in new:
            need(new["agent"] in (agent, self.author), "R10.owner", "signed by somebody else")
            scope, version = (agent, new["name"]), new.get("policy_version", 0)
            before, in_force = self.policies.get(scope, (-1, False))
            need(version > before, "R10.version", f"{version} after {before}")
            need(in_force == (new["action"] != 1), "R10.action")  # 1 activates, 3 revokes
            self.policies[scope] = version, new["action"] != 3
        self.made.update((out["uri"], out["digest"]) for out in new.get("outputs", []))

# ---------------------------------------------------------------- receipts and bundles
def judge_receipt(text, key, _, place):
    """C2SP tlog-proof: the event as `extra`, its index, its audit path, a gap, the checkpoint."""
    pattern = r"c2sp\.org/tlog-proof@v1\n(extra .+\n)?index (0|[1-9][0-9]{0,18})\n((?:.+\n)*)\n"
    extra, index, path, note = re.fullmatch(pattern + "((?s:.+))", text).groups()
    claimed, index = read_checkpoint(note), int(index)
    if extra is None:
        raise Fault({"verdict": "incomplete", "found": "the event itself is not there"})
    event, (size, root) = Event(unbase64(extra[6:-1])), open_checkpoint(claimed, key)
    path = [event.leaf] + [unbase64(hash, 32) for hash in path.split()]
    need(index < size and roots(index, 0, size, path, True)[1] == root, "tree")
    need(event.position == index, "position", f"the event says {event.position}")
    place["position"] = index
    return f"event {index} of {size} is a {event.open(key[0])[1]}, in the log, signed by its author"

def read_thing(thing, kind):
    (name, value), = thing.items()  # `{kind: id}`, or `{"data": {"uri": …, "digest": …}}`
    digest = value if name == kind else value["digest"]
    need(re.fullmatch("[0-9a-f]{64}", digest), "format", "no hash")
    return bytes.fromhex(digest) if name == kind else (value["uri"].encode(), bytes.fromhex(digest))

def judge_bundle(text, key, kept, place):
    file = json.loads(text)
    names = "format", "origin", "subject", "checkpoint", "older", "events", "nodes", "omitted"
    dump = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    lines = lambda items: "[\n" + ",\n".join(map(dump, items)) + "\n]" if items else "[]"
    spelt = [f'"{name}":' + (lines if isinstance(file[name], list) else dump)(file[name])
             for name in names if name in file]
    need("{" + ",\n".join(spelt) + "}\n" == text, "format", "another spelling")
    older = file.get("older", {"proof": []})
    claimed = [read_checkpoint(part["checkpoint"]) for part in (file, older) if len(part) > 1]
    proof, nodes = [[unbase64(h, 32) for h in hs] for hs in (older["proof"], file["nodes"])]
    events = [Event(unbase64(event)) for event in file["events"]]
    omitted = {read_thing(entry["what"], "envelope") for entry in file["omitted"]}
    subject, leaves = read_thing(file["subject"], "task"), [(e.position, e.leaf) for e in events]
    need(all(a[0] < b[0] for a, b in zip(leaves, leaves[1:])), "format", "positions do not ascend")
    need(file["origin"] == key[0], "origin", f"of {file['origin']}")
    (size, root), *before = heads = [open_checkpoint(checkpoint, key) for checkpoint in claimed]
    for old, old_root in before:
        path = [old_root] * (old == size or old & old - 1 == 0) + proof
        need(0 < old <= size and roots(old - 1, 0, size, path, False) == [old_root, root], "tree")
    need(leaves and leaves[-1][0] < size, "tree", "an event is behind the end")
    need(subset_root(leaves, 0, size, nodes) == root and not nodes, "tree")
    ledger, links = Ledger(omitted), {0: chain(key[0].encode(), " genesis")}
    for event in events:
        place["position"] = event.position
        need(event.at >= ledger.at, "time", "earlier than the event before")
        need(event.before == links.get(event.position, event.before), "chain")
        need(event.id not in ledger.things, "position", "the envelope stands in the log before")
        ledger.take(event, *event.open(key[0]))
        links = {event.position + 1: chain(event.data)}
    place.clear()
    trees = dict(heads)
    need(all(trees.get(size, root) == root for size, root in kept), "tree", "not what you kept")
    missing = ["what the file says it leaves out"] * bool(omitted)
    missing += ["a proof from what you kept"] * any(size not in trees for size, _ in kept)
    if subject not in ledger.made and ledger.things.get(subject, {}).get("kind") != "task_start":
        missing.append("the subject")
    if missing:
        raise Fault({"verdict": "incomplete", "found": ", ".join(missing)})
    return f"{len(events)} events up to checkpoint {size} say how it came about (limits: --help)"

def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=argparse.FileType("rb"))
    parser.add_argument("--log-key", required=True, help="name+id+key, which you trust")
    parser.add_argument("--checkpoint", action="append", default=[], type=argparse.FileType("rb"))
    parser.add_argument("--json", action="store_true")
    args, place = parser.parse_args(), {}
    key = args.log_key.strip().split("+", 2)
    if len(key) != 3:
        parser.error("a log key is name+id+key")
    try:
        data = args.file.read()
        judge = judge_bundle if data.startswith(b'{"format":"tally-bundle-v1"') else judge_receipt
        kept = [read_checkpoint(file.read().decode())[1:3] for file in args.checkpoint]
        answer = {"verdict": "valid", "found": judge(data.decode(), key, kept, place)}
    except Fault as fault:
        answer = {**fault.args[0], **place}
    except InvalidSignature:
        rule = "signature" if place else "checkpoint"
        answer = {"verdict": "invalid", "rule": rule, "found": "a bad signature", **place}
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError, struct.error) as e:
        rule = "envelope" if place else "format"
        answer = {"verdict": "invalid", "rule": rule, "found": f"not readable: {e!r}", **place}
    print(json.dumps(answer) if args.json else ", ".join(f"{k} {v}" for k, v in answer.items()))
    sys.exit(answer["verdict"] != "valid")

main()
