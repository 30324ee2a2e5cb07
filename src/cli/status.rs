//! `status`: what the agent is doing and why it is not done yet.

mod stack;

use super::agent::ANSWER;
use super::arguments::{Global, StatusArguments};
use super::output::{Output, span_ms};
use super::paint::{Paint, Style};
use super::table::{Cell, cell, clean, render, styled};
use super::{Exit, block_on};
use crate::agent::status::{CheckView, ClockView, SignalStatusView, Status};
use crate::plan::ClockTrust;
use crate::signal::SignalStatus;
use std::fmt::Write as _;
use std::time::Duration;

/// Between two looks of `--watch`.
const PERIOD: Duration = Duration::from_secs(1);
/// To the upper left corner, and clear what follows (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

pub(super) fn run(global: &Global, arguments: &StatusArguments, out: &mut Output) -> anyhow::Result<Exit> {
    let agent = global.agent()?;
    block_on(async {
        loop {
            let status: Status = agent.get("/status", ANSWER).await?;
            let read = match (arguments.json, arguments.watch) {
                (true, true) => out.json_line(&status)?,
                (true, false) => out.json(&status)?,
                (false, true) if out.is_terminal() => out.line(format!("{CLEAR}{}", text(&status, out.paint)))?,
                (false, _) => out.line(text(&status, out.paint))?,
            };
            if !arguments.watch || !read || is_settled(&status) {
                return Ok(Exit::Ok);
            }
            tokio::time::sleep(PERIOD).await;
        }
    })
}

/// Whether nothing is owed any more. An agent without signals has nothing to settle, but may be given some.
fn is_settled(status: &Status) -> bool {
    !status.signals.is_empty() && status.signals.iter().all(|signal| signal.settled_at.is_some())
}

