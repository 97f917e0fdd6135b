//! What a person reads when a file is wrong.

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::contract::FileError;

mod profile;
mod scenario;

fn shown(error: &FileError) -> String {
    let mut text = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    GraphicalReportHandler::new_themed(theme).with_width(80).render_report(&mut text, error).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
