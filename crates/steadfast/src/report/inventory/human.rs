//! An inventory on a terminal: how many of which kind, then what did not come from the
//! distribution, each with the file that proves it. The distribution's own packages are listed
//! when somebody asks.

use std::collections::BTreeMap;
use std::io::{self, Write};

use model::Fact;
use model::component::{Component, EvidenceKind};
use model::count::plural;

use super::{Taken, is_package, place};
use crate::layout::{LABEL, Paper, Text};
use crate::show::plan::quoted;
use crate::style::{Role, Style};

/// So many components of one file are shown, and so many files of one kind of trouble; the rest
/// are counted.
const OF_ONE_FILE: usize = 5;
const UNREAD: usize = 4;
/// And so many of the files and folders that prove something: a screen or two.
const PLACES: usize = 16;
/// The column for names is at most this wide.
const NAME_COLUMN: usize = 36;

/// What is to be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// What did not come from the distribution, of one file only the first, and nothing that
    /// is only in images.
    OfInterest,
    Everything,
}

pub fn write(out: &mut dyn Write, taken: &Taken, listed: Listed, style: &Style) -> io::Result<()> {
    let mut paper = Paper::new(out, style);
    header(&mut paper, taken)?;
    counts(&mut paper, taken)?;
    third_party(&mut paper, taken, listed)?;
    if listed == Listed::Everything {
        packages(&mut paper, taken)?;
    }
    if !taken.inventory.other_roots.is_empty() {
        paper.blank()?;
        crate::report::other_roots(&mut paper, &taken.inventory.other_roots, "inventory")?;
    }
    unread(&mut paper, taken)?;
    if listed == Listed::OfInterest {
        next(&mut paper, taken)?;
    }
    Ok(())
}

fn header(paper: &mut Paper<'_>, taken: &Taken) -> io::Result<()> {
    let version = format!("steadfast {}", env!("CARGO_PKG_VERSION"));
    paper.line(
        &Text::new()
            .say(Role::Strong, &version)
            .gap(3)
            .say(Role::Dim, "reads only: changes nothing, sends nothing"),
    )?;
    paper.blank()?;
    let release = match &taken.release {
        Fact::Known(release) => release.pretty.clone(),
        Fact::Unknown(reason) => format!("unknown release ({reason})"),
    };
    let mut host = Text::new()
        .solid(Role::Strong, &taken.hostname)
        .solid(Role::Plain, ",")
        .gap(1)
        .plain(&release);
    if let Some(root) = &taken.root {
        host = host.plain(", the tree at ").whole(Role::Plain, root);
    }
    paper.row(Role::Dim, "host", &host)
}

/// The host's own, then those of each image.
fn counts(paper: &mut Paper<'_>, taken: &Taken) -> io::Result<()> {
    let mut by_image: BTreeMap<Option<&str>, BTreeMap<String, usize>> = BTreeMap::new();
    by_image.entry(None).or_default();
    for component in &taken.inventory.components {
        let by_kind = by_image.entry(component.image.as_deref()).or_default();
        *by_kind.entry(component.ecosystem.to_string()).or_default() += 1;
    }
    for (image, by_kind) in by_image {
        let mut text = Text::new();
        for (kind, number) in &by_kind {
            if !text.is_empty() {
                text = text.gap(3);
            }
            text = text.solid(Role::Plain, &format!("{number} {kind}"));
        }
        if text.is_empty() {
            text = text.plain("nothing");
        }
        match image {
            None => paper.row(Role::Dim, "found", &text)?,
            Some(image) => {
                let name = Text::new()
                    .solid(Role::Strong, image)
                    .solid(Role::Plain, ":");
                paper.row(Role::Dim, "image", &name.gap(1).then(text))?;
            }
        }
    }
    Ok(())
}

/// By the file that proves them, so that a program with a hundred modules is one entry.
fn third_party(paper: &mut Paper<'_>, taken: &Taken, listed: Listed) -> io::Result<()> {
    let mut by_place: BTreeMap<(Option<&str>, String), Vec<&Component>> = BTreeMap::new();
    for component in &taken.inventory.components {
        // What is in images is counted above.
        let is_listed = component.image.is_none() || listed == Listed::Everything;
        if is_package(component) || !is_listed {
            continue;
        }
        // What a lockfile wants and what is there is listed where it is.
        let is_installed = component
            .evidence
            .iter()
            .any(|evidence| evidence.how != EvidenceKind::Lockfile);
        let evidence = component
            .evidence
            .iter()
            .filter(|evidence| !is_installed || evidence.how != EvidenceKind::Lockfile);
        let mut groups: Vec<String> = evidence
            .map(|evidence| match evidence.how {
                // Installed side by side: the folder that holds them all says it in one line.
                EvidenceKind::Metadata => folder(&place(evidence)),
                _ => place(evidence),
            })
            .collect();
        groups.sort();
        groups.dedup();
        for group in groups {
            let group = (component.image.as_deref(), group);
            by_place.entry(group).or_default().push(component);
        }
    }
    let places = match listed {
        Listed::OfInterest => PLACES,
        Listed::Everything => usize::MAX,
    };
    let left: Vec<usize> = by_place.values().skip(places).map(Vec::len).collect();
    for ((image, place), components) in by_place.into_iter().take(places) {
        paper.blank()?;
        let mut heading = Text::new().whole(Role::Strong, &place);
        if let Some(image) = image {
            heading = heading
                .gap(2)
                .say(Role::Dim, &format!("in the image {image}"));
        }
        paper.line(&heading)?;
        let most = match listed {
            Listed::OfInterest => OF_ONE_FILE,
            Listed::Everything => usize::MAX,
        };
        rows(paper, components.iter().take(most).copied())?;
        let more = components.len().saturating_sub(most);
        if more > 0 {
            let text = Text::new().say(Role::Dim, &format!("and {more} more"));
            paper.indented(LABEL, &text)?;
        }
    }
    if !left.is_empty() {
        paper.blank()?;
        let text = format!(
            "and {} with {}",
            plural(left.len(), "more place"),
            plural(left.iter().sum(), "component")
        );
        paper.line(&Text::new().say(Role::Dim, &text))?;
    }
    Ok(())
}

