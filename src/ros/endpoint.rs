//! Which host to ask.
//!
//! ROS is a central service: its host follows the home of the account, not the region of the stack. With `endpoint = "auto"` the
//! VPC host of the China home comes first (instances without internet access reach only that one), then its public host; the other
//! way round in a region that lists no VPC host. The one that answered is remembered, over restarts too, but that is only a hint.
//! A host is left when it cannot be connected to, when it says that it does not serve ROS, or when it has not answered several times
//! in a row. A stack that is unknown may live at the international home: that one is asked once, and once more now and then for as
//! long as no home has served: a stack that is only not there *yet* must not become silence.

use super::hosts;
use crate::plan::{Home, Network};
use reqwest::Url;

/// Attempts without any answer after which the next host is tried.
const PATIENCE: u32 = 3;

/// The hosts that may be asked and the one to ask next.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// By home, the VPC host first.
    homes: Vec<Vec<Url>>,
    home: usize,
    /// Which host of the home; none before one was chosen: then the region says which comes first.
    host: Option<usize>,
    /// Home and host are those that were remembered from before, and nothing has shown yet that they are right.
    hinted: bool,
    /// Hosts of this home that failed in a row.
    failed: usize,
    /// Attempts at this host without an answer in a row.
    silent: u32,
    visit: Visit,
    /// The first home does not know the access key, so the account lives elsewhere.
    stranger: bool,
}

/// Where the visit to the other home stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visit {
    /// After so many more times that the stack is unknown at the first home.
    After(u32),
    Now,
    /// A home has served: never again.
    Settled,
}

/// How often the stack is unknown at the first home between two visits to the other one.
const BETWEEN_VISITS: u32 = 5;

impl Choice {
    /// This URL and no other.
    pub(super) fn fixed(url: Url) -> Self {
        Self::among(vec![vec![url]])
    }

    /// The hosts of Alibaba Cloud, as far as these allow them.
    pub(super) fn auto(home: Home, network: Network) -> Self {
        Self::among(hosts::of(home, network))
    }

    /// The hosts of each home, in the order in which they are tried.
    pub(super) fn among(homes: Vec<Vec<Url>>) -> Self {
        Self { homes, home: 0, host: None, hinted: false, failed: 0, silent: 0, visit: Visit::After(0), stranger: false }
    }

    /// Begins with `host`, which served before. One that is not among those that may be asked is passed over.
    #[must_use]
    pub(super) fn beginning_with(mut self, host: Option<&Url>) -> Self {
        if let Some((home, index)) = host.and_then(|host| self.find(host)) {
            (self.home, self.host, self.hinted) = (home, Some(index), true);
        }
        self
    }

    /// Whether all that is asked is plain HTTP, on loopback.
    pub(super) fn is_plain(&self) -> bool {
        self.homes.iter().flatten().all(|url| url.scheme() == "http")
    }

    fn find(&self, host: &Url) -> Option<(usize, usize)> {
        let mut homes = self.homes.iter().enumerate();
        homes.find_map(|(home, hosts)| Some((home, hosts.iter().position(|known| known == host)?)))
    }

    /// The host to ask about a stack in `region`. None only if there was none to begin with.
    pub(super) fn current(&self, region: &str) -> Option<&Url> {
        let hosts = self.homes.get(self.home)?;
        hosts.get(self.host.unwrap_or_else(|| first(hosts, region)))
    }

    /// All hosts, in the order in which they are tried for a stack in `region`, those of the other home last.
    pub(super) fn hosts(&self, region: &str) -> Vec<Url> {
        let homes = self.homes.iter().enumerate().cycle().skip(self.home).take(self.homes.len());
        let ordered = homes.flat_map(|(home, hosts)| {
            let begin = self.host.filter(|_| home == self.home).unwrap_or_else(|| first(hosts, region));
            hosts.iter().cycle().skip(begin).take(hosts.len()).cloned()
        });
        ordered.collect()
    }

    /// The host answered, so it is the one to stay with.
    pub(super) fn answered(&mut self) {
        self.failed = 0;
        self.silent = 0;
    }

    /// `host` took the request: its home is the right one.
    pub(super) fn served(&mut self, host: &Url) {
        if let Some((home, index)) = self.find(host) {
            (self.home, self.host) = (home, Some(index));
        }
        self.answered();
        self.hinted = false;
        self.visit = Visit::Settled;
    }

