//! The JavaScript world: how it is made, and how a request goes through it.

use std::collections::BTreeMap;

use rquickjs::{
    CatchResultExt as _, CaughtError, Context, Ctx, Exception, FromJs, Function, Module, Object, Persistent, Promise,
    Result, Runtime, TypedArray, Value,
};

use crate::native;
use crate::wire::{Answer, Request};

/// What a script finds around it. Each is a function of what `native.rs` offers, and puts its classes and functions
/// among the global ones; the last gives back how a request is served.
const PRELUDE: [(&str, &str); 4] = [
    ("text.js", include_str!("prelude/text.js")),
    ("url.js", include_str!("prelude/url.js")),
    ("http.js", include_str!("prelude/http.js")),
    ("service.js", include_str!("prelude/service.js")),
];

/// How deep a script may call, in bytes of this memory's stack: about 450 calls. The host has a stack of its own beside
/// it, for 600 at least of what was tried; who reaches its end gets a trap, where this gives a RangeError.
const STACK_BYTES: usize = 128 << 10;

/// A JavaScript world, and the way into it.
pub(crate) struct Engine {
    context: Context,
    /// `serve` of `service.js`.
    serve: Persistent<Function<'static>>,
    /// `tick` of `service.js`: waits for the next timer and fires it; false if there is none.
    tick: Persistent<Function<'static>>,
    // Dropped after what is in it, but in fact never.
    _runtime: Runtime,
}

impl Engine {
    pub(crate) fn new() -> std::result::Result<Self, String> {
        let runtime = Runtime::new().map_err(|error| error.to_string())?;
        runtime.set_max_stack_size(STACK_BYTES);
        let context = Context::full(&runtime).map_err(|error| error.to_string())?;
        let (serve, tick) = context.with(|ctx| prelude(&ctx).catch(&ctx).map_err(|error| error.to_string()))?;
        Ok(Self { context, serve, tick, _runtime: runtime })
    }

    /// Loads the script and lets it answer. An error is for the log: what went wrong and where.
    pub(crate) fn answer(
        &self,
        script: &str,
        variables: &[(String, String)],
        request: &Request,
    ) -> std::result::Result<Answer, String> {
        self.context.with(|ctx| self.try_answer(&ctx, script, variables, request).catch(&ctx).map_err(|e| describe(&e)))
    }

    fn try_answer<'js>(
        &self,
        ctx: &Ctx<'js>,
        script: &str,
        variables: &[(String, String)],
        request: &Request,
    ) -> Result<Answer> {
        let (module, loaded) = Module::declare(ctx.clone(), "script.js", script)?.eval()?;
        self.settle::<Value>(ctx, &loaded)?;
        let variables: BTreeMap<_, _> = variables.iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = TypedArray::new(ctx.clone(), &*request.body)?;
        let serve = self.serve.clone().restore(ctx)?;
        let promise: Promise = serve.call((
            module.namespace()?,
            &*request.method,
            &*request.url,
            native::flat(&request.headers),
            body,
            variables,
        ))?;
        let answer: Object = self.settle(ctx, &promise)?;
        let body: Option<TypedArray<u8>> = answer.get("body")?;
        Ok(Answer {
            status: answer.get("status")?,
            headers: native::pairs(answer.get("headers")?),
            body: body.map(|body| native::bytes(ctx, &body)).transpose()?.unwrap_or_default(),
        })
    }

    /// Runs what there is to run until the promise is settled.
    fn settle<'js, T: FromJs<'js>>(&self, ctx: &Ctx<'js>, promise: &Promise<'js>) -> Result<T> {
        let tick = self.tick.clone().restore(ctx)?;
        loop {
            while ctx.execute_pending_job() {}
            if let Some(result) = promise.result() {
                return result;
            }
            if !tick.call::<_, bool>(())? {
                return Err(Exception::throw_message(ctx, "the script waits for a promise that nothing can settle"));
            }
        }
    }
}

type Prepared = (Persistent<Function<'static>>, Persistent<Function<'static>>);

fn prelude(ctx: &Ctx<'_>) -> Result<Prepared> {
    let natives = native::natives(ctx)?;
    for (name, source) in PRELUDE {
        let mut options = rquickjs::context::EvalOptions::default();
        options.filename = Some(name.to_owned());
        let part: Function = ctx.eval_with_options(source, options)?;
        part.call::<_, ()>((natives.clone(),))?;
    }
    let (serve, tick): (Function, Function) = (natives.get("serve")?, natives.get("tick")?);
    Ok((Persistent::save(ctx, serve), Persistent::save(ctx, tick)))
}

/// What was thrown, as its author wants to read it: what it is, and where it came from.
fn describe(error: &CaughtError<'_>) -> String {
    match error {
        CaughtError::Error(error) => error.to_string(),
        CaughtError::Exception(thrown) => {
            let name = thrown.as_object().get::<_, String>("name").unwrap_or_else(|_| "Error".to_owned());
            let message = thrown.message().unwrap_or_default();
            let stack = thrown.stack().unwrap_or_default();
            format!("{name}: {message}\n{}", stack.trim_end()).trim_end().to_owned()
        }
        CaughtError::Value(value) => {
            let json = value.ctx().json_stringify(value.clone()).ok().flatten();
            let text = json.and_then(|text| text.to_string().ok());
            format!("the script threw {}", text.as_deref().unwrap_or(value.type_name()))
        }
    }
}
