//! The picture of cost against growth. It is part of the guide's page, and readable on a light and a dark
//! background.

use std::fmt::Write;

use super::{
    Results,
    page::{ALL_SIZES, Rates, TOKEN_REQUESTS, human},
    stores::Kind,
};
use crate::Bad;

/// The text takes the color of the page around it. Rules for `:root` apply only if the picture is a page of
/// its own.
const STYLE: &str = "\
.sizing text{font:12px system-ui,sans-serif;fill:currentColor}.sizing .t{font-weight:600;font-size:14px}\
.sizing .c{text-anchor:middle}.sizing .r{text-anchor:end}.sizing .g{stroke:currentColor;stroke-opacity:.2}\
.sizing path{fill:none;stroke-width:2}.sizing .d{stroke-dasharray:2 5}.sizing .l{stroke-dasharray:8 4}\
:root.sizing{color:#24292f}\
@media(prefers-color-scheme:dark){:root.sizing{color:#e6edf3}}";

const WIDTH: f64 = 720.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 560.0;
const HEIGHT: f64 = 200.0;
const LABEL: f64 = 15.0;

const GRAY: &str = "#848d97";

/// One line of a plot.
struct Line {
    name: &'static str,
    color: &'static str,
    /// The values for [`ALL_SIZES`], and whether each was measured.
    values: Vec<(u64, f64, bool)>,
}

/// A plot with logarithmic axes.
struct Plot {
    title: &'static str,
    /// The powers of ten at the bottom and at the top.
    decades: [i32; 2],
    label: fn(f64) -> String,
    lines: Vec<Line>,
    /// A limit and its name.
    limit: Option<(f64, &'static str)>,
}

pub fn draw(results: &Results) -> Result<String, Bad> {
    let line = |kind: Kind, value: &dyn Fn(u64, &super::Figures) -> f64| {
        let values = ALL_SIZES.iter().filter_map(|&sessions| {
            let figures = results.nearest(kind, sessions)?;
            let is_measured = figures.sessions == sessions;
            Some((sessions, value(sessions, figures), is_measured))
        });
        let (name, color) = match kind {
            Kind::Memory => ("memory", "#a371f7"),
            Kind::Sqlite => ("SQLite", "#2da44e"),
            Kind::Redis => ("Redis", "#e5534b"),
            Kind::Postgres => ("PostgreSQL", "#2f81f7"),
            Kind::Unlogged => ("UNLOGGED", "#bf8700"),
        };
        Line {
            name,
            color,
            values: values.collect(),
        }
    };
    let size =
        |sessions: u64, figures: &super::Figures| sessions as f64 * figures.bytes_per_session;
    let load =
        |sessions: u64, figures: &super::Figures| 100.0 * Rates::of(sessions as f64).load(figures);
    let tokens = |name, color, value: fn(Rates) -> f64| Line {
        name,
        color,
        values: ALL_SIZES
            .map(|sessions| (sessions, value(Rates::of(sessions as f64)), false))
            .to_vec(),
    };
    let mut loads = Kind::ALL.map(|kind| line(kind, &load));
    // The work of an extension grows with the sessions there.
    loads[0].values.retain(|value| value.2);
    let stores = [Kind::Memory, Kind::Sqlite, Kind::Redis, Kind::Postgres];
    let plots = [
        Plot {
            title: "Memory or disk",
            decades: [6, 12],
            label: human,
            lines: stores.map(|kind| line(kind, &size)).into(),
            limit: None,
        },
        Plot {
            title: "How busy one store is",
            decades: [-4, 4],
            label: |percent| format!("{} %", power(percent)),
            lines: loads.into(),
            limit: Some((50.0, "half busy")),
        },
        Plot {
            title: "Token requests per minute",
            decades: [-1, 6],
            label: power,
            lines: vec![
                tokens("always", "#2f81f7", |it| it.token_requests_per_minute()),
                tokens("on-demand", "#2da44e", |it| 60.0 * it.sign_ins),
            ],
            limit: Some((TOKEN_REQUESTS, "Oten's limit")),
        },
    ];
    let (mut body, mut top) = (String::new(), 0.0);
    for plot in &plots {
        draw_plot(&mut body, top, plot)?;
        top += HEIGHT + 75.0;
    }
    writeln!(
        body,
        r#"<text x="10" y="{top}">Sessions from a thousand to a hundred million. Dots are measured; dotted lines are calculated.</text>"#
    )?;
    let height = top + 15.0;
    // Without blank lines, because the page is Markdown.
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"sizing\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"Size of the store, how busy it is, and \
         token requests, for a thousand to a hundred million sessions\">\n<style>{STYLE}</style>\n{body}</svg>\n"
    ))
}

