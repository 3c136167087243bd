//! PROV-O in Turtle: every relation twice, plain and qualified, so that times, plans and the events
//! behind a relation are not lost.

use std::fmt::Write as _;

use super::notation::quoted;
use super::{Document, Kind, Name, PROV, Record, Value, XSD};

const STRINGS_GROW: &str = "writing to a string succeeds";

/// How PROV-O writes a relation.
struct Shape {
    /// The part that the relation is said of.
    subject: &'static str,
    /// The part that it leads to.
    object: &'static str,
    /// The plain property.
    plain: &'static str,
    /// The property to the qualified relation, and the class of that; none for those that PROV-O
    /// does not qualify.
    qualified: Option<(&'static str, &'static str)>,
    /// The property from the qualified relation to the object.
    leads: &'static str,
    /// The other parts, each with its property.
    rest: &'static [(&'static str, &'static str)],
}

impl Document {
    /// The document in Turtle.
    pub fn to_turtle(&self) -> String {
        let mut text = String::new();
        let known = [("prov", PROV), ("rdfs", RDFS), ("xsd", XSD)];
        let own = self.prefixes.iter().map(|(prefix, uri)| (prefix.as_str(), uri.as_str()));
        for (prefix, uri) in known.into_iter().chain(own) {
            writeln!(text, "@prefix {prefix}: <{uri}> .").expect(STRINGS_GROW);
        }
        text.push('\n');
        for record in &self.records {
            match shape(record) {
                None => write_element(&mut text, record),
                Some(shape) => write_relation(&mut text, record, &shape),
            }
        }
        text
    }
}

const RDFS: &str = "http://www.w3.org/2000/01/rdf-schema#";

fn write_element(text: &mut String, record: &Record) {
    let Some(id) = &record.id else { return };
    let class = match record.kind {
        Kind::Activity => "prov:Activity",
        Kind::Agent => "prov:Agent",
        _ => "prov:Entity",
    };
    let times = [("startTime", "prov:startedAtTime"), ("endTime", "prov:endedAtTime")];
    let times = times
        .iter()
        .filter_map(|(part, property)| Some(format!("{property} {}", time(record.part(part)?))));
    let said = times.chain(record.attributes.iter().map(attribute)).collect();
    write_subject(text, id.as_str(), class, said);
}

fn write_relation(text: &mut String, record: &Record, shape: &Shape) {
    let Some(subject) = record.part(shape.subject) else { return };
    if let Some(object) = record.part(shape.object) {
        writeln!(text, "{subject} {} {object} .", shape.plain).expect(STRINGS_GROW);
    }
    let (Some((property, class)), Some(id)) = (shape.qualified, &record.id) else { return };
    writeln!(text, "{subject} {property} {id} .").expect(STRINGS_GROW);
    let mut said = Vec::new();
    said.extend(record.part(shape.object).map(|object| format!("{} {object}", shape.leads)));
    let rest = shape.rest.iter();
    said.extend(
        rest.filter_map(|(part, property)| Some(format!("{property} {}", record.part(part)?))),
    );
    said.extend(record.part("time").map(|at| format!("prov:atTime {}", time(at))));
    said.extend(record.attributes.iter().map(attribute));
    write_subject(text, id.as_str(), class, said);
}

fn write_subject(text: &mut String, id: &str, class: &str, said: Vec<String>) {
    let said: Vec<String> = std::iter::once(format!("a {class}")).chain(said).collect();
    writeln!(text, "{id} {} .\n", said.join(" ;\n    ")).expect(STRINGS_GROW);
}

fn time(text: &str) -> String {
    format!("{}^^xsd:dateTime", quoted(text))
}

