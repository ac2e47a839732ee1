//! What wrong arguments look like as a problem: the command as far as it was understood, the argument, what is wrong with
//! it, and what helps. The parser finds it; its words for it are not ours.

use std::error::Error;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use grange_api::{Problem, ProblemCode};

use crate::arguments::Arguments;
use crate::failure::chain;

/// What the parser found. `words` is all that was typed, the program's name first.
pub(crate) fn problem(error: &clap::Error, words: &[String]) -> Problem {
    let command = command(words);
    let operation = command.last().map_or_else(|| "grange".to_owned(), |_| command.join(" "));
    let thing = if lacks_command(error) { String::new() } else { thing(error) };
    let message = message(error, &thing);
    Problem::new(ProblemCode::Usage, operation, thing, message).with_remedy(remedy(error, &command))
}

/// Whether a command is all that is missing.
pub(crate) fn lacks_command(error: &clap::Error) -> bool {
    matches!(error.kind(), ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand)
}

/// The command as far as it was understood, a word each, such as `wallet send`.
fn command(words: &[String]) -> Vec<String> {
    let lenient = Arguments::command().ignore_errors(true);
    let Ok(matches) = lenient.try_get_matches_from(words) else { return Vec::new() };
    let below = std::iter::successors(matches.subcommand(), |(_, below)| below.subcommand());
    below.map(|(name, _)| name.to_owned()).collect()
}

/// The argument that is wrong.
fn thing(error: &clap::Error) -> String {
    let named = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand].map(|kind| texts(error, kind).join(" "));
    named.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

fn message(error: &clap::Error, thing: &str) -> String {
    let value = texts(error, ContextKind::InvalidValue).concat();
    let possible = texts(error, ContextKind::ValidValue).join(", ");
    match error.kind() {
        _ if lacks_command(error) => "a command is missing".to_owned(),
        ErrorKind::InvalidSubcommand => "there is no such command".to_owned(),
        ErrorKind::UnknownArgument if thing.starts_with('-') => "there is no such option".to_owned(),
        ErrorKind::UnknownArgument => "it is one argument too many".to_owned(),
        ErrorKind::MissingRequiredArgument if texts(error, ContextKind::InvalidArg).len() > 1 => {
            "they are missing".to_owned()
        }
        ErrorKind::MissingRequiredArgument => "it is missing".to_owned(),
        ErrorKind::InvalidValue if value.is_empty() && possible.is_empty() => "its value is missing".to_owned(),
        ErrorKind::InvalidValue if value.is_empty() => format!("its value is missing, one of: {possible}"),
        ErrorKind::InvalidValue => format!("`{value}` is none of: {possible}"),
        ErrorKind::ValueValidation => match error.source() {
            Some(reason) => format!("`{value}` is not taken: {}", chain(reason)),
            None => format!("`{value}` is not taken"),
        },
        ErrorKind::TooManyValues => format!("it takes no value, and was given `{value}`"),
        ErrorKind::ArgumentConflict => conflict(error, thing),
        _ => first_sentence(&error.render().to_string()),
    }
}

fn conflict(error: &clap::Error, thing: &str) -> String {
    let others = texts(error, ContextKind::PriorArg);
    match others.as_slice() {
        [] => "it does not go with the other arguments".to_owned(),
        [other] if other == thing => "it is given twice".to_owned(),
        others => format!("it does not go with {}", others.join(", ")),
    }
}

/// What was perhaps meant, or how the command is called; and who says more.
fn remedy(error: &clap::Error, command: &[String]) -> String {
    let words = ["grange"].into_iter().chain(command.iter().map(String::as_str)).chain(["--help"]);
    let see = format!("see `{}`", words.collect::<Vec<_>>().join(" "));
    let suggested = [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue];
    let meant: Vec<String> = suggested.into_iter().flat_map(|kind| texts(error, kind)).collect();
    if !meant.is_empty() {
        let meant: Vec<String> = meant.into_iter().map(|word| format!("`{word}`")).collect();
        return format!("did you mean {}? {see}", meant.join(" or "));
    }
    let tips = texts(error, ContextKind::Suggested);
    if !tips.is_empty() {
        return format!("{}; {see}", tips.join("; ").replace('\'', "`"));
    }
    let usage = texts(error, ContextKind::Usage).concat();
    match usage.lines().next().and_then(|line| line.trim().strip_prefix("Usage: ")) {
        Some(usage) if error.kind() == ErrorKind::MissingRequiredArgument => format!("usage: {usage}; {see}"),
        _ => see,
    }
}

