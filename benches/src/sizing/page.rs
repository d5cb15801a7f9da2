//! Writes the figures into the guide.

use std::{fmt::Write, fs};

use super::{
    Event, Figures, Results, SIZES,
    partitions::Table,
    picture,
    session::{Operation, Recorded},
    stores::Kind,
};
use crate::{Bad, report::Number};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/guide/sizing.md");
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../src/guide/sizing.svg");

/// From the measured sizes to a hundred times the largest.
pub const ALL_SIZES: [u64; 6] = [
    SIZES[0],
    SIZES[1],
    SIZES[2],
    SIZES[3],
    10_000_000,
    100_000_000,
];

/// The part of the sessions that is in use at the same time.
const IN_USE: f64 = 0.1;
const SECONDS_BETWEEN_PAGES: f64 = 30.0;
/// A session is extended after a twentieth of 12 hours.
const SECONDS_BETWEEN_EXTENSIONS: f64 = 2160.0;
/// An access token of an hour is refreshed after 54 to 59 minutes.
const SECONDS_BETWEEN_REFRESHES: f64 = 3390.0;
/// Each session begins with one sign-in.
const SECONDS_BETWEEN_SIGN_INS: f64 = 86_400.0;

/// The token requests per minute that Oten allows a client in production.
pub const TOKEN_REQUESTS: f64 = 60.0;

/// The events per second of a number of sessions.
pub struct Rates {
    pub pages: f64,
    pub extensions: f64,
    pub refreshes: f64,
    pub sign_ins: f64,
}

impl Rates {
    pub fn of(sessions: f64) -> Self {
        let in_use = sessions * IN_USE;
        Self {
            pages: in_use / SECONDS_BETWEEN_PAGES,
            extensions: in_use / SECONDS_BETWEEN_EXTENSIONS,
            refreshes: in_use / SECONDS_BETWEEN_REFRESHES,
            sign_ins: sessions / SECONDS_BETWEEN_SIGN_INS,
        }
    }

    pub fn token_requests_per_minute(&self) -> f64 {
        60.0 * (self.refreshes + self.sign_ins)
    }

    /// The part of the time for which a store with these figures is busy. A sign-in and its sign-out write
    /// about as much as two extensions.
    pub fn load(&self, figures: &Figures) -> f64 {
        self.pages / figures.page.per_second
            + self.refreshes / figures.refresh.per_second
            + (self.extensions + 2.0 * self.sign_ins) / figures.extension.per_second
    }
}

impl Results {
    /// The figures of this size or, if it is larger than any that was measured, of the largest.
    pub fn nearest(&self, kind: Kind, sessions: u64) -> Option<&Figures> {
        let exact = self.find(kind, sessions);
        let sizes = SIZES.iter().rev().filter(|size| **size < sessions);
        exact.or_else(|| sizes.filter_map(|size| self.find(kind, *size)).next())
    }
}

pub fn write(results: &Results, sealed: &Recorded, plain: &Recorded) -> Result<(), Bad> {
    let conditions = results.conditions.0.join(", ");
    let mut page = fs::read_to_string(PAGE)?;
    for (name, text) in [
        ("requests", requests(sealed, plain)),
        ("measured", measured(results)),
        ("needed", needed(sealed)),
        ("bytes", bytes(results)),
        ("capacity", capacity(results)),
        ("unlogged", unlogged(results)),
        ("partitions", partitions(results)),
        ("conditions", format!("Measured with {conditions}.\n")),
    ] {
        let (begin, end) = (
            format!("<!-- {name} -->\n"),
            format!("<!-- end of {name} -->"),
        );
        let missing = || format!("sizing.md has no marks for {name}");
        let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
        let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
        page = format!("{before}{begin}\n{text}\n{end}{after}");
    }
    fs::write(PAGE, page)?;
    Ok(fs::write(PICTURE, picture::draw(results)?)?)
}

