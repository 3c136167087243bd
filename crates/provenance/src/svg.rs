//! Drawings as SVG, which need no other program: what came first is on the left, and arrows point to
//! what something came from. Solid lines are asserted, dashed ones inferred, dotted ones imported;
//! what is marked has a thick frame.
//!
//! Texts come from strangers: they only ever appear as character data, escaped, and cut to what fits;
//! the whole text is the node's title. There are no scripts, links or styles from outside.

use std::fmt::Write as _;

use crate::drawing::{Drawing, Drawn, Symbol};
use crate::layout::{Layout, Place, Size};
use crate::lineage::Lineage;
use crate::relation::Class;
use crate::workflow::Workflow;

impl Lineage {
    /// The answer and what was asked about as an SVG image.
    pub fn to_svg(&self) -> String {
        svg(&self.drawing())
    }
}

impl Workflow {
    /// The coordination graph as an SVG image.
    pub fn to_svg(&self) -> String {
        svg(&self.drawing())
    }
}

const STRINGS_GROW: &str = "writing to a string succeeds";

/// Most characters on a line of a caption, and most lines.
const LINE: usize = 30;
const LINES: usize = 4;

/// Pixels: of a character, of a line, and around a caption.
const CHARACTER: f64 = 6.7;
const LINE_HEIGHT: f64 = 15.0;
const PADDING: f64 = 9.0;

fn svg(drawing: &Drawing) -> String {
    let captions: Vec<Vec<String>> = drawing.nodes.iter().map(|node| wrap(&node.caption)).collect();
    let sizes: Vec<Size> = captions.iter().map(|lines| size(lines)).collect();
    let ends: Vec<(usize, usize)> = drawing.edges.keys().map(|&(from, to, _)| (from, to)).collect();
    let layout = Layout::of(&sizes, &ends);
    let (width, height) = (layout.width, layout.height);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"Helvetica, Arial, sans-serif\" \
         font-size=\"12\">\n<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" \
         markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" \
         fill=\"#5b6570\"/></marker></defs>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for (((_, _, relation), class), path) in drawing.edges.iter().zip(&layout.paths) {
        line(&mut text, path, *class, relation.name());
    }
    for ((node, lines), place) in drawing.nodes.iter().zip(&captions).zip(&layout.places) {
        frame(&mut text, node, lines, place);
    }
    text.push_str("</svg>\n");
    text
}

/// A curve that leaves and reaches every point level.
fn line(text: &mut String, points: &[(f64, f64)], class: Class, title: &str) {
    let Some(((x, y), rest)) = points.split_first() else { return };
    let mut path = format!("M{x:.1} {y:.1}");
    let mut last = (*x, *y);
    for &(x, y) in rest {
        let bend = (last.0 - x) / 2.0;
        write!(path, " C{:.1} {:.1} {:.1} {y:.1} {x:.1} {y:.1}", last.0 - bend, last.1, x + bend)
            .expect(STRINGS_GROW);
        last = (x, y);
    }
    let dashes = match class {
        Class::Asserted => "",
        Class::Inferred => " stroke-dasharray=\"6 4\"",
        Class::Imported => " stroke-dasharray=\"1.5 4\"",
    };
    writeln!(
        text,
        "<path d=\"{path}\" fill=\"none\" stroke=\"#8a949e\" stroke-width=\"1.3\"{dashes} \
         marker-end=\"url(#arrow)\"><title>{title}</title></path>"
    )
    .expect(STRINGS_GROW);
}

fn frame(text: &mut String, node: &Drawn, lines: &[String], place: &Place) {
    let (fill, stroke, round) = look(node.symbol);
    let Place { x, y, size: Size { width, height } } = place;
    let round = if round { height / 2.0 } else { 3.0 };
    let thick = if node.is_marked { 3.0 } else { 1.2 };
    let title = escape(&node.caption);
    writeln!(
        text,
        "<g><title>{title}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" \
         height=\"{height:.1}\" rx=\"{round:.1}\" fill=\"{fill}\" stroke=\"{stroke}\" \
         stroke-width=\"{thick}\"/>"
    )
    .expect(STRINGS_GROW);
    for (number, line) in lines.iter().enumerate() {
        let (middle, base) = (x + width / 2.0, y + PADDING + 11.0 + number as f64 * LINE_HEIGHT);
        let weight = if number == 0 { " font-weight=\"600\"" } else { "" };
        writeln!(
            text,
            "<text x=\"{middle:.1}\" y=\"{base:.1}\" text-anchor=\"middle\" \
             fill=\"#1d2329\"{weight}>{}</text>",
            escape(line)
        )
        .expect(STRINGS_GROW);
    }
    text.push_str("</g>\n");
}

/// Fill, frame, and whether the ends are round.
fn look(symbol: Symbol) -> (&'static str, &'static str, bool) {
    match symbol {
        Symbol::Task => ("#dcebfa", "#2f6fab", false),
        Symbol::Imported => ("#eef1f4", "#7b8794", false),
        Symbol::Data => ("#fdf3d7", "#b58a1b", true),
        Symbol::Agent => ("#e9e2f6", "#6b4fa0", false),
        Symbol::Intent => ("#fbe3df", "#b4503f", false),
        Symbol::Offer => ("#e3f3e6", "#3f8a52", false),
        Symbol::Receipt => ("#ffffff", "#2f6fab", false),
        Symbol::Capability => ("#e0f2f1", "#2b7d77", false),
        Symbol::Policy => ("#fce7f1", "#a83f76", false),
        Symbol::Attestation | Symbol::Message => ("#f6f6f6", "#7b8794", false),
    }
}

fn size(lines: &[String]) -> Size {
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let width = (longest as f64).mul_add(CHARACTER, 2.0 * PADDING + 6.0).max(44.0);
    Size { width, height: (lines.len() as f64).mul_add(LINE_HEIGHT, 2.0 * PADDING - 3.0) }
}

/// The lines of a caption, broken at spaces where there are any, and cut.
fn wrap(caption: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in caption.lines() {
        let mut rest: Vec<char> = paragraph.chars().collect();
        while !rest.is_empty() {
            let fits = rest.len().min(LINE);
            let space = rest[..fits].iter().rposition(|c| *c == ' ' || *c == '/');
            let cut = match space {
                Some(at) if fits < rest.len() && at > LINE / 3 => at + 1,
                _ => fits,
            };
            lines.push(rest.drain(..cut).collect::<String>().trim_end().to_owned());
        }
    }
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines[LINES - 1].push('…');
    }
    if lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// Character data of XML 1.0: control characters have no place in it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
