//! Scenes that are played on booted lab hosts: this test program is copied there, and runs
//! its other half.

use std::time::Duration;

use lab::{Container, Exec, Image, Release, Requirements};

use crate::bench::skip;

/// Which scene the program plays.
pub const SCENE: &str = "STEADFAST_TEST_SCENE";
/// Where the program lies in a lab host.
pub const COPY: &str = "/root/it";

/// A sweep over many crash points with a unit that takes a second to fail is the longest.
const SCENE_LIMIT: Duration = Duration::from_secs(400);

pub const RELEASES: [Release; 2] = [Release::Bookworm, Release::Trixie];

/// Every scene on a fresh host of each release. `inside` is the test that plays them.
pub fn on_fresh_hosts<'a>(
    inside: &str,
    releases: &[Release],
    scenes: impl IntoIterator<Item = &'a str>,
) {
    let start = |image: &Image| {
        let container = Container::start(image).expect("a host boots");
        let this = std::env::current_exe().expect("this program");
        container.copy_in(&this, COPY).expect("copied");
        container
    };
    on_hosts(inside, releases, scenes, &start);
}

/// The same on hosts of one's own, which have this program at [`COPY`].
pub fn on_hosts<'a>(
    inside: &str,
    releases: &[Release],
    scenes: impl IntoIterator<Item = &'a str>,
    start: &dyn Fn(&Image) -> Container,
) {
    if let Err(why) = lab::wanted(
        std::env::var_os("STEADFAST_LAB").as_deref(),
        Requirements::Containers,
    ) {
        return skip(&why.to_string());
    }
    let cache = std::env::var_os("STEADFAST_LAB_CACHE")
        .map_or_else(|| lab::DEFAULT_CACHE.into(), std::path::PathBuf::from);
    let images: Vec<Image> = releases
        .iter()
        .map(|release| Image::build(*release, &cache, &mut |_| {}).expect("an image"))
        .collect();
    for scene in scenes {
        for image in &images {
            play(&start(image), inside, scene);
        }
    }
}

/// Plays one scene on a host.
fn play(container: &Container, inside: &str, scene: &str) {
    let exec = Exec::new([COPY, "--exact", inside, "--ignored", "--nocapture"])
        .env(SCENE, scene)
        .limit(SCENE_LIMIT);
    let output = container.exec(&exec).expect("the scene runs");
    assert!(
        output.success() && output.text().contains("scene played"),
        "{scene}:\n{}{}",
        output.text(),
        output.errors()
    );
}
