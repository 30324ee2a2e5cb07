//! Attempts to reach ROS: signals and looks, each over a real socket, with what strikes it on the way.

use super::super::case::{Fault, Moment as When, Planted, SECOND, Strike};
use super::super::network::{Struck, Weather};
use super::{Flight, Host};
use ros_signal_agent::agent::Input;
use ros_signal_agent::ros::Client;
use ros_signal_agent::signal::{Answer, SignalRequest, Target};
use ros_signal_agent::stack::Look;
use ros_signal_agent::stack::sight::Mark;
use std::sync::Arc;
use std::time::Duration;

/// One attempt that takes longer, in real time, hangs.
const ATTEMPT: Duration = Duration::from_secs(60);

impl Host<'_> {
    pub(super) async fn look(&mut self, target: Target, condition: Option<String>, since: bool) -> Option<(Look, Option<Mark>)> {
        let weather = if self.case.looks_suffer { self.next_weather() } else { None };
        let client = self.client_for(weather);
        let looking = async move { client.look_asking(&target, condition.as_deref(), since).await };
        let looked = self.attempt("GetStack", weather, looking).await?;
        self.tell(&format!("looked{}: {:?}", told(weather), looked.0));
        Some(looked)
    }

    pub(super) async fn send(&mut self, send: u64, request: SignalRequest) {
        self.judge_record(&request);
        self.judge.sends(&request);
        let number = self.signals;
        self.signals += 1;
        let weather = self.next_weather();
        let cut = self.strikes.iter().position(|strike| matches!(strike.when, When::Wire(signal, ..) if signal == number));
        let cut = cut.map(|index| self.strikes.swap_remove(index));
        if let Some(Strike { when: When::Wire(_, side, byte), what }) = cut {
            let how = if let Fault::Cut(how) = what { Some(how) } else { None };
            self.slot.network.cut(side, byte, how);
            if how.is_some() {
                self.strike(&what);
            }
        }
        let client = self.client_for(weather);
        self.tell(&format!("sends {} under {}{}", request.status, request.unique_id, told(weather)));
        let sending = async move { client.signal(&request).await };
        let told = cut.map(|strike| strike.what);
        let Some(answer) = self.attempt_struck("SignalResource", weather, sending, told).await else { return };
        let answer = self.believe(answer, weather);
        let timed_out = matches!(&answer, Answer::Refused(refusal) if refusal.message.contains("timed out"));
        let took = if timed_out { 10 * SECOND } else { 20 + self.chance(300) };
        match &answer {
            Answer::Accepted { .. } => self.tell("acknowledged"),
            Answer::Refused(refusal) => {
                self.tell(&format!("not acknowledged: {:?} {}", refusal.class, refusal.message));
                self.timer_lost |= self.case.planted == Planted::LostTimer;
            }
        }
        self.fly(took, Flight::Input(Box::new(Input::Answered { send, answer })));
    }

    pub(super) fn believe(&self, answer: Answer, weather: Option<Weather>) -> Answer {
        let said_200 = matches!(weather, Some(Weather::Captive | Weather::Empty | Weather::NoRequestId));
        match answer {
            Answer::Refused(_) if said_200 && self.case.planted == Planted::Believes200 => {
                Answer::Accepted { request_id: "planted".to_owned() }
            }
            other => other,
        }
    }

    pub(super) fn client_for(&mut self, weather: Option<Weather>) -> Arc<Client> {
        match weather {
            Some(Weather::NoName) => Arc::clone(&self.slot.nameless),
            _ => Arc::clone(&self.client),
        }
    }

    pub(super) fn next_weather(&mut self) -> Option<Weather> {
        let (weather, left) = self.weather?;
        self.weather = (left > 1).then_some((weather, left - 1));
        Some(weather)
    }

    pub(super) async fn attempt<T>(&mut self, action: &str, weather: Option<Weather>, attempt: impl Future<Output = T>) -> Option<T> {
        self.attempt_struck(action, weather, attempt, None).await
    }

    /// A real attempt. None: the agent died in it, or it never ended.
    pub(super) async fn attempt_struck<T>(
        &mut self,
        action: &str,
        weather: Option<Weather>,
        attempt: impl Future<Output = T>,
        strike: Option<Fault>,
    ) -> Option<T> {
        self.slot.permit_looks(self.case.looks && self.elapsed >= self.denied_until);
        self.slot.weather(action, weather).await;
        let mut attempt = Box::pin(tokio::time::timeout(ATTEMPT, attempt));
        let answer = loop {
            tokio::select! {
                biased;
                Some(Struck(goes_on)) = self.slot.network.struck.recv() => {
                    if let Some(fault) = strike {
                        self.strike(&fault);
                    }
                    if self.dead {
                        return None;
                    }
                    // Whoever slept longer than the time limit does not wait for the answer any more, or finds it there: both happen.
                    let slept = matches!(strike, Some(Fault::Stop(_) | Fault::Suspend(_)));
                    let _ = goes_on.send(!slept || self.case.number.is_multiple_of(2));
                }
                answer = attempt.as_mut() => break answer,
            }
        };
        if answer.is_err() {
            self.judge.stuck(format!("{action} has not ended within {ATTEMPT:?}"));
        }
        answer.ok()
    }
}

fn told(weather: Option<Weather>) -> String {
    weather.map_or_else(String::new, |weather| format!(" ({})", weather.name()))
}
