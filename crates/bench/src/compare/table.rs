//! The table of a comparison, in Markdown.

use super::Record;
use super::peers::{Contender, FLOOR, GATEWAY};
use crate::machine;
use crate::shape::{Case, Metric, Shape};
use crate::stats::Summary;
use std::fmt::Write;

/// Medians with their spread, and how the gateway's stands to the best peer's. The floor is no peer.
pub(super) fn render(contenders: &[Contender], cases: &[Case], rounds: usize, records: &[Record]) -> String {
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let mut text = format!("{}; rounds: {rounds}", machine::description());
    text += if rounds < PUBLISHED { " (a trial: a published figure takes 9)" } else { "" };
    text += &disturbance(records);
    for contender in contenders {
        writeln!(text, "- {}: {}", contender.name, contender.version).expect("a string takes all");
    }
    text += &format!("\n| median (least to most) | {} | {GATEWAY} : best peer |\n", names.join(" | "));
    text += &format!("|---|{}\n", "---|".repeat(names.len() + 1));
    for case in cases {
        for &metric in case.shape.metrics() {
            let summaries: Vec<_> = names.iter().map(|name| summary(records, case, name, metric)).collect();
            text += &row(&label(case, metric), &names, &summaries);
        }
    }
    text
}

/// A word about other work on the machine where it was more than a little.
fn disturbance(records: &[Record]) -> String {
    let most = records.iter().map(|record| record.outcome.disturbance()).fold(0.0, f64::max);
    if most < QUIET {
        return "\n\n".into();
    }
    format!("; other work had the CPU of the load for up to {:.0}% of a measurement\n\n", most * 100.0)
}

fn summary(records: &[Record], case: &Case, name: &str, metric: Metric) -> Option<Summary> {
    let of_this = records.iter().filter(|record| record.case == *case && record.contender == name);
    let figures: Vec<f64> = of_this.filter_map(|record| record.outcome.figure(metric)).collect();
    Summary::of(&figures)
}

fn row(label: &str, names: &[&str], summaries: &[Option<Summary>]) -> String {
    let cells: Vec<String> = summaries.iter().map(|summary| summary.map_or("–".into(), cell)).collect();
    let ratio = ratio(names, summaries).map_or("–".into(), |ratio| format!("{ratio:.2}"));
    format!("| {label} | {} | {ratio} |\n", cells.join(" | "))
}

/// The gateway's median divided by the least of the peers'.
fn ratio(names: &[&str], summaries: &[Option<Summary>]) -> Option<f64> {
    let medians =
        || names.iter().zip(summaries).filter_map(|(&name, summary)| Some((name, (*summary)?.median)));
    let gateway = medians().find(|&(name, _)| name == GATEWAY)?.1;
    let peers = medians().filter(|&(name, _)| name != GATEWAY && name != FLOOR);
    Some(gateway / peers.map(|(_, median)| median).min_by(f64::total_cmp)?)
}

fn cell(summary: Summary) -> String {
    format!("{} ({} to {})", short(summary.median), short(summary.min), short(summary.max))
}

/// Three digits that count.
fn short(figure: f64) -> String {
    match figure.abs() {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn label(case: &Case, metric: Metric) -> String {
    let what = match (case.shape, metric) {
        (Shape::Handshakes { .. }, Metric::Cpu) => "CPU µs per handshake",
        (_, Metric::Cpu) => "CPU µs per round trip",
        (_, Metric::LatencyP50) => "µs, median",
        (_, Metric::LatencyP99) => "µs, 99%",
        (_, Metric::Memory) => "KiB per tunnel",
    };
    format!("{case}, {what}")
}

const PUBLISHED: usize = 9;
/// The share of the time that other work may take before the table tells.
const QUIET: f64 = 0.03;

#[cfg(test)]
mod tests {
    use super::*;

    fn summaries(medians: &[f64]) -> Vec<Option<Summary>> {
        medians.iter().map(|median| Summary::of(&[*median, *median + 1.0, *median - 1.0])).collect()
    }

    #[test]
    fn the_ratio_is_to_the_best_peer_and_not_to_the_floor() {
        let names = ["nginx", "haproxy", FLOOR, GATEWAY];
        assert_eq!(ratio(&names, &summaries(&[12.0, 10.0, 1.0, 9.0])), Some(0.9));
        assert_eq!(ratio(&names[..3], &summaries(&[12.0, 10.0, 1.0])), None, "no gateway");
        assert_eq!(ratio(&names[2..], &summaries(&[1.0, 9.0])), None, "no peer");
    }

    #[test]
    fn a_row_has_medians_spreads_and_the_ratio() {
        let row = row("100x128B", &["nginx", GATEWAY], &summaries(&[12.0, 9.0]));
        assert_eq!(row, "| 100x128B | 12.0 (11.0 to 13.0) | 9.00 (8.00 to 10.0) | 0.75 |\n");
    }
}
