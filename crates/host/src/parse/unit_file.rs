//! The part of systemd.unit(5) that says whether a unit can be enabled: its `[Install]`
//! section.

/// What `[Install]` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Install {
    /// `WantedBy=`, `RequiredBy=`, `UpheldBy=`: links are made for these.
    pub wanted: bool,
    /// `Alias=`: other names of the unit.
    pub aliases: Vec<String>,
    /// `DefaultInstance=`: what a template means when it is enabled itself.
    pub default_instance: Option<String>,
    /// `Also=`: enabling this unit enables those.
    pub also: bool,
}

pub fn parse_install(bytes: &[u8]) -> Install {
    let text = String::from_utf8_lossy(bytes);
    let mut install = Install::default();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[Install]";
            continue;
        }
        if !inside || line.starts_with(['#', ';']) {
            continue;
        }
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        let value = value.trim();
        match key.trim() {
            "WantedBy" | "RequiredBy" | "UpheldBy" => install.wanted |= !value.is_empty(),
            "Alias" => install
                .aliases
                .extend(value.split_whitespace().map(str::to_owned)),
            "DefaultInstance" => install.default_instance = Some(value.to_owned()),
            "Also" => install.also |= !value.is_empty(),
            _ => {}
        }
    }
    install
}
