//! Generates the wire form of envelopes and messages, and which numbers their fields have; no
//! `protoc` is needed.

use std::fmt::Write as _;

use heck::ToSnakeCase as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile(["tally/v1/envelope.proto"], [proto])?;
    let numbers = std::path::Path::new(&std::env::var("OUT_DIR")?).join("numbers.rs");
    std::fs::write(numbers, numbers_of(&files))?;
    // What is signed is passed on as it came, without a copy.
    prost_build::Config::new().bytes([".tally.v1.SignedEnvelope"]).compile_fds(files)?;
    Ok(())
}

/// `impl Numbered` for every message: the names of its fields with their numbers.
fn numbers_of(files: &FileDescriptorSet) -> String {
    let mut code = String::new();
    for message in files.file.iter().flat_map(|file| &file.message_type) {
        add_numbers("crate::wire", message, &mut code);
    }
    code
}

fn add_numbers(module: &str, message: &DescriptorProto, code: &mut String) {
    let fields = message.field.iter().flat_map(|field| {
        // A member of a oneof is found by the oneof's name, too.
        let oneof = field.oneof_index.and_then(|index| message.oneof_decl.get(index as usize));
        let names = [Some(field.name()), oneof.map(|oneof| oneof.name())];
        names.into_iter().flatten().map(|name| format!("({name:?}, {})", field.number()))
    });
    let (name, fields) = (message.name(), fields.collect::<Vec<_>>().join(", "));
    writeln!(
        code,
        "impl Numbered for {module}::{name} {{\n    \
             const FIELDS: &'static [(&'static str, u32)] = &[{fields}];\n}}"
    )
    .expect("a string takes everything");
    let module = format!("{module}::{}", name.to_snake_case());
    message.nested_type.iter().for_each(|nested| add_numbers(&module, nested, code));
}
