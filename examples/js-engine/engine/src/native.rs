//! What the prelude needs of the host, as functions of one object.

use rquickjs::{Ctx, Exception, Function, Object, Result, TypedArray};

use crate::bindings::wasi::cli::{stderr, stdout};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::keyvalue::atomics;
use crate::bindings::wasi::keyvalue::store::{self, Bucket};
use crate::bindings::wasi::random::random;
use crate::outgoing;

/// Random bytes of one call, as browsers have it.
const RANDOM_BYTES: u32 = 65_536;

/// The object that every part of the prelude is given.
pub(crate) fn natives<'js>(ctx: &Ctx<'js>) -> Result<Object<'js>> {
    let natives = Object::new(ctx.clone())?;
    let set = |name: &str, function: Result<Function<'js>>| natives.set(name, function?);
    set("log", Function::new(ctx.clone(), |level: String, text: String| log(&level, text)))?;
    set("encode", Function::new(ctx.clone(), |ctx: Ctx<'js>, text: String| TypedArray::new(ctx, text)))?;
    set("decode", Function::new(ctx.clone(), decode))?;
    set("random", Function::new(ctx.clone(), entropy))?;
    set("sleep", Function::new(ctx.clone(), sleep))?;
    set("call", Function::new(ctx.clone(), outgoing::call))?;
    set("get", Function::new(ctx.clone(), get))?;
    set("set", Function::new(ctx.clone(), put))?;
    set("delete", Function::new(ctx.clone(), delete))?;
    set("increment", Function::new(ctx.clone(), increment))?;
    set("keys", Function::new(ctx.clone(), keys))?;
    Ok(natives)
}

/// Headers as the prelude passes them: name, value, name, value.
pub(crate) fn flat(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect()
}

/// The inverse of [`flat`].
pub(crate) fn pairs(flat: Vec<String>) -> Vec<(String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(|| flat.next().zip(flat.next())).collect()
}

/// Writes to the service's log.
pub(crate) fn log(level: &str, mut text: String) {
    text.push('\n');
    let stream = if level == "error" { stderr::get_stderr() } else { stdout::get_stdout() };
    // A write takes 4 KiB. A log that is gone is no reason to fail.
    let _ = text.as_bytes().chunks(4_096).try_for_each(|chunk| stream.blocking_write_and_flush(chunk));
}

/// A byte array's bytes.
pub(crate) fn bytes(ctx: &Ctx<'_>, array: &TypedArray<'_, u8>) -> Result<Vec<u8>> {
    // SAFETY: no script runs before they are copied, so nothing changes or frees them meanwhile.
    let copied = unsafe { array.as_bytes() }.map(<[u8]>::to_vec);
    copied.ok_or_else(|| Exception::throw_type(ctx, "the buffer is detached"))
}

fn decode<'js>(ctx: Ctx<'js>, array: TypedArray<'js, u8>, fatal: bool) -> Result<String> {
    match String::from_utf8(bytes(&ctx, &array)?) {
        Ok(text) => Ok(text),
        Err(_) if fatal => Err(Exception::throw_type(&ctx, "the bytes are not UTF-8")),
        Err(error) => Ok(String::from_utf8_lossy(error.as_bytes()).into_owned()),
    }
}

fn entropy(ctx: Ctx<'_>, length: u32) -> Result<TypedArray<'_, u8>> {
    if length > RANDOM_BYTES {
        return Err(Exception::throw_range(&ctx, "at most 65536 random bytes at once"));
    }
    TypedArray::new(ctx, random::get_random_bytes(length.into()))
}

fn sleep(milliseconds: f64) {
    // A conversion from floating point saturates.
    monotonic_clock::subscribe_duration((milliseconds * 1e6) as u64).block();
}

// ---- The store ----

/// The deployment's bucket. Hosts name the one they give either "default" or nothing at all.
fn bucket(ctx: &Ctx<'_>) -> Result<Bucket> {
    let opened = match store::open("default") {
        Err(store::Error::NoSuchStore) => store::open(""),
        opened => opened,
    };
    told(ctx, opened)
}

fn told<T>(ctx: &Ctx<'_>, result: std::result::Result<T, store::Error>) -> Result<T> {
    result.map_err(|error| {
        let why = match &error {
            store::Error::NoSuchStore => "there is none",
            store::Error::AccessDenied => "access denied",
            store::Error::Other(why) => why,
        };
        Exception::throw_message(ctx, &format!("the store failed: {why}"))
    })
}

fn get<'js>(ctx: Ctx<'js>, key: String) -> Result<Option<TypedArray<'js, u8>>> {
    let value = told(&ctx, bucket(&ctx)?.get(&key))?;
    value.map(|value| TypedArray::new(ctx, value)).transpose()
}

fn put<'js>(ctx: Ctx<'js>, key: String, value: TypedArray<'js, u8>) -> Result<()> {
    told(&ctx, bucket(&ctx)?.set(&key, &bytes(&ctx, &value)?))
}

fn delete(ctx: Ctx<'_>, key: String) -> Result<()> {
    told(&ctx, bucket(&ctx)?.delete(&key))
}

/// Adds to a number in the store, whoever else does so at the same time.
fn increment(ctx: Ctx<'_>, key: String, by: f64) -> Result<f64> {
    // Numbers of JavaScript are whole up to 2^53, and this store only counts up.
    told(&ctx, atomics::increment(&bucket(&ctx)?, &key, by as u64)).map(|sum| sum as f64)
}

fn keys(ctx: Ctx<'_>, prefix: String) -> Result<Vec<String>> {
    let bucket = bucket(&ctx)?;
    let (mut keys, mut cursor) = (Vec::new(), None);
    loop {
        let page = told(&ctx, bucket.list_keys(cursor))?;
        keys.extend(page.keys.into_iter().filter(|key| key.starts_with(&prefix)));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    // The store lists keys in any order, and pages may overlap while others write.
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}
