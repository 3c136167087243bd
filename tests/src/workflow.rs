//! Recorded workflows, read independently of the program: their lineage straight from the file, and
//! a generator of large ones with awkward names.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

/// The recorded workflows beside the workspace; none where they are absent.
pub fn recorded() -> Vec<PathBuf> {
    let directory = crate::program::workspace().join("../shared/traces");
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let mut traces: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    traces.sort();
    traces
}

#[derive(Deserialize)]
struct File {
    name: String,
    workflow: Workflow,
}

#[derive(Deserialize)]
struct Workflow {
    specification: Specification,
}

#[derive(Deserialize)]
struct Specification {
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    input_files: Vec<String>,
    #[serde(default)]
    output_files: Vec<String>,
}

/// Names of tasks and URIs of data.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    /// The tasks.
    pub tasks: BTreeSet<String>,
    /// The data.
    pub data: BTreeSet<String>,
}

impl Names {
    /// The names in an answer `{"tasks": […], "data": […]}`; nothing else may be in it.
    ///
    /// # Panics
    /// When it has another shape, or a name twice.
    pub fn of(answer: &Value) -> Self {
        let object = answer.as_object().expect("an object");
        assert_eq!(object.keys().collect::<Vec<_>>(), ["tasks", "data"]);
        let list = |field: &str| -> BTreeSet<String> {
            let names = object[field].as_array().expect("a list");
            let set: BTreeSet<String> =
                names.iter().map(|name| name.as_str().expect("a name").to_owned()).collect();
            assert_eq!(set.len(), names.len(), "a name stands twice in {field}");
            set
        };
        Self { tasks: list("tasks"), data: list("data") }
    }
}

/// Which way to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What it came from.
    Up,
    /// What came of it.
    Down,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Up, Self::Down];

    /// As the program wants it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

/// What flows between the tasks and files of a trace.
pub struct Flow {
    /// Tasks first, then data by URI.
    names: Vec<String>,
    tasks: usize,
    up: Vec<Vec<usize>>,
    down: Vec<Vec<usize>>,
}

impl Flow {
    /// Reads a trace.
    ///
    /// # Panics
    /// When it is none.
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a trace");
        let file: File = serde_json::from_str(&text).expect("a trace in WfFormat");
        let tasks = file.workflow.specification.tasks;
        let mut flow = Self {
            names: tasks.iter().map(|task| task.id.clone()).collect(),
            tasks: tasks.len(),
            up: vec![Vec::new(); tasks.len()],
            down: vec![Vec::new(); tasks.len()],
        };
        let by_id: HashMap<&str, usize> =
            tasks.iter().enumerate().map(|(i, task)| (task.id.as_str(), i)).collect();
        let mut files: HashMap<&str, usize> = HashMap::new();
        for (i, task) in tasks.iter().enumerate() {
            for (list, reads) in [(&task.input_files, true), (&task.output_files, false)] {
                for name in list {
                    let file = *files
                        .entry(name)
                        .or_insert_with(|| flow.add(format!("wf:{}/{name}", file.name)));
                    if reads { flow.edge(i, file) } else { flow.edge(file, i) }
                }
            }
        }
        for (i, task) in tasks.iter().enumerate() {
            for parent in task.parents.iter().map(|parent| by_id[parent.as_str()]) {
                let by_file =
                    tasks[parent].output_files.iter().any(|file| task.input_files.contains(file));
                if !by_file {
                    flow.edge(i, parent);
                }
            }
        }
        flow
    }

    fn add(&mut self, name: String) -> usize {
        self.names.push(name);
        self.up.push(Vec::new());
        self.down.push(Vec::new());
        self.names.len() - 1
    }

    /// `later` came from `earlier`.
    fn edge(&mut self, later: usize, earlier: usize) {
        self.up[later].push(earlier);
        self.down[earlier].push(later);
    }

    /// How many tasks there are.
    pub fn task_count(&self) -> usize {
        self.tasks
    }

    /// How many tasks and files there are: each is known by a number below it, tasks first.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The id of a task, or the URI of a file.
    pub fn name(&self, object: usize) -> &str {
        &self.names[object]
    }

    /// Whether it is a task.
    pub fn is_task(&self, object: usize) -> bool {
        object < self.tasks
    }

    /// URIs of all files.
    pub fn data(&self) -> BTreeSet<&str> {
        self.names[self.tasks..].iter().map(String::as_str).collect()
    }

    /// Everything that an object came from, or that came of it; the object itself left out.
    pub fn closure(&self, object: usize, way: Way) -> Names {
        let next = match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        };
        let mut seen = vec![false; self.len()];
        seen[object] = true;
        let mut front = vec![object];
        let mut found = Names::default();
        while let Some(at) = front.pop() {
            for &neighbour in &next[at] {
                if !std::mem::replace(&mut seen[neighbour], true) {
                    front.push(neighbour);
                    let name = self.names[neighbour].clone();
                    let set =
                        if self.is_task(neighbour) { &mut found.tasks } else { &mut found.data };
                    set.insert(name);
                }
            }
        }
        found
    }
}