/// PROV-O has words of its own for three attributes.
fn attribute((name, value): &(Name, Value)) -> String {
    let property = match name.as_str() {
        "prov:type" => "a",
        "prov:label" => "rdfs:label",
        "prov:location" => "prov:atLocation",
        "prov:role" => "prov:hadRole",
        other => other,
    };
    match value {
        Value::Name(name) => format!("{property} {name}"),
        Value::Literal { text, datatype: Some(datatype), .. } => {
            format!("{property} {}^^{datatype}", quoted(text))
        }
        Value::Literal { text, language: Some(language), .. } => {
            format!("{property} {}@{language}", quoted(text))
        }
        Value::Literal { text, .. } => format!("{property} {}", quoted(text)),
    }
}

/// Section 3.3 of PROV-O, "Qualified Terms".
fn shape(record: &Record) -> Option<Shape> {
    let (subject, object, plain, qualified, leads, rest): (_, _, _, _, _, &'static [_]) =
        match record.kind {
            Kind::Entity | Kind::Activity | Kind::Agent => return None,
            Kind::Generation => (
                "entity",
                "activity",
                "prov:wasGeneratedBy",
                Some(("prov:qualifiedGeneration", "prov:Generation")),
                "prov:activity",
                &[],
            ),
            Kind::Usage => (
                "activity",
                "entity",
                "prov:used",
                Some(("prov:qualifiedUsage", "prov:Usage")),
                "prov:entity",
                &[],
            ),
            Kind::Communication => (
                "informed",
                "informant",
                "prov:wasInformedBy",
                Some(("prov:qualifiedCommunication", "prov:Communication")),
                "prov:activity",
                &[],
            ),
            Kind::Start => (
                "activity",
                "trigger",
                "prov:wasStartedBy",
                Some(("prov:qualifiedStart", "prov:Start")),
                "prov:entity",
                &[("starter", "prov:hadActivity")],
            ),
            Kind::End => (
                "activity",
                "trigger",
                "prov:wasEndedBy",
                Some(("prov:qualifiedEnd", "prov:End")),
                "prov:entity",
                &[("ender", "prov:hadActivity")],
            ),
            Kind::Invalidation => (
                "entity",
                "activity",
                "prov:wasInvalidatedBy",
                Some(("prov:qualifiedInvalidation", "prov:Invalidation")),
                "prov:activity",
                &[],
            ),
            Kind::Derivation => (
                "generatedEntity",
                "usedEntity",
                "prov:wasDerivedFrom",
                Some(("prov:qualifiedDerivation", "prov:Derivation")),
                "prov:entity",
                &[
                    ("activity", "prov:hadActivity"),
                    ("generation", "prov:hadGeneration"),
                    ("usage", "prov:hadUsage"),
                ],
            ),
            Kind::Attribution => (
                "entity",
                "agent",
                "prov:wasAttributedTo",
                Some(("prov:qualifiedAttribution", "prov:Attribution")),
                "prov:agent",
                &[],
            ),
            Kind::Association => (
                "activity",
                "agent",
                "prov:wasAssociatedWith",
                Some(("prov:qualifiedAssociation", "prov:Association")),
                "prov:agent",
                &[("plan", "prov:hadPlan")],
            ),
            Kind::Delegation => (
                "delegate",
                "responsible",
                "prov:actedOnBehalfOf",
                Some(("prov:qualifiedDelegation", "prov:Delegation")),
                "prov:agent",
                &[("activity", "prov:hadActivity")],
            ),
            Kind::Influence => (
                "influencee",
                "influencer",
                "prov:wasInfluencedBy",
                Some(("prov:qualifiedInfluence", "prov:Influence")),
                "prov:influencer",
                &[],
            ),
            Kind::Specialization | Kind::Mention => {
                ("specificEntity", "generalEntity", "prov:specializationOf", None, "", &[])
            }
            Kind::Alternate => ("alternate1", "alternate2", "prov:alternateOf", None, "", &[]),
            Kind::Membership => ("collection", "entity", "prov:hadMember", None, "", &[]),
        };
    Some(Shape { subject, object, plain, qualified, leads, rest })
}
