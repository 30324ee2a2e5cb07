//! Every table and key there is: form, default and meaning.
//!
//! One description feeds the reader (unknown keys, defaults, bounds), the JSON Schema and the tables of `docs/configuration.md`, so
//! that they cannot drift apart.

mod certificate;
mod clock;
mod cloud_init;
mod composite;
mod container;
mod credentials;
mod disk;
mod dns;
mod file;
mod grpc;
mod hook;
mod kinds;
mod load;
mod memory;
mod mount;
mod port;
mod process;
mod source;
mod systemd;

pub use credentials::CREDENTIALS;
pub use hook::HOOK;
pub use kinds::KINDS;
pub use source::{SOURCE, SOURCES};

use std::time::Duration;

/// A table of the configuration.
#[derive(Debug)]
pub struct Section {
    /// As in messages, such as `[signal.NAME]`.
    pub header: &'static str,
    /// What the table is about, one sentence.
    pub about: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

impl Section {
    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

/// A key.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What may be written.
    pub shape: Shape,
    /// What holds when nothing is written.
    pub default: Fallback,
    /// What it means, in one or two sentences.
    pub meaning: &'static str,
}

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// The key must be written.
    Required,
    /// Nothing; the text says what that means.
    Absent(&'static str),
    /// This TOML value.
    Toml(&'static str),
    /// Something found out when the program starts; the text says what.
    Computed(&'static str),
}

/// What may be written as the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// An integer between these.
    Integer(i64, i64),
    /// A string such as `"1h30m"`, at least this long, at most [`LONGEST`].
    Duration(Duration),
    /// A string.
    Text,
    /// One of these strings.
    Word(&'static [&'static str]),
    /// A string such as `"64KiB"`: a number of bytes.
    Size,
    /// A string with a range of numbers in the syntax of Nagios plug-ins, [`crate::check::Range`].
    Range,
    /// The same where numbers of bytes may be written as sizes: `"1GiB:"`.
    RangeOfSizes,
    /// A string with an absolute path.
    Path,
    /// A string with an http or https URL.
    Url,
    /// A string with a regular expression.
    Pattern,
    /// An array of strings.
    Texts,
    /// A table with a count and an array of names of checks.
    AtLeast,
    /// An array of exit codes.
    Codes,
    /// A status or a range of statuses, or an array of them.
    Statuses,
    /// A table of strings.
    TextTable,
    /// A table of regular expressions.
    PatternTable,
    /// A table from JSON Pointers to values.
    JsonTable,
}

impl Shape {
    /// The form in a few words, for the documentation.
    pub fn words(self) -> String {
        match self {
            Self::Flag => "true or false".into(),
            Self::Integer(low, high) => format!("integer, {low} to {high}"),
            Self::Duration(Duration::ZERO) => "duration".into(),
            Self::Duration(least) => format!("duration, at least {}", humantime::format_duration(least)),
            Self::Text => "string".into(),
            Self::Word(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
            Self::Size => "size".into(),
            Self::Range => "range".into(),
            Self::RangeOfSizes => "range, of bytes also as `\"1GiB:\"`".into(),
            Self::Path => "absolute path".into(),
            Self::Url => "URL".into(),
            Self::Pattern => "regular expression".into(),
            Self::Texts => "array of strings".into(),
            Self::AtLeast => "table of `count` and `of`".into(),
            Self::Codes => "array of integers, 0 to 255".into(),
            Self::Statuses => "status, range such as `\"200-299\"`, or array of them".into(),
            Self::TextTable => "table of strings".into(),
            Self::PatternTable => "table of regular expressions".into(),
            Self::JsonTable => "table of values by JSON Pointer".into(),
        }
    }
}

/// The longest duration of any key: 30 days, which also catches `M` (months) written for `m` (minutes).
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

const ANY: Shape = Shape::Duration(Duration::ZERO);
const MILLISECOND: Shape = Shape::Duration(Duration::from_millis(1));
const SECOND: Shape = Shape::Duration(Duration::from_secs(1));

const fn key(name: &'static str, shape: Shape, default: Fallback, meaning: &'static str) -> Key {
    Key { name, shape, default, meaning }
}

use Fallback::{Absent, Computed, Required, Toml};

/// `[agent]`.
pub static AGENT: Section = Section {
    header: "[agent]",
    about: "The agent itself.",
    keys: &[
        key(
            "allow_no_checks",
            Shape::Flag,
            Toml("false"),
            "Accept a signal without a required check. Such a signal says SUCCESS because nothing speaks against it.",
        ),
        key(
            "max_concurrency",
            Shape::Integer(1, 1024),
            Toml("32"),
            "Runs of checks of one type in flight at once, except exec and those that look at files; more wait their turn.",
        ),
        key("max_exec", Shape::Integer(1, 64), Toml("4"), "Children of exec checks in flight at once; more wait their turn."),
        key(
            "state_dir",
            Shape::Path,
            Computed("`$STATE_DIRECTORY`, else `/var/lib/ros-signal-agent`"),
            "Where the ledger lives. It must survive a reboot.",
        ),
        key(
            "socket",
            Shape::Path,
            Computed("`$RUNTIME_DIRECTORY/control.sock`, else `/run/ros-signal-agent/control.sock`"),
            "The control socket.",
        ),
        key(
            "log",
            Shape::Text,
            Toml("\"info\""),
            "Log level (off, error, warn, info, debug, trace) and, after commas, `target=level` for parts of the agent.",
        ),
    ],
};

/// `[ros]`.
pub static ROS: Section = Section {
    header: "[ros]",
    about: "How Resource Orchestration Service is reached.",
    keys: &[
        key(
            "endpoint",
            Shape::Text,
            Toml("\"auto\""),
            "`auto` (the hosts of `home` and `network`) or a URL. `http://` is for loopback only. Where endpoint, home and network are left at `auto`, the environment variable `ROS_ENDPOINT` counts.",
        ),
        key(
            "home",
            Shape::Word(&["auto", "china", "international"]),
            Toml("\"auto\""),
            "The site at which the account was registered, whose hosts alone are asked. `auto`: the China site, then the international one where that does not know the stack or the access key.",
        ),
        key(
            "network",
            Shape::Word(&["auto", "vpc", "public"]),
            Toml("\"auto\""),
            "Ask only the host inside the VPC, or only the public one. `auto`: the VPC host first where the region has one.",
        ),
        key(
            "proxy",
            Shape::Url,
            Absent("none"),
            "An `http://` proxy for what is asked over TLS, by CONNECT. Proxies of the environment are not used, and the metadata service is never asked through one.",
        ),
        key("signature", Shape::Word(&["acs3-hmac-sha256", "hmac-sha1"]), Toml("\"acs3-hmac-sha256\""), "How requests are signed."),
        key("timeout", MILLISECOND, Toml("\"10s\""), "Of one attempt, connecting included."),
        key(
            "poll",
            Shape::Flag,
            Toml("true"),
            "Look at the stack before a send, and read its template once in each round, where the RAM role permits it.",
        ),
        key("ca_file", Shape::Path, Absent("the system's only"), "PEM certificates trusted besides the system's."),
    ],
};

/// `[ess]`.
pub static ESS: Section = Section {
    header: "[ess]",
    about: "How Auto Scaling is reached, for `transport = \"lifecycle-hook\"`. Signature, timeout and certificates are those of `[ros]`.",
    keys: &[key(
        "endpoint",
        Shape::Text,
        Toml("\"auto\""),
        "`auto` (the environment variable `ESS_ENDPOINT`, else the region's VPC host, then its public one) or a URL. `http://` is for loopback only.",
    )],
};

/// `[instance]`.
pub static INSTANCE: Section = Section {
    header: "[instance]",
    about: "Who this host is.",
    keys: &[
        key("id", Shape::Text, Absent("instance metadata"), "The instance ID; for hosts without the metadata service."),
        key(
            "metadata_url",
            Shape::Url,
            Toml("\"http://100.100.100.200\""),
            "The metadata service. Plain http is for 100.100.100.200 and loopback only.",
        ),
        key("allow_plain_metadata", Shape::Flag, Toml("true"), "Ask without a token when the metadata service gives none."),
    ],
};

/// `[clock]`.
pub static CLOCK: Section = Section {
    header: "[clock]",
    about: "What is done about a wrong clock of this host.",
    keys: &[key(
        "trust",
        Shape::Word(&["system", "metadata"]),
        Toml("\"system\""),
        "Whose time certificates of ROS and its companions are judged by: this host's, or that of the metadata service. Checks always go by this host's.",
    )],
};

/// `[state]`.
pub static STATE: Section = Section {
    header: "[state]",
    about: "What survives a crash.",
    keys: &[key(
        "on_unwritable",
        Shape::Word(&["send", "hold"]),
        Toml("\"send\""),
        "When the ledger cannot be written: `send` from memory (derived ids only), or `hold` until it can be.",
    )],
};

/// `[report]`.
pub static REPORT: Section = Section {
    header: "[report]",
    about: "What the report before a FAILURE tells besides the checks.",
    keys: &[
        key(
            "units",
            Shape::Texts,
            Toml("[]"),
            "Units of systemd whose state and last journal lines it tells, besides those of `systemd` checks; 16 in all.",
        ),
        key(
            "journal_lines",
            Shape::Integer(0, 1000),
            Toml("20"),
            "The last lines of the journal of each of these units, of which 4 KiB are told; 0: none.",
        ),
        key(
            "journal_to_handle",
            Shape::Flag,
            Toml("false"),
            "Send journal lines to ROS too, with `transport = \"handle\"`, whose `data` carries the report. Whoever may look at the stack can read them.",
        ),
    ],
};

/// `[stack]`.
pub static STACK: Section = Section {
    header: "[stack]",
    about: "Which stack waits for this host; the default for every signal.",
    keys: &[
        key("stack_id", Shape::Text, Absent("instance tag `acs:ros:stackId`"), "The stack ID."),
        key("region", Shape::Text, Absent("instance metadata"), "The region of the stack, such as `cn-hangzhou`."),
    ],
};

/// `[signal.NAME]`.
pub static SIGNAL: Section = Section {
    header: "[signal.NAME]",
    about: "The obligation to tell one ROS resource about this host.",
    keys: &[
        key(
            "resource",
            Shape::Text,
            Absent("**required**, but for `transport = \"lifecycle-hook\"`"),
            "Logical ID of the `ALIYUN::ROS::WaitConditionHandle` in the template.",
        ),
        key(
            "condition",
            Shape::Text,
            Absent("learned from the template, else not looked at"),
            "Logical ID of the `ALIYUN::ROS::WaitCondition`, for looking at whether anybody waits. Needed where the template may not be read, or where several conditions wait for the handle.",
        ),
        key(
            "checks",
            Shape::Texts,
            Absent("all enabled checks"),
            "Names of checks, or `tag:x` for all checks with that tag. Checks they depend on are included.",
        ),
        key(
            "deadline",
            SECOND,
            Toml("\"15m\""),
            "From the start of the round to the last moment of deciding. Survives restarts. Where it is not written and the template may be read, it follows the `Timeout` of the condition.",
        ),
        key("margin", ANY, Toml("\"30s\""), "Kept for sending: the decision falls at `deadline - margin` at the latest."),
        key(
            "min_healthy_time",
            ANY,
            Toml("\"5s\""),
            "How long all required checks must have been passing, without a break, before SUCCESS.",
        ),
        key(
            "on_deadline",
            Shape::Word(&["failure", "warning", "none"]),
            Toml("\"failure\""),
            "What is said when the deadline comes before a decision.",
        ),
        key(
            "on_degraded",
            Shape::Word(&["success", "warning", "wait"]),
            Toml("\"success\""),
            "What is said when the host works with reservations: a check is `warning`, or a wanted one does not pass. `wait` says SUCCESS at the deadline.",
        ),
        key("degraded_grace", ANY, Toml("\"30s\""), "How long a degraded host may still become a good one before `on_degraded` holds."),
        key("fail_fast", Shape::Flag, Toml("true"), "Decide failure at once when a required check says that it will never pass."),
        key("give_up", SECOND, Toml("\"12h\""), "From the decision to the last attempt to send it."),
        key(
            "unique_id",
            Shape::Text,
            Toml("\"derived\""),
            "`derived`, `instance`, `random`, `integer:N`, `integer:instance-name` or `integer:hostname` (the number at the end of that name), or a template of `{instance_id}`, `{signal}`, `{resource}`, `{stack_id}`, `{region}`; 1 to 64 characters when expanded.",
        ),
        key(
            "mode",
            Shape::Word(&["Full", "Increment"]),
            Absent("learned from the template, else `\"Full\"`"),
            "`Mode` of the handle in the template, where the agent cannot read it.",
        ),
        key(
            "count",
            Shape::Integer(-1, 1_000_000),
            Absent("learned from the template, else -1"),
            "`Count` of the handle in the template, where the agent cannot read it. With `Full` and a count of 0 or more, ROS takes integer ids only.",
        ),
        key("stack_id", Shape::Text, Absent("that of `[stack]`"), "The stack ID, for this signal."),
        key("region", Shape::Text, Absent("that of `[stack]`"), "The region, for this signal."),
        key(
            "transport",
            Shape::Word(&["api", "handle", "lifecycle-hook"]),
            Toml("\"api\""),
            "How the signal travels: `api` is SignalResource, signed; `handle` a POST to the URL of the wait condition handle, without credentials; `lifecycle-hook` completes the lifecycle action that holds this instance in its scaling group.",
        ),
        key(
            "handle_file",
            Shape::Path,
            Absent("none"),
            "For `transport = \"handle\"`: a file with the handle's `CurlCli`, its `URL`, or both `URL` and `Headers`.",
        ),
        key(
            "handle_credential",
            Shape::Text,
            Absent("none"),
            "For `transport = \"handle\"`: name of a systemd credential with the same. With neither the URL is asked of the stack.",
        ),
        key("scaling_group", Shape::Text, Absent("looked for"), "For `transport = \"lifecycle-hook\"`: ID of the scaling group."),
        key("hook", Shape::Text, Absent("looked for"), "For `transport = \"lifecycle-hook\"`: ID of the lifecycle hook."),
        key(
            "action_token",
            Shape::Text,
            Absent("looked for"),
            "For `transport = \"lifecycle-hook\"`: token of the lifecycle action, beside `hook`.",
        ),
        key(
            "on_failure",
            Shape::Word(&["abandon", "rollback"]),
            Absent("`\"abandon\"`"),
            "For `transport = \"lifecycle-hook\"`: what the scaling group is told instead of FAILURE.",
        ),
        key(
            "resignal",
            Shape::Word(&["never", "on_update"]),
            Toml("\"never\""),
            "Whether updates of the stack are signalled again. `on_update` is for handles with `Mode: Increment` and a `Count` of all hosts; it needs `condition`, and the permission to look at the stack.",
        ),
        key(
            "confirm",
            Shape::Word(&["auto", "on", "off"]),
            Toml("\"auto\""),
            "Whether handle and condition are looked at after the signal was accepted, until it is seen as counted: `auto` where `poll` and the RAM role permit it, `on` with a loud word where the role does not.",
        ),
    ],
};

/// `[check.NAME]`, all types.
pub static CHECK: Section = Section {
    header: "[check.NAME]",
    about: "A named question about this host; keys of all types.",
    keys: &[
        key("type", Shape::Word(&kinds::NAMES), Required, "How the check looks at the world."),
        key("enabled", Shape::Flag, Toml("true"), "`false` removes the check."),
        key(
            "level",
            Shape::Word(&["required", "wanted"]),
            Toml("\"required\""),
            "No SUCCESS without a `required` check; without a `wanted` one the host is degraded.",
        ),
        key("interval", SECOND, Toml("\"10s\""), "From the end of one run to the start of the next, after the verdict."),
        key(
            "start_interval",
            Shape::Duration(Duration::from_millis(100)),
            Toml("\"1s\""),
            "The same until the signals that need this check have their verdict.",
        ),
        key("timeout", MILLISECOND, Toml("\"5s\""), "Of one run; what takes longer is critical."),
        key("initial_delay", ANY, Toml("\"0s\""), "Before the first run."),
        key("start_period", ANY, Toml("\"0s\""), "Failures do not count for so long; the first success ends it."),
        key("success_threshold", Shape::Integer(1, 1000), Toml("1"), "Consecutive good observations that make the check passing."),
        key("failure_threshold", Shape::Integer(1, 1000), Toml("3"), "Consecutive bad observations that make it critical."),
        key("depends_on", Shape::Texts, Toml("[]"), "Checks that must be satisfied before this one runs."),
        key("tags", Shape::Texts, Toml("[]"), "For `checks = [\"tag:x\"]` of a signal."),
    ],
};

/// Tables that stand alone, by name.
pub static SINGLE: [(&str, &Section); 9] = [
    ("agent", &AGENT),
    ("ros", &ROS),
    ("ess", &ESS),
    ("credentials", &CREDENTIALS),
    ("instance", &INSTANCE),
    ("clock", &CLOCK),
    ("state", &STATE),
    ("report", &REPORT),
    ("stack", &STACK),
];

/// Every table, for looking up where a misplaced key belongs.
pub(super) fn all() -> impl Iterator<Item = &'static Section> {
    SINGLE
        .iter()
        .map(|(_, section)| *section)
        .chain([&SIGNAL, &HOOK, &SOURCE, &CHECK])
        .chain(SOURCES.iter().chain(&KINDS).map(|(_, section)| *section))
}

/// The word nearest to `wrong`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(wrong: &str, words: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong: String = wrong.chars().take(64).collect::<String>().to_lowercase();
    let limit = (wrong.chars().count() / 3).max(1);
    words
        .into_iter()
        // So many letters more or fewer are as many mistakes.
        .filter(|word| word.chars().count().abs_diff(wrong.chars().count()) <= limit)
        .map(|word| (strsim::damerau_levenshtein(&wrong, &word.to_lowercase()), word))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, word)| word)
}
