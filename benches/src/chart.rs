//! Draws the results as an SVG and writes them into `README.md`.

use std::{fmt::Write, fs};

use crate::{
    Bad,
    report::{Limit, Number, Report, Row},
};

const SVG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results.svg");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const MARKS: [&str; 2] = ["<!-- results -->\n", "<!-- end of results -->\n"];

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:14px}.s{fill:#59636e}\
.r{text-anchor:end}.c{text-anchor:middle}.b{fill:#0969da}.p{fill:#afb8c1}.x{fill:#d1242f}\
line{stroke:#d0d7de}.g{stroke:#24292f;stroke-width:2}.l{stroke:#0969da;stroke-width:2}\
.o{fill:#fff;stroke:#0969da;stroke-width:2}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.b{fill:#4493f8}.p{fill:#59636e}\
.x{fill:#f85149}line{stroke:#3d444d}.g{stroke:#e6edf3}.l{stroke:#4493f8}.o{fill:#0d1117;stroke:#4493f8}}";

/// The edges of the plots, in pixels.
const LEFT: f64 = 220.0;
const RIGHT: f64 = 640.0;
const LINE: f64 = 20.0;

/// Writes both files.
pub fn write() -> Result<(), Bad> {
    let report = Report::read()?;
    fs::write(SVG, draw(&report)?)?;
    let readme = fs::read_to_string(README)?;
    let split = |mark| {
        readme
            .split_once(mark)
            .ok_or("README.md has no marks for the results")
    };
    let ((before, _), (_, after)) = (split(MARKS[0])?, split(MARKS[1])?);
    let (begin, end, table) = (MARKS[0], MARKS[1], report.table());
    let image = "![Throughput against the floor, and latency](results.svg)";
    let text = format!("{before}{begin}\n{image}\n\n{table}\n{end}{after}");
    fs::write(README, text)?;
    Ok(())
}

fn draw(report: &Report) -> Result<String, Bad> {
    let (mut body, mut y) = (String::new(), 0.0);
    let of = |scenario: &'static str| move |row: &&Row| row.scenario == scenario;
    let ratios: Vec<&Row> = report.rows.iter().filter(of("throughput")).collect();
    if !ratios.is_empty() {
        draw_ratios(&mut body, &mut y, &ratios)?;
    }
    let is_p50 = |rows: &&[Row]| rows[0].name.ends_with(": p50");
    let latencies: Vec<&[Row]> = report.rows.windows(3).filter(is_p50).collect();
    if !latencies.is_empty() {
        draw_latencies(&mut body, &mut y, &latencies)?;
    }
    for versions in report.conditions.0.chunks(4) {
        y += LINE;
        writeln!(
            body,
            r#"<text class="s" x="10" y="{y}">{}</text>"#,
            escape(&versions.join(", "))
        )?;
    }
    let height = y + LINE / 2.0;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" \
         viewBox=\"0 0 720 {height}\" role=\"img\" aria-label=\"Results of benches\">\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    ))
}

/// Bars, with a mark at each budget.
fn draw_ratios(body: &mut String, y: &mut f64, rows: &[&Row]) -> Result<(), Bad> {
    let longest = rows.iter().map(|row| row.value).fold(1.0, f64::max);
    let x = |ratio: f64| LEFT + (RIGHT - LEFT) * ratio / longest;
    *y += LINE;
    writeln!(
        body,
        r#"<text class="t" x="10" y="{y}">Throughput against the floor in the same run</text>"#
    )?;
    *y += LINE;
    let bottom = *y + LINE * rows.len() as f64;
    writeln!(
        body,
        r#"<text class="s" x="10" y="{y}">longer is better; a mark is a budget, red misses it, gray has none</text><text class="s c" x="{0:.0}" y="{y}">1 x</text><line x1="{0:.0}" x2="{0:.0}" y1="{1}" y2="{bottom}"/>"#,
        x(1.0),
        *y + 5.0,
    )?;
    for row in rows {
        *y += LINE;
        let class = match row.limit {
            None => "p",
            Some(_) if row.is_met() => "b",
            Some(_) => "x",
        };
        let (end, top) = (x(row.value), *y - 11.0);
        write!(
            body,
            r#"<text class="r" x="{:.0}" y="{y}">{}</text><rect class="{class}" x="{LEFT}" y="{top}" width="{:.0}" height="14"/><text class="r" x="705" y="{y}">{:.2} x</text>"#,
            LEFT - 8.0,
            escape(&row.name),
            end - LEFT,
            row.value
        )?;
        if let Some(Limit::AtLeast(limit)) = row.limit {
            let (x, bottom) = (x(limit), top + 16.0);
            write!(
                body,
                r#"<line class="g" x1="{x:.0}" x2="{x:.0}" y1="{}" y2="{bottom}"/>"#,
                top - 2.0
            )?;
        }
        body.push('\n');
    }
    *y += LINE;
    Ok(())
}

/// Percentiles on a logarithmic axis.
fn draw_latencies(body: &mut String, y: &mut f64, rows: &[&[Row]]) -> Result<(), Bad> {
    const AXIS: [(f64, &str); 6] = [
        (0.1, "0.1 ms"),
        (1.0, "1 ms"),
        (10.0, "10 ms"),
        (100.0, "100 ms"),
        (1e3, "1 s"),
        (1e4, "10 s"),
    ];
    let x = |ms: f64| LEFT + (RIGHT - LEFT) * (ms.clamp(0.1, 1e4).log10() + 1.0) / 5.0;
    *y += LINE;
    writeln!(body, r#"<text class="t" x="10" y="{y}">Latency</text>"#)?;
    *y += LINE;
    writeln!(
        body,
        r#"<text class="s" x="10" y="{y}">dot: p50; ring and number: p99; end: p99.9</text>"#
    )?;
    let (top, bottom) = (*y + LINE, *y + LINE * (rows.len() + 1) as f64);
    *y += LINE - 2.0;
    for (ms, label) in AXIS {
        writeln!(
            body,
            r#"<text class="s c" x="{0:.0}" y="{y}">{label}</text><line x1="{0:.0}" x2="{0:.0}" y1="{top}" y2="{bottom}"/>"#,
            x(ms)
        )?;
    }
    *y += 4.0;
    for [p50, p99, p999] in rows.iter().filter_map(|rows| rows.first_chunk()) {
        *y += LINE;
        let (a, b, c) = (x(p50.value), x(p99.value), x(p999.value));
        let middle = *y - 4.0;
        let name = escape(p50.name.trim_end_matches(": p50"));
        writeln!(
            body,
            r#"<text class="r" x="{:.0}" y="{y}">{}, {name}</text><line class="l" x1="{a:.0}" x2="{c:.0}" y1="{middle}" y2="{middle}"/><circle class="b" cx="{a:.0}" cy="{middle}" r="5"/><circle class="o" cx="{b:.0}" cy="{middle}" r="4"/><text class="r" x="705" y="{y}">{} ms</text>"#,
            LEFT - 8.0,
            p50.scenario,
            Number(p99.value)
        )?;
    }
    *y += LINE;
    Ok(())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