/// The whole for people.
fn text(status: &Status, paint: Paint) -> String {
    let mut text = format!("ros-signal-agent {} ", status.version);
    let host = status.instance_id.as_ref().map_or("on a host without a known identity".to_owned(), |id| format!("on {id}"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}, {}", clean(&host), status.at);
    for (what, hint) in alarms(status) {
        let _ = writeln!(text, "{}", paint.style(&clean(&what), Style::Bad));
        let _ = writeln!(text, "  hint: {hint}");
    }
    if status.clock.is_some_and(|clock| clock.verified_by == ClockTrust::Metadata && wrong_clock(&clock).is_none()) {
        text.push_str("certificates of ROS are judged by the time of the metadata service\n");
    }
    if status.signals.is_empty() {
        text.push_str("\nno signals: the configuration has no [signal.NAME]\n");
    } else {
        let signals = status.signals.iter().map(signal_row).collect();
        let _ = write!(text, "\n{}", render(["SIGNAL", "RESOURCE", "STATE", "DECIDES IN", "WHY"], signals, paint));
        status.signals.iter().for_each(|signal| text.push_str(&trouble(signal)));
    }
    if !status.checks.is_empty() {
        let checks = status.checks.iter().map(check_row).collect();
        let _ = write!(text, "\n{}", render(["CHECK", "TYPE", "LEVEL", "STATE", "FOR", "LAST"], checks, paint));
    }
    text.push_str(&stack::text(status, paint));
    text
}

/// What is wrong with the agent itself, and what to do.
fn alarms(status: &Status) -> Vec<(String, &'static str)> {
    let mut alarms = Vec::new();
    if status.held {
        alarms.push(("held: no verdicts are made".to_owned(), "ros-signal-agent resume"));
    }
    if let Some(what) = status.clock.as_ref().and_then(wrong_clock) {
        alarms.push((what, "set the clock (chrony); the agent signs with the time of ROS, but checks and logs go by this host's"));
    }
    if let Some(why) = &status.not_durable {
        alarms.push((
            format!("state not durable: {why}"),
            "after a crash now, signals without a derived id could be lost; make room in state_dir",
        ));
    }
    if let (None, Some(why)) = (&status.instance_id, &status.identity_error) {
        alarms.push((format!("identity unknown: {why}"), "nothing is sent before the instance id is known; [instance] id gives it"));
    }
    alarms
}

/// A clock that is off enough to matter, by whose word, and what it does to certificates.
fn wrong_clock(clock: &ClockView) -> Option<String> {
    let witnesses = [("the metadata service", clock.metadata_ahead_ms), ("ROS", clock.ros_ahead_ms)];
    let off = |(whose, ahead): (&str, Option<i64>)| {
        let ahead = ahead.filter(|ahead| ahead.abs() > CLOCK_MATTERS_MS)?;
        Some(format!("{} {} by {whose}", span_ms(ahead.abs() / 1000 * 1000), if ahead > 0 { "slow" } else { "fast" }))
    };
    let said: Vec<_> = witnesses.into_iter().filter_map(off).collect();
    let judged = match clock.verified_by {
        ClockTrust::Metadata => "the time of the metadata service",
        ClockTrust::System => "this host's clock",
    };
    (!said.is_empty()).then(|| format!("this host's clock is {}; certificates of ROS are judged by {judged}", said.join(", ")))
}

/// What is less is no news: an HTTP date knows whole seconds only, and ROS allows minutes.
const CLOCK_MATTERS_MS: i64 = 30_000;

fn signal_row(signal: &SignalStatusView) -> [Cell; 5] {
    let style = match (signal.state.as_str(), signal.verdict) {
        ("acknowledged", Some(SignalStatus::Success)) => Style::Good,
        (_, Some(SignalStatus::Failure)) => Style::Bad,
        ("pending" | "sending" | "not needed", _) => Style::Plain,
        _ => Style::Doubtful,
    };
    let by_template = if signal.deadline_from.as_deref() == Some("template") { " (template)" } else { "" };
    let left = signal.decides_within_ms.map(|ms| format!("{}{by_template}", span_ms(ms))).unwrap_or_default();
    let why = match (&signal.reason, signal.verdict) {
        (Some(reason), Some(verdict)) if matches!(signal.state.as_str(), "acknowledged" | "sending") => format!("{verdict}: {reason}"),
        _ => signal.detail.clone(),
    };
    [cell(&signal.name), cell(&signal.resource), styled(&signal.state, style), cell(left), cell(why)]
}

/// What keeps a signal from its acknowledgement, or the receipt.
fn trouble(signal: &SignalStatusView) -> String {
    let mut text = String::new();
    let name = &signal.name;
    let _ = match (&signal.last_error, signal.attempts) {
        (Some(error), 0) => writeln!(text, "{name}: {}", clean(error)),
        (Some(error), attempt) => writeln!(text, "{name}: attempt {attempt} was not acknowledged: {}", clean(error)),
        (None, _) => Ok(()),
    };
    if let Some(hint) = &signal.hint {
        let _ = writeln!(text, "  hint: {}", clean(hint));
    }
    if let Some(next) = signal.next_attempt_ms.filter(|_| signal.attempts > 0) {
        let _ = writeln!(text, "  next attempt in {}", span_ms(next));
    }
    if let (Some(request), Some(at)) = (&signal.request_id, &signal.settled_at) {
        let _ = writeln!(text, "{name}: acknowledged at {at}, RequestId {}", clean(request));
    }
    if let Some(confirmed) = &signal.confirmed {
        let why = signal.confirmation.as_ref().map(|why| format!(": {}", clean(why))).unwrap_or_default();
        let _ = writeln!(text, "{name}: confirmation: {confirmed}{why}");
    }
    for warning in &signal.warnings {
        let (what, hint) = warning.split_once("; hint: ").unwrap_or((warning, ""));
        let _ = writeln!(text, "{name}: warning: {}", clean(what));
        if !hint.is_empty() {
            let _ = writeln!(text, "  hint: {}", clean(hint));
        }
    }
    text
}

fn check_row(check: &CheckView) -> [Cell; 6] {
    let state = match check.state {
        Some(health) => styled(health.word(), Style::of(health)),
        None => styled("initial", Style::Dim),
    };
    [cell(&check.name), cell(&check.kind), cell(&check.level), state, cell(span_ms(check.for_ms)), cell(last(check))]
}

fn last(check: &CheckView) -> String {
    let mut text = match &check.last {
        Some(last) => {
            let never = if last.terminal { ", it will never pass" } else { "" };
            format!("{}: {} ({} ago, took {}{never})", last.health, last.message, span_ms(last.ago_ms), span_ms(last.took_ms))
        }
        None => "not run yet".to_owned(),
    };
    if let Some(name) = &check.waiting_for {
        let _ = write!(text, ", waits for {name}");
    } else if check.in_start_period {
        text.push_str(", in its start period");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn clock(ros_ahead_ms: Option<i64>, metadata_ahead_ms: Option<i64>, verified_by: ClockTrust) -> ClockView {
        ClockView { trust: verified_by, verified_by, ros_ahead_ms, metadata_ahead_ms }
    }

    #[test]
    fn a_clock_that_is_off_is_told_by_whose_word_and_what_judges_certificates() {
        assert_eq!(
            wrong_clock(&clock(Some(2 * DAY_MS), Some(2 * DAY_MS + 1), ClockTrust::Metadata)).as_deref(),
            Some(
                "this host's clock is 2days slow by the metadata service, 2days slow by ROS; certificates of ROS are judged by the time of \
                 the metadata service"
            )
        );
        assert_eq!(
            wrong_clock(&clock(None, Some(-DAY_MS), ClockTrust::System)).as_deref(),
            Some("this host's clock is 1day fast by the metadata service; certificates of ROS are judged by this host's clock")
        );
        for near in [Some(29_000), Some(-29_000), None] {
            assert_eq!(wrong_clock(&clock(near, near, ClockTrust::Metadata)), None);
        }
    }
}
