#!/usr/bin/env python3
"""Shows exported tables to programs that are not ours.

    check.py --tally PROGRAM

A ledger is played, exported as Parquet and as JSON lines, and read by DuckDB and Polars: row counts,
every value, and a join over tables must be those of `tally sql --json`. The manifest must name every
file with its digest. The virtual environment is that of requirements.txt.
"""

import argparse
import collections
import datetime
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import polars

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)

# Who executed how many tasks of how many intents, and what they came to.
JOIN = """
    SELECT t.executor AS executor, count(*) AS tasks, count(DISTINCT i.root) AS intents,
           CAST(coalesce(sum(o.price), 0) AS BIGINT) AS price
    FROM tasks t JOIN intents i ON i.id = t.intent JOIN offers o ON o.id = t.offer
    WHERE t.outcome = 'succeeded'
    GROUP BY t.executor ORDER BY t.executor
"""


class Wrong(Exception):
    """A file that another program reads otherwise than we do."""


def hold(condition, text):
    if not condition:
        raise Wrong(text)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    hold(done.returncode == 0, f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def check_files(out, manifest):
    """Every file is named, and has the size and digest that are said."""
    named = {"_manifest.json"}
    for table in manifest["tables"]:
        for part in table["parts"]:
            named.add(part["file"])
            data = (out / part["file"]).read_bytes()
            hold(len(data) == part["bytes"], f"{part['file']} has {len(data)} bytes")
            hold(hashlib.sha256(data).hexdigest() == part["sha256"], f"{part['file']} is another")
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    hold(found == named, f"files that the manifest does not name: {found ^ named}")


def plain(value):
    """A value of another program as `tally sql --json` has it."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    return value


def same(what, found, expected):
    """Rows are equal, whatever their order."""

    def counted(rows):
        return collections.Counter(json.dumps(row, sort_keys=True) for row in rows)

    found, expected = counted(found), counted(expected)
    hold(found == expected, f"{what}: {list((found - expected) + (expected - found))[:2]}")


def check_polars(table, glob, expected):
    frame = polars.read_parquet(glob)
    hold(frame.height == len(expected), f"{table['name']} has {frame.height} rows in Polars")
    for column in table["columns"]:
        found = frame.schema[column["name"]]
        kinds = {"integer": polars.Int64, "flag": polars.Boolean}
        kind = kinds.get(column["kind"], polars.String)
        if column["kind"] == "time":
            kind = polars.Datetime("us", "UTC")
        hold(found == kind, f"{table['name']}.{column['name']} is {found} in Polars")
    rows = [{name: plain(value) for name, value in row.items()} for row in frame.to_dicts()]
    same(f"{table['name']} in Polars", rows, expected)


def check_duckdb(database, table, glob, lines, expected):
    name = table["name"]
    stored = f"{name}_versions" if table["versioned"] else name
    database.execute(f"CREATE VIEW {stored} AS SELECT * FROM read_parquet('{glob}')")
    if table["versioned"]:
        key = ", ".join(table["key"])
        database.execute(
            f"CREATE VIEW {name} AS SELECT * FROM {stored} QUALIFY row_number() OVER "
            f"(PARTITION BY {key} ORDER BY from_position DESC) = 1"
        )
    # A timestamp with a time zone would need another package to be a Python object.
    times = [column["name"] for column in table["columns"] if column["kind"] == "time"]
    replaced = ", ".join(f"epoch_us({column}) AS {column}" for column in times)
    star = f"* REPLACE ({replaced})" if times else "*"
    answer = database.execute(f"SELECT {star} FROM {stored}")
    names = [column[0] for column in answer.description]
    rows = [dict(zip(names, map(plain, row))) for row in answer.fetchall()]
    same(f"{name} in DuckDB", rows, expected)
    texts = [json.loads(line) for path in sorted(lines) for line in path.open()]
    same(f"{name} in JSON lines", texts, expected)


def check(tally, directory):
    data, parquet, lines = (directory / name for name in ("data", "parquet", "jsonl"))
    run(tally, "demo", "--no-wait", "--json", "--listen", "127.0.0.1:0", "--data", data)
    for encoding, out in (("parquet", parquet), ("jsonl", lines)):
        run(tally, "export", encoding, "--data", data, out, "--part-events", "50")
        check_files(out, json.loads((out / "_manifest.json").read_text()))
    manifest = json.loads((parquet / "_manifest.json").read_text())

    def sql(statement):
        return json.loads(run(tally, "sql", "--json", "--data", data, statement))

    database = duckdb.connect()
    rows = 0
    for table in manifest["tables"]:
        name = table["name"]
        columns = ", ".join(column["name"] for column in table["columns"])
        stored = f"{name}_versions" if table["versioned"] else name
        expected = sql(f"SELECT {columns} FROM {stored}")
        said = sum(part["rows"] for part in table["parts"])
        hold(said == len(expected), f"{name} has {said} rows, and {len(expected)} in SQL")
        rows += said
        check_polars(table, f"{parquet}/{name}/*.parquet", expected)
        check_duckdb(
            database, table, f"{parquet}/{name}/*.parquet", (lines / name).glob("*"), expected
        )
    names = ["executor", "tasks", "intents", "price"]
    found = [dict(zip(names, row)) for row in database.execute(JOIN).fetchall()]
    hold(found, "nobody executed anything")
    hold(found == sql(JOIN), f"the join is {found} in DuckDB, {sql(JOIN)} in SQL")
    print(f"{rows} rows of {len(manifest['tables'])} tables are the same in DuckDB and Polars")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tally", type=pathlib.Path, metavar="PROGRAM", required=True)
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as directory:
            check(arguments.tally.resolve(), pathlib.Path(directory))
    except Wrong as wrong:
        sys.exit(f"check.py: {wrong}")


if __name__ == "__main__":
    main()
