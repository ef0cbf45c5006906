//! Feeds of advisories: no document may stop a reader, what a reader takes fits an index, and
//! what the index gives back can be judged. The first byte chooses the reader.

use advisory::matching::{self, Subject};
use advisory::read::{csaf, debian, epss, form, kev, openvex, osv};
use advisory::{Builder, Index};

pub fn run(input: &[u8]) {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let mut builder = Builder::default();
    match choice % 8 {
        0 => take(&mut builder, osv::read(bytes)),
        1 => {
            if let Ok(text) = str::from_utf8(bytes) {
                take(&mut builder, osv::read_yaml(text));
            }
        }
        2 => {
            for advisory in debian::read(bytes).unwrap_or_default().read {
                builder.advisory(advisory).expect("a small input fits");
            }
        }
        3 => {
            for (cve, exploited) in kev::read(bytes).unwrap_or_default().read {
                builder.exploited(cve, exploited);
            }
        }
        4 => {
            for (cve, epss) in epss::read(bytes).unwrap_or_default().read {
                builder.score(cve, epss);
            }
        }
        5 => {
            for statement in openvex::read(bytes).unwrap_or_default().read {
                builder.statement(statement);
            }
        }
        6 => {
            for statement in csaf::read(bytes).unwrap_or_default().read {
                builder.statement(statement);
            }
        }
        _ => drop(form(bytes)),
    }
    let (bytes, _) = builder
        .finish("fuzz", jiff::Timestamp::UNIX_EPOCH)
        .expect("a small input fits");
    let head = advisory::index::head_length(&bytes, bytes.len() as u64).expect("just written");
    let index = Index::open(&bytes[..head]).expect("just written");
    for (ecosystem, _) in index.coverage().expect("just written") {
        let subject = Subject {
            ecosystem: ecosystem.to_owned(),
            name: "a".to_owned(),
            version: "1.0".to_owned(),
        };
        matching::judge(&[index], &subject, &[]).expect("just written");
    }
}

fn take(builder: &mut Builder, read: Result<osv::Read, advisory::read::Refusal>) {
    if let Ok(osv::Read::Advisory { advisory, .. }) = read {
        builder.advisory(advisory).expect("a small input fits");
    }
}
