//! Where nodes of a drawing lie: in columns, so that edges point to the left (K. Sugiyama's method).
//!
//! Four steps: circles are cut; every node gets the first column after all that it points to; within
//! columns nodes are ordered by the middle of their neighbours, a few times to and fro; then they are
//! moved towards their neighbours as far as order and distance allow. Edges over several columns
//! have a place of their own in each. No step is exact, each takes time linear in what it sees, and
//! the same drawing has the same layout on every machine.

/// Pixels between columns, between the nodes of one, and around everything.
const COLUMN_GAP: f64 = 70.0;
const ROW_GAP: f64 = 18.0;
const MARGIN: f64 = 16.0;

/// How high the place of an edge is that passes a column.
const LANE: f64 = 6.0;

/// How often columns are put in order, and nodes are moved.
const SWEEPS: usize = 12;

/// Most places of edges that pass columns: beyond, they go straight.
const MAX_LANES: usize = 100_000;

/// Pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size {
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// The upper left corner of a node, and its size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) size: Size,
}

/// Where everything lies.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) places: Vec<Place>,
    /// For each edge the points that it passes, from its beginning to its end.
    pub(crate) paths: Vec<Vec<(f64, f64)>>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

impl Layout {
    /// Lays out nodes of these sizes, with edges from one number to another.
    pub(crate) fn of(sizes: &[Size], edges: &[(usize, usize)]) -> Self {
        let columns = columns(sizes.len(), edges);
        let mut grid = Grid::new(sizes, edges, &columns);
        grid.order();
        grid.place();
        grid.finish(sizes.len(), edges)
    }
}

/// Each node's column: what it points to lies in earlier ones, unless it is in a circle.
fn columns(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut after = vec![Vec::new(); nodes];
    let mut before = vec![Vec::new(); nodes];
    for &(from, to) in edges.iter().filter(|(from, to)| from != to) {
        after[from].push(to);
        before[to].push(from);
    }
    let mut column: Vec<usize> = vec![0; nodes];
    let mut is_done = vec![false; nodes];
    let mut is_seen = vec![false; nodes];
    for root in 0..nodes {
        let mut stack = vec![(root, 0)];
        while let Some((node, next)) = stack.pop() {
            if next == 0 && std::mem::replace(&mut is_seen[node], true) {
                continue;
            }
            match after[node].get(next) {
                Some(&to) => {
                    stack.push((node, next + 1));
                    if !is_seen[to] {
                        stack.push((to, 0));
                    }
                }
                None => {
                    // What is seen and not done would close a circle.
                    let done = after[node].iter().filter(|&&to| is_done[to]);
                    column[node] = done.map(|&to| column[to] + 1).max().unwrap_or(0);
                    is_done[node] = true;
                }
            }
        }
    }
    // What points nowhere lies just before the first that points to it.
    for node in (0..nodes).filter(|&node| after[node].is_empty()) {
        let first = before[node].iter().map(|&from| column[from]).min();
        column[node] = first.map_or(0, |first| first.saturating_sub(1));
    }
    column
}

/// Cells: nodes, and lanes of edges that pass.
struct Grid {
    sizes: Vec<Size>,
    /// The cells of each column, from above.
    columns: Vec<Vec<usize>>,
    /// Neighbours in the columns before and after.
    left: Vec<Vec<usize>>,
    right: Vec<Vec<usize>>,
    /// The middle of each cell.
    middle: Vec<f64>,
    /// For each edge, the lanes between its ends.
    lanes: Vec<Vec<usize>>,
    column_of: Vec<usize>,
}

impl Grid {
    fn new(sizes: &[Size], edges: &[(usize, usize)], column: &[usize]) -> Self {
        let count = column.iter().max().map_or(1, |last| last + 1);
        let mut grid = Self {
            sizes: sizes.to_vec(),
            columns: vec![Vec::new(); count],
            left: vec![Vec::new(); sizes.len()],
            right: vec![Vec::new(); sizes.len()],
            middle: Vec::new(),
            lanes: Vec::new(),
            column_of: column.to_vec(),
        };
        for (node, &at) in column.iter().enumerate() {
            grid.columns[at].push(node);
        }
        let span = |&(from, to): &(usize, usize)| column[from].abs_diff(column[to]);
        let has_lanes = edges.iter().map(span).sum::<usize>() <= MAX_LANES;
        for &(from, to) in edges {
            let lanes = grid.connect(from, to, has_lanes);
            grid.lanes.push(lanes);
        }
        grid.middle = vec![0.0; grid.sizes.len()];
        grid
    }

