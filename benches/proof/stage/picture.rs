//! Pictures in SVG: horizontal bars in columns, and steps over an axis.
//!
//! They stand in README files, on light and on dark pages: each has a ground of its own, which follows the reader's choice where that is known. What is the
//! agent's has one colour, whatever else there is is told apart by grey or by dashes, and the figures are written out beside the bars. The same figures make
//! the same bytes.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const MARGIN: f64 = 20.0;
/// Width of a character in the small and in the ordinary size, about, for no font comes with the picture.
const SMALL: f64 = 6.4;
const LETTER: f64 = 7.3;

/// Colours by class; dashes and widths of lines are written where they are drawn.
const STYLE: &str = "<style>\
text{font:13px system-ui,-apple-system,'Segoe UI','Noto Sans','DejaVu Sans',sans-serif;fill:#1f2328;paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}\
.title{font-size:16px;font-weight:600}.small{font-size:11px;fill:#59636e}.ours{font-weight:600}\
.ground{fill:#fff;stroke:#d1d9e0}.rule{stroke:#d1d9e0}.mark{stroke:#cf222e;stroke-dasharray:4 3}.marked{fill:#cf222e}\
.bar{fill:#afb8c1}.bar-ours{fill:#0969da}\
.line{fill:none;stroke-width:1.8;stroke-linejoin:round}.line-ours{stroke:#0969da;stroke-width:2.8}\
.line-0{stroke:#6e7781}.line-1{stroke:#bc4c00}.line-2{stroke:#1a7f37}.line-3{stroke:#8250df}\
@media (prefers-color-scheme:dark){text{fill:#f0f6fc;stroke:#0d1117}.small{fill:#9198a1}.ground{fill:#0d1117;stroke:#3d444d}.rule{stroke:#3d444d}\
.mark{stroke:#f85149}.marked{fill:#f85149}.bar{fill:#656c76}.bar-ours{fill:#4493f8}.line-ours{stroke:#4493f8}\
.line-0{stroke:#9198a1}.line-1{stroke:#db6d28}.line-2{stroke:#3fb950}.line-3{stroke:#ab7df8}}\
</style>";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    Logarithmic,
}

/// What figures mean, and how they become places.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    /// With its unit, such as `memory in MiB`.
    pub(crate) name: String,
    pub(crate) scale: Scale,
    /// A figure in words: beside a bar, or at a tick.
    pub(crate) text: fn(f64) -> String,
    /// A figure that matters, such as a goal, and its name.
    pub(crate) mark: Option<(f64, String)>,
}

impl Axis {
    fn heading(&self) -> String {
        if self.scale == Scale::Logarithmic { format!("{}, logarithmic", self.name) } else { self.name.clone() }
    }
}

/// A row of bars, one in each column; none where nothing was measured.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) ours: bool,
    pub(crate) values: Vec<Option<f64>>,
}

/// Horizontal bars: a row for each thing, a column for each kind of figure.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// For readers who cannot see it.
    pub(crate) description: String,
    pub(crate) columns: Vec<Axis>,
    pub(crate) rows: Vec<Row>,
}

/// One line of several.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) ours: bool,
    /// From left to right.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Steps over an axis: a value holds until the next point.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) across: Axis,
    pub(crate) up: Axis,
    pub(crate) series: Vec<Series>,
}

/// From figures to places on the picture.
struct Span {
    scale: Scale,
    figures: (f64, f64),
    places: (f64, f64),
}

