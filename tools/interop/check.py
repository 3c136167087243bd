#!/usr/bin/env python3
"""Shows exports of a ledger to programs that are not ours.

    check.py DIRECTORY...        exports that are there: dsse.jsonl, in-toto.jsonl, cose.jsonl, cose.pub
    check.py --tally PROGRAM     exports that the program makes of a ledger that it plays

| export  | shown to                                                                     |
|---------|------------------------------------------------------------------------------|
| DSSE    | securesystemslib: the envelope, its encoding before signing, Ed25519         |
| in-toto | the same, and in-toto-attestation: the statement and its subjects            |
| COSE    | scitt-cose: COSE_Sign1, the inclusion proof of RFC 9942 and the root it leads to |
| others  | see exchange.py: PROV, OpenLineage, CloudEvents, OTLP, pictures, imports     |

What is whole must be accepted, and everything that is changed in it must be refused. Nothing here
is read by code of the ledger. The virtual environment is that of requirements.txt.
"""

import argparse
import base64
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from scitt_cose import verify_receipt
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

import exchange
from exchange import Wrong, hold, lines

ENVELOPE_TYPE = "application/vnd.tally.envelope.v1+protobuf"
STATEMENT_TYPE = "application/vnd.in-toto+json"
TASK_RECEIPT_TYPE = "https://pervasive.link/tally/task-receipt/v1"

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ED25519_MULTICODEC = b"\xed\x01"

# Of a long file, so many lines are changed in every way; all of them are shown whole.
MOST_CHANGED = 12


def flip(text, at):
    """Standard base64 with one bit of one byte changed; `at` counts from the end when negative."""
    changed = bytearray(base64.b64decode(text, validate=True))
    changed[at] ^= 1
    return base64.b64encode(bytes(changed)).decode()


# ------------------------------------------------------------------ DSSE


def public_key(did):
    """The Ed25519 key of a did:key, in hexadecimal."""
    hold(did.startswith("did:key:z"), f"{did} is no did:key")
    number = 0
    for digit in did[len("did:key:z") :]:
        number = number * 58 + BASE58.index(digit)
    decoded = number.to_bytes(34, "big")
    hold(decoded.startswith(ED25519_MULTICODEC), f"{did} is no Ed25519 key")
    return decoded[2:].hex()


def is_signed(envelope, key=None):
    """Whether securesystemslib takes an envelope: by the key that it names, or by another."""
    # Reading changes what is read.
    read = Envelope.from_dict(copy.deepcopy(envelope))
    keyid = envelope["signatures"][0]["keyid"]
    public = {"public": key or public_key(keyid)}
    try:
        read.verify([SSlibKey(keyid, "ed25519", "ed25519", public)], 1)
    except VerificationError:
        return False
    return True


