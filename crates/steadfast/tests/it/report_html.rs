//! The page: well formed, harmless, and complete. What a browser makes of it is tested
//! by `cargo xtask test`.

use plan::Report;
use steadfast::report::html::render;

use crate::samples;

fn all() -> Vec<(&'static str, Report)> {
    vec![
        ("ordinary", samples::ordinary()),
        ("as_user", samples::as_user()),
        ("clean", samples::clean()),
        ("empty", samples::empty()),
        ("hostile", samples::hostile()),
        ("enormous", samples::enormous()),
    ]
}

/// Writes the pages where a browser can open them.
#[test]
#[ignore = "writes files for the browser test, which names the folder"]
fn writes_pages_for_the_browser() {
    let folder = std::env::var_os("STEADFAST_PAGES").expect("STEADFAST_PAGES names a folder");
    for (name, report) in all() {
        let file = std::path::Path::new(&folder).join(format!("{name}.html"));
        std::fs::write(file, render(&report)).expect("the folder can be written");
    }
}
