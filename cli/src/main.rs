//! The one binary, grange: a client of the API that also starts nodes.
//!
//! # Rules
//! - stdout is data, stderr is progress and errors. Under `--json`, stdout is JSON (a stream is one object a line),
//!   and stderr is empty, or exactly one problem.
//! - The exit code is the problem's: 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 limit reached, 7 no
//!   offer, 8 timeout. Whoever reads our output may leave at any time; that is no failure.
//! - Nothing is asked where there is no terminal. Every wait says what for, how long already, and how long at most.
//! - Requests are made of `grange_api::Call`; no path is spelled here.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod arguments;
mod choice;
mod client;
mod command;
mod dev;
mod failure;
mod folders;
mod machine;
mod node_process;
mod output;
mod ports;
mod process;
mod project;
mod registry;
mod secret;
mod stop_signal;
mod table;
mod tour;
mod up;
mod wrong_arguments;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, Command};
use command::Context;
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error, &words),
    };
    if let Command::CompileComponent { input, output } = &arguments.command {
        return up::compile(input, output);
    }
    let output = Output::new(arguments.global.json);
    let context = Context { global: &arguments.global, output };
    let outcome = command::run(context, &arguments.command);
    // Ctrl-C may come at the very end; two would then say how it went.
    stop_signal::take_last_word();
    match outcome {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Problem(problem)) => {
            output.problem(&problem);
            ExitCode::from(problem.exit)
        }
    }
}

/// Help and version are data; everything else is a mistake.
fn refuse(error: &clap::Error, words: &[String]) -> ExitCode {
    let json = words.iter().skip(1).take_while(|word| *word != "--").any(|word| word == "--json");
    let is_data = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // Who typed no command is shown which there are.
    if is_data || (!json && error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
        // A reader who has left is no failure.
        let _ = error.print();
    }
    if is_data {
        return ExitCode::SUCCESS;
    }
    let problem = wrong_arguments::problem(error, words);
    Output::new(json).problem(&problem);
    ExitCode::from(problem.exit)
}