    /// Joins two nodes by way of a lane in every column between; says which, from the beginning.
    fn connect(&mut self, from: usize, to: usize, has_lanes: bool) -> Vec<usize> {
        let (first, last) = (self.column_of[from], self.column_of[to]);
        let (low, high) = (first.min(last), first.max(last));
        let (mut at, end) = if first < last { (from, to) } else { (to, from) };
        let mut lanes = Vec::new();
        for column in low + 1..high {
            if !has_lanes {
                break;
            }
            let lane = self.sizes.len();
            self.sizes.push(Size { width: 0.0, height: LANE });
            self.left.push(vec![at]);
            self.right.push(Vec::new());
            self.right[at].push(lane);
            self.columns[column].push(lane);
            self.column_of.push(column);
            lanes.push(lane);
            at = lane;
        }
        if low < high {
            self.right[at].push(end);
            self.left[end].push(at);
        }
        if first > last {
            lanes.reverse();
        }
        lanes
    }

    fn order(&mut self) {
        let mut row = vec![0.0; self.sizes.len()];
        for sweep in 0..SWEEPS {
            self.number(&mut row);
            let columns: Vec<usize> = match sweep % 2 {
                0 => (0..self.columns.len()).collect(),
                _ => (0..self.columns.len()).rev().collect(),
            };
            for column in columns {
                let neighbours = if sweep % 2 == 0 { &self.left } else { &self.right };
                let wish = |cell: usize| {
                    mean(neighbours[cell].iter().map(|&n| row[n])).unwrap_or(row[cell])
                };
                let mut wishes: Vec<(f64, usize)> =
                    self.columns[column].iter().map(|&cell| (wish(cell), cell)).collect();
                wishes.sort_by(|one, other| one.0.total_cmp(&other.0));
                for (number, &(_, cell)) in wishes.iter().enumerate() {
                    row[cell] = number as f64 / wishes.len() as f64;
                }
                self.columns[column] = wishes.into_iter().map(|(_, cell)| cell).collect();
            }
        }
    }

    /// Each cell's row, as a share of its column.
    fn number(&self, row: &mut [f64]) {
        for column in &self.columns {
            for (number, &cell) in column.iter().enumerate() {
                row[cell] = number as f64 / column.len() as f64;
            }
        }
    }

    fn place(&mut self) {
        for column in 0..self.columns.len() {
            let cells = self.columns[column].clone();
            let wishes = vec![0.0; cells.len()];
            self.settle(&cells, &wishes);
        }
        for sweep in 0..SWEEPS {
            let columns: Vec<usize> = match sweep % 2 {
                0 => (0..self.columns.len()).collect(),
                _ => (0..self.columns.len()).rev().collect(),
            };
            for column in columns {
                let cells = self.columns[column].clone();
                let wish = |&cell: &usize| {
                    let both = self.left[cell].iter().chain(&self.right[cell]);
                    mean(both.map(|&n| self.middle[n])).unwrap_or(self.middle[cell])
                };
                let wishes: Vec<f64> = cells.iter().map(wish).collect();
                self.settle(&cells, &wishes);
            }
        }
    }

    /// Puts the cells of a column as near to their wishes as their order and distance allow: half way
    /// between pushing each other down and pushing each other up.
    fn settle(&mut self, cells: &[usize], wishes: &[f64]) {
        let apart = |one: usize, other: usize| {
            let gap = if self.sizes[one].width > 0.0 && self.sizes[other].width > 0.0 {
                ROW_GAP
            } else {
                ROW_GAP / 2.0
            };
            (self.sizes[one].height + self.sizes[other].height) / 2.0 + gap
        };
        let mut down = wishes.to_vec();
        for at in 1..cells.len() {
            down[at] = down[at].max(down[at - 1] + apart(cells[at - 1], cells[at]));
        }
        let mut up = wishes.to_vec();
        for at in (1..cells.len()).rev() {
            up[at - 1] = up[at - 1].min(up[at] - apart(cells[at - 1], cells[at]));
        }
        for (at, &cell) in cells.iter().enumerate() {
            self.middle[cell] = f64::midpoint(down[at], up[at]);
        }
    }

