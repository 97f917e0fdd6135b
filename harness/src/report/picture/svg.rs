//! Draws a picture as SVG. Colours come from the style sheet beside this file, so that light, dark and print need no second
//! drawing.

use std::fmt::Write;

use crate::report::escape::xml;
use crate::report::timeline::Mark;

use super::layout::{GUTTER, LANE, Layout, y};
use super::{LaneKind, Picture, Point, Shape};

/// Colours and lines of every picture.
pub(crate) const STYLE: &str = include_str!("picture.css");

/// Characters of a caption.
const CAPTION: usize = 18;
/// With more points than this, captions are left to the details: they would be most of the file.
const CAPTIONED: usize = 3000;

/// A picture with every point in its place.
pub(crate) struct Drawing<'p> {
    picture: &'p Picture,
    layout: Layout,
}

impl<'p> Drawing<'p> {
    pub(crate) fn of(picture: &'p Picture) -> Drawing<'p> {
        Drawing { picture, layout: Layout::of(picture) }
    }

    /// How many points are drawn.
    pub(crate) fn points(&self) -> usize {
        self.picture.points.iter().filter(|point| point.kept).count()
    }

    /// A file of its own: with its colours, and what happened as the points' titles.
    pub(crate) fn file(&self, title: &str) -> String {
        let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
        let (w, h) = (self.layout.width, self.layout.height);
        let _ = writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" role=\"img\" aria-label=\"{}\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\">",
            xml(title)
        );
        let _ = writeln!(out, "<style>{}</style>", STYLE.replace("]]>", ""));
        out.push_str("<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n");
        self.body(&mut out, true);
        out.push_str("</svg>\n");
        out
    }

    /// Elements of a page: the lanes' names, which stay while the other one, with the points, is moved. Points carry the
    /// numbers by which the page finds their details.
    pub(crate) fn elements(&self, title: &str) -> String {
        let (w, h) = (self.layout.width - GUTTER, self.layout.height);
        let mut out = format!(
            "<svg class=\"picture names\" aria-hidden=\"true\" width=\"{GUTTER}\" height=\"{h:.0}\" viewBox=\"0 0 {GUTTER} {h:.0}\">\n"
        );
        out.push_str("<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n");
        self.lanes(&mut out);
        let _ = writeln!(
            out,
            "</svg>\n<svg class=\"picture\" role=\"img\" aria-label=\"{}\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"{GUTTER} 0 {w:.0} {h:.0}\">",
            xml(title)
        );
        self.body(&mut out, false);
        out.push_str("</svg>\n");
        out
    }

    /// Its width, in pixels at its own size.
    pub(crate) fn width(&self) -> f64 {
        self.layout.width
    }

    /// What the page shows of each point that is drawn, in their order: milliseconds, lane, words, bytes.
    pub(crate) fn details(&self) -> String {
        let shown = self.picture.points.iter().filter(|point| point.kept);
        let lanes = &self.picture.lanes;
        let rows: Vec<_> =
            shown.map(|p| (p.at as f64 / 1000.0, lanes.get(p.lane).map_or("", |l| l.name.as_str()), &p.text, &p.raw)).collect();
        serde_json::to_string(&rows).unwrap_or_default()
    }

    fn body(&self, out: &mut String, titles: bool) {
        self.lanes(out);
        self.axis(out);
        for span in &self.layout.spans {
            let kind = match (self.picture.lanes[span.lane].kind, span.paused) {
                (_, true) => "span paused",
                (LaneKind::Server, false) => "span up",
                (_, false) => "span",
            };
            let _ = writeln!(out, "<path class=\"{kind}\" d=\"M{:.1} {:.1}H{:.1}\"/>", span.from, y(span.lane), span.to);
        }
        self.threads(out);
        let captions = self.points() <= CAPTIONED;
        let shown = self.picture.points.iter().zip(&self.layout.x).filter(|(point, _)| point.kept);
        for (nth, (point, x)) in shown.enumerate() {
            one(out, point, nth, *x, captions, titles);
        }
        for (x, points) in &self.layout.breaks {
            let _ = writeln!(
                out,
                "<g class=\"break\"><path d=\"M{0:.1} 34V{1:.1}\"/><text x=\"{0:.1}\" y=\"44\">{points} more</text></g>",
                x,
                self.layout.height - 10.0
            );
        }
    }

