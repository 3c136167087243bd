//! Files: the same rows, in parts that never change, whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use sha2::{Digest, Sha256};
use tally_analytics::export::{BadManifest, Encoding, Exported, MANIFEST, Manifest, export};
use tally_analytics::{ExportError, Kind, Tables, Value, schema};

use crate::history::{History, Step, ask, files, origin, tables_of};

const PART: u64 = 32;

fn write(tables: &Tables, out: &Path, encoding: Encoding) -> Exported {
    export(tables, out, encoding, Some(PART), &mut |_, _| {}).expect("exports")
}

fn manifest(out: &Path) -> Manifest {
    let text = fs::read_to_string(out.join(MANIFEST)).expect("a manifest");
    let manifest = Manifest::parse(&text).expect("a manifest");
    assert_eq!(manifest.to_json(), text);
    manifest
}

/// Every file is named, has the digest that is said, and nothing else lies there.
fn check_files(out: &Path) {
    let mut found = files(out);
    found.remove(MANIFEST).expect("the manifest");
    for table in manifest(out).tables {
        for part in table.parts {
            let bytes = found.remove(&part.file).expect("it is there");
            assert_eq!(bytes.len() as u64, part.bytes);
            assert_eq!(hex::encode(Sha256::digest(&bytes)), part.sha256);
        }
    }
    assert!(found.is_empty(), "{:?}", found.keys());
}

#[test]
fn parts_are_added_and_whole_ones_never_change() {
    for encoding in [Encoding::Parquet, Encoding::Jsonl] {
        let (history, out) = (History::whole(), tempfile::tempdir().expect("a directory"));
        let mut whole: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for size in [0, 10, 10, 32, 33, 100, history.size()] {
            let tables = tables_of(&history, size);
            let done = write(&tables, out.path(), encoding);
            assert_eq!(done.size, size);
            check_files(out.path());
            let now = files(out.path());
            for (file, bytes) in &whole {
                assert_eq!(now.get(file), Some(bytes), "{file}");
            }
            whole = now;
            whole.retain(|file, _| is_whole(file));
            let again = write(&tables, out.path(), encoding);
            assert_eq!((again.files_written, again.rows), (0, done.rows));
        }
        // In one go it comes to the same files.
        let once = tempfile::tempdir().expect("a directory");
        write(&tables_of(&history, history.size()), once.path(), encoding);
        assert_eq!(files(once.path()), files(out.path()));
    }
}

fn is_whole(file: &str) -> bool {
    let Some((_, range)) = file.split_once("part-") else { return false };
    let mut numbers = range.split(['-', '.']).filter_map(|number| number.parse::<u64>().ok());
    numbers.next().zip(numbers.next()).is_some_and(|(from, to)| to - from == PART)
}

#[test]
fn rows_of_files_are_rows_of_sql() {
    let (history, out) = (History::whole(), tempfile::tempdir().expect("a directory"));
    let mut tables = tables_of(&history, history.size());
    write(&tables, &out.path().join("p"), Encoding::Parquet);
    write(&tables, &out.path().join("j"), Encoding::Jsonl);
    for table in schema() {
        let columns = table.exported_columns();
        let names = columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ");
        let (stored, begins) = (table.stored(), table.begins());
        let sql = format!("SELECT {names} FROM {stored} ORDER BY {begins}, rowid");
        let expected = ask(&mut tables, &sql, None).rows;
        assert!(!expected.is_empty());
        let of = |out: &Path| {
            let found = manifest(out).tables.into_iter().find(|found| found.name == table.name);
            found.expect("it is there").parts
        };

        let mut lines = String::new();
        for part in of(&out.path().join("j")) {
            lines += &fs::read_to_string(out.path().join("j").join(part.file)).expect("a file");
        }
        let json = expected.iter().map(|row| {
            let pairs = columns.iter().zip(row);
            let pairs =
                pairs.map(|(column, value)| (column.name.to_owned(), value.clone().to_json()));
            serde_json::Value::Object(pairs.collect()).to_string()
        });
        assert_eq!(lines.lines().collect::<Vec<_>>(), json.collect::<Vec<_>>());

        let mut rows: Vec<Vec<Value>> = Vec::new();
        for part in of(&out.path().join("p")) {
            let file = fs::File::open(out.path().join("p").join(part.file)).expect("a file");
            let reader = SerializedFileReader::new(file).expect("Parquet");
            for row in reader.get_row_iter(None).expect("rows") {
                let row = row.expect("a row");
                let fields = row.get_column_iter().zip(&columns);
                rows.push(fields.map(|((_, field), column)| value(field, column.kind)).collect());
            }
        }
        assert_eq!(rows, expected, "{}", table.name);
    }
}