/// What the events ask of the store and of the provider.
fn requests(sealed: &Recorded, plain: &Recorded) -> String {
    let mut text =
        String::from("| event | reads | writes | token requests |\n|---|---:|---:|---:|\n");
    for (name, operations, tokens) in [
        ("sign-in, with its login attempt", &sealed.sign_in, 1),
        ("page", &sealed.page, 0),
        ("page that extends the session", &sealed.extension, 0),
        ("page that refreshes the tokens", &sealed.refresh, 1),
        ("sign-out", &sealed.sign_out, 0),
    ] {
        let [reads, writes] = counts(operations);
        writeln!(text, "| {name} | {reads} | {writes} | {tokens} |").ok();
    }
    let size = |recorded: &Recorded, of: &str| {
        let mut kept = recorded.kept();
        kept.find_map(|operation| match operation {
            Operation::Insert { kind, bytes, .. } if *kind == of => Some(*bytes),
            _ => None,
        })
    };
    let sizes =
        |recorded| ["session", "tokens"].map(|kind| size(recorded, kind).unwrap_or_default());
    let ([session, tokens], [plain_session, plain_tokens]) = (sizes(sealed), sizes(plain));
    let sets = sealed.kept().count() - 2;
    writeln!(
        text,
        "\nA user of the emulator leaves a session record of {session} bytes, tokens of {tokens} bytes and \
         {sets} entries in indexes; not sealed, in memory, the records have {plain_session} and \
         {plain_tokens} bytes."
    )
    .ok();
    text
}

fn counts(operations: &[Operation]) -> [usize; 2] {
    let writes = operations.iter().filter(|it| it.is_write()).count();
    [operations.len() - writes, writes]
}

fn measured(results: &Results) -> String {
    let mut text = String::from(
        "| store | sessions | bytes per session | page p50 / p99 | pages/s | refresh p50 / p99 | \
         refreshes/s | extensions/s | a tenth expires | page p99 meanwhile |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for kind in Kind::ALL {
        for figures in SIZES.iter().filter_map(|size| results.find(kind, *size)) {
            let latency =
                |event: &Event| format!("{} / {}", time(event.p50_ms), time(event.p99_ms));
            let expiry = match (figures.expiry_seconds, figures.expiry_share) {
                (Some(seconds), Some(share)) if share < 1.0 => {
                    format!("{} % in {} s", Number(100.0 * share), Number(seconds))
                }
                (Some(seconds), _) => format!("{} s", Number(seconds)),
                (None, _) => "with later writes".to_owned(),
            };
            writeln!(
                text,
                "| {} | {} | {:.0} | {} | {} | {} | {} | {} | {expiry} | {} |",
                kind.title(),
                grouped(figures.sessions as f64),
                figures.bytes_per_session,
                latency(&figures.page),
                rate(figures.page.per_second),
                latency(&figures.refresh),
                rate(figures.refresh.per_second),
                rate(figures.extension.per_second),
                time(figures.page_p99_ms_meanwhile),
            )
            .ok();
        }
    }
    text
}

/// What numbers of sessions need, whatever the store is.
fn needed(sealed: &Recorded) -> String {
    let mut text = String::from(
        "| sessions | in use | pages/s | store reads/s | store writes/s | token requests/min | \
         with `on-demand` |\n|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for sessions in ALL_SIZES {
        let rates = Rates::of(sessions as f64);
        let [mut reads, mut writes] = [0.0; 2];
        let page = counts(&sealed.page);
        for (rate, operations, base) in [
            (rates.pages, &sealed.page, [0; 2]),
            // They are counted as pages already.
            (rates.extensions, &sealed.extension, page),
            (rates.refreshes, &sealed.refresh, page),
            (rates.sign_ins, &sealed.sign_in, [0; 2]),
            (rates.sign_ins, &sealed.sign_out, [0; 2]),
        ] {
            let [of_reads, of_writes] = counts(operations);
            reads += rate * of_reads.saturating_sub(base[0]) as f64;
            writes += rate * of_writes.saturating_sub(base[1]) as f64;
        }
        let [sessions, in_use] = [sessions as f64, sessions as f64 * IN_USE].map(grouped);
        let [pages, reads, writes, always, on_demand] = [
            rates.pages,
            reads,
            writes,
            rates.token_requests_per_minute(),
            60.0 * rates.sign_ins,
        ]
        .map(rate);
        writeln!(
            text,
            "| {sessions} | {in_use} | {pages} | {reads} | {writes} | {always} | {on_demand} |"
        )
        .ok();
    }
    text
}

fn bytes(results: &Results) -> String {
    let mut text = String::from("| sessions |");
    for kind in Kind::ALL {
        write!(text, " {} |", kind.title()).ok();
    }
    text += "\n|---:|---:|---:|---:|---:|---:|\n";
    for sessions in ALL_SIZES {
        write!(text, "| {} |", grouped(sessions as f64)).ok();
        for kind in Kind::ALL {
            let Some(figures) = results.nearest(kind, sessions) else {
                text += " |";
                continue;
            };
            let size = human(figures.bytes_per_session * sessions as f64);
            if figures.sessions == sessions {
                write!(text, " {size} |").ok();
            } else {
                write!(text, " *{size}* |").ok();
            }
        }
        text += "\n";
    }
    text
}