    fn lanes(&self, out: &mut String) {
        for (at, lane) in self.picture.lanes.iter().enumerate() {
            let kind = match lane.kind {
                LaneKind::Writer => "writer",
                LaneKind::Server => "server",
                LaneKind::Proxy => "proxy",
                LaneKind::Connection => "conn",
                LaneKind::Harness => "harness",
            };
            let top = y(at) - LANE * 0.66;
            let name: String = lane.name.chars().take(18).collect();
            // Every second lane has another ground, so that the eye keeps its lane.
            let odd = if at % 2 == 1 { " odd" } else { "" };
            let _ = writeln!(
                out,
                "<g class=\"lane {kind}\"><rect class=\"bed{odd}\" y=\"{top:.1}\" width=\"{0:.0}\" height=\"{LANE}\"/><path class=\"rail\" d=\"M{GUTTER} {1:.1}H{0:.0}\"/><text class=\"name\" x=\"14\" y=\"{2:.1}\">{3}</text></g>",
                self.layout.width,
                y(at),
                y(at) + 4.5,
                xml(&name),
            );
        }
    }

    fn axis(&self, out: &mut String) {
        for (x, at) in &self.layout.ticks {
            let _ = writeln!(
                out,
                "<g class=\"tick\"><path d=\"M{x:.1} 22V{:.1}\"/><text x=\"{x:.1}\" y=\"16\">{}</text></g>",
                self.layout.height - 10.0,
                time(*at)
            );
        }
    }

    /// From the proxy to what it struck, and from the publish of a marked event to where it came.
    fn threads(&self, out: &mut String) {
        for (point, x) in self.picture.points.iter().zip(&self.layout.x).filter(|(point, _)| point.kept) {
            if let Some(struck) = point.strikes {
                let _ = writeln!(
                    out,
                    "<path class=\"strike\" d=\"M{x:.1} {:.1}V{:.1}\"/><path class=\"wound\" d=\"M{2:.1} {3:.1}l10 10m0 -10l-10 10\"/>",
                    y(point.lane),
                    y(struck),
                    x - 5.0,
                    y(struck) - 5.0
                );
            }
        }
        let marked: Vec<_> =
            self.picture.points.iter().filter(|p| matches!(p.mark, Mark::Offending | Mark::Missing)).filter_map(|p| p.event).collect();
        for event in marked {
            let mut of = self.picture.points.iter().zip(&self.layout.x).filter(|(p, _)| p.kept && p.event == Some(event));
            let Some((from, x0)) = of.clone().find(|(p, _)| matches!(p.shape, Shape::Published | Shape::Unknown)) else { continue };
            for (to, x1) in of.by_ref().filter(|(p, _)| p.lane != from.lane) {
                let lost = if to.shape == Shape::Missing { " lost" } else { "" };
                let (y0, y1) = (y(from.lane), y(to.lane));
                let _ = writeln!(
                    out,
                    "<path class=\"thread{lost}\" d=\"M{x0:.1} {:.1}C{x0:.1} {:.1} {x1:.1} {:.1} {x1:.1} {:.1}\"/>",
                    y0 + 10.0,
                    y0 + (y1 - y0) * 0.5,
                    y0 + (y1 - y0) * 0.5,
                    y1 - 12.0
                );
            }
        }
    }
}