impl Span {
    fn place(&self, figure: f64) -> f64 {
        let on = |figure: f64| if self.scale == Scale::Logarithmic { figure.max(f64::MIN_POSITIVE).log10() } else { figure };
        let (low, high) = (on(self.figures.0), on(self.figures.1));
        let share = if high > low { ((on(figure) - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// Round figures, about `wanted` of them.
    fn ticks(&self, wanted: f64) -> Vec<f64> {
        let (low, high) = self.figures;
        if high <= low {
            return vec![low];
        }
        if self.scale == Scale::Logarithmic {
            let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
            let each: &[f64] = if high / low < 50.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let all = decades.flat_map(|decade| each.iter().map(move |step| step * 10f64.powi(decade)));
            let all: Vec<f64> = all.filter(|tick| (low * 0.999..=high * 1.001).contains(tick)).collect();
            let every = (all.len() as f64 / wanted).ceil().max(1.0) as usize;
            return all.into_iter().step_by(every).collect();
        }
        let rough = (high - low) / wanted;
        let decade = 10f64.powf(rough.log10().floor());
        let step = decade * [1.0, 2.0, 5.0, 10.0].into_iter().find(|step| step * decade >= rough).unwrap_or(10.0);
        let first = (low / step).ceil() as i64;
        let last = ((high + step * 1e-6) / step).floor() as i64;
        (first..=last).map(|at| at as f64 * step).collect()
    }
}

/// From what to what an axis goes that has to show these figures.
fn reach(scale: Scale, figures: impl Iterator<Item = f64>) -> (f64, f64) {
    let shown = figures.filter(|figure| figure.is_finite() && (scale == Scale::Linear || *figure > 0.0));
    let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), figure| (low.min(figure), high.max(figure)));
    match scale {
        _ if low > high => (0.0, 1.0),
        Scale::Linear => (low.min(0.0), if high > 0.0 { high } else { 1.0 }),
        Scale::Logarithmic => (low, high.max(low * 10.0)),
    }
}

/// A picture that is being drawn.
struct Sheet {
    body: String,
}

impl Sheet {
    fn new() -> Self {
        Self { body: String::new() }
    }

    fn text(&mut self, (x, y): (f64, f64), class: &str, anchor: &str, text: &str) {
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let _ = writeln!(self.body, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
    }

    fn finish(self, height: f64, title: &str, description: &str) -> String {
        let (title, description) = (escaped(title), escaped(description));
        let ground =
            format!("<rect class=\"ground\" x=\"0.5\" y=\"0.5\" width=\"{:.1}\" height=\"{:.1}\" rx=\"8\"/>", WIDTH - 1.0, height - 1.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH:.0} {height:.0}\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
             role=\"img\" aria-labelledby=\"title description\">\n<title id=\"title\">{title}</title>\n\
             <desc id=\"description\">{description}</desc>\n{STYLE}\n{ground}\n\
             <text x=\"{MARGIN:.1}\" y=\"32.0\" class=\"title\">{title}</text>\n{}</svg>\n",
            self.body
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn width(text: &str, letter: f64) -> f64 {
    text.chars().count() as f64 * letter
}

/// Where bars begin, from one to the next, and how thick they are.
const TOP: f64 = 78.0;
const STEP: f64 = 26.0;
const BAR: f64 = 16.0;

impl Bars {
    pub(crate) fn svg(&self) -> String {
        let mut sheet = Sheet::new();
        let labels = self.rows.iter().map(|row| width(&row.label, LETTER)).fold(0.0, f64::max);
        let left = MARGIN + labels + 12.0;
        let column = (WIDTH - MARGIN - left) / self.columns.len() as f64;
        let bottom = TOP + STEP * self.rows.len() as f64;
        for (at, row) in self.rows.iter().enumerate() {
            let base = TOP + STEP * at as f64 + BAR - 3.5;
            sheet.text((left - 12.0, base), if row.ours { "ours" } else { "" }, "end", &row.label);
        }
        for (at, axis) in self.columns.iter().enumerate() {
            let values = || self.rows.iter().filter_map(|row| row.values[at]);
            let texts = values().map(|value| width(&(axis.text)(value), LETTER)).fold(0.0, f64::max);
            let from = left + column * at as f64;
            let marked = axis.mark.iter().map(|(figure, _)| *figure);
            let mut figures = reach(axis.scale, values().chain(marked));
            if axis.scale == Scale::Logarithmic {
                // A bar of no length says nothing: from the decade below the least.
                figures.0 = 10f64.powf((figures.0 * 0.7).log10().floor());
            }
            let span = Span { scale: axis.scale, figures, places: (from, from + column - texts - 26.0) };
            sheet.text((from, 58.0), "small", "start", &axis.heading());
            self.column(&mut sheet, at, &span, bottom);
        }
        let marks = if self.columns.iter().any(|axis| axis.mark.is_some()) { 16.0 } else { 0.0 };
        sheet.finish(bottom + marks + 12.0, &self.title, &self.description)
    }

    fn column(&self, sheet: &mut Sheet, at: usize, span: &Span, bottom: f64) {
        let (axis, from) = (&self.columns[at], span.places.0);
        let place = |index: usize| TOP + STEP * index as f64;
        for (index, row) in self.rows.iter().enumerate() {
            let class = if row.ours { "bar bar-ours" } else { "bar" };
            let (top, length) = (place(index), row.values[at].map_or(0.0, |value| (span.place(value) - from).max(1.5)));
            let _ = writeln!(
                sheet.body,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR:.1}\" rx=\"2\"/>"
            );
        }
        sheet.line("rule", (from, TOP - 6.0), (from, bottom));
        if let Some((figure, name)) = &axis.mark {
            let x = span.place(*figure);
            sheet.line("mark", (x, TOP - 6.0), (x, bottom));
            sheet.text((x, bottom + 14.0), "small marked", "middle", name);
        }
        for (index, row) in self.rows.iter().enumerate() {
            let base = place(index) + BAR - 3.5;
            match row.values[at] {
                Some(value) => sheet.text(
                    (span.place(value).max(from + 1.5) + 6.0, base),
                    if row.ours { "ours" } else { "" },
                    "start",
                    &(axis.text)(value),
                ),
                None => sheet.text((from + 6.0, base), "small", "start", "not measured"),
            }
        }
    }
}

impl Lines {
    pub(crate) fn svg(&self) -> String {
        const TOP: f64 = 90.0;
        const HEIGHT: f64 = 270.0;
        let mut sheet = Sheet::new();
        let all = || self.series.iter().flat_map(|series| series.points.iter());
        let of =
            |axis: &Axis, figures: &mut dyn Iterator<Item = f64>| reach(axis.scale, figures.chain(axis.mark.iter().map(|mark| mark.0)));
        let up = of(&self.up, &mut all().map(|point| point.1));
        let mut across = of(&self.across, &mut all().map(|point| point.0));
        if self.across.scale == Scale::Linear {
            across.0 = across.0.max(all().map(|point| point.0).fold(f64::INFINITY, f64::min));
        }
        let up = Span { scale: self.up.scale, figures: up, places: (TOP + HEIGHT, TOP) };
        let ticks = up.ticks(5.0);
        let texts = ticks.iter().map(|tick| width(&(self.up.text)(*tick), SMALL)).fold(0.0, f64::max);
        let (left, right) = (MARGIN + texts + 8.0, WIDTH - MARGIN - 12.0);
        let across = Span { scale: self.across.scale, figures: across, places: (left, right) };

        sheet.text((MARGIN, TOP - 14.0), "small", "start", &self.up.heading());
        for tick in ticks {
            let y = up.place(tick);
            sheet.line("rule", (left, y), (right, y));
            sheet.text((left - 8.0, y + 4.0), "small", "end", &(self.up.text)(tick));
        }
        for tick in across.ticks(8.0) {
            let x = across.place(tick);
            sheet.line("rule", (x, TOP + HEIGHT), (x, TOP + HEIGHT + 5.0));
            sheet.text((x, TOP + HEIGHT + 19.0), "small", "middle", &(self.across.text)(tick));
        }
        sheet.text(((left + right) / 2.0, TOP + HEIGHT + 38.0), "small", "middle", &self.across.heading());
        self.marks(&mut sheet, &across, &up);
        self.draw(&mut sheet, &across, &up);
        sheet.finish(TOP + HEIGHT + 52.0, &self.title, &self.description)
    }

    fn marks(&self, sheet: &mut Sheet, across: &Span, up: &Span) {
        if let Some((figure, name)) = &self.up.mark {
            let y = up.place(*figure);
            sheet.line("mark", (across.places.0, y), (across.places.1, y));
            sheet.text((across.places.0 + 6.0, y - 5.0), "small marked", "start", name);
        }
        if let Some((figure, name)) = &self.across.mark {
            let x = across.place(*figure);
            sheet.line("mark", (x, up.places.0), (x, up.places.1));
            sheet.text((x, up.places.1 - 5.0), "small marked", "middle", name);
        }
    }

    /// The lines, the agent's on top, and their names above.
    fn draw(&self, sheet: &mut Sheet, across: &Span, up: &Span) {
        let mut others = 0;
        let mut key = MARGIN;
        let mut named: Vec<(String, &Series)> = Vec::new();
        for series in &self.series {
            let look = if series.ours {
                "class=\"line line-ours\"".to_owned()
            } else {
                let dashes = ["none", "6 3", "2 3", "8 3 2 3"][others / 4 % 4];
                others += 1;
                format!("class=\"line line-{}\" stroke-dasharray=\"{dashes}\"", (others - 1) % 4)
            };
            let _ = writeln!(sheet.body, "<path {look} d=\"M{key:.1} 52h22\"/>");
            sheet.text((key + 28.0, 56.0), if series.ours { "ours" } else { "" }, "start", &series.name);
            key += 28.0 + width(&series.name, LETTER) + 20.0;
            named.push((look, series));
        }
        named.sort_by_key(|(_, series)| series.ours);
        for (look, series) in named {
            let mut path = String::new();
            for (at, (x, y)) in series.points.iter().enumerate() {
                let (x, y) = (across.place(*x), up.place(*y));
                let _ = if at == 0 { write!(path, "M{x:.1} {y:.1}") } else { write!(path, "H{x:.1}V{y:.1}") };
            }
            let _ = writeln!(sheet.body, "<path {look} d=\"{path}\"/>");
        }
    }
}