fn value(field: &Field, kind: Kind) -> Value {
    match (field, kind) {
        (Field::Null, _) => Value::Null,
        (Field::Long(number), Kind::Integer) => Value::Integer(*number),
        (Field::TimestampMicros(time), Kind::Time) => Value::Integer(*time),
        (Field::Bool(flag), Kind::Flag) => Value::Integer((*flag).into()),
        (Field::Str(text), Kind::Text | Kind::Id | Kind::Agent | Kind::Json) => {
            Value::Text(text.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// An export that was stopped anywhere, or lost files, is completed.
#[test]
fn what_is_missing_is_written_again() {
    let (history, out) = (History::whole(), tempfile::tempdir().expect("a directory"));
    let tables = tables_of(&history, history.size());
    write(&tables, out.path(), Encoding::Parquet);
    let before = files(out.path());
    for (at, file) in before.keys().enumerate().filter(|(at, _)| at % 7 == 0) {
        let path = out.path().join(file);
        match at % 2 {
            0 => fs::remove_file(&path).expect("removed"),
            _ => fs::write(&path, "short").expect("cut"),
        }
    }
    write(&tables, out.path(), Encoding::Parquet);
    assert_eq!(files(out.path()), before);
}

#[test]
fn another_export_is_not_written_over() {
    let (history, out) = (History::whole(), tempfile::tempdir().expect("a directory"));
    let tables = tables_of(&history, 50);
    write(&tables, out.path(), Encoding::Parquet);
    let before = files(out.path());
    let refused = |tables: &Tables, encoding, what: &str| {
        let error = export(tables, out.path(), encoding, None, &mut |_, _| {}).expect_err(what);
        assert!(matches!(&error, ExportError::Other { .. }), "{error:?}");
        assert!(error.to_string().contains(what), "{error}");
        assert_eq!(files(out.path()), before);
    };
    refused(&tables, Encoding::Jsonl, "other tables");
    refused(&tables_of(&history, 20), Encoding::Parquet, "50 events were exported");
    let steps: Vec<Step> = (0..=255).map(|n: u8| (n, n, 1, n)).collect();
    let other = History::of(&steps);
    assert!(other.size() >= 50, "{}", other.size());
    refused(&tables_of(&other, other.size()), Encoding::Parquet, "another history");
    fs::write(out.path().join(MANIFEST), "{}").expect("written");
    let error = export(&tables, out.path(), Encoding::Parquet, None, &mut |_, _| {});
    assert!(matches!(error, Err(ExportError::Other { .. })));
}

#[test]
fn a_manifest_names_only_what_an_export_makes() {
    let (history, out) = (History::whole(), tempfile::tempdir().expect("a directory"));
    write(&tables_of(&history, 70), out.path(), Encoding::Parquet);
    let good = manifest(out.path());
    assert_eq!(good.origin, origin().to_string());
    let refused = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        Manifest::parse(&manifest.to_json()).expect_err("refused")
    };
    for change in [
        &|manifest: &mut Manifest| manifest.tables[0].parts[0].file = "../../x".into(),
        &|manifest: &mut Manifest| manifest.tables[0].parts[1].from = 5,
        &|manifest: &mut Manifest| drop(manifest.tables[0].parts.pop()),
        &|manifest: &mut Manifest| manifest.size += 1,
        &|manifest: &mut Manifest| {
            let part = manifest.tables[0].parts[0].clone();
            manifest.tables[0].parts.push(part);
        },
    ] as [&dyn Fn(&mut Manifest); 5]
    {
        assert!(matches!(refused(change), BadManifest::Parts { .. }));
    }
    let zero = refused(&|manifest| manifest.part_events = 0);
    assert_eq!(zero, BadManifest::Field { field: "part_events" });
    let format = refused(&|manifest| manifest.format = "v9".into());
    assert_eq!(format, BadManifest::Format("v9".into()));
    assert_eq!(
        refused(&|manifest| manifest.chain = "x".into()),
        BadManifest::Field { field: "chain" }
    );
}
