//! Two texts compared, for people: the lines in which they differ, each begun where it differs if it is too long for the page.

use super::page::{Page, visible};
use crate::transcript::difference;

/// More lines than this are not read.
const MOST_LINES: usize = 200;
/// How much of what two long lines have in common is shown before their difference.
const BEFORE: usize = 16;
/// Characters of what differs that are to be seen.
const SEEN: usize = 20;

/// What differs between `was` (`-`) and `is` (`+`).
pub(crate) fn drawn_difference(was: &str, is: &str, page: Page) -> String {
    let lines = difference(was.trim_end(), is.trim_end());
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() && at < MOST_LINES {
        let run = |from: usize, sign: char| lines[from..].iter().take_while(|(of, _)| *of == sign).count();
        let (gone, come) = (run(at, '-'), run(at + run(at, '-'), '+'));
        for offset in 0..(gone + come).max(1) {
            let (sign, line) = &lines[at + offset];
            // The n-th line that went is compared with the n-th that came.
            let other = if offset < gone { at + gone + offset } else { at + (offset - gone) };
            let paired = gone > 0 && come > 0 && (if offset < gone { offset < come } else { offset - gone < gone });
            let other = paired.then(|| lines[other].1.as_str());
            out.push_str(&one(*sign, line, other, page));
        }
        at += (gone + come).max(1);
    }
    if lines.len() > MOST_LINES {
        out.push_str(&format!("  … and {} lines more\n", lines.len() - MOST_LINES));
    }
    page.fit(out)
}

fn one(sign: char, line: &str, other: Option<&str>, page: Page) -> String {
    let line = visible(line);
    let room = page.room(4);
    let shown = match (room, other) {
        (Some(room), Some(other)) if line.chars().count() > room => {
            let same = line.chars().zip(visible(other).chars()).take_while(|(a, b)| a == b).count();
            // What differs early enough is seen without leaving the beginning away.
            let from = if same + SEEN < room { 0 } else { same.saturating_sub(BEFORE) };
            let rest: String = line.chars().skip(from).collect();
            if from > 0 { format!("…{}", page.rest_of_line(5, &rest)) } else { page.rest_of_line(4, &rest) }
        }
        _ => page.rest_of_line(4, &line),
    };
    let text = format!("  {sign} {shown}");
    let text = text.trim_end();
    let painted = match sign {
        '-' => page.paint.bad(text),
        '+' => page.paint.good(text),
        _ => page.paint.dim(text),
    };
    painted + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_shown_with_its_surroundings() {
        let (was, is) = ("a\nb\nc\nd\ne\nf\n", "a\nb\nc\nD\ne\nf\n");
        assert_eq!(drawn_difference(was, is, Page::plain()), "    b\n    c\n  - d\n  + D\n    e\n    f\n");
        assert_eq!(drawn_difference(was, was, Page::plain()), "");
    }

    #[test]
    fn the_beginning_is_left_away_only_where_it_hides_what_differs() {
        let page = Page::narrow(40);
        let early = drawn_difference("cache: none", &format!("cache: {}", "private ".repeat(9)), page);
        assert!(early.contains("  + cache: private"), "{early}");
        let same = "x".repeat(60);
        let late = drawn_difference(&format!("{same}1"), &format!("{same}2"), page);
        assert!(late.contains("…x") && late.contains("x1\n") && late.contains("x2\n"), "{late}");
    }
}
