"""Asks two independent programs about answers of tally-schema.

Reads lines of JSON {"narrow", "wide", "answer", "counterexample", "values"} from the file named by
the first argument and prints one JSON object:

  validators   verdicts of `jsonschema` on values that differ from ours (a list, must be empty)
  refuted      counterexamples that `jsonschema` does not confirm (a list, must be empty)
  contradicted pairs that `jsonsubschema` answers the other way (a list, for a person to judge)
  counts       what was compared

`jsonsubschema` knows draft 4, so pairs are put into its words, and left out where there are none.
"""

import json
import signal
import sys

import jsonschema
from jsonsubschema import isSubschema

SECONDS_A_PAIR = 0.2
UNKNOWN_TO_DRAFT_4 = {
    "$ref", "$defs", "contains", "minContains", "maxContains", "propertyNames", "if", "then",
    "else", "dependentRequired", "dependentSchemas", "unevaluatedItems", "unevaluatedProperties",
}


class Untranslatable(Exception):
    """Draft 4 has no words for it."""


def draft4(schema):
    if schema is True:
        return {}
    if schema is False:
        return {"not": {}}
    if UNKNOWN_TO_DRAFT_4 & schema.keys():
        raise Untranslatable
    old = {}
    for keyword, value in schema.items():
        if keyword in ("properties", "patternProperties"):
            old[keyword] = {name: draft4(inner) for name, inner in value.items()}
        elif keyword in ("allOf", "anyOf", "oneOf"):
            old[keyword] = [draft4(inner) for inner in value]
        elif keyword in ("not", "additionalProperties"):
            old[keyword] = value if isinstance(value, bool) and keyword != "not" else draft4(value)
        elif keyword == "const":
            old["enum"] = [value]
        elif keyword == "enum" and not value:
            old["not"] = {}
        elif keyword == "required" and not value:
            pass
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum"):
            bound = keyword[len("exclusive"):].lower()
            if bound in schema:
                raise Untranslatable
            old[bound] = value
            old[keyword] = True
        elif keyword in ("prefixItems", "items"):
            if "prefixItems" in schema:
                old["items"] = [draft4(inner) for inner in schema["prefixItems"]]
                rest = schema.get("items", True)
                old["additionalItems"] = rest if isinstance(rest, bool) else draft4(rest)
            else:
                old["items"] = draft4(value)
        else:
            old[keyword] = value
    if "const" in schema and "enum" in schema:
        raise Untranslatable
    return old


def expire(_signal, _frame):
    raise TimeoutError


def contained(narrow, wide):
    """True, False, or in a word why there is no answer."""
    try:
        narrow, wide = draft4(narrow), draft4(wide)
    except Untranslatable:
        return "untranslatable"
    signal.setitimer(signal.ITIMER_REAL, SECONDS_A_PAIR)
    try:
        return bool(isSubschema(narrow, wide))
    except TimeoutError:
        return "too slow"
    except Exception:  # It gives up in many ways.
        return "given up"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main():
    signal.signal(signal.SIGALRM, expire)
    validators, refuted, contradicted = [], [], []
    counts = dict.fromkeys(
        ["pairs", "verdicts", "agreed", "contradicted", "untranslatable", "too slow", "given up"], 0
    )
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            pair = json.loads(line)
            narrow, wide = pair["narrow"], pair["wide"]
            counts["pairs"] += 1
            fits_narrow = jsonschema.Draft202012Validator(narrow).is_valid
            fits_wide = jsonschema.Draft202012Validator(wide).is_valid
            for value, ours in pair["values"]:
                counts["verdicts"] += 1
                if fits_narrow(value) != ours:
                    validators.append([narrow, value, ours])
            if pair["answer"] == "incompatible":
                example = pair["counterexample"]
                if not fits_narrow(example) or fits_wide(example):
                    refuted.append([narrow, wide, example])
            if pair["answer"] == "unknown":
                continue
            theirs = contained(narrow, wide)
            if not isinstance(theirs, bool):
                counts[theirs] += 1
            elif theirs == (pair["answer"] == "compatible"):
                counts["agreed"] += 1
            else:
                counts["contradicted"] += 1
                contradicted.append([narrow, wide, pair["answer"], pair["counterexample"]])
    json.dump(
        {"validators": validators, "refuted": refuted, "contradicted": contradicted,
         "counts": counts},
        sys.stdout,
    )


main()
