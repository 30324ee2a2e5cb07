//! Which host to ask.
//!
//! ROS is a central service: its host follows the home of the account, not the region of the stack. With `endpoint = "auto"` the
//! VPC host of the China home comes first (instances without internet access reach only that one), then its public host; the one that
//! answered is remembered. A host is left when it cannot be connected to, when it says that it does not serve ROS, or when it has not
//! answered several times in a row. A stack that is unknown may live at the international home: that one is asked once, and once more
//! now and then for as long as no home has served: a stack that is only not there *yet* must not become silence.

use reqwest::Url;

/// Host names of a home: inside a VPC, public (endpoint page of ROS, 2019-09-10).
const CHINA: [&str; 2] = ["https://ros.vpc-proxy.aliyuncs.com", "https://ros.aliyuncs.com"];
const INTERNATIONAL: [&str; 2] = ["https://ros-intl.vpc-proxy.aliyuncs.com", "https://ros-intl.aliyuncs.com"];

/// Attempts without any answer after which the next host is tried.
const PATIENCE: u32 = 3;

/// The hosts that may be asked and the one to ask next.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    homes: Vec<Vec<Url>>,
    home: usize,
    host: usize,
    /// Hosts of this home that failed in a row.
    failed: usize,
    /// Attempts at this host without an answer in a row.
    silent: u32,
    visit: Visit,
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

    /// The hosts of Alibaba Cloud.
    pub(super) fn auto() -> Self {
        let parse = |hosts: [&str; 2]| hosts.iter().filter_map(|host| Url::parse(host).ok()).collect();
        Self::among(vec![parse(CHINA), parse(INTERNATIONAL)])
    }

    /// The hosts of each home, in the order in which they are tried.
    pub(super) fn among(homes: Vec<Vec<Url>>) -> Self {
        Self { homes, home: 0, host: 0, failed: 0, silent: 0, visit: Visit::After(0) }
    }

    /// The host to ask. None only if there was none to begin with.
    pub(super) fn current(&self) -> Option<&Url> {
        self.homes.get(self.home)?.get(self.host)
    }

    /// All hosts, in the order in which they are tried.
    pub(super) fn hosts(&self) -> Vec<Url> {
        self.homes.iter().flatten().cloned().collect()
    }

    /// The host answered, so it is the one to stay with.
    pub(super) fn answered(&mut self) {
        self.failed = 0;
        self.silent = 0;
    }

    /// The host took the request: its home is the right one.
    pub(super) fn served(&mut self) {
        self.answered();
        self.visit = Visit::Settled;
    }

    /// The host cannot be connected to, or does not serve ROS. True if there is another one that has not failed since the last
    /// answer, so that it makes sense to try at once.
    pub(super) fn failed(&mut self) -> bool {
        let hosts = self.homes.get(self.home).map_or(0, Vec::len);
        self.silent = 0;
        self.failed += 1;
        self.host = (self.host + 1) % hosts.max(1);
        let another = self.failed < hosts;
        if !another {
            self.failed = 0;
            self.leave_other_home();
        }
        another
    }

    /// The host was connected to but did not answer, or not as ROS does.
    pub(super) fn silent(&mut self) {
        self.silent += 1;
        if self.silent >= PATIENCE {
            let _ = self.failed();
        }
    }

    /// The stack is not known here. True if the other home is asked next.
    pub(super) fn stack_unknown(&mut self) -> bool {
        match self.visit {
            Visit::After(0) if self.homes.len() > 1 => {
                self.visit = Visit::Now;
                (self.home, self.host, self.failed, self.silent) = (1, 0, 0, 0);
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
            (self.home, self.host, self.failed, self.silent) = (0, 0, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(choice: &Choice) -> &str {
        choice.current().and_then(Url::host_str).unwrap()
    }

    #[test]
    fn the_vpc_host_comes_first_then_the_public_one_at_once() {
        let mut choice = Choice::auto();
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        assert!(choice.failed());
        assert_eq!(host(&choice), "ros.aliyuncs.com");
        assert!(!choice.failed(), "both failed: no use in hurrying");
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
    }

    #[test]
    fn the_host_that_answered_is_remembered() {
        let mut choice = Choice::auto();
        choice.failed();
        choice.answered();
        assert_eq!(host(&choice), "ros.aliyuncs.com");
        assert!(choice.failed(), "after an answer the other one deserves another try at once");
    }

    #[test]
    fn a_host_that_never_answers_is_left_after_a_while() {
        let mut choice = Choice::auto();
        for _ in 0..PATIENCE {
            assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
            choice.silent();
        }
        assert_eq!(host(&choice), "ros.aliyuncs.com");
    }

    #[test]
    fn an_unknown_stack_is_looked_for_at_the_other_home_once_in_a_while() {
        let mut choice = Choice::auto();
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
        let mut choice = Choice::auto();
        choice.stack_unknown();
        choice.served();
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");
        assert!(!choice.stack_unknown());
        assert_eq!(host(&choice), "ros-intl.vpc-proxy.aliyuncs.com");

        let mut choice = Choice::auto();
        choice.stack_unknown();
        assert!(choice.failed());
        assert!(!choice.failed());
        assert_eq!(host(&choice), "ros.vpc-proxy.aliyuncs.com");
        assert!((0..BETWEEN_VISITS).all(|_| !choice.stack_unknown()));
        assert!(choice.stack_unknown(), "a network that was down does not use up the visit");
    }

    #[test]
    fn a_given_url_is_never_left() {
        let mut choice = Choice::fixed(Url::parse("https://ros.example:8443").unwrap());
        assert!(!choice.failed());
        assert!(!choice.stack_unknown());
        (0..10).for_each(|_| choice.silent());
        assert_eq!(host(&choice), "ros.example");
    }
}
