//! Graphviz: shapes, styles, and texts that try to break out.

use tally_protocol::message::ProgressState;
use tally_provenance::{Direction, Start};

use crate::history::*;

fn has(dot: &str, line: &str) {
    assert!(dot.lines().any(|l| l.trim() == line), "no line {line:?} in\n{dot}");
}

#[test]
fn lineage_draws_boxes_and_ellipses_with_the_class_as_style() {
    let mut h = History::new();
    let task = h.task(Work { label: Some("t"), given: vec!["in"], ..Work::default() });
    h.progress(task, ProgressState::Running, &[], &["out"]);
    let down = h.graph.lineage(Start::DataUri("in"), Direction::Down, None).expect("known");
    let dot = down.to_dot();
    has(&dot, r#"n0 [shape=box, peripheries=1, label="t\naligned reads"];"#);
    assert!(dot.contains("n1 [shape=ellipse, peripheries=2, label=\"in\\n"), "{dot}");
    has(&dot, r#"n0 -> n1 [label="used", style=dashed];"#);
    has(&dot, r#"n2 -> n0 [label="wasGeneratedBy", style=solid];"#);
    assert!(dot.starts_with("digraph lineage {\n") && dot.ends_with("}\n"), "{dot}");
}

#[test]
fn attempts_are_one_box_with_the_strongest_edge() {
    let mut h = History::new();
    let first = h.task(Work { label: Some("t"), given: vec!["in"], ..Work::default() });
    let (label, given, replaces) = (Some("t"), vec!["in"], Some(first));
    let second = h.task(Work { label, given, replaces, ..Work::default() });
    h.done(second, 1, &["in"], &[]);
    let down = h.graph.lineage(Start::DataUri("in"), Direction::Down, None).expect("known");
    let dot = down.to_dot();
    assert_eq!(dot.matches("shape=box").count(), 1, "{dot}");
    assert_eq!(dot.matches("->").count(), 1, "{dot}");
    has(&dot, r#"n0 -> n1 [label="used", style=solid];"#);
}

#[test]
fn texts_stay_inside_their_labels() {
    let mut h = History::new();
    let mut wild = terms(None, &[r#"C:\new "x"];"#]);
    wild.outcome = text("say \"hi\"\nC:\\temp\\\r\0 &lt; \\\"];\n}");
    let intent = h.intent(wild);
    let offer = h.offer(2, offer(intent, id(200)));
    h.start(task_start(intent, offer));
    let dot = h.graph.workflow(None).to_dot();
    let label = r#"say \"hi\"\nC:\\temp\\   &amp;lt; \\\"];\n}"#;
    has(&dot, &format!(r#"n0 [shape=diamond, peripheries=1, label="intent\n{label}"];"#));
    assert!(dot.contains(r#"label="C:\\new \"x\"];\n"#), "{dot}");
    for line in dot.lines() {
        assert!(unquoted(line).is_some(), "a quote is left open in {line:?}");
    }
    assert_eq!(dot.lines().filter(|line| line.starts_with('}')).count(), 1);
}

/// The line without its quoted parts, as Graphviz reads it; nothing when a quote is left open.
fn unquoted(line: &str) -> Option<String> {
    let (mut out, mut inside, mut chars) = (String::new(), false, line.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => inside = !inside,
            '\\' if inside => drop(chars.next()),
            c if !inside => out.push(c),
            _ => {}
        }
    }
    (!inside).then_some(out)
}

#[test]
fn workflow_draws_agents_as_houses_and_awards_with_a_double_line() {
    let mut h = History::new();
    let intent = h.intent(terms(Some("t"), &[]));
    let won = h.offer(2, offer(intent, id(200)));
    h.offer(3, offer(intent, id(201)));
    let task = h.start(task_start(intent, won));
    h.done(task, 1, &[], &["out"]);
    let dot = h.graph.workflow(None).to_dot();
    assert_eq!(dot.matches("shape=house").count(), 3, "{dot}");
    assert_eq!(dot.matches("shape=hexagon, peripheries=2").count(), 1, "{dot}");
    assert_eq!(dot.matches("shape=hexagon, peripheries=1").count(), 1, "{dot}");
    assert_eq!(dot.matches("shape=component").count(), 2, "{dot}");
    assert_eq!(dot.matches("shape=note").count(), 1, "{dot}");
    assert!(dot.contains(r#"shape=box, peripheries=1, label="t\nattempt 1, succeeded""#), "{dot}");
    assert!(dot.contains("shape=ellipse"), "{dot}");
}
