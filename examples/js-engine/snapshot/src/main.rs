//! `snapshot IN OUT FUNCTION` calls FUNCTION of the core module IN once and writes OUT: the same module, but its
//! memory starts as the call left it, and FUNCTION is no longer exported. The module may import what it likes, but the
//! function must call nothing of it: there is no host here, so what is kept cannot depend on one.

use std::fs;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, anyhow, bail};
use wasmi::{Engine, ExternType, Func, Instance, Linker, Module, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, function] = arguments.as_slice() else { bail!("usage: snapshot IN OUT FUNCTION") };
    let module = fs::read(input).with_context(|| input.clone())?;
    let mut wizer = Wizer::new();
    wizer.init_func(function.as_str());
    let (context, instrumented) = wizer.instrument(&module).map_err(|error| anyhow!("{error:?}"))?;
    let mut prepared = prepared(&instrumented, function)?;
    let snapshot = at_once(wizer.snapshot(&context, &mut prepared)).map_err(|error| anyhow!("{error:?}"))?;
    fs::write(output, &snapshot).with_context(|| output.clone())?;
    println!("{output}: {} bytes before, {} after", module.len(), snapshot.len());
    Ok(())
}

/// An instance whose preparation has run.
struct Prepared {
    store: Store<()>,
    instance: Instance,
}

fn prepared(module: &[u8], function: &str) -> Result<Prepared> {
    let engine = Engine::default();
    let module = Module::new(&engine, module)?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    for import in module.imports() {
        let name = format!("{} of {}", import.name(), import.module());
        let ExternType::Func(kind) = import.ty() else { bail!("{name} is imported and is no function") };
        let trap = Func::new(&mut store, kind.clone(), move |_, _, _| {
            Err(wasmi::Error::new(format!("{name} was called, but there is no host yet")))
        });
        linker.define(import.module(), import.name(), trap)?;
    }
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    instance.get_typed_func::<(), ()>(&store, function)?.call(&mut store, ())?;
    Ok(Prepared { store, instance })
}

impl InstanceState for Prepared {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        match self.instance.get_global(&self.store, name).map(|global| global.get(&self.store)) {
            Some(Val::I32(value)) => SnapshotVal::I32(value),
            Some(Val::I64(value)) => SnapshotVal::I64(value),
            Some(Val::F32(value)) => SnapshotVal::F32(value.to_bits()),
            Some(Val::F64(value)) => SnapshotVal::F64(value.to_bits()),
            other => panic!("the global {name} cannot be kept: {other:?}"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&self.store, name).unwrap_or_else(|| panic!("there is no memory {name}"));
        contents(memory.data(&self.store));
    }
}

/// The result of what waits for nothing: an instance of our own answers at once.
fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("it waits for something"),
    }
}
