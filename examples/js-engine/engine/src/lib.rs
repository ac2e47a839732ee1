//! QuickJS as a wasi:http component: it serves what a script in its environment says.
//!
//! The script is an ECMAScript module in the variable `SCRIPT`; its default export has a method `fetch` that makes a
//! `Response` of a `Request`. What the script finds around it is in `prelude/`; what that needs of the host is in
//! `native.rs`.
//!
//! Every request gets a fresh instance of this component. So that it need not make a JavaScript world each time, that
//! is made once, when the component is built, and the memory as it is then is the memory an instance starts with (see
//! `../snapshot`). Nothing that differs from one request to the next may be looked at before: `prepare` runs without a
//! clock, random numbers or an environment.

mod bindings {
    wit_bindgen::generate!({
        path: "../../guestbook/component/wit",
        inline: "
            package grange:js-engine;
            world engine {
                include wasi:http/proxy@0.2.12;
                import wasi:cli/environment@0.2.12;
                import wasi:keyvalue/store@0.2.0-draft;
                import wasi:keyvalue/atomics@0.2.0-draft;
            }
        ",
        world: "grange:js-engine/engine",
        generate_all,
    });
}

mod engine;
mod libc;
mod native;
mod outgoing;
mod wire;

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::cli::environment;
use bindings::wasi::http::types::{IncomingRequest, Method, ResponseOutparam};
use engine::Engine;

thread_local! {
    /// Made by `prepare`; a component has one thread.
    static ENGINE: Engine = Engine::new().unwrap_or_else(|error| panic!("{error}"));
}

/// Makes the JavaScript world. Called once, when the component is built.
#[unsafe(export_name = "prepare")]
extern "C" fn prepare() {
    ENGINE.with(|_| ());
    libc::start_clock();
}

/// The variable that holds the script.
const SCRIPT: &str = "SCRIPT";

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let head = matches!(request.method(), Method::Head);
        let answer = match wire::read(request) {
            Ok(request) => answer(&request),
            Err(refused) => refused,
        };
        wire::send(out, answer, head);
    }
}

fn answer(request: &wire::Request) -> wire::Answer {
    let (mut script, mut variables) = (None, Vec::new());
    for (name, value) in environment::get_environment() {
        if name == SCRIPT {
            script = Some(value);
        } else {
            variables.push((name, value));
        }
    }
    let answer = match script {
        Some(script) => ENGINE.with(|engine| engine.answer(&script, &variables, request)),
        None => Err(format!("there is no script: the variable {SCRIPT} is not set")),
    };
    answer.unwrap_or_else(|message| {
        native::log("error", message);
        wire::Answer::failed()
    })
}