def changed_envelopes(envelope):
    payload, signature = envelope["payload"], envelope["signatures"][0]
    for at in (0, len(base64.b64decode(payload)) // 2, -1):
        yield {**envelope, "payload": flip(payload, at)}
    yield {**envelope, "payloadType": envelope["payloadType"] + "x"}
    for at in (0, 31, 32, 63):
        yield {**envelope, "signatures": [{**signature, "sig": flip(signature["sig"], at)}]}


def check_envelope(envelope, payload_type, change):
    hold(set(envelope) == {"payload", "payloadType", "signatures"}, "members of DSSE")
    hold(envelope["payloadType"] == payload_type, envelope["payloadType"])
    hold(is_signed(envelope), f"securesystemslib refuses {envelope}")
    if change:
        stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
        hold(not is_signed(envelope, stranger.public_bytes_raw().hex()), "any key will do")
        for changed in changed_envelopes(envelope):
            hold(not is_signed(changed), f"securesystemslib takes {changed}")


def check_dsse(directory):
    found = lines(directory / "dsse.jsonl")
    for number, envelope in enumerate(found):
        check_envelope(envelope, ENVELOPE_TYPE, number < MOST_CHANGED)
    return len(found)


# ------------------------------------------------------------------ in-toto


def is_statement(statement):
    """Whether in-toto-attestation takes a statement."""
    try:
        parsed = json_format.ParseDict(statement, statement_pb2.Statement())
        Statement.copy_from_pb(parsed).validate()
    except (ValueError, json_format.ParseError):
        return False
    return True


def changed_statements(statement):
    first, *rest = statement["subject"]
    yield {**statement, "_type": "https://in-toto.io/Statement/v2"}
    yield {**statement, "subject": []}
    yield {**statement, "subject": [{**first, "digest": {}}, *rest]}
    yield {**statement, "subject": [{**first, "digest": "blake3"}, *rest]}
    yield {**statement, "predicateType": ""}
    yield {**statement, "predicate": {}}
    yield {**statement, "predicate": "succeeded"}
    yield {**statement, "extra": 1}


def check_in_toto(directory):
    found = lines(directory / "in-toto.jsonl")
    authors = {envelope["payload"] for envelope in lines(directory / "dsse.jsonl")}
    for number, envelope in enumerate(found):
        change = number < MOST_CHANGED
        check_envelope(envelope, STATEMENT_TYPE, change)
        statement = json.loads(base64.b64decode(envelope["payload"]))
        hold(is_statement(statement), f"in-toto-attestation refuses {statement}")
        hold(statement["predicateType"] == TASK_RECEIPT_TYPE, statement["predicateType"])
        check_author(statement["predicate"], authors, change)
        for changed in changed_statements(statement) if change else ():
            hold(not is_statement(changed), f"in-toto-attestation takes {changed}")
    return len(found)


def check_author(receipt, authors, change):
    """The author's envelope stands in the predicate, and in the event that the log receipt proves."""
    author = receipt["envelope"]
    check_envelope(author, ENVELOPE_TYPE, change)
    hold(author["payload"] in authors, "the author's envelope is among those of the ledger")
    extra = receipt["logReceipt"].splitlines()[1]
    hold(extra.startswith("extra "), "the log receipt has its event")
    event = base64.b64decode(extra[len("extra ") :], validate=True)
    payload = base64.b64decode(author["payload"], validate=True)
    hold(event.endswith(payload + base64.b64decode(author["signatures"][0]["sig"])), "its event")


# ------------------------------------------------------------------ COSE


def judge(receipt, event, key):
    return verify_receipt(receipt, leaf_entry_hex=event.hex(), log_public_key_pem=key)


def check_cose(directory):
    found = lines(directory / "cose.jsonl")
    key = (directory / "cose.pub").read_bytes()
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()
    stranger = stranger.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed_roots = checkpoint_roots(directory)
    for number, line in enumerate(found):
        receipt, event = base64.b64decode(line["receipt"]), base64.b64decode(line["event"])
        verdict = judge(receipt, event, key)
        hold(verdict.ok, f"scitt-cose refuses {line['position']}: {verdict.errors}")
        place = (verdict.leaf_index, verdict.tree_size)
        hold(place == (line["position"], line["tree_size"]), f"{place} for {line['position']}")
        hold(verdict.subject == line["id"], "the subject is the envelope")
        root = signed_roots.get(verdict.tree_size, verdict.root)
        hold(root == verdict.root, "the root is that of the checkpoint")
        if number < MOST_CHANGED:
            hold(not judge(receipt, event, stranger).ok, "any key will do")
            hold(not judge(receipt, event + b"\0", key).ok, "any event will do")
            check_changed(receipt, event, key, verdict)
    return len(found)


def check_changed(receipt, event, key, whole):
    """No byte can be another one, but for the tree size, where the path keeps its shape: RFC 9942
    leaves it unsigned, and the root stays the same."""
    for at in range(len(receipt)):
        changed = bytearray(receipt)
        changed[at] ^= 1
        verdict = judge(bytes(changed), event, key)
        is_size = verdict.tree_size != whole.tree_size and verdict.root == whole.root
        hold(not verdict.ok or is_size, f"scitt-cose takes another byte {at}")
    hold(not judge(receipt[:-1], event, key).ok, "scitt-cose takes a receipt that is cut")


def checkpoint_roots(directory):
    """The roots that the log has signed, by tree size, as the log receipts beside show them."""
    roots = {}
    for envelope in lines(directory / "in-toto.jsonl"):
        statement = json.loads(base64.b64decode(envelope["payload"]))
        _, checkpoint = statement["predicate"]["logReceipt"].split("\n\n", 1)
        _, size, root = checkpoint.splitlines()[:3]
        roots[int(size)] = base64.b64decode(root).hex()
    return roots


# ------------------------------------------------------------------ all of it


def make(tally, directory):
    """Plays a ledger with the program, and exports it in every way."""

    def run(*arguments):
        subprocess.run([tally, *arguments], check=True, stdout=subprocess.DEVNULL)

    data, key = directory / "data", directory / "me.pem"
    run("demo", "--no-wait", "--listen", "127.0.0.1:0", "--data", data)
    run("keygen", key)
    run("export", "dsse", "--data", data, "-o", directory / "dsse.jsonl")
    run("export", "in-toto", "--data", data, "--key", key, "-o", directory / "in-toto.jsonl")
    run("export", "cose", "--data", data, "-o", directory / "cose.jsonl")
    (data / "cose.pub").rename(directory / "cose.pub")
    exchange.make(tally, directory)


def check(directory):
    count = [check_dsse(directory), check_in_toto(directory), check_cose(directory)]
    names = ["DSSE envelopes", "in-toto statements", "COSE receipts"]
    what = ", ".join(f"{number} {name}" for number, name in zip(count, names))
    what = f"{what}, {exchange.check(directory)}"
    print(f"{directory}: {what}: taken by others, and refused when changed")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directories", nargs="*", type=pathlib.Path, metavar="DIRECTORY")
    parser.add_argument("--tally", type=pathlib.Path, metavar="PROGRAM")
    arguments = parser.parse_args()
    if not arguments.directories and not arguments.tally:
        parser.error("name a directory, or the program")
    try:
        for directory in arguments.directories:
            check(directory)
        if arguments.tally:
            with tempfile.TemporaryDirectory() as directory:
                directory = pathlib.Path(directory)
                make(arguments.tally.resolve(), directory)
                check(directory)
    except Wrong as wrong:
        sys.exit(f"check.py: {wrong}")


if __name__ == "__main__":
    main()