/// What the parser knows of one kind, in plain text.
fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// For what no command of ours can come to: the parser's own words, in one line.
fn first_sentence(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[track_caller]
    fn check(line: &str, expected: &str, remedy: &str) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = Arguments::try_parse_from(&words).expect_err("the arguments are wrong");
        let problem = problem(&error, &words);
        assert_eq!((problem.code, problem.exit), (ProblemCode::Usage, 2), "{line}");
        assert_eq!((problem.to_string().as_str(), problem.remedy.as_str()), (expected, remedy), "{line}");
    }

    #[test]
    fn what_does_not_exist_is_told_with_what_was_perhaps_meant() {
        check("grange deplot", "grange deplot: there is no such command", "did you mean `deploy`? see `grange --help`");
        check(
            "grange wallet snd",
            "wallet snd: there is no such command",
            "did you mean `send`? see `grange wallet --help`",
        );
        check("grange help deplot", "grange deplot: there is no such command", "see `grange --help`");
        check(
            "grange --json status --colour",
            "status --colour: there is no such option",
            "see `grange status --help`",
        );
        check("grange --bad ps", "grange --bad: there is no such option", "see `grange --help`");
        check(
            "grange dev --detached",
            "dev --detached: there is no such option",
            "did you mean `--detach`? see `grange dev --help`",
        );
        check("grange down a b", "down b: it is one argument too many", "see `grange down --help`");
        check(
            "grange ps --colour",
            "ps --colour: there is no such option",
            "to pass `--colour` as a value, use `-- --colour`; see `grange ps --help`",
        );
    }

    #[test]
    fn what_is_missing_is_told_with_how_the_command_is_called() {
        check(
            "grange wallet send",
            "wallet send <ACCOUNT> <AMOUNT>: they are missing",
            "usage: grange wallet send <ACCOUNT> <AMOUNT>; see `grange wallet send --help`",
        );
        check("grange down", "down <NAME>: it is missing", "usage: grange down <NAME>; see `grange down --help`");
        check("grange dev --nodes", "dev --nodes <N>: its value is missing", "see `grange dev --help`");
        check(
            "grange init --template",
            "init --template <TEMPLATE>: its value is missing, one of: site, js",
            "see `grange init --help`",
        );
        check("grange", "grange : a command is missing", "see `grange --help`");
        check("grange --json wallet", "wallet : a command is missing", "see `grange wallet --help`");
        check("grange --json", "grange : a command is missing", "see `grange --help`");
    }

    #[test]
    fn a_value_is_told_with_what_it_should_be() {
        check(
            "grange --node ps invite --valid-for soon",
            "invite --valid-for <TIME>: `soon` is not taken: a time is a whole number and a unit, such as 45s, 30m, 1h \
             or 2d",
            "see `grange invite --help`",
        );
        for number in ["17", "0", "-", "four"] {
            let expected = format!("dev --nodes <N>: `{number}` is not taken: give a whole number from 1 to 16");
            check(&format!("grange dev --nodes {number}"), &expected, "see `grange dev --help`");
        }
        check(
            "grange init --template jss",
            "init --template <TEMPLATE>: `jss` is none of: site, js",
            "did you mean `js`? see `grange init --help`",
        );
        check(
            "grange wallet caps --per-day much",
            "wallet caps --per-day <CREDITS|none>: `much` is not taken: a cap is an amount, or `none` for no cap: an \
             amount is a decimal number of credits, from 0 up, such as 12.5",
            "see `grange wallet caps --help`",
        );
        check("grange --json=yes ps", "grange --json: it takes no value, and was given `yes`", "see `grange --help`");
    }

    #[test]
    fn an_amount_below_zero_is_no_option_but_a_wrong_amount() {
        let send = format!("wallet send {} -1", "0".repeat(64));
        let amount = "an amount is a decimal number of credits, from 0 up, such as 12.5";
        for (line, argument, value) in [
            (send.as_str(), "wallet send <AMOUNT>", "-1"),
            ("identity phrase --per-day -1", "identity phrase --per-day <CREDITS>", "-1"),
            ("key create --name ci --scope pay --max-spend -1", "key create --max-spend <CREDITS>", "-1"),
            ("up --canaries -0.5", "up --canaries <CREDITS>", "-0.5"),
            ("provider price --cpu-hour -1", "provider price --cpu-hour <CREDITS>", "-1"),
        ] {
            let (command, _) = argument.rsplit_once(' ').unwrap();
            let command = command.split(" --").next().unwrap();
            let expected = format!("{argument}: `{value}` is not taken: {amount}");
            check(&format!("grange {line}"), &expected, &format!("see `grange {command} --help`"));
        }
        let expected = format!(
            "wallet caps --per-day <CREDITS|none>: `-1` is not taken: a cap is an amount, or `none` for no cap: {amount}"
        );
        check("grange wallet caps --per-day -1", &expected, "see `grange wallet caps --help`");
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        check("grange --json --json ps", "grange --json: it is given twice", "see `grange --help`");
        check(
            "grange deploy app --file b.yaml",
            "deploy [FILE|DIR]: it does not go with --file <FILE>",
            "see `grange deploy --help`",
        );
        check(
            "grange key revoke ci --all",
            "key revoke [NAME]: it does not go with --all",
            "see `grange key revoke --help`",
        );
    }
}
