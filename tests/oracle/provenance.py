#!/usr/bin/env python3
"""Holds the ledger's answers about a recorded workflow to the workflow's own file.

Plays a trace in WfFormat 1.5 through a ledger (`tally demo`), asks the ledger about every task and
every file, and compares each answer with what networkx makes of the file alone: lineage both ways,
what is affected, minimal derivations, and the critical path. Nothing of the program is used but its
answers, and nothing of the answers to compute what they should be.

The critical path is defined so that both sides can compute it: a task takes its recorded run time,
rounded to microseconds, which is what its receipt states; it waits for every task that made a file
which it reads, and for its parents. The path is the chain with the greatest sum.

Exits with 0 when everything agrees, 1 when something does not, 2 when the program fails.
"""

import argparse
import itertools
import json
import math
import subprocess
import sys

import networkx

# Most ways to derive a file that are tried one by one here.
MAX_CHOICES = 4096

# As many derivations as the program shows.
SHOWN_DERIVATIONS = 16


class Trace:
    """A workflow as a graph: edges point from what came first to what came of it."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            trace = json.load(file)
        if trace["schemaVersion"] != "1.5":
            raise SystemExit(f"{path} is no WfFormat 1.5")
        self.name = trace["name"]
        tasks = trace["workflow"]["specification"]["tasks"]
        executed = trace["workflow"].get("execution", {}).get("tasks", [])
        seconds = {task["id"]: task.get("runtimeInSeconds", 0.0) for task in executed}
        self.runtime_us = {
            task["id"]: max(0, math.floor(seconds.get(task["id"], 0.0) * 1e6 + 0.5)) for task in tasks
        }
        self.graph = networkx.DiGraph()
        for task in tasks:
            node = ("task", task["id"])
            self.graph.add_node(node)
            for file in task.get("inputFiles", []):
                self.graph.add_edge(self.file(file), node)
            for file in task.get("outputFiles", []):
                self.graph.add_edge(node, self.file(file))
        # The order of tasks: by files, and by parents where no file says so.
        self.order = networkx.DiGraph()
        self.order.add_nodes_from(self.runtime_us)
        for kind, file in list(self.graph):
            if kind == "file":
                makers = self.graph.predecessors((kind, file))
                readers = list(self.graph.successors((kind, file)))
                for (_, maker), (_, reader) in itertools.product(makers, readers):
                    self.order.add_edge(maker, reader)
        for task in tasks:
            for parent in task.get("parents", []):
                if not self.order.has_edge(parent, task["id"]):
                    self.graph.add_edge(("task", parent), ("task", task["id"]))
                    self.order.add_edge(parent, task["id"])

    def file(self, name):
        return ("file", f"wf:{self.name}/{name}")

    def closure(self, node, direction):
        walk = networkx.ancestors if direction == "up" else networkx.descendants
        return names(walk(self.graph, node))

    def derivations(self, node):
        """All minimal sets of tasks with the files that they begin with; None when too many."""
        upward = self.graph.subgraph(networkx.ancestors(self.graph, node) | {node})
        contested = [n for n in upward if n[0] == "file" and upward.in_degree(n) > 1]
        choices = [sorted(upward.predecessors(file)) for file in contested]
        if math.prod(map(len, choices)) > MAX_CHOICES:
            return None
        found = set()
        for chosen in itertools.product(*choices):
            way = networkx.DiGraph(upward)
            for file, maker in zip(contested, chosen):
                others = [other for other in upward.predecessors(file) if other != maker]
                way.remove_edges_from((other, file) for other in others)
            reached = networkx.ancestors(way, node) | {node}
            if networkx.is_directed_acyclic_graph(way.subgraph(reached)):
                tasks = frozenset(name for kind, name in reached if kind == "task")
                sources = frozenset(n[1] for n in reached if n[0] == "file" and not upward.in_degree(n))
                found.add((tasks, sources))
        return {way for way in found if not any(other[0] < way[0] for other in found)}

    def critical_us(self):
        ends = {}
        for task in networkx.topological_sort(self.order):
            before = (ends[other] for other in self.order.predecessors(task))
            ends[task] = max(before, default=0) + self.runtime_us[task]
        return max(ends.values())


def names(nodes):
    return {
        "tasks": {name for kind, name in nodes if kind == "task"},
        "data": {name for kind, name in nodes if kind == "file"},
    }


class Ledger:
    """The program, and the data directory that it asks."""

    def __init__(self, program, data):
        self.program, self.data = program, data

    def run(self, *args, text=None):
        done = subprocess.run(
            [self.program, *args], input=text, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            print(f"{args[0]} failed: {done.stdout}{done.stderr}", file=sys.stderr)
            raise SystemExit(2)
        return done.stdout

    def play(self, path):
        fixed = ["--no-wait", "--json", "--listen", "127.0.0.1:0"]
        return json.loads(self.run("demo", *fixed, "--trace", path, "--data", self.data))

    def ask(self, questions):
        """All answers, in the order of the questions."""
        lines = "\n".join(json.dumps(question) for question in questions)
        answers = self.run("ask", "each", "--data", self.data, "-", text=lines).splitlines()
        if len(answers) != len(questions):
            print(f"{len(questions)} questions, {len(answers)} answers", file=sys.stderr)
            raise SystemExit(2)
        return [json.loads(answer) for answer in answers]


class Comparison:
    def __init__(self):
        self.count, self.wrong = 0, 0

    def check(self, what, found, expected):
        self.count += 1
        if found != expected:
            self.wrong += 1
            print(f"{what}:\n  the ledger says {found}\n  the trace says  {expected}")


def named(node):
    kind, name = node
    return ["--task" if kind == "task" else "--data-ref", name]


def title(task):
    return task.get("label") or task["id"]


def compare_flows(trace, ledger, comparison):
    nodes = sorted(trace.graph)
    for direction in ("up", "down"):
        asked = [["lineage", *named(node), "--direction", direction] for node in nodes]
        for node, answer in zip(nodes, ledger.ask(asked)):
            found = {kind: set(answer.get(kind, ["no answer"])) for kind in ("tasks", "data")}
            comparison.check(f"lineage {direction} of {node}", found, trace.closure(node, direction))


def compare_impact(trace, ledger, comparison):
    nodes = sorted(trace.graph)
    answers = ledger.ask([["ask", "impact", *named(node)] for node in nodes])
    for node, answer in zip(nodes, answers):
        tasks = answer.get("tasks", [])
        found = {
            "tasks": {title(task) for task in tasks},
            "data": {data["uri"] for data in answer.get("data", [])},
        }
        comparison.check(f"impact of {node}", found, trace.closure(node, "down"))
        # Everything is over, and every task has one receipt.
        comparison.check(f"live tasks under {node}", [t for t in tasks if t["live"]], [])
        receipts = sorted(receipt["task"] for receipt in answer.get("receipts", []))
        comparison.check(f"receipts under {node}", receipts, sorted(task["id"] for task in tasks))


def compare_why(trace, ledger, comparison):
    nodes = sorted(trace.graph)
    for node, answer in zip(nodes, ledger.ask([["ask", "why", *named(node)] for node in nodes])):
        found = {
            (
                frozenset(title(task) for task in way["tasks"]),
                frozenset(source["uri"] for source in way["sources"]),
            )
            for way in answer.get("derivations", [])
        }
        expected = trace.derivations(node)
        if expected is None or len(expected) > SHOWN_DERIVATIONS:
            comparison.check(f"why {node} is cut", answer.get("more"), True)
            comparison.check(f"why {node}", expected is None or found <= expected, True)
        else:
            comparison.check(f"why {node}", found, expected)


def compare_critical_path(trace, ledger, comparison, played):
    task = played["critical_path"]["steps"][0]["task"]
    answer = ledger.ask([["ask", "bottlenecks", task]])[0]
    path = answer["critical_path"]
    steps = [step["name"] for step in path["steps"]]
    comparison.check("critical path in all", path["total_us"], trace.critical_us())
    times = [step["duration_us"] for step in path["steps"]]
    comparison.check("critical path, times", times, [trace.runtime_us[step] for step in steps])
    comparison.check("critical path, sum", path["total_us"], sum(times))
    gaps = [pair for pair in zip(steps, steps[1:]) if not trace.order.has_edge(*pair)]
    comparison.check("critical path, steps that do not wait for the one before", gaps, [])
    stated = {task["name"]: task["stated_us"] for task in answer["tasks"]}
    comparison.check("stated run times", stated, trace.runtime_us)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tally", required=True, metavar="BIN", help="the program")
    parser.add_argument("--data", required=True, metavar="DIR", help="a data directory to be made")
    parser.add_argument("trace", metavar="FILE", help="a recorded workflow in WfFormat 1.5")
    args = parser.parse_args()
    trace, ledger, comparison = Trace(args.trace), Ledger(args.tally, args.data), Comparison()
    played = ledger.play(args.trace)
    comparison.check("completed", played["completed"], True)
    compare_flows(trace, ledger, comparison)
    compare_impact(trace, ledger, comparison)
    compare_why(trace, ledger, comparison)
    compare_critical_path(trace, ledger, comparison, played)
    tasks, files = len(trace.runtime_us), len(trace.graph) - len(trace.runtime_us)
    print(
        f"{trace.name}: {tasks} tasks, {files} files; "
        f"{comparison.count} comparisons, {comparison.wrong} differ"
    )
    return 1 if comparison.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
