"""Shows what a ledger tells in the words of others to programs of theirs: PROV, OpenLineage,
CloudEvents, OTLP, pictures; and makes documents of others to import. Part of check.py.

| file                | shown to                                                              |
|---------------------|-----------------------------------------------------------------------|
| prov.json, prov.provn | prov: reads both, and they are the same document                    |
| prov.ttl            | rdflib reads it, prov makes the same relations of it, pyshacl holds it to prov-shapes.ttl |
| openlineage.jsonl   | openlineage-python: made again of its own classes, an event is the same |
| cloudevents.jsonl, cloudevents-envelopes.jsonl | cloudevents: read and written again, an event is the same |
| otlp.json           | opentelemetry-proto: no unknown field, ids and times as they must be    |
| *.svg, *.dot        | an XML parser; dot, where it is installed                              |
"""

import base64
import copy
import datetime
import json
import re
import shutil
import subprocess
import warnings
import xml.etree.ElementTree

import pyshacl
import rdflib
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentProvider, AgentSkill
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from google.protobuf import json_format
from openlineage.client import event_v2, facet_v2
from openlineage.client.generated import job_dependencies_run, parent_run
from openlineage.client.serde import Serde
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prov.model import ProvDocument

SHAPES = __file__.rsplit("/", 1)[0] + "/prov-shapes.ttl"
PROV = rdflib.Namespace("http://www.w3.org/ns/prov#")
TALLY = rdflib.Namespace("https://pervasive.link/tally/prov/v1#")


class Wrong(Exception):
    """An export that is not as it must be, or a program that took what it must not."""


def hold(condition, text):
    if not condition:
        raise Wrong(text)


def refused(what, *arguments):
    """Whether a reader raises anything but our own complaint."""
    try:
        what(*arguments)
    except Wrong:
        raise
    except Exception:
        return True
    return False


def lines(path):
    found = [json.loads(line) for line in path.read_text().splitlines()]
    hold(found, f"{path} is empty")
    return found


# ------------------------------------------------------------------ PROV


