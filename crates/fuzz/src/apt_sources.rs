//! sources.list(5), in both forms: nothing that is in a file may stop the reader, and edits
//! do what they say.

use resource::apt::sources::{line_with, line_without, parse_list, parse_stanzas, stanza_with};

pub fn run(text: &str) {
    for line in text.lines() {
        let Ok(sources) = parse_list(line) else {
            continue;
        };
        if sources.is_empty() {
            continue;
        }
        let with = line_with(line, "trusted=yes");
        let read = parse_list(&with).expect("an option more breaks nothing");
        assert!(read[0].option("trusted").is_some(), "{with:?}");
        let without = line_without(&with, &["trusted"]);
        let read = parse_list(&without).expect("an option less breaks nothing");
        assert!(read[0].option("trusted").is_none(), "{without:?}");
        assert_eq!(read[0].uris, sources[0].uris, "{without:?}");
    }
    let Ok(stanzas) = parse_stanzas(text) else {
        return;
    };
    for (at, stanza) in stanzas.iter().enumerate() {
        let fields = [("Suites", "x y".to_owned()), ("Signed-By", "/k".to_owned())];
        let changed = stanza_with(text, stanza, &fields);
        let read = parse_stanzas(&changed).expect("fields that are set break nothing");
        assert_eq!(read.len(), stanzas.len(), "{changed:?}");
        assert_eq!(read[at].suites, ["x", "y"], "{changed:?}");
        let key = read[at]
            .option("signed-by")
            .map(|option| option.value.as_str());
        assert_eq!(key, Some("/k"), "{changed:?}");
    }
}
