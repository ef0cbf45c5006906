//! The README's picture of a terminal report is what the program writes: drawn from a
//! sample report, and compared with the one in the repository.

use std::fmt::Write as _;

use steadfast::report::{NextStep, View, human};
use steadfast::style::Style;

use crate::samples;

const PICTURE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/images/terminal.svg"
);
const LINE: usize = 20;
const MARGIN: usize = 24;
/// Of the font that most systems have, at 14 pixels.
const CELL: f32 = 8.43;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Colours of a dark terminal, by SGR parameters.
fn colour(sgr: &str) -> &'static str {
    match sgr {
        "1" => "fill=\"#ffffff\" font-weight=\"bold\"",
        "2" => "fill=\"#93a0a4\"",
        "1;31" => "fill=\"#ff7b6b\" font-weight=\"bold\"",
        "31" => "fill=\"#ff7b6b\"",
        "32" => "fill=\"#6fd08c\"",
        "33" => "fill=\"#e6b450\"",
        "34" => "fill=\"#7db4f0\"",
        "36" => "fill=\"#5fc7bb\"",
        other => panic!("no colour for {other}"),
    }
}

fn draw(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let width = (80.0 * CELL) as usize + 2 * MARGIN;
    let height = lines.len() * LINE + 2 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" role=\"img\" aria-label=\"A report of steadfast audit on a terminal\">\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"10\" fill=\"#12191b\"/>\n\
         <g font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\" \
         font-size=\"14\" fill=\"#d8dedd\" xml:space=\"preserve\">\n"
    );
    for (at, line) in lines.iter().enumerate() {
        let y = MARGIN + at * LINE + 14;
        let mut column = 0;
        for (part_at, part) in line.split("\x1b[").enumerate() {
            let (sgr, text) = match part_at {
                0 => ("", part),
                _ => part
                    .split_once('m')
                    .expect("every sequence of ours ends in m"),
            };
            // Each word stands in its own place, whatever the width of the reader's font.
            for word in text.split_inclusive(' ') {
                let cells = word.chars().count();
                let word = word.trim_end();
                if !word.is_empty() {
                    let x = MARGIN as f32 + column as f32 * CELL;
                    let style = match sgr {
                        "" | "0" => String::new(),
                        sgr => format!(" {}", colour(sgr)),
                    };
                    let word = escaped(word);
                    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y}\"{style}>{word}</text>");
                }
                column += cells;
            }
        }
    }
    svg + "</g>\n</svg>\n"
}

#[test]
fn the_picture_is_what_the_program_writes() {
    let view = View {
        next: vec![
            NextStep::new("steadfast plan --rule ssh-empty-password", "shows the fix"),
            NextStep::new("steadfast audit --format html --output report.html", ""),
        ],
        ..View::default()
    };
    let style = Style {
        colour: true,
        ..Style::plain(80, true)
    };
    let mut out = Vec::new();
    human::write(&mut out, &samples::ordinary(), &view, &style).expect("a vector takes any bytes");
    let drawn = draw(&String::from_utf8(out).expect("the report is UTF-8"));
    if std::env::var_os("STEADFAST_UPDATE").is_some() {
        std::fs::write(PICTURE, &drawn).expect("the repository can be written");
    }
    let kept = std::fs::read_to_string(PICTURE).expect("the picture is in the repository");
    assert!(
        kept == drawn,
        "docs/images/terminal.svg is out of date: run the test with STEADFAST_UPDATE=1"
    );
}