// ------------------------------------------------------------------ a generator

/// What a generated workflow looks like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Independent lanes; tasks of one lane build on each other.
    pub lanes: usize,
    /// Tasks of a lane, one after the other.
    pub steps: usize,
    /// Input files of one further task at the end; 0 for no such task.
    pub fan_in: usize,
    /// Parents without a file of another further task at the end; 0 for no such task.
    pub waits_for: usize,
}

/// Decorations of names that break whoever does not quote.
const ODD: [&str; 8] = [
    "",
    " with space",
    " \"quoted\"",
    " l'été",
    " 深度",
    " a/b#c?d=e&f",
    " 100%",
    " \\back$(slash)",
];

/// A small generator of numbers (SplitMix64): the same seed gives the same workflow.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).expect("below the sides")
    }
}

struct Made {
    id: String,
    parents: Vec<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

/// Writes a generated workflow and gives the number of its tasks.
///
/// # Panics
/// When the file can't be written.
pub fn generate(path: &Path, seed: u64, shape: Shape) -> usize {
    let mut dice = Dice(seed);
    let mut tasks: Vec<Made> = Vec::new();
    for lane in 0..shape.lanes {
        let first = tasks.len();
        for step in 0..shape.steps {
            let task = lane_task(&tasks, first, (lane, step), &mut dice);
            tasks.push(task);
        }
    }
    let files: Vec<String> = tasks.iter().flat_map(|task| task.outputs.clone()).collect();
    if shape.fan_in > 0 {
        tasks.push(fan_in(&tasks, &files[..shape.fan_in]));
    }
    if shape.waits_for > 0 {
        let parents = tasks[..shape.waits_for].iter().map(|task| task.id.clone()).collect();
        let outputs = vec!["all is quiet".to_owned()];
        tasks.push(Made { id: "wait for all".into(), parents, inputs: Vec::new(), outputs });
    }
    let count = tasks.len();
    std::fs::write(path, as_wfformat(&tasks).to_string()).expect("the trace is written");
    count
}

/// A task that reads of one or two before it in its lane, or only waits for one.
fn lane_task(tasks: &[Made], first: usize, (lane, step): (usize, usize), dice: &mut Dice) -> Made {
    let odd = ODD[dice.roll(ODD.len())];
    let outputs = (0..1 + dice.roll(2)).map(|n| format!("out {lane}-{step}-{n}{odd}")).collect();
    let mut made = Made {
        id: format!("step{}_{lane}_{step}{odd}", step % 3),
        parents: Vec::new(),
        inputs: vec![format!("given {lane}-{}", dice.roll(5))],
        outputs,
    };
    for _ in 0..if step == 0 { 0 } else { 1 + dice.roll(2) } {
        let parent = &tasks[first + step - 1 - dice.roll(step.min(4))];
        if made.parents.contains(&parent.id) {
            continue;
        }
        made.parents.push(parent.id.clone());
        if dice.roll(4) > 0 {
            made.inputs.push(parent.outputs[dice.roll(parent.outputs.len())].clone());
        }
    }
    made
}

fn fan_in(tasks: &[Made], inputs: &[String]) -> Made {
    let makes = |task: &&Made| task.outputs.iter().any(|output| inputs.contains(output));
    Made {
        id: "read everything".into(),
        parents: tasks.iter().filter(makes).map(|task| task.id.clone()).collect(),
        inputs: inputs.to_vec(),
        outputs: vec!["the whole \"picture\"".into()],
    }
}

fn as_wfformat(tasks: &[Made]) -> Value {
    const MACHINES: [&str; 3] = ["north", "south", "east wing"];
    let specified = tasks.iter().map(|task| {
        json!({
            "id": task.id, "name": task.id.split('_').next(), "parents": task.parents,
            "children": [], "inputFiles": task.inputs, "outputFiles": task.outputs,
        })
    });
    let executed = tasks.iter().enumerate().map(|(i, task)| {
        let machine = MACHINES[i % MACHINES.len()];
        json!({ "id": task.id, "runtimeInSeconds": 1.5 + i as f64, "machines": [machine] })
    });
    let files: BTreeSet<&String> =
        tasks.iter().flat_map(|task| task.inputs.iter().chain(&task.outputs)).collect();
    let files = files.into_iter().map(|id| json!({ "id": id, "sizeInBytes": id.len() }));
    let machines = MACHINES.map(|name| json!({ "nodeName": name }));
    json!({
        "name": "generated flow", "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": specified.collect::<Vec<_>>(), "files": files.collect::<Vec<_>>(),
            },
            "execution": { "tasks": executed.collect::<Vec<_>>(), "machines": machines },
        },
    })
}