    fn finish(self, nodes: usize, edges: &[(usize, usize)]) -> Layout {
        let top = |cell: usize| self.middle[cell] - self.sizes[cell].height / 2.0;
        let bottom = |cell: usize| self.middle[cell] + self.sizes[cell].height / 2.0;
        let cells = 0..self.sizes.len();
        let highest = cells.clone().map(top).min_by(f64::total_cmp).unwrap_or(0.0);
        let lowest = cells.map(bottom).max_by(f64::total_cmp).unwrap_or(0.0);
        let shift = MARGIN - highest;
        let mut lefts = Vec::new();
        let mut x = MARGIN;
        for column in &self.columns {
            let width = column.iter().map(|&cell| self.sizes[cell].width).fold(0.0, f64::max);
            lefts.push((x, width));
            x += width + COLUMN_GAP;
        }
        let place = |node: usize| {
            let ((x, width), size) = (lefts[self.column_of[node]], self.sizes[node]);
            Place { x: x + (width - size.width) / 2.0, y: top(node) + shift, size }
        };
        let places: Vec<Place> = (0..nodes).map(place).collect();
        let path = |(&(from, to), lanes): (&(usize, usize), &Vec<usize>)| {
            let mut points = vec![side(&places[from], &places[to])];
            for &lane in lanes {
                let ((x, width), y) = (lefts[self.column_of[lane]], self.middle[lane] + shift);
                let ends = [(x + width, y), (x, y)];
                let is_leftward = self.column_of[from] > self.column_of[to];
                points.extend(if is_leftward { ends } else { [ends[1], ends[0]] });
            }
            points.push(side(&places[to], &places[from]));
            points
        };
        let paths = edges.iter().zip(&self.lanes).map(path).collect();
        let width = (x - COLUMN_GAP + MARGIN).max(2.0 * MARGIN);
        Layout { places, paths, width, height: lowest + shift + MARGIN }
    }
}

/// Where an edge meets a node: in the middle of the side that faces the other.
fn side(node: &Place, other: &Place) -> (f64, f64) {
    let middle = node.y + node.size.height / 2.0;
    let is_right = other.x + other.size.width / 2.0 > node.x + node.size.width / 2.0;
    (if is_right { node.x + node.size.width } else { node.x }, middle)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = values.fold((0, 0.0), |(count, sum), value| (count + 1, sum + value));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay(nodes: usize, edges: &[(usize, usize)]) -> Layout {
        Layout::of(&vec![Size { width: 50.0, height: 20.0 }; nodes], edges)
    }

    #[test]
    fn edges_point_to_the_left_and_nodes_do_not_touch() {
        let edges = [(1, 0), (2, 0), (3, 1), (3, 2), (4, 3), (4, 0), (5, 0), (6, 5), (4, 6)];
        let layout = lay(7, &edges);
        for (from, to) in edges {
            assert!(layout.places[from].x > layout.places[to].x + 50.0, "{from} {to}");
        }
        for one in 0..7 {
            for other in 0..one {
                let (one, other) = (layout.places[one], layout.places[other]);
                let is_beside = (one.x - other.x).abs() > 50.0;
                assert!(is_beside || (one.y - other.y).abs() > 20.0, "{one:?} {other:?}");
            }
        }
        let inside = |place: &Place| {
            place.x >= 0.0
                && place.y >= 0.0
                && place.x + 50.0 <= layout.width
                && place.y + 20.0 <= layout.height
        };
        assert!(layout.places.iter().all(inside));
        assert_eq!(layout.paths.len(), edges.len());
        assert!(layout.paths[5].len() > 2, "a long edge has its own way");
    }

    #[test]
    fn circles_and_nothing_are_laid_out() {
        assert_eq!(lay(0, &[]).paths.len(), 0);
        assert_eq!(lay(3, &[(0, 1), (1, 2), (2, 0), (1, 1)]).places.len(), 3);
        let chain: Vec<(usize, usize)> = (1..5_000).map(|at| (at, at - 1)).collect();
        assert_eq!(lay(5_000, &chain).places.len(), 5_000);
    }
}
