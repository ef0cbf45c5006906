//! Exit codes and which of several counts.

use steadfast::exit::Exit;

#[test]
fn the_codes_are_those_of_the_manual() {
    use Exit::{AsWanted, BadInput, Findings, NeedsPerson, TakenBack, Unchecked};
    let all = [
        AsWanted,
        Findings,
        BadInput,
        Unchecked,
        TakenBack,
        NeedsPerson,
    ];
    assert_eq!(all.map(Exit::code), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn of_several_the_weightiest_counts() {
    use Exit::{AsWanted, BadInput, Findings, NeedsPerson, TakenBack, Unchecked};
    // "Where several hold, the order is 5, 4, 2, 1, 3."
    let order = [
        NeedsPerson,
        TakenBack,
        BadInput,
        Findings,
        Unchecked,
        AsWanted,
    ];
    for (at, stronger) in order.iter().enumerate() {
        for weaker in &order[at..] {
            assert_eq!(stronger.or(*weaker), *stronger);
            assert_eq!(weaker.or(*stronger), *stronger);
        }
    }
    assert_eq!(
        [Unchecked, Findings, AsWanted]
            .into_iter()
            .collect::<Exit>(),
        Findings
    );
    assert_eq!(std::iter::empty().collect::<Exit>(), AsWanted);
}
