//! Compiles `proto/` without `protoc`, and keeps the descriptors for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let packages = ["proto/posthorn/v1", "proto/posthorn/node/v1"].map(fs::read_dir);
    let mut files = Vec::<PathBuf>::new();
    for package in packages {
        for entry in package? {
            files.push(entry?.path());
        }
    }
    let descriptors = protox::compile(files, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("posthorn.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    // What is long beside the rest of its message, and passed on with it many times.
    config.boxed(".posthorn.node.v1.Outcome.trace");
    // Its errors are made by the same crate.
    config.extern_path(".google.rpc", "::tonic_types::pb");
    tonic_prost_build::configure()
        .bytes(".posthorn")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