/// A power of ten in full.
fn power(value: f64) -> String {
    let decimals = (-value.log10()).round().max(0.0) as usize;
    format!("{value:.decimals$}")
}

fn draw_plot(body: &mut String, top: f64, plot: &Plot) -> Result<(), Bad> {
    let [low, high] = plot.decades;
    let (upper, lower) = (top + 40.0, top + 40.0 + HEIGHT);
    let last = ALL_SIZES.len() - 1;
    let decades = (ALL_SIZES[last] as f64 / ALL_SIZES[0] as f64).log10();
    let x = |sessions: u64| {
        LEFT + (RIGHT - LEFT) * (sessions as f64 / ALL_SIZES[0] as f64).log10() / decades
    };
    let y = |value: f64| {
        let part = (value.log10() - f64::from(low)) / f64::from(high - low);
        lower - HEIGHT * part.clamp(0.0, 1.0)
    };
    writeln!(
        body,
        r#"<text class="t" x="10" y="{}">{}</text>"#,
        top + 20.0,
        plot.title
    )?;
    for decade in low..=high {
        let value = 10_f64.powi(decade);
        let at = y(value);
        writeln!(
            body,
            r#"<text class="r" x="{}" y="{:.1}">{}</text><line class="g" x1="{LEFT}" x2="{RIGHT}" y1="{at:.1}" y2="{at:.1}"/>"#,
            LEFT - 6.0,
            at + 4.0,
            (plot.label)(value)
        )?;
    }
    for sessions in ALL_SIZES {
        let at = x(sessions);
        let zeros = sessions.ilog10();
        writeln!(
            body,
            r#"<text class="c" x="{at:.1}" y="{}">1e{zeros}</text><line class="g" x1="{at:.1}" x2="{at:.1}" y1="{upper}" y2="{lower}"/>"#,
            lower + 16.0
        )?;
    }
    let mut labels = Vec::new();
    if let Some((limit, name)) = plot.limit {
        let at = y(limit);
        writeln!(
            body,
            r#"<path class="l" stroke="{GRAY}" d="M{LEFT} {at:.1}H{RIGHT}"/>"#
        )?;
        labels.push((at, name, GRAY));
    }
    for line in &plot.lines {
        let points = |is_measured: bool| {
            let chosen = line.values.iter().enumerate().filter(|(at, value)| {
                // The dotted line begins at the last dot.
                let begins = line.values.get(at + 1).is_some_and(|next| !next.2);
                value.2 == is_measured || !is_measured && begins
            });
            let points = chosen.map(|(_, value)| format!("{:.1} {:.1}", x(value.0), y(value.1)));
            points.collect::<Vec<_>>().join("L")
        };
        for (class, points) in [("m", points(true)), ("d", points(false))] {
            if !points.is_empty() {
                writeln!(
                    body,
                    r#"<path class="{class}" stroke="{}" d="M{points}"/>"#,
                    line.color
                )?;
            }
        }
        for (sessions, value, _) in line.values.iter().filter(|value| value.2) {
            writeln!(
                body,
                r#"<circle fill="{}" cx="{:.1}" cy="{:.1}" r="3.5"/>"#,
                line.color,
                x(*sessions),
                y(*value)
            )?;
        }
        match line.values.last() {
            Some((sessions, value, _)) if *sessions == ALL_SIZES[last] => {
                labels.push((y(*value), line.name, line.color));
            }
            Some((sessions, value, _)) => writeln!(
                body,
                r#"<text x="{:.1}" y="{:.1}">{}</text>"#,
                x(*sessions) + 8.0,
                y(*value) + 4.0,
                line.name
            )?,
            None => {}
        }
    }
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut previous = f64::NEG_INFINITY;
    for (at, name, color) in labels {
        previous = f64::max(at, previous + LABEL);
        writeln!(
            body,
            r#"<path stroke="{color}" d="M{:.1} {at:.1}L{:.1} {previous:.1}H{:.1}"/><text x="{:.1}" y="{:.1}">{name}</text>"#,
            RIGHT + 2.0,
            RIGHT + 12.0,
            RIGHT + 24.0,
            RIGHT + 28.0,
            previous + 4.0
        )?;
    }
    Ok(())
}
