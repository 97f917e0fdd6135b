//! Where everything stands. Columns follow the order of the history: what came later stands further right on every lane, and
//! long pauses take more room than short ones without taking all of it.

use super::{LaneKind, Picture, Shape};

/// Room for the lanes' names.
pub(super) const GUTTER: f64 = 132.0;
/// Height of the time axis.
pub(super) const AXIS: f64 = 30.0;
/// Height of a lane.
pub(super) const LANE: f64 = 70.0;
/// Between two points of one lane.
const STEP: f64 = 31.0;
/// Between two points of different lanes.
const NUDGE: f64 = 9.0;
/// Room that a pause takes: so much for each time that it is e times as long, from a millisecond.
const PAUSE: f64 = 5.0;
/// Room for a stretch that is left out.
const BREAK: f64 = 40.0;
/// Between two labels of the time axis.
const TICK: f64 = 92.0;

/// The places.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Of each point, from the left.
    pub(super) x: Vec<f64>,
    /// Stretches in which a connection is open, or the process runs: lane, from, to, and whether it goes on.
    pub(super) spans: Vec<Span>,
    /// Places of the time axis: where, and microseconds.
    pub(super) ticks: Vec<(f64, u64)>,
    /// Stretches that are left out: where, and how many points.
    pub(super) breaks: Vec<(f64, usize)>,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A stretch of a lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    pub(super) lane: usize,
    pub(super) from: f64,
    pub(super) to: f64,
    /// True while the process is stopped by a signal.
    pub(super) paused: bool,
}

/// Middle of a lane.
pub(super) fn y(lane: usize) -> f64 {
    AXIS + LANE * lane as f64 + LANE * 0.66
}

impl Layout {
    pub(super) fn of(picture: &Picture) -> Layout {
        let mut layout = Layout::default();
        layout.columns(picture);
        layout.spans(picture);
        layout.height = AXIS + LANE * picture.lanes.len() as f64 + 14.0;
        layout
    }

    fn columns(&mut self, picture: &Picture) {
        let mut free = vec![GUTTER + 18.0; picture.lanes.len()];
        let (mut now, mut before) = (GUTTER + 18.0, picture.points.first().map_or(0, |point| point.at));
        let mut ticked = f64::MIN;
        let mut left_out = false;
        for point in &picture.points {
            if !point.kept {
                if !left_out {
                    now += BREAK;
                    self.breaks.push((now - BREAK / 2.0 + STEP / 2.0, 0));
                    left_out = true;
                }
                if let Some(last) = self.breaks.last_mut() {
                    last.1 += 1;
                }
                self.x.push(now - BREAK / 2.0 + STEP / 2.0);
                before = point.at;
                continue;
            }
            let pause = (point.at.saturating_sub(before) as f64 / 1000.0).ln_1p() * PAUSE;
            let x = if left_out { now + STEP } else { (now + NUDGE + pause).max(free[point.lane]) };
            left_out = false;
            self.x.push(x);
            free[point.lane] = x + STEP;
            (now, before) = (x, point.at);
            if x >= ticked + TICK {
                self.ticks.push((x, point.at));
                ticked = x;
            }
        }
        self.width = now + STEP * 2.6;
    }

    fn spans(&mut self, picture: &Picture) {
        let mut open: Vec<Option<(f64, bool)>> = picture
            .lanes
            .iter()
            .enumerate()
            .map(|(lane, about)| {
                // A process whose first news is not its start runs already.
                let first = picture.points.iter().find(|point| point.lane == lane).map(|point| point.shape);
                (about.kind == LaneKind::Server && first != Some(Shape::Ready)).then_some((GUTTER, false))
            })
            .collect();
        let mut close = |open: &mut Option<(f64, bool)>, lane: usize, to: f64| {
            if let Some((from, paused)) = open.take().filter(|(from, _)| to > *from) {
                self.spans.push(Span { lane, from, to, paused });
            }
        };
        for (point, x) in picture.points.iter().zip(&self.x) {
            let lane = &mut open[point.lane];
            match point.shape {
                Shape::Connect | Shape::Ready => {
                    close(lane, point.lane, *x);
                    *lane = Some((*x, false));
                }
                Shape::End | Shape::Broken | Shape::Gone => close(lane, point.lane, *x),
                Shape::Signal if point.text.contains("STOP") || point.text.contains("CONT") => {
                    close(lane, point.lane, *x);
                    *lane = Some((*x, point.text.contains("STOP")));
                }
                Shape::Published
                | Shape::Refused
                | Shape::Unknown
                | Shape::Operation
                | Shape::Event
                | Shape::LiveOnly
                | Shape::Boundary
                | Shape::Gap
                | Shape::Terminal
                | Shape::Small
                | Shape::Answer
                | Shape::Cut
                | Shape::Signal
                | Shape::Missing
                | Shape::Note => {}
            }
        }
        let end = self.width - STEP;
        for (lane, open) in open.iter_mut().enumerate() {
            close(open, lane, end);
        }
    }
}