def read_prov(text, form):
    """A document as prov reads it; what it only warns of is refused too."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ProvDocument.deserialize(content=text, format=form)


def statements(document):
    """What a document states, each once: prov takes relations of RDF without our order."""
    return {record.get_provn() for record in document.get_records()}


def check_prov(directory):
    as_json, as_n = (directory / "prov.json").read_text(), (directory / "prov.provn").read_text()
    document, of_n = read_prov(as_json, "json"), read_prov(as_n, "provn")
    hold(document.get_records(), "a document with nothing in it")
    hold(document == of_n, "PROV-JSON and PROV-N are the same document for prov")
    hold(read_prov(document.get_provn(), "provn") == document, "and what prov writes of it")
    check_turtle((directory / "prov.ttl").read_text(), document)
    changed = as_json.replace('"prov:time":"20', '"prov:time":"21', 1)
    hold(changed == as_json or read_prov(changed, "json") != of_n, "another time is another document")
    hold(refused(read_prov, as_json[:-2], "json"), "prov takes JSON that is cut")
    hold(refused(read_prov, as_n.replace("endDocument", ""), "provn"), "prov takes PROV-N that is cut")
    hold(refused(read_prov, as_n.replace(", [", ", ["[:2], 1), "provn"), "a bracket is missing")
    return len(document.get_records())


def check_turtle(text, document):
    graph = rdflib.Graph().parse(data=text, format="turtle")
    conforms, _, report = pyshacl.validate(graph, shacl_graph=SHAPES, shacl_graph_format="turtle")
    hold(conforms, report)
    check_same(graph, document)
    usage = next(iter(graph.objects(None, PROV.qualifiedUsage)))
    association = next(iter(graph.objects(None, PROV.qualifiedAssociation)))
    for of, remove in (
        (usage, TALLY.position), (usage, TALLY["class"]), (usage, PROV.entity),
        (association, TALLY.recordedAt), (association, PROV.agent),
    ):
        damaged = rdflib.Graph() + graph
        damaged.remove((of, remove, None))
        conforms, _, _ = pyshacl.validate(damaged, shacl_graph=SHAPES, shacl_graph_format="turtle")
        hold(not conforms, f"pyshacl takes a graph without {remove}")
    cut = text.rstrip()[:-1]
    hold(refused(rdflib.Graph().parse, None, None, "turtle", None, None, cut), "Turtle that is cut")


# Of each relation that PROV-O qualifies: the property to it, the properties of its parts in the order
# of PROV-N, without the first, which the relation is said of.
QUALIFIED = {
    "wasGeneratedBy": ("qualifiedGeneration", ["activity", "atTime"]),
    "used": ("qualifiedUsage", ["entity", "atTime"]),
    "wasInformedBy": ("qualifiedCommunication", ["activity"]),
    "wasStartedBy": ("qualifiedStart", ["entity", "hadActivity", "atTime"]),
    "wasEndedBy": ("qualifiedEnd", ["entity", "hadActivity", "atTime"]),
    "wasInvalidatedBy": ("qualifiedInvalidation", ["activity", "atTime"]),
    "wasDerivedFrom": ("qualifiedDerivation", ["entity", "hadActivity", "hadGeneration", "hadUsage"]),
    "wasAttributedTo": ("qualifiedAttribution", ["agent"]),
    "wasAssociatedWith": ("qualifiedAssociation", ["agent", "hadPlan"]),
    "actedOnBehalfOf": ("qualifiedDelegation", ["agent", "hadActivity"]),
    "wasInfluencedBy": ("qualifiedInfluence", ["influencer"]),
}


def check_same(graph, document):
    """Every relation that prov read is in the graph, with all of its parts, and no other."""
    count = 0
    for record in document.get_records():
        keyword = record.get_provn().split("(", 1)[0]
        if keyword not in QUALIFIED:
            continue
        count += 1
        qualified, properties = QUALIFIED[keyword]
        first, *parts = [value for _, value in formal(record)]
        node = rdflib.URIRef(record.identifier.uri)
        hold((rdflib.URIRef(first.uri), PROV[qualified], node) in graph, f"{record} is in Turtle")
        for name, value in zip(properties, parts):
            found = list(graph.objects(node, PROV[name]))
            hold(len(found) == (value is not None), f"{record}: {name}")
            if value is None:
                continue
            same = found[0].toPython() == value if name == "atTime" else str(found[0]) == value.uri
            hold(same, f"{record}: {name} is {found[0]}")
        stated = {str(getattr(value, "value", value)) for name, value in record.attributes
                  if name.uri == str(TALLY.position)}
        hold({str(value) for value in graph.objects(node, TALLY.position)} == stated, f"{record}: position")
    names = [PROV[qualified] for qualified, _ in QUALIFIED.values()]
    hold(count == sum(len(list(graph.triples((None, name, None)))) for name in names), "no more relations")


def formal(record):
    given = dict(record.formal_attributes)
    return [(name, given.get(name)) for name in record.FORMAL_ATTRIBUTES]


def check_order(tally, directory):
    """The program's own check: it takes the export, and finds a time that can't be."""
    path = directory / "prov.json"

    def verdict(document):
        path = directory / "changed.json"
        path.write_text(json.dumps(document))
        ran = subprocess.run([tally, "check-prov", path, "--json"], capture_output=True, text=True)
        return ran.returncode, json.loads(ran.stdout)

    document = json.loads(path.read_text())
    for activity in document["activity"].values():
        activity.pop("prov:startTime", None)
        activity.pop("prov:endTime", None)
    for relation in ("wasStartedBy", "wasEndedBy"):
        for stated in document.get(relation, {}).values():
            stated.pop("prov:time", None)
    code, answer = verdict(document)
    hold((code, answer["verdict"]) == (0, "possible"), f"times of the ledger are in order: {answer}")
    made = {generated["prov:entity"] for generated in document["wasGeneratedBy"].values()}
    used = next(used for used in document["used"].values() if used["prov:entity"] not in made)
    document["wasGeneratedBy"]["rel:planted"] = {"prov:entity": used["prov:entity"],
                                                 "prov:time": "2999-01-01T00:00:00Z"}
    used["prov:time"] = "2998-01-01T00:00:00Z"
    code, answer = verdict(document)
    hold(code == 1, "a use before the generation is found")
    named = {name for found in answer["violations"] for name in found["constraints"]}
    hold("generation-precedes-usage" in named, f"{named}")


# ------------------------------------------------------------------ OpenLineage


def run_event(value):
    """The event as openlineage-python makes it, of what our line says."""
    producer = value["producer"]
    facets = {}
    theirs = value["run"]["facets"]
    if "parent" in theirs:
        parent = theirs["parent"]
        facets["parent"] = parent_run.ParentRunFacet(
            run=parent_run.Run(runId=parent["run"]["runId"]),
            job=parent_run.Job(**parent["job"]), producer=producer)
    if "jobDependencies" in theirs:
        upstream = [
            job_dependencies_run.JobDependency(
                job=job_dependencies_run.JobIdentifier(**before["job"]),
                run=job_dependencies_run.RunIdentifier(**before["run"]))
            for before in theirs["jobDependencies"]["upstream"]
        ]
        facets["jobDependencies"] = job_dependencies_run.JobDependenciesRunFacet(
            upstream=upstream, producer=producer)
    return event_v2.RunEvent(
        eventTime=value["eventTime"], eventType=event_v2.RunState(value["eventType"]),
        run=event_v2.Run(runId=value["run"]["runId"], facets=facets),
        job=event_v2.Job(**value["job"]), producer=producer,
        inputs=[dataset(event_v2.InputDataset, "input", of, producer) for of in value["inputs"]],
        outputs=[dataset(event_v2.OutputDataset, "output", of, producer) for of in value["outputs"]])


def dataset(kind, way, value, producer):
    version = value["facets"]["version"]["datasetVersion"]
    facets = {"version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(
        datasetVersion=version, producer=producer)}
    more = {}
    if f"{way}Facets" in value:
        size = value[f"{way}Facets"][f"{way}Statistics"]["size"]
        module, name = {
            "input": (facet_v2.input_statistics_input_dataset, "InputStatisticsInputDatasetFacet"),
            "output": (facet_v2.output_statistics_output_dataset, "OutputStatisticsOutputDatasetFacet"),
        }[way]
        more[f"{way}Statistics"] = getattr(module, name)(size=size, producer=producer)
    return kind(namespace=value["namespace"], name=value["name"], facets=facets, **{f"{way}Facets": more})


def plain(value):
    """Without members that say nothing."""
    if isinstance(value, dict):
        kept = {name: plain(inner) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if inner not in ({}, [], None)}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def check_event(value):
    ours = copy.deepcopy(value)
    own = ours["run"]["facets"].pop("tally_event")
    hold({"_producer", "_schemaURL"} <= set(own), "a facet of our own is a facet")
    theirs = json.loads(Serde.to_json(run_event(value)))
    hold(plain(theirs) == plain(ours), f"openlineage-python makes\n{theirs}\nof\n{ours}")


def changed_events(value):
    yield {**value, "eventType": "DONE"}
    yield {**value, "eventTime": "noon"}
    yield {**value, "run": {**value["run"], "runId": value["run"]["runId"][1:]}}
    yield {**value, "job": {"name": value["job"]["name"]}}
    yield {**value, "schemaURL": value["schemaURL"] + "x"}
    yield {**value, "extra": 1}


def check_openlineage(directory):
    found = lines(directory / "openlineage.jsonl")
    states = {}
    for number, value in enumerate(found):
        check_event(value)
        states.setdefault(value["run"]["runId"], []).append(value["eventType"])
        for changed in changed_events(value) if number < 12 else ():
            try:
                check_event(changed)
            except (Wrong, ValueError, TypeError, KeyError):
                continue
            raise Wrong(f"openlineage-python takes {changed}")
    for run, order in states.items():
        hold(re.fullmatch("START( RUNNING)*( (COMPLETE|FAIL|ABORT)( OTHER)*)?", " ".join(order)), f"{run}: {order}")
    return len(found)


# ------------------------------------------------------------------ CloudEvents


def check_cloudevents(directory):
    count = 0
    for name in ("cloudevents.jsonl", "cloudevents-envelopes.jsonl"):
        found = lines(directory / name)
        count += len(found)
        for number, value in enumerate(found):
            event = JSONFormat().read(CloudEvent, json.dumps(value))
            again, same = json.loads(JSONFormat().write(event)), dict(value)
            for either in (again, same):
                # Fractions of a second may end in zeros.
                either["time"] = datetime.datetime.fromisoformat(either["time"])
            hold(again == same, f"cloudevents makes\n{again}\nof\n{same}")
            hold(event.get_extension("sequence") == f"{number:020}", "sequence")
            parent = event.get_extension("traceparent")
            hold(not parent or re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", parent), f"{parent}")
            for changed in (
                {**value, "specversion": "2.0"},
                {**value, "id": ""},
                {**value, "time": "noon"},
                {**value, "Sequence": "1"},
                {key: inner for key, inner in value.items() if key != "source"},
                {key: inner for key, inner in value.items() if key != "type"},
            ) if number < 12 else ():
                hold(refused(JSONFormat().read, CloudEvent, json.dumps(changed)), f"cloudevents takes {changed}")
    return count


# ------------------------------------------------------------------ OTLP


def otlp(value):
    """A request of opentelemetry-proto. OTLP writes ids in hexadecimal where protobuf has base64."""

    def recode(node):
        if isinstance(node, dict):
            ids = ("traceId", "spanId", "parentSpanId")
            recoded = {key: base64.b64encode(bytes.fromhex(inner)).decode() if key in ids else recode(inner)
                       for key, inner in node.items()}
            return recoded
        return [recode(inner) for inner in node] if isinstance(node, list) else node

    return json_format.ParseDict(recode(value), ExportTraceServiceRequest())


def check_spans(request):
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    known = {(span.trace_id, span.span_id) for span in spans}
    hold(len(known) == len(spans), "every span has a place of its own")
    for span in spans:
        hold((len(span.trace_id), len(span.span_id)) == (16, 8), "lengths of ids")
        hold(span.start_time_unix_nano <= span.end_time_unix_nano, "a span ends after it starts")
        hold(not span.parent_span_id or (span.trace_id, span.parent_span_id) in known, "parents are there")
        for link in span.links:
            hold((link.trace_id, link.span_id) in known, "links lead somewhere")
    return len(spans)


def check_otlp(directory):
    value = json.loads((directory / "otlp.json").read_text())
    count = check_spans(otlp(value))
    hold(count > 0, "there are spans")
    damaged = copy.deepcopy(value)
    spans = damaged["resourceSpans"][0]["scopeSpans"][0]["spans"]
    for change in (
        {"traceId": spans[-1]["traceId"][2:]}, {"startTimeUnixNano": "soon"}, {"colour": "red"},
        {"parentSpanId": "00" * 8}, {"endTimeUnixNano": "1"}, {"kind": "no kind"},
    ):
        kept = dict(spans[-1])
        spans[-1].update(change)
        try:
            check_spans(otlp(damaged))
        except (Wrong, json_format.ParseError):
            spans[-1] = kept
            continue
        raise Wrong(f"opentelemetry-proto takes {change}")
    return count


# ------------------------------------------------------------------ pictures


def check_pictures(directory):
    count = 0
    for path in sorted(directory.glob("*.svg")):
        text = path.read_text()
        root = xml.etree.ElementTree.fromstring(text)
        hold(root.tag == "{http://www.w3.org/2000/svg}svg", f"{path} is an image")
        hold("script" not in text and "href" not in text, f"{path} stands on its own")
        hold(refused(xml.etree.ElementTree.fromstring, text[:-9]), "an image that is cut")
        count += 1
    for path in sorted(directory.glob("*.dot")) if shutil.which("dot") else ():
        drawn = subprocess.run(["dot", "-Tsvg", path], capture_output=True)
        hold(drawn.returncode == 0 and not drawn.stderr, f"{path}: {drawn.stderr}")
        count += 1
    return count


# ------------------------------------------------------------------ imports


def foreign_events():
    """Run events as openlineage-python writes them."""
    run = event_v2.Run(runId="01890a5d-ac96-774b-bcce-b302099a8057")
    job = event_v2.Job(namespace="scheduler", name="tides.daily")
    common = {"run": run, "job": job, "producer": "https://example.org/scheduler"}
    gauge = event_v2.InputDataset(namespace="s3://harbour", name="gauge.csv")
    tide = event_v2.OutputDataset(namespace="postgres://db.example:5432", name="sea.public.tide")
    events = [
        event_v2.RunEvent(eventTime="2026-11-18T10:00:00Z", eventType=event_v2.RunState.START, inputs=[gauge], **common),
        event_v2.RunEvent(eventTime="2026-11-18T10:05:00Z", eventType=event_v2.RunState.COMPLETE, outputs=[tide], **common),
    ]
    return "".join(Serde.to_json(event) + "\n" for event in events)


def foreign_card():
    """An agent card as the types of a2a-sdk write it."""
    card = AgentCard(
        name="Petrel", description="Surveys harbours.", version="1.0.0",
        provider=AgentProvider(organization="Soundings", url="https://soundings.example"),
        supported_interfaces=[AgentInterface(url="https://petrel.example/a2a", protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["application/json"], default_output_modes=["text/csv"],
        skills=[AgentSkill(id="sounding", name="Sounding", description="Measures depth.", tags=["survey"])])
    return json_format.MessageToJson(card)


def check_imports(run_tally, server, directory):
    """What their types write is imported; what is damaged is refused, and appends nothing."""
    key = directory / "me.pem"

    def imported(what, text, *more):
        path = directory / f"import-{what}.json"
        path.write_text(text)
        return run_tally("import", what, path, "--key", key, "--url", server, *more)

    def size():
        return json.loads(run_tally("findings", "--url", server, "--json").stdout)["as_of"]

    events, card = foreign_events(), foreign_card()
    before = size()
    for what, text in (("openlineage", events), ("a2a", card)):
        shown = imported(what, text, "--dry-run")
        hold(shown.returncode == 0, shown.stderr)
        claim = json.loads(shown.stdout)["message"]["attest"]["claim"]
        json.loads(claim["statement"])
        hold(claim["evidence"][0]["inline"] == text, "the document is in the evidence")
    first = json.loads(events.splitlines()[0])
    whole = json.loads(card)
    for what, text, field in (
        ("openlineage", json.dumps({**first, "eventTime": "noon"}), "eventTime"),
        ("openlineage", json.dumps({**first, "run": {"runId": "7"}}), "runId"),
        ("openlineage", json.dumps({**first, "job": {"name": "x"}}), "job.namespace"),
        ("openlineage", events[:-9], "document"),
        ("a2a", json.dumps({**whole, "skills": [{"id": "x"}]}), "skills[0]"),
        ("a2a", json.dumps({**whole, "supportedInterfaces": []}), "supportedInterfaces"),
        ("a2a", card[:-2], "document"),
    ):
        answer = imported(what, text)
        hold(answer.returncode == 2 and field in answer.stderr, f"{what}: {answer.stderr}")
        hold("nothing was appended" in answer.stderr, answer.stderr)
    hold(size() == before, "neither a look nor a damaged document appends anything")
    for what, text in (("openlineage", events), ("a2a", card)):
        answer = imported(what, text)
        hold(answer.returncode == 0, answer.stderr)
    hold(size() == before + 2, "two claims")
    tide = "postgres://db.example:5432/sea.public.tide"
    origins = run_tally("lineage", "--url", server, "--data-ref", tide, "--direction", "up", "--json")
    hold(json.loads(origins.stdout)["data"] == ["s3://harbour/gauge.csv"], origins.stdout)


# ------------------------------------------------------------------ all of it


def check(directory):
    counts = [
        (check_prov(directory), "records of PROV"),
        (check_openlineage(directory), "run events"),
        (check_cloudevents(directory), "cloud events"),
        (check_otlp(directory), "spans"),
        (check_pictures(directory), "pictures"),
    ]
    return ", ".join(f"{number} {name}" for number, name in counts)


def make(tally, directory):
    """Exports a ledger in every way, imports into it, and holds its times to their order."""
    data = directory / "data"

    def run(*arguments):
        return subprocess.run([tally, *arguments], capture_output=True, text=True)

    def export(what, name, *more):
        made = run("export", what, "--data", data, "-o", directory / name, *more)
        hold(made.returncode == 0, made.stderr)

    serving = subprocess.Popen([tally, "serve", "--data", data, "--listen", "127.0.0.1:0"],
                               stdout=subprocess.PIPE, text=True)
    try:
        server = next(line.split()[1] for line in serving.stdout if line.startswith("serving"))
        check_imports(run, server, directory)
    finally:
        serving.terminate()
        serving.wait()
    for form, name in (("json", "prov.json"), ("n", "prov.provn"), ("turtle", "prov.ttl")):
        export("prov", name, "--format", form)
    export("openlineage", "openlineage.jsonl")
    export("cloudevents", "cloudevents.jsonl")
    export("cloudevents", "cloudevents-envelopes.jsonl", "--envelopes")
    export("otlp", "otlp.json")
    for form in ("dot", "svg"):
        lineage = run("lineage", "--data", data, "--task", "review_01", "--direction", "up", f"--{form}")
        hold(lineage.returncode == 0, lineage.stderr)
        (directory / f"lineage.{form}").write_text(lineage.stdout)
    check_order(tally, directory)
