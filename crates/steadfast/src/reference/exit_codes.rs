//! `docs/reference/exit-codes.md`.

use std::fmt::Write as _;

use crate::exit::Exit;

pub(super) fn page() -> String {
    let mut page = format!(
        "{}# Exit codes\n\nThe same for every command.\n\n| code | meaning |\n|---|---|\n",
        super::HEADER
    );
    for exit in Exit::ALL {
        let _ = writeln!(page, "| {} | {} |", exit.code(), exit.meaning());
    }
    let mut order = Exit::ALL;
    order.sort_by_key(|exit| std::cmp::Reverse(exit.rank()));
    let order: Vec<String> = order
        .iter()
        .filter(|exit| **exit != Exit::AsWanted)
        .map(|exit| exit.code().to_string())
        .collect();
    let _ = write!(
        page,
        "\nWhere several hold, the first of {} counts: what could not be checked weighs least, \
         since a run that also found something must not be read as merely incomplete. A reader that \
         has seen enough (`steadfast vulns | head`) changes no code.\n",
        order.join(", ")
    );
    page
}
