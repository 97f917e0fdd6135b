//! The page of a fuzz campaign: how fast it went, which goals it reached, and the distinct violations that it found.

use std::fmt::Write;

use super::{one, page};
use crate::contract::requirement;
use crate::report::escape::xml;
use crate::report::tally::Failure;
use crate::report::text::{plural, thousands};

/// More samples of the rate than this are thinned out.
const SAMPLES: usize = 400;
/// Seconds between two samples at least: below, a rate is mostly chance.
const SHORTEST: f64 = 0.5;
/// More failures than this are counted, not drawn.
const DRAWN: usize = 100;
/// Size of the rate's picture.
const CHART: (f64, f64) = (1100.0, 150.0);

/// What a campaign leaves behind for its page.
#[derive(Debug, Default)]
pub struct Campaign {
    /// The profile's name.
    pub profile: String,
    /// The target in words.
    pub target: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Goals that apply: name, what it is, and in how many cases it was reached.
    pub goals: Vec<(String, String, u64)>,
    /// Cases that were run.
    pub cases: u64,
    /// Cases that did not reach their end.
    pub unfinished: u64,
    /// How long it took.
    pub seconds: f64,
    /// The exit code.
    pub exit: u8,
    samples: Vec<(f64, u64)>,
    /// Seconds between two samples.
    every: f64,
    failures: Vec<Distinct>,
    found: u64,
}

/// A violation unlike the others.
#[derive(Debug)]
pub struct Distinct {
    /// The requirement's id.
    pub requirement: String,
    /// How often it failed, alone and in its final form.
    pub rate: String,
    /// How many cases had been run when it was found.
    pub after: u64,
    /// Its scenario, as small as it was made.
    pub scenario: String,
    /// The violation.
    pub failure: Failure,
}

impl Campaign {
    /// Takes note of how many cases had been run after so many seconds.
    pub fn sample(&mut self, seconds: f64, cases: u64) {
        if self.samples.last().is_some_and(|(last, _)| seconds < last + self.every.max(SHORTEST)) {
            return;
        }
        self.samples.push((seconds, cases));
        if self.samples.len() > SAMPLES {
            let mut nth = 0;
            self.samples.retain(|_| {
                nth += 1;
                nth % 2 == 1
            });
            self.every = self.every.max(SHORTEST) * 2.0;
        }
    }

    /// Takes note of a failure.
    pub fn found(&mut self, distinct: Distinct) {
        self.found += 1;
        if self.failures.len() < DRAWN {
            self.failures.push(distinct);
        }
    }
}

/// The page.
pub fn html_of_campaign(campaign: &Campaign) -> String {
    let reached = campaign.goals.iter().filter(|(_, _, cases)| *cases > 0).count();
    let mut body = format!(
        "<header class=\"{}\"><p class=\"kicker\">streamspec · fuzz · profile {}</p><h1>{}</h1><p class=\"counts\"><b class=\"failed\">{}</b> <b>{reached} of {} goals reached</b></p><p class=\"quiet\">{} in {:.1} s ({:.0} a second), {} unfinished · seed {:#x} · exit code {}</p></header>\n",
        if campaign.found == 0 && campaign.exit == 0 { "good" } else { "bad" },
        xml(&campaign.profile),
        xml(&campaign.target),
        plural(campaign.found, "distinct violation"),
        campaign.goals.len(),
        plural(campaign.cases, "case"),
        campaign.seconds,
        campaign.cases as f64 / campaign.seconds.max(0.001),
        thousands(campaign.unfinished),
        campaign.seed,
        campaign.exit
    );
    rate(&mut body, campaign);
    goals(&mut body, campaign);
    if !campaign.failures.is_empty() {
        body.push_str("<h2>Distinct violations</h2>\n");
    }
    for distinct in &campaign.failures {
        let says = requirement(&distinct.requirement).map_or("", |requirement| requirement.says);
        let _ = writeln!(
            body,
            "<article class=\"finding failed\" data-find=\"{0} {1}\"><h3><span class=\"tag failed\">violated</span> {0} <small>{2}</small></h3><p class=\"says\">{1}</p><p>{3} of its runs; found after {4}.</p>",
            xml(&distinct.requirement),
            xml(says),
            xml(&distinct.failure.violation.shape),
            xml(&distinct.rate),
            plural(distinct.after, "case")
        );
        one(&mut body, &distinct.failure);
        let lines: Vec<String> = distinct.scenario.lines().map(xml).collect();
        let _ = writeln!(body, "<details><summary>Its scenario</summary><pre>{}</pre></details></article>", lines.join("\n"));
    }
    if campaign.found > campaign.failures.len() as u64 {
        let _ = writeln!(body, "<p class=\"quiet\">{} more are not drawn.</p>", thousands(campaign.found - campaign.failures.len() as u64));
    }
    page(&format!("fuzz · {} · streamspec", campaign.profile), &body)
}

