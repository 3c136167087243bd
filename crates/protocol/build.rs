//! Generates the wire form of envelopes and messages; no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let proto = "../../proto";
    println!("cargo:rerun-if-changed={proto}");
    let files = protox::compile(["tally/v1/envelope.proto"], [proto])?;
    // What is signed is passed on as it came, without a copy.
    prost_build::Config::new().bytes([".tally.v1.SignedEnvelope"]).compile_fds(files)?;
    Ok(())
}
