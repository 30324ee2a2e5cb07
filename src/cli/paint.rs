//! Colour, only where a person looks at a terminal and has not said no (<https://no-color.org>).

use crate::check::Health;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    /// Text alone.
    Plain,
    /// With the escape sequences of ECMA-48.
    Colours,
}

/// What a text is to look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Doubtful,
    Bad,
}

impl Paint {
    /// For standard output, which is a terminal or is not.
    pub(super) fn for_terminal(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if terminal && !refused && !dumb { Self::Colours } else { Self::Plain }
    }

    /// `text` in that style.
    pub(super) fn style(self, text: &str, style: Style) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Good => 32,
            Style::Doubtful => 33,
            Style::Bad => 31,
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Colours => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

impl Style {
    /// Of a health.
    pub(super) fn of(health: Health) -> Self {
        match health {
            Health::Passing => Self::Good,
            Health::Warning => Self::Doubtful,
            Health::Critical | Health::Unknown => Self::Bad,
        }
    }
}