/// The sessions with which one store is busy for half of the time. In the memory store, the work of an
/// extension grows with the sessions.
fn capacity(results: &Results) -> String {
    let mut text = String::from(
        "| store | busy with a million sessions | half busy with | pages/s then |\n|---|---:|---:|---:|\n",
    );
    for &kind in &Kind::ALL[1..] {
        let Some(figures) = results.nearest(kind, SIZES[3]) else {
            continue;
        };
        let load = Rates::of(1e6).load(figures);
        let sessions = 0.5e6 / load;
        writeln!(
            text,
            "| {} | *{} %* | *{}* | *{}* |",
            kind.title(),
            Number(100.0 * load),
            rounded(sessions, 2),
            rounded(Rates::of(sessions).pages, 2),
        )
        .ok();
    }
    text
}

fn unlogged(results: &Results) -> String {
    let mut text = String::from(
        "| tables | sessions | refreshes/s | extensions/s | log per refresh | kept by a shutdown | kept by a \
         crash | start after it | switch locks for |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for sessions in SIZES {
        for (name, kind) in [("logged", Kind::Postgres), ("`UNLOGGED`", Kind::Unlogged)] {
            let Some(figures) = results.find(kind, sessions) else {
                continue;
            };
            let (Some(wal), Some(crash)) = (figures.wal_bytes_per_refresh, figures.crash) else {
                continue;
            };
            let percent = |share: f64| format!("{:.0} %", 100.0 * share);
            let switch = crash.switch_seconds;
            let switch = switch.map_or(String::new(), |it| format!("{} s", Number(it)));
            writeln!(
                text,
                "| {name} | {} | {} | {} | {} bytes | {} | {} | {} s | {switch} |",
                grouped(sessions as f64),
                rate(figures.refresh.per_second),
                rate(figures.extension.per_second),
                rate(wal),
                percent(crash.left_after_shutdown),
                percent(crash.left),
                Number(crash.start_seconds),
            )
            .ok();
        }
    }
    text
}

fn partitions(results: &Results) -> String {
    let Some(partitions) = &results.partitions else {
        return String::new();
    };
    let mut text = format!(
        "| {} rows | read p50 | reads/s | compare-and-set p50 | compare-and-set/s | the same with a new expiry | \
         removal of a day |\n|---|---:|---:|---:|---:|---:|---:|\n",
        grouped(partitions.rows as f64)
    );
    let one = ("one table, sweep".to_owned(), partitions.plain);
    let many = (
        format!("{} partitions, `DROP TABLE`", partitions.partitions),
        partitions.partitioned,
    );
    for (name, table) in [one, many] {
        let Table {
            read_p50_ms,
            reads_per_second,
            write_p50_ms,
            writes_per_second,
            moves_per_second,
            expiry_seconds,
        } = table;
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} | {} s |",
            time(read_p50_ms),
            rate(reads_per_second),
            time(write_p50_ms),
            rate(writes_per_second),
            rate(moves_per_second),
            Number(expiry_seconds),
        )
        .ok();
    }
    writeln!(
        text,
        "\nTwo inserts of one key with different expiries left {} rows in the partitioned table.",
        partitions.rows_of_one_key
    )
    .ok();
    text
}

/// A number of bytes with three digits.
pub fn human(bytes: f64) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"];
    let power = (bytes.max(1.0).log10() / 3.0).floor().min(4.0);
    let value = Number(bytes / 1000_f64.powf(power));
    format!("{value} {}", units[power as usize])
}

fn time(ms: f64) -> String {
    if ms < 0.1 {
        format!("{} µs", Number(ms * 1e3))
    } else {
        format!("{} ms", Number(ms))
    }
}

fn rate(number: f64) -> String {
    rounded(number, 3)
}

/// A number with so many significant digits, of which [`Number`] prints at most three decimals.
fn rounded(number: f64, digits: i32) -> String {
    let magnitude = 10_f64.powi(number.max(0.001).log10().floor() as i32 + 1 - digits);
    grouped((number / magnitude).round() * magnitude)
}

/// A whole number with commas, or a small one with its fraction.
fn grouped(number: f64) -> String {
    if number < 100.0 {
        return Number(number).to_string();
    }
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