    /// `host` cannot be connected to, or does not serve ROS. True if there is another one that has not failed since the last
    /// answer, so that it makes sense to try at once.
    pub(super) fn failed(&mut self, host: &Url) -> bool {
        let hosts = self.homes.get(self.home).map_or(0, Vec::len);
        let Some(at) = self.find(host).filter(|(home, at)| *home == self.home && self.host.is_none_or(|current| current == *at)) else {
            // Another attempt, which failed before this one, has moved on already.
            return true;
        };
        let (_, at) = at;
        self.silent = 0;
        self.failed += 1;
        self.host = Some((at + 1) % hosts.max(1));
        let another = self.failed < hosts;
        if !another {
            self.failed = 0;
            self.leave_other_home();
        }
        another || self.forget_hint()
    }

    /// A remembered host that is wrong costs one attempt. True if another home is asked next because of that.
    fn forget_hint(&mut self) -> bool {
        let other_home = std::mem::take(&mut self.hinted) && self.home != 0;
        if other_home {
            (self.home, self.host, self.failed, self.silent) = (0, None, 0, 0);
        }
        other_home
    }

    /// The host was connected to but did not answer, or not as ROS does.
    pub(super) fn silent(&mut self, host: &Url) {
        self.silent += 1;
        if self.silent >= PATIENCE {
            let _ = self.failed(host);
        }
    }

    /// The access key is not known here. True if the other home is asked next.
    pub(super) fn key_unknown(&mut self) -> bool {
        self.stranger |= self.home == 0;
        self.stack_unknown()
    }

    /// The other home knows the key, which the first one does not: whatever it says, it is the right one.
    pub(super) fn knows_stranger(&self) -> bool {
        self.visiting() && self.stranger
    }

    /// The stack is not known here. True if the other home is asked next.
    pub(super) fn stack_unknown(&mut self) -> bool {
        if self.forget_hint() {
            // The other home was asked just now.
            self.visit = Visit::After(BETWEEN_VISITS);
            return true;
        }
        match self.visit {
            Visit::After(0) if self.homes.len() > 1 => {
                self.visit = Visit::Now;
                (self.home, self.host, self.failed, self.silent) = (1, None, 0, 0);
                true
            }
            Visit::After(more) => {
                self.visit = Visit::After(more.saturating_sub(1));
                false
            }
            Visit::Now => {
                self.leave_other_home();
                false
            }
            Visit::Settled => false,
        }
    }

    /// Whether the other home is being asked.
    pub(super) fn visiting(&self) -> bool {
        self.visit == Visit::Now
    }

    /// The other home does not know the account or the stack, or cannot be reached: back to the first one, for a while.
    pub(super) fn leave_other_home(&mut self) {
        if self.visit == Visit::Now {
            self.visit = Visit::After(BETWEEN_VISITS);
            (self.home, self.host, self.failed, self.silent) = (0, None, 0, 0);
        }
    }
}

