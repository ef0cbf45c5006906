//! `docs/reference/commands.md`, from clap's own definitions.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use super::cell;
use crate::cli::Cli;

pub(super) fn page() -> String {
    let mut program = Cli::command();
    program.build();
    let mut page = format!("{}# Commands\n\n", super::HEADER);
    words(&mut page, &program);
    let _ = writeln!(page, "## Options of every command\n");
    table(
        &mut page,
        program.get_arguments().filter(|arg| is_ours(arg)),
    );
    for command in program.get_subcommands() {
        write_command(&mut page, command, 2);
    }
    page
}

fn write_command(page: &mut String, command: &Command, level: usize) {
    if command.is_hide_set() || command.get_name() == "help" {
        return;
    }
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = writeln!(page, "{} `{name}`\n", "#".repeat(level));
    words(page, command);
    let mut command = command.clone();
    if !command.has_subcommands() {
        let usage = command.render_usage().to_string();
        let usage = usage.trim_start_matches("Usage:").trim();
        let _ = writeln!(page, "```text\n{usage}\n```\n");
        table(
            page,
            command
                .get_arguments()
                .filter(|arg| is_ours(arg) && !arg.is_global_set()),
        );
    }
    if let Some(more) = command.get_after_help() {
        after(page, &more.to_string());
    }
    for inner in command.get_subcommands() {
        write_command(page, inner, level + 1);
    }
}

fn is_ours(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

/// What it is about, in clap's longer form where there is one.
fn words(page: &mut String, command: &Command) {
    let about = command.get_long_about().or_else(|| command.get_about());
    if let Some(about) = about {
        let _ = writeln!(page, "{}\n", about.to_string().trim());
    }
}

fn table<'a>(page: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let mut rows = args.peekable();
    if rows.peek().is_none() {
        return;
    }
    page.push_str("| argument | what it does |\n|---|---|\n");
    for arg in rows {
        let help = arg.get_long_help().or_else(|| arg.get_help());
        let mut said = help.map_or_else(String::new, ToString::to_string);
        let values = arg.get_possible_values();
        let values: Vec<String> = values
            .iter()
            .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if !values.is_empty() {
            let _ = write!(said, " One of {}.", values.join(", "));
        }
        let defaults: Vec<String> = arg
            .get_default_values()
            .iter()
            .map(|value| format!("`{}`", value.to_string_lossy()))
            .collect();
        if !defaults.is_empty() && arg.get_action().takes_values() {
            let _ = write!(said, " Default: {}.", defaults.join(", "));
        }
        let form = arg.to_string();
        let _ = writeln!(page, "| `{}` | {} |", cell(&form), cell(&said));
    }
    page.push('\n');
}

/// Examples are indented lines below a word that ends in a colon; the rest is prose.
fn after(page: &mut String, text: &str) {
    let mut in_block = false;
    for line in text.lines() {
        let is_code = line.starts_with("  ");
        if is_code != in_block {
            page.push_str(if is_code { "\n```sh\n" } else { "```\n" });
            in_block = is_code;
        }
        let _ = writeln!(page, "{}", line.trim());
    }
    if in_block {
        page.push_str("```\n");
    }
    page.push('\n');
}