/// Where a package manager put the thing whose metadata this is: for
/// `/srv/app/node_modules/@scope/name/package.json` that is `/srv/app/node_modules`.
fn folder(place: &str) -> String {
    if let Some((archive, _)) = place.split_once("!/") {
        return archive.to_owned();
    }
    if let Some((before, _)) = place.rsplit_once("/node_modules/") {
        return format!("{before}/node_modules");
    }
    let folder = place.rsplit_once('/').map_or(place, |(folder, _)| folder);
    match folder.rsplit_once('/') {
        Some((outer, inner)) if inner.ends_with("-info") || inner == "EGG-INFO" => outer.to_owned(),
        _ => folder.to_owned(),
    }
}

fn rows<'a>(
    paper: &mut Paper<'_>,
    components: impl Iterator<Item = &'a Component> + Clone,
) -> io::Result<()> {
    let widths = components.clone().map(|component| component.name.len());
    let column = widths
        .filter(|width| *width <= NAME_COLUMN)
        .max()
        .unwrap_or(0);
    for component in components {
        let gap = column.saturating_sub(component.name.len()) + 2;
        let body = Text::new()
            .solid(Role::Plain, &component.name)
            .gap(gap)
            .solid(Role::Plain, &component.version);
        let kind = component.ecosystem.to_string();
        paper.row(Role::Dim, &kind, &body)?;
    }
    Ok(())
}

fn packages(paper: &mut Paper<'_>, taken: &Taken) -> io::Result<()> {
    let all = || {
        let components = taken.inventory.components.iter();
        components.filter(|component| is_package(component))
    };
    if all().next().is_none() {
        return Ok(());
    }
    paper.blank()?;
    let heading = Text::new().say(Role::Strong, "packages of the distribution");
    paper.line(&heading)?;
    let widths = all().map(|component| component.name.len());
    let column = widths
        .filter(|width| *width <= NAME_COLUMN)
        .max()
        .unwrap_or(0);
    for component in all() {
        let gap = column.saturating_sub(component.name.len()) + 2;
        let mut body = Text::new()
            .solid(Role::Plain, &component.name)
            .gap(gap)
            .solid(Role::Plain, &component.version);
        if let Some(architecture) = &component.architecture {
            body = body.gap(2).solid(Role::Dim, architecture);
        }
        if let Some(source) = component
            .source
            .as_ref()
            .filter(|it| it.name != component.name)
        {
            body = body.gap(2).say(Role::Dim, &format!("of {}", source.name));
        }
        if let Some(origin) = &component.origin {
            body = body.gap(2).say(Role::Dim, &format!("from {origin}"));
        }
        if let Some(image) = &component.image {
            body = body.gap(2).say(Role::Dim, &format!("in the image {image}"));
        }
        paper.indented(2, &body)?;
    }
    Ok(())
}

/// Each reason once, with the first of its places.
fn unread(paper: &mut Paper<'_>, taken: &Taken) -> io::Result<()> {
    let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for unread in &taken.inventory.unread {
        let places = by_reason.entry(unread.why.to_string()).or_default();
        places.push(model::printable(unread.path.as_bytes()));
    }
    if !by_reason.is_empty() {
        paper.blank()?;
    }
    for (reason, places) in by_reason {
        let mut text = Text::new().plain(&reason).solid(Role::Plain, ":").gap(1);
        for (at, place) in places.iter().take(UNREAD).enumerate() {
            if at > 0 {
                text = text.solid(Role::Plain, ",").gap(1);
            }
            text = text.whole(Role::Plain, place);
        }
        if places.len() > UNREAD {
            text = text.gap(1).plain(&format!(
                "and {} more (--format json)",
                places.len() - UNREAD
            ));
        }
        paper.row(Role::Wary, "unread", &text)?;
    }
    Ok(())
}

fn next(paper: &mut Paper<'_>, taken: &Taken) -> io::Result<()> {
    let root = match &taken.root {
        Some(root) => format!(" --root {}", quoted(root)),
        None => String::new(),
    };
    paper.blank()?;
    let command = format!("steadfast inventory{root} --all");
    let body = Text::new().whole(Role::Command, &command).gap(3);
    paper.row(
        Role::Dim,
        "next",
        &body.plain("lists every package and every place"),
    )?;
    let command = format!("steadfast inventory{root} --format cyclonedx --output sbom.json");
    paper.indented(LABEL, &Text::new().whole(Role::Command, &command))
}
