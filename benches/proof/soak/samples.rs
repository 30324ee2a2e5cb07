//! What is sampled of the agent, and what the samples say: a straight line through them, and how sure its slope is.

use crate::stage::process;
use std::path::Path;
use std::time::Duration;

/// The agent at one moment, or in some looks after one another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Since the begin; of the last look.
    pub(crate) at: Duration,
    /// In the order of [`MEASURES`]. A leak stays, and so raises the least of several looks; what comes and goes with a request does not blur it.
    least: [f64; MEASURES.len()],
    most: [f64; MEASURES.len()],
    pub(crate) cpu: Duration,
}

/// What a day of life may add and count as nothing: so little that it takes a year and more of uptime to reach a limit.
///
/// 256 KiB: the unit of the package permits 256 MiB (`MemoryMax=`), which is more than two years away then, and it is less than a byte for each run of a
/// check. One descriptor or thread: 1,024 (systemd's `LimitNOFILE=`) and 512 (`TasksMax=`) are permitted. 4 KiB of files: 3 MiB in two years.
///
/// None: told, and not judged. What is proportional or private falls while a child that was just forked, or another process of the same program, has the same
/// pages; all that is private is resident.
pub(crate) const MEASURES: [(&str, Option<f64>); 9] = [
    ("resident, KiB", Some(256.0)),
    ("proportional, KiB", None),
    ("private, KiB", None),
    ("anonymous, KiB", Some(256.0)),
    ("descriptors", Some(1.0)),
    ("threads", Some(1.0)),
    ("zombies", Some(1.0)),
    ("ledger, bytes", Some(4096.0)),
    ("state directory without reports, bytes", Some(4096.0)),
];

impl Sample {
    pub(crate) fn take(pid: u32, at: Duration, state: &Path) -> Self {
        let memory = process::memory(pid);
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let figures = [
            memory.resident,
            memory.proportional,
            memory.private,
            process::status(pid, "RssAnon:"),
            process::descriptors(pid) as u64,
            process::status(pid, "Threads:"),
            process::zombies(pid) as u64,
            size(&state.join("ledger.json")),
            all_below(state),
        ];
        let figures = figures.map(|figure| figure as f64);
        Self { at, least: figures, most: figures, cpu: process::cpu(pid) }
    }

    /// Seconds and figures in a line of their own, in the order of [`MEASURES`].
    pub(crate) fn line(&self) -> String {
        let figures: Vec<String> = self.least.iter().map(f64::to_string).collect();
        format!("{:.1},{}\n", self.at.as_secs_f64(), figures.join(","))
    }

    /// With a later look.
    pub(crate) fn and(self, later: Self) -> Self {
        let both = |of: fn(&Self) -> &[f64; MEASURES.len()], pick: fn(f64, f64) -> f64| {
            std::array::from_fn(|measure| pick(of(&self)[measure], of(&later)[measure]))
        };
        Self { least: both(|look| &look.least, f64::min), most: both(|look| &look.most, f64::max), ..later }
    }
}

/// Bytes of all files in a directory and below, without the reports of failures: the last 8 are kept, of 64 KiB at most, and so many do not come together here.
fn all_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let kept = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("report-"));
    kept.filter_map(|entry| entry.metadata().ok().map(|data| if data.is_dir() { all_below(&entry.path()) } else { data.len() })).sum()
}

/// One measure over the time.
pub(crate) struct Course {
    pub(crate) first: f64,
    pub(crate) middle: f64,
    pub(crate) last: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// A day of life.
    pub(crate) slope: f64,
    /// 95 % of it, with neighbours that are alike counted as fewer samples than they are.
    pub(crate) doubt: f64,
    permitted: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// However the doubt is turned, it grows by no more than is permitted.
    Flat,
    /// Surely, and perhaps by more than is permitted.
    Grows,
    /// The doubt is larger than what is permitted.
    Unclear,
    /// Nothing is said of it.
    None,
}

impl Course {
    /// Of the samples after the warm-up; `day` is how long a day of life takes here.
    pub(crate) fn of(samples: &[Sample], measure: usize, day: Duration) -> Self {
        let times: Vec<f64> = samples.iter().map(|sample| sample.at.as_secs_f64() / day.as_secs_f64()).collect();
        let values: Vec<f64> = samples.iter().map(|sample| sample.least[measure]).collect();
        let hour = (samples.len() / 21).max(1);
        let mean_of = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (time, value) = (mean_of(&times), mean_of(&values));
        let spread: f64 = times.iter().map(|at| (at - time).powi(2)).sum();
        let slope = times.iter().zip(&values).map(|(at, figure)| (at - time) * (figure - value)).sum::<f64>() / spread;
        let rests: Vec<f64> = times.iter().zip(&values).map(|(at, figure)| figure - value - slope * (at - time)).collect();
        let squares: f64 = rests.iter().map(|rest| rest * rest).sum();
        let alike = if squares > 0.0 { rests.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / squares } else { 0.0 };
        let alike = alike.clamp(0.0, 0.95);
        let independent = (samples.len() as f64 * (1.0 - alike) / (1.0 + alike)).max(3.0);
        let count = samples.len() as f64;
        let doubt = 1.96 * (squares / (count - 2.0).max(1.0) / spread * count / independent).sqrt();
        let middle = (samples.len() - hour) / 2;
        Self {
            first: mean_of(&values[..hour]),
            middle: mean_of(&values[middle..middle + hour]),
            last: mean_of(&values[values.len() - hour..]),
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: samples.iter().map(|sample| sample.most[measure]).fold(f64::NEG_INFINITY, f64::max),
            slope,
            doubt,
            permitted: MEASURES[measure].1,
        }
    }

    pub(crate) fn judgement(&self) -> Judgement {
        let Some(permitted) = self.permitted else { return Judgement::None };
        if self.slope + self.doubt <= permitted {
            Judgement::Flat
        } else if self.slope > self.doubt {
            Judgement::Grows
        } else {
            Judgement::Unclear
        }
    }

    /// Its cells; without a judgement where the time was too short for one.
    pub(crate) fn row(&self, name: &str, judged: bool) -> Vec<String> {
        let shown = |figure: f64| if figure.fract() == 0.0 { format!("{figure:.0}") } else { format!("{figure:.1}") };
        vec![
            name.to_owned(),
            shown(self.first),
            shown(self.middle),
            shown(self.last),
            format!("{} to {}", shown(self.least), shown(self.most)),
            format!("{:+.1} ± {:.1}", self.slope, self.doubt),
            self.permitted.map_or_else(|| "-".to_owned(), shown),
            match self.judgement() {
                _ if !judged => "-",
                Judgement::None => "-",
                Judgement::Flat => "yes",
                Judgement::Grows => "**no**",
                Judgement::Unclear => "**unclear**",
            }
            .to_owned(),
        ]
    }
}
