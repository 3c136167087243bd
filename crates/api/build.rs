//! Generates the gRPC code and the descriptors for reflection; no `protoc` is needed.

use std::path::PathBuf;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost::Message;
use prost_types::DescriptorProto;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../proto";
    println!("cargo:rerun-if-changed={proto}");
    let services =
        ["ledger", "projection", "provenance"].map(|name| format!("tally/v1/{name}.proto"));
    let files = protox::compile(services, [proto])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;

    let mut builder = tonic_prost_build::configure()
        .bytes(".tally.v1.EventBatch")
        .bytes(".tally.v1.GetEventResponse")
        .bytes(".tally.v1.GetLogReceiptResponse")
        .bytes(".tally.v1.LogReceipt")
        .bytes(".tally.v1.ReplicateResponse")
        .bytes(".tally.v1.SignedTree")
        .bytes(".tally.v1.AppendStreamResponse")
        .extern_path(".tally.v1.AppendStreamRequest", "crate::stream::AppendStreamRequest");
    // What an author signs is generated in one place only.
    let envelope = files.file.iter().find(|file| file.name().ends_with("envelope.proto"));
    for message in &envelope.ok_or("envelope.proto is imported")?.message_type {
        for (name, path) in generated(message, ".tally.v1", "::tally_protocol::wire") {
            builder = builder.extern_path(name, path);
        }
    }
    builder.compile_fds(files)?;
    Ok(())
}

/// The protobuf name and the Rust path of a message and of everything inside it.
fn generated(message: &DescriptorProto, package: &str, module: &str) -> Vec<(String, String)> {
    let name = format!("{package}.{}", message.name());
    let inner = format!("{module}::{}", message.name().to_snake_case());
    let mut all =
        vec![(name.clone(), format!("{module}::{}", message.name().to_upper_camel_case()))];
    for nested in &message.nested_type {
        all.extend(generated(nested, &name, &inner));
    }
    for nested in &message.enum_type {
        let path = format!("{inner}::{}", nested.name().to_upper_camel_case());
        all.push((format!("{name}.{}", nested.name()), path));
    }
    all
}
