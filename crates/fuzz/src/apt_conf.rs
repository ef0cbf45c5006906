//! apt.conf(5): nothing that is in a file may stop the reader, and a value that is replaced
//! at its place is what the reader then sees.

use resource::apt::conf::{Statement, parse};

pub fn run(text: &str) {
    let Ok(statements) = parse(text) else {
        return;
    };
    for (at, statement) in statements.iter().enumerate() {
        let Statement::Set(setting) = statement else {
            continue;
        };
        let mut changed = text.to_owned();
        changed.replace_range(setting.span.clone(), " \"x\" ");
        let read = parse(&changed).expect("a value in quotes breaks nothing");
        let Some(Statement::Set(again)) = read.get(at) else {
            panic!("{changed:?}: the statement is gone");
        };
        assert_eq!(
            (again.key.as_str(), again.value.as_str()),
            (&*setting.key, "x")
        );
    }
}
