//! `componentize IN OUT.wasm [MAX_BYTES]` makes the component OUT.wasm of a core module that
//! wit-bindgen's bindings are linked into, and refuses it if it imports what a Grange host does not
//! give or is larger than MAX_BYTES. An IN that ends in `.wat` is only assembled. Beside the output
//! goes `OUT.wasm.blake3`, in the form of b3sum.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_component::{ComponentEncoder, DecodedWasm};

/// The packages a component may import from.
const ALLOWED: [&str; 6] = ["wasi:cli", "wasi:clocks", "wasi:http", "wasi:io", "wasi:keyvalue", "wasi:random"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, max) = match arguments.as_slice() {
        [input, output] => (input, output, usize::MAX),
        [input, output, max] => (input, output, max.parse().context("MAX_BYTES")?),
        _ => bail!("usage: componentize IN OUT.wasm [MAX_BYTES]"),
    };
    let output = Path::new(output);
    let name = output.file_name().and_then(|n| n.to_str()).context("OUT.wasm has no name")?;

    let bytes = fs::read(input).with_context(|| input.clone())?;
    let (wasm, imports) = if input.ends_with(".wat") {
        (wat::parse_bytes(&bytes)?.into_owned(), Vec::new())
    } else {
        let component = ComponentEncoder::default().validate(true).module(&bytes)?.encode()?;
        let imports = imports(&component)?;
        (component, imports)
    };
    for import in &imports {
        if !ALLOWED.iter().any(|package| import.starts_with(&format!("{package}/"))) {
            bail!("{name} imports {import}, which a Grange host does not give");
        }
    }
    if wasm.len() > max {
        bail!("{name} has {} bytes, more than {max}", wasm.len());
    }

    let hash = blake3::hash(&wasm).to_hex();
    fs::write(output, &wasm)?;
    fs::write(output.with_file_name(format!("{name}.blake3")), format!("{hash}  {name}\n"))?;
    println!("{hash}  {name}  {} bytes", wasm.len());
    for import in imports {
        println!("  import {import}");
    }
    Ok(())
}

fn imports(component: &[u8]) -> Result<Vec<String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("not a component");
    };
    Ok(resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect())
}
