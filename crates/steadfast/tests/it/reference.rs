//! What the reference pages say is true.

use content::{PolicyFiles, Repository};
use steadfast::exit::Exit;
use steadfast::reference::{EXAMPLES, pages};

fn page(file: &str) -> String {
    let page = pages().into_iter().find(|page| page.file == file);
    page.expect("a page of that name").text
}

#[test]
fn every_example_of_a_kind_loads() {
    let files = PolicyFiles::from_bytes([
        ("roles/examples.yaml", EXAMPLES.as_bytes()),
        ("roles/examples/site.conf.j2", b"server {}\n".as_slice()),
    ]);
    if let Err(errors) = Repository::parse(&[files]) {
        panic!("{}", errors.plain());
    }
}

#[test]
fn every_kind_has_a_section_and_an_example() {
    let page = page("kinds.md");
    for kind in resource::Resource::KINDS {
        let heading = format!("## `{kind}`\n");
        let (_, section) = page.split_once(&heading).expect(kind);
        let section = section.split("\n## ").next().unwrap_or_default();
        assert!(section.contains(&format!("\n  - {kind}:")), "{kind}");
        assert!(!section.contains("any value"), "{kind}: {section}");
    }
}

#[test]
fn every_exit_code_is_explained() {
    let page = page("exit-codes.md");
    for exit in Exit::ALL {
        let row = format!("| {} | {} |", exit.code(), exit.meaning());
        assert!(page.contains(&row), "{row}");
    }
    assert!(page.contains("the first of 5, 4, 2, 1, 3 counts"), "{page}");
}

#[test]
fn every_command_has_a_section() {
    use clap::CommandFactory;
    let page = page("commands.md");
    for command in steadfast::cli::Cli::command().get_subcommands() {
        let heading = format!("## `steadfast {}`\n", command.get_name());
        assert_eq!(page.contains(&heading), !command.is_hide_set(), "{heading}");
    }
}