/// Cases a second between two samples, and where something was found.
fn rate(out: &mut String, campaign: &Campaign) {
    let steps: Vec<(f64, f64)> = campaign
        .samples
        .windows(2)
        .filter(|pair| pair[1].0 > pair[0].0)
        .map(|pair| (pair[1].0, pair[1].1.saturating_sub(pair[0].1) as f64 / (pair[1].0 - pair[0].0)))
        .collect();
    let (Some(end), true) = (steps.last().map(|step| step.0), steps.len() > 1) else { return };
    let top = steps.iter().map(|step| step.1).fold(1.0, f64::max);
    let (w, h) = CHART;
    let x = |seconds: f64| 46.0 + seconds / end * (w - 60.0);
    let y = |rate: f64| h - 24.0 - rate / top * (h - 44.0);
    let line: Vec<String> = steps.iter().map(|(at, rate)| format!("{:.1} {:.1}", x(*at), y(*rate))).collect();
    let _ = writeln!(
        out,
        "<h2>Cases a second</h2>\n<div class=\"wide\"><svg class=\"picture chart\" role=\"img\" aria-label=\"Cases a second over time\" width=\"{w:.0}\" height=\"{h:.0}\" viewBox=\"0 0 {w:.0} {h:.0}\"><g class=\"tick\"><path d=\"M46 {0:.1}H{w:.0}M46 {1:.1}H{w:.0}\"/><text x=\"8\" y=\"{2:.1}\">{top:.0}</text><text x=\"8\" y=\"{3:.1}\">0</text><text x=\"46\" y=\"{4:.1}\">0 s</text><text x=\"{5:.1}\" y=\"{4:.1}\">{end:.0} s</text></g><path class=\"line\" d=\"M{6}\"/></svg></div>",
        y(top),
        y(0.0),
        y(top) + 4.0,
        y(0.0) + 4.0,
        h - 8.0,
        w - 48.0,
        line.join("L")
    );
}

fn goals(out: &mut String, campaign: &Campaign) {
    out.push_str("<h2>Goals</h2>\n<div class=\"wide\"><table><thead><tr><th>Goal</th><th>What it is</th><th class=\"num\">Cases</th></tr></thead><tbody>\n");
    for (name, says, cases) in &campaign.goals {
        let count = if *cases == 0 { "<span class=\"tag warned\">never</span>".to_owned() } else { thousands(*cases) };
        let _ = writeln!(out, "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{count}</td></tr>", xml(name), xml(says));
    }
    out.push_str("</tbody></table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_campaign_keeps_few_samples_from_its_beginning_to_its_end() {
        let mut campaign = Campaign::default();
        for second in 0..20_000 {
            campaign.sample(f64::from(second), 10 * second as u64);
        }
        assert!((SAMPLES / 4..=SAMPLES).contains(&campaign.samples.len()), "{}", campaign.samples.len());
        let (first, last) = (campaign.samples[0], campaign.samples[campaign.samples.len() - 1]);
        assert!(first.0 < 1.0 && last.0 > 19_000.0, "{first:?} {last:?}");
        let page = html_of_campaign(&campaign);
        assert!(page.contains("class=\"line\"") && page.contains("0 distinct violations"));
    }

    #[test]
    fn goals_that_were_never_reached_say_so() {
        let goals = vec![("seam".to_owned(), "a <seam>".to_owned(), 0), ("cut".to_owned(), "a cut".to_owned(), 1234)];
        let page = html_of_campaign(&Campaign { goals, ..Campaign::default() });
        assert!(
            page.contains("1 of 2 goals reached") && page.contains(">never<") && page.contains("1,234") && page.contains("a &lt;seam&gt;")
        );
    }
}