/// Which of `hosts`, the VPC host first, comes first for a stack in `region`.
fn first(hosts: &[Url], region: &str) -> usize {
    if hosts::vpc_first(region) { 0 } else { hosts.len().saturating_sub(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(choice: &Choice) -> &str {
        choice.current(HANGZHOU).and_then(Url::host_str).unwrap()
    }

    const HANGZHOU: &str = "cn-hangzhou";

    fn auto() -> Choice {
        Choice::auto(Home::Auto, Network::Auto)
    }

    fn asked(choice: &Choice) -> Url {
        choice.current(HANGZHOU).cloned().unwrap()
    }

    fn fail(choice: &mut Choice) -> bool {
        choice.failed(&asked(choice))
    }

    fn silence(choice: &mut Choice) {
        choice.silent(&asked(choice));
    }

    fn serve(choice: &mut Choice) {
        choice.served(&asked(choice));
    }

    fn remembering(host: &str) -> Choice {
        auto().beginning_with(Some(&Url::parse(host).unwrap()))
    }

    #[test]
    fn a_region_without_a_vpc_host_asks_the_public_one_first() {
        let mut choice = auto();
        let name = |choice: &Choice, region: &str| choice.current(region).unwrap().host_str().unwrap().to_owned();
        assert_eq!(name(&choice, "eu-west-2"), "ros.aliyuncs.com");
        assert_eq!(name(&choice, HANGZHOU), "ros.vpc-proxy.aliyuncs.com");
        let public = choice.current("eu-west-2").cloned().unwrap();
        assert!(choice.failed(&public));
        assert_eq!(name(&choice, "eu-west-2"), "ros.vpc-proxy.aliyuncs.com", "some proxy may be there all the same");
    }

    #[test]
    fn all_hosts_are_told_in_the_order_in_which_they_are_asked() {
        let names = |choice: &Choice, region: &str| -> Vec<String> {
            choice.hosts(region).iter().map(|url| url.host_str().unwrap().trim_end_matches(".aliyuncs.com").to_owned()).collect()
        };
        assert_eq!(names(&auto(), HANGZHOU), ["ros.vpc-proxy", "ros", "ros-intl.vpc-proxy", "ros-intl"]);
        assert_eq!(names(&auto(), "eu-west-2"), ["ros", "ros.vpc-proxy", "ros-intl", "ros-intl.vpc-proxy"]);
        let remembering = remembering("https://ros-intl.aliyuncs.com");
        assert_eq!(names(&remembering, HANGZHOU), ["ros-intl", "ros-intl.vpc-proxy", "ros.vpc-proxy", "ros"]);
    }

    #[test]
    fn the_host_that_served_before_is_asked_first() {
        let mut choice = remembering("https://ros.aliyuncs.com");
        assert_eq!(host(&choice), "ros.aliyuncs.com");
        assert!(fail(&mut choice), "it costs one attempt if it is gone");
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
    }

    #[test]
    fn a_host_that_may_not_be_asked_is_not_remembered() {
        for foreign in ["https://ros.example", "http://ros.aliyuncs.com", "https://ros.aliyuncs.com:8443", "https://user@ros.aliyuncs.com"]
        {
            assert_eq!(host(&remembering(foreign)), "ros.vpc-proxy.aliyuncs.com", "{foreign}");
        }
        let china = Choice::auto(Home::China, Network::Public);
        let choice = china.beginning_with(Some(&Url::parse("https://ros-intl.aliyuncs.com").unwrap()));
        assert_eq!(host(&choice), "ros.aliyuncs.com");
    }

    #[test]
    fn the_home_of_another_account_that_came_with_an_image_costs_one_attempt() {
        let mut choice = remembering("https://ros-intl.aliyuncs.com");
        assert!(choice.stack_unknown());
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        for _ in 0..BETWEEN_VISITS {
            assert!(!choice.stack_unknown(), "and it was asked just now");
        }
        assert!(choice.stack_unknown());
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");

        let mut choice = remembering("https://ros-intl.aliyuncs.com");
        assert!(fail(&mut choice));
        assert!(fail(&mut choice), "nor does it matter if that home cannot be reached");
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
    }

    #[test]
    fn attempts_that_fail_together_leave_a_host_once() {
        let mut choice = auto();
        let first = asked(&choice);
        assert!(choice.failed(&first) && choice.failed(&first) && choice.failed(&first));
        assert_eq!(host(&choice), "ros.aliyuncs.com");
    }

    #[test]
    fn the_vpc_host_comes_first_then_the_public_one_at_once() {
        let mut choice = auto();
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        assert!(fail(&mut choice));
        assert_eq!(host(&choice), "ros.aliyuncs.com");
        assert!(!fail(&mut choice), "both failed: no use in hurrying");
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
    }

    #[test]
    fn the_host_that_answered_is_remembered() {
        let mut choice = auto();
        fail(&mut choice);
        choice.answered();
        assert_eq!(host(&choice), "ros.aliyuncs.com");
        assert!(fail(&mut choice), "after an answer the other one deserves another try at once");
    }

    #[test]
    fn a_host_that_never_answers_is_left_after_a_while() {
        let mut choice = auto();
        for _ in 0..PATIENCE {
            assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
            silence(&mut choice);
        }
        assert_eq!(host(&choice), "ros.aliyuncs.com");
    }

    #[test]
    fn an_unknown_stack_is_looked_for_at_the_other_home_once_in_a_while() {
        let mut choice = auto();
        assert!(choice.stack_unknown());
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");
        assert!(!choice.stack_unknown());
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        for _ in 0..BETWEEN_VISITS {
            assert!(!choice.stack_unknown());
            assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        }
        assert!(choice.stack_unknown(), "and now and then once more, for as long as no home has served");
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");
    }

    #[test]
    fn the_other_home_is_kept_when_it_serves_and_left_when_it_cannot_be_reached() {
        let mut choice = auto();
        choice.stack_unknown();
        serve(&mut choice);
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");
        assert!(!choice.stack_unknown());
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");

        let mut choice = auto();
        choice.stack_unknown();
        assert!(fail(&mut choice));
        assert!(!fail(&mut choice));
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        assert!((0..BETWEEN_VISITS).all(|_| !choice.stack_unknown()));
        assert!(choice.stack_unknown(), "a network that was down does not use up the visit");
    }

    #[test]
    fn a_given_url_is_never_left() {
        let mut choice = Choice::fixed(Url::parse("https://ros.example:8443").unwrap());
        assert!(!fail(&mut choice));
        assert!(!choice.stack_unknown());
        (0..10).for_each(|_| silence(&mut choice));
        assert_eq!(host(&choice), "ros.example");
    }
}
