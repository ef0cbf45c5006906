//! Data that a patch may change, and what proves that it comes back.

use jiff::Timestamp;
use model::patching::DataBackup;
use model::{Digest, HostPath, PackageUpgrade};
use plan::data::{Data, DataState, data};

fn upgrade(name: &str, from: Option<&str>) -> PackageUpgrade {
    PackageUpgrade {
        name: name.to_owned(),
        architecture: "amd64".to_owned(),
        from: from.map(str::to_owned),
        to: "2".to_owned(),
        source: None,
        origins: Vec::new(),
        security: None,
        archive: Digest::of(b""),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("RFC 3339")
}

fn judged(proof: Result<Timestamp, String>) -> Vec<Data> {
    let packages = [
        upgrade("postgresql-15", Some("1")),
        upgrade("postgresql-client-15", Some("1")),
        upgrade("slapd:i386", Some("1")),
        upgrade("redis-server", None),
        upgrade("openssl", Some("1")),
    ];
    let backups = [DataBackup {
        packages: vec!["postgresql-1?".to_owned()],
        paths: Vec::new(),
        restored: HostPath::literal("/srv/restored"),
        within_days: 7,
    }];
    let proof = move |_: &HostPath| proof.clone();
    data(&packages, &backups, &proof, at("2026-11-24T12:00:00Z"))
}

#[test]
fn a_restore_proves_for_as_long_as_the_policy_says() {
    let state = |proof| judged(proof).swap_remove(0).state;
    let proven = |text: &str| state(Ok(at(text)));
    let on = at("2026-11-17T12:00:00Z");
    assert_eq!(proven("2026-11-17T12:00:00Z"), DataState::Proven { on });
    for (text, why) in [
        ("2026-11-17T11:59:59Z", "more than 7 days ago"),
        ("2026-11-25T00:00:00Z", "which is to come"),
    ] {
        let DataState::AtRisk { why: said } = proven(text) else {
            panic!("{text} proves nothing");
        };
        assert!(said.contains(why), "{said}");
    }
    let DataState::AtRisk { why } = state(Err("is not there".to_owned())) else {
        panic!("nothing was proven");
    };
    assert_eq!(why, "`/srv/restored`, the proof of a restore, is not there");
}

#[test]
fn what_keeps_data_is_known_without_a_word_and_what_is_new_keeps_none() {
    let found = judged(Err(String::new()));
    let names: Vec<&str> = found.iter().map(|data| data.package.as_str()).collect();
    assert_eq!(names, ["postgresql-15", "slapd"]);
    assert!(found.iter().all(Data::is_at_risk));
}
