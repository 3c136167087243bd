//! The picture of a ledger that grew: a panel for each cost, over the number of events.

use std::fmt::Write;

use crate::{Growth, Point};

/// Of one panel, in pixels: its place in the grid, with the room for its labels.
const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 190.0;

/// Of the room around the axes of a panel, in pixels.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 24.0;
const ABOVE: f64 = 44.0;
const BELOW: f64 = 30.0;

/// Panels side by side.
const COLUMNS: usize = 3;

/// Lines of text below the panels, in pixels.
const FOOT: f64 = 28.0;

/// A cost: its title, its unit, and what it is at a point.
type Panel = (&'static str, &'static str, fn(&Point) -> f64);

const PANELS: [Panel; 6] = [
    ("append", "µs of processor time", |point| point.append_cpu_us),
    ("inclusion proof", "µs", |point| point.proof_us),
    ("event by id", "µs", |point| point.event_by_id_us),
    ("task by id", "µs", |point| point.object_by_id_us),
    ("memory", "MiB", |point| point.resident_bytes as f64 / (1024.0 * 1024.0)),
    ("start", "s", |point| point.start_s),
];

/// Draws it. Both axes begin where nothing is hidden: costs at zero, events at the smallest size, by
/// powers of ten.
pub fn svg(growth: &Growth) -> String {
    let rows = PANELS.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64 + FOOT);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\" fill=\"#333\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    for (number, panel) in PANELS.iter().enumerate() {
        let (x, y) = ((number % COLUMNS) as f64 * WIDTH, (number / COLUMNS) as f64 * HEIGHT);
        put(&mut out, format_args!("<g transform=\"translate({x} {y})\">"));
        draw(&mut out, panel, &growth.points);
        put(&mut out, format_args!("</g>"));
    }
    let machine = &growth.machine;
    let foot = format!(
        "{}, {} cores; {} signers; commit {}, {}",
        machine.cpu, machine.cores, growth.signers, machine.commit, machine.date
    );
    text(&mut out, (LEFT, height - 10.0), "start", &foot);
    out + "</svg>\n"
}

fn draw(out: &mut String, (title, unit, cost): &Panel, points: &[Point]) {
    let most = points.iter().map(cost).fold(f64::MIN_POSITIVE, f64::max);
    let (first, last) = match points {
        [] => return,
        [first, .., last] => (log(first), log(last)),
        [only] => (log(only) - 1.0, log(only) + 1.0),
    };
    let (inner_width, inner_height) = (WIDTH - LEFT - RIGHT, HEIGHT - ABOVE - BELOW);
    let place = |point: &Point| {
        let along = (log(point) - first) / (last - first);
        (LEFT + along * inner_width, ABOVE + (1.0 - cost(point) / most) * inner_height)
    };
    text(out, (LEFT, 18.0), "start", &format!("{title}, {unit}"));
    let (bottom, end) = (HEIGHT - BELOW, WIDTH - RIGHT);
    put(
        out,
        format_args!("<path d=\"M{LEFT} {ABOVE}V{bottom}H{end}\" fill=\"none\" stroke=\"#999\"/>"),
    );
    text(out, (LEFT - 6.0, bottom), "end", "0");
    let line: Vec<String> =
        points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let line = line.join(" ");
    put(
        out,
        format_args!(
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>"
        ),
    );
    for point in points {
        let (x, y) = place(point);
        put(out, format_args!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#06c\"/>"));
        text(out, (x, y - 8.0), "middle", &short(cost(point)));
        text(out, (x, bottom + 16.0), "middle", &count(point.events));
    }
}

fn log(point: &Point) -> f64 {
    (point.events.max(1) as f64).log10()
}

/// Three digits, and no more.
fn short(figure: f64) -> String {
    match figure {
        figure if figure >= 100.0 => format!("{figure:.0}"),
        figure if figure >= 10.0 => format!("{figure:.1}"),
        figure => format!("{figure:.2}"),
    }
}

/// Events, as people say it.
fn count(events: u64) -> String {
    match events {
        0..1_000 => events.to_string(),
        1_000..1_000_000 => format!("{}k", events / 1_000),
        _ => format!("{}M", events / 1_000_000),
    }
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, said: &str) {
    let said = said.replace('&', "&amp;").replace('<', "&lt;");
    put(
        out,
        format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{said}</text>"),
    );
}

fn put(out: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(out, "{line}").expect("a text takes everything");
}

#[cfg(test)]
mod tests {
    use tally_load::Machine;

    use super::*;

    fn point(events: u64, append_cpu_us: f64) -> Point {
        Point {
            events,
            append_cpu_us,
            append_us: 1.0,
            proof_us: 1.0,
            event_by_id_us: 1.0,
            object_by_id_us: 1.0,
            proof_again_us: 1.0,
            event_again_us: 1.0,
            object_again_us: 1.0,
            disk_bytes_per_question: 0.0,
            disk_bytes_per_question_again: 0.0,
            resident_bytes: 1 << 20,
            peak_resident_bytes: 1 << 20,
            open_s: 1.0,
            start_s: 1.0,
        }
    }

    fn growth(points: Vec<Point>) -> Growth {
        let machine = Machine { cpu: "A & <B>".into(), ..Machine::here() };
        Growth { machine, signers: 16, points }
    }

    #[test]
    fn costs_are_drawn_from_zero_and_sizes_by_powers_of_ten() {
        let picture =
            svg(&growth(vec![point(1_000, 5.0), point(10_000, 10.0), point(100_000, 2.5)]));
        // The first panel: half the most, the most, and a quarter of it, at even distances.
        assert!(picture.contains("points=\"46.0,102.0 161.0,44.0 276.0,131.0\""), "{picture}");
        for label in [">5.00<", ">10.0<", ">2.50<", ">1k<", ">10k<", ">100k<", "A &amp; &lt;B>"] {
            assert!(picture.contains(label), "{label} in {picture}");
        }
        assert_eq!(picture.matches("<polyline").count(), PANELS.len());
    }

    #[test]
    fn one_size_and_none_are_pictures_too() {
        for points in [vec![], vec![point(100, 0.0)]] {
            let picture = svg(&growth(points));
            assert!(picture.ends_with("</svg>\n") && !picture.contains("NaN"), "{picture}");
        }
    }
}