fn one(out: &mut String, point: &Point, nth: usize, x: f64, captions: bool, titles: bool) {
    let mark = match point.mark {
        Mark::Offending => " off",
        Mark::Missing => " off missing",
        Mark::Part => " part",
        Mark::None | Mark::Elided => "",
    };
    let (class, body) = glyph(point, captions);
    // Of a large picture the plain points are one element each: a browser takes as long as there are elements.
    let alone = !captions && !titles && mark.is_empty() && body.matches('<').count() == 1;
    if let Some((name, rest)) = body[1..].split_once(' ').filter(|_| alone) {
        let _ = writeln!(out, "<{name} class=\"p {class}\" transform=\"translate({x:.1} {:.1})\" data-i=\"{nth}\" {rest}", y(point.lane));
        return;
    }
    let _ = write!(out, "<g class=\"p {class}{mark}\" transform=\"translate({x:.1} {:.1})\" data-i=\"{nth}\">", y(point.lane));
    if titles {
        let _ = write!(out, "<title>{}: {}</title>", time(point.at), xml(&point.text));
    }
    if matches!(point.mark, Mark::Offending | Mark::Missing) {
        out.push_str("<circle class=\"halo\" r=\"14\"/>");
    }
    out.push_str(&body);
    if captions && !point.caption.is_empty() {
        let caption: String = point.caption.chars().take(CAPTION).collect();
        let more = if point.caption.chars().nth(CAPTION).is_some() { "…" } else { "" };
        let _ = write!(out, "<text class=\"cap\" transform=\"translate(2 -13) rotate(-33)\">{}{more}</text>", xml(&caption));
    }
    out.push_str("</g>\n");
}

/// The class of a point, and its drawing around the origin, with its number where there is room for it.
fn glyph(point: &Point, numbers: bool) -> (&'static str, String) {
    let numbered = |shape: &str| match point.event {
        Some(marker) if numbers || point.mark != Mark::None => format!("{shape}<text class=\"n\" y=\"3.2\">{}</text>", marker.n),
        Some(_) | None => shape.to_owned(),
    };
    const CIRCLE: &str = "<circle r=\"9\"/>";
    const BOX: &str = "<rect x=\"-9\" y=\"-9\" width=\"18\" height=\"18\" rx=\"4\"/>";
    const CROSS: &str = "<path d=\"M-5 -5L5 5M5 -5L-5 5\"/>";
    match point.shape {
        Shape::Published => ("published", numbered(BOX)),
        Shape::Refused => ("refused", format!("{BOX}{CROSS}")),
        Shape::Unknown => ("unknown", numbered(BOX)),
        Shape::Operation => ("operation", "<rect x=\"-5\" y=\"-5\" width=\"10\" height=\"10\" rx=\"2\"/>".to_owned()),
        Shape::Event => ("event", numbered(CIRCLE)),
        Shape::LiveOnly => ("live-only", numbered(CIRCLE)),
        Shape::Boundary => ("boundary", "<path d=\"M-2.5 -13V13M2.5 -13V13\"/>".to_owned()),
        Shape::Gap => ("gap", "<path d=\"M-8 -11l4 5.5l-4 5.5l4 5.5l-4 5.5M3 -11l4 5.5l-4 5.5l4 5.5l-4 5.5\"/>".to_owned()),
        Shape::Terminal => ("terminal", "<rect x=\"-8\" y=\"-8\" width=\"16\" height=\"16\"/>".to_owned()),
        Shape::Small => ("small", "<circle r=\"3.5\"/>".to_owned()),
        Shape::Connect => ("connect", "<path d=\"M-5 -7.5L7 0L-5 7.5Z\"/>".to_owned()),
        Shape::Answer => ("answer", "<circle r=\"3.5\"/>".to_owned()),
        Shape::End => ("end", "<path d=\"M0 -9V9\"/>".to_owned()),
        Shape::Broken => ("broken", CROSS.to_owned()),
        Shape::Cut => ("cut", "<path d=\"M2 -11L-5 2H0L-2 11L6 -3H1Z\"/>".to_owned()),
        Shape::Ready => ("ready", "<path d=\"M-6 5L0 -6L6 5Z\"/>".to_owned()),
        Shape::Signal => ("signal", "<path d=\"M0 -9L9 0L0 9L-9 0Z\"/>".to_owned()),
        Shape::Gone => ("gone", format!("<path d=\"M0 -10V10\"/>{CROSS}")),
        Shape::Missing => ("missing", numbered(CIRCLE)),
        Shape::Note => ("note", "<circle r=\"4.5\"/>".to_owned()),
    }
}

/// `112 ms`, `3.25 s`.
fn time(micros: u64) -> String {
    match micros {
        0..10_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}
