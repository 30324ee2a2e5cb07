//! A man page for each command: what clap knows of it, its chapter of `docs/commands.md` as description and examples, and the exit codes.

use ros_signal_agent::cli::Exit;
use std::collections::BTreeMap;
use std::fmt::Write as _;

const PROGRAM: &str = "ros-signal-agent";
/// When the pages were last looked through as a whole; a page must have a date.
pub(super) const DATE: &str = "2026-11-23";

/// Files and directories that every command may read.
const FILES: [(&str, &str); 5] = [
    ("/etc/ros-signal-agent/config.toml", "The configuration, ros-signal-agent.toml(5)."),
    (
        "/etc/ros-signal-agent/conf.d/*.toml",
        "Drop-ins, which change single values of it; also in /run/ros-signal-agent/conf.d and /usr/lib/ros-signal-agent/conf.d.",
    ),
    ("/var/lib/ros-signal-agent", "The ledger and the failure reports, unless state_dir names another directory."),
    ("/run/ros-signal-agent/control.sock", "The control socket of the running agent, unless socket names another one."),
    ("/usr/share/doc/ros-signal-agent", "Documentation (docs), examples, drop-ins for the unit, and what changed."),
];

/// For the page of the program itself.
const EXAMPLES: &str = "Is the configuration right, and could this host signal?\n\n```sh\nros-signal-agent config check\nros-signal-agent doctor\n```\n\n\
    What is the agent waiting for, and what did it do?\n\n```sh\nros-signal-agent status\nros-signal-agent history\n```\n\n\
    Try the whole, with a stand-in for ROS in the place of the real one:\n\n```sh\nros-signal-agent rehearse\n```\n";

/// A document of `docs/` as lines.
pub(super) struct Commands<'a>(pub(super) &'a str);

/// All pages below `command`, by the names of their files.
pub(super) fn pages(command: &clap::Command, documents: &Commands<'_>, pages: &mut BTreeMap<String, Vec<u8>>) {
    let name = command.get_display_name().unwrap_or(PROGRAM);
    pages.insert(format!("{name}.1"), page(command, documents).into_bytes());
    for child in children(command) {
        self::pages(child, documents, pages);
    }
}

/// The command line without `help`, which has no page, and knowing its names.
pub(super) fn prepared(command: clap::Command) -> clap::Command {
    fn without_help(command: clap::Command) -> clap::Command {
        command.disable_help_subcommand(true).mut_subcommands(without_help)
    }
    let mut command = without_help(command);
    command.build();
    command
}

fn children(command: &clap::Command) -> impl Iterator<Item = &clap::Command> {
    command.get_subcommands().filter(|child| !child.is_hide_set())
}

fn page(command: &clap::Command, documents: &Commands<'_>) -> String {
    let name = command.get_display_name().unwrap_or(PROGRAM);
    let path = words_after_program(name, command);
    let man = clap_mangen::Man::new(command.clone()).date(DATE).source(concat!("ros-signal-agent ", env!("CARGO_PKG_VERSION")));
    let mut head = Vec::new();
    man.render_title(&mut head).unwrap();
    man.render_name_section(&mut head).unwrap();
    man.render_synopsis_section(&mut head).unwrap();
    let mut options = Vec::new();
    man.render_options_section(&mut options).unwrap();
    if children(command).next().is_some() {
        man.render_subcommands_section(&mut options).unwrap();
    }
    let mut text = String::from_utf8(head).unwrap();
    text.push_str(&description(command, &path, documents));
    // A break on its own between two others is noise to a formatter.
    text.push_str(&String::from_utf8(options).unwrap().replace("\n.br\n\n.br\n", "\n.br\n"));
    text.push_str(&exit_status(command, &path));
    let _ = write!(text, ".SH FILES\n{}", FILES.map(|(file, what)| format!(".TP\n\\fI{}\\fR\n{}\n", escaped(file), prose(what))).concat());
    let examples = if path.is_empty() { EXAMPLES.to_owned() } else { documents.examples(&path) };
    let _ = write!(text, ".SH EXAMPLES\n{}", blocks(&examples));
    text.push_str(&see_also(command, name));
    // Each part that clap_mangen makes begins with the definition of the apostrophe; once is enough.
    let (start, rest) = text.split_once(".SH").unwrap();
    let definition: String = rest.split_inclusive('\n').filter(|line| !line.starts_with(".ie ") && !line.starts_with(".el ")).collect();
    let text = format!("{}.SH{definition}", start.split_inclusive('\n').take(3).collect::<String>());
    // Trailing blanks mean nothing to a formatter of man pages, but much to reviewers.
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// `events send` of `ros-signal-agent-events-send`.
fn words_after_program(name: &str, command: &clap::Command) -> String {
    let whole = command.get_bin_name().unwrap_or(name);
    whole.strip_prefix(PROGRAM).unwrap_or_default().trim().to_owned()
}

fn description(command: &clap::Command, path: &str, documents: &Commands<'_>) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    match documents.chapter(path) {
        Some(chapter) => format!(".SH DESCRIPTION\n{}", blocks(&without_code(chapter))),
        None => format!(".SH DESCRIPTION\n{}.\n", prose(&about)),
    }
}

/// Those that its help lists, else those that name it.
fn exit_status(command: &clap::Command, path: &str) -> String {
    let listed = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut codes: Vec<(String, String)> = listed
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .filter(|(code, _)| code.parse::<u8>().is_ok())
        .map(|(code, meaning)| (code.to_owned(), meaning.trim().to_owned()))
        .collect();
    if path.is_empty() {
        // One code means several things, by command.
        let of = |exit: Exit| format!("{} ({})", exit.meaning(), exit.commands());
        codes = Exit::ALL.into_iter().map(|exit| (exit.code().to_string(), of(exit))).collect();
    }
    if codes.is_empty() {
        let named = format!("`{path}`");
        let is_its = |exit: &Exit| match exit.commands() {
            "all" => true,
            "all but `check`" => path != "check",
            commands => commands.contains(&named),
        };
        codes = Exit::ALL.into_iter().filter(is_its).map(|exit| (exit.code().to_string(), exit.meaning().replace('`', ""))).collect();
    }
    let rows: String = codes.iter().map(|(code, meaning)| format!(".TP\n\\fB{code}\\fR\n{}\n", prose(meaning))).collect();
    format!(".SH \"EXIT STATUS\"\n{rows}")
}

fn see_also(command: &clap::Command, name: &str) -> String {
    let mut pages = Vec::new();
    if let Some((parent, _)) = name.strip_prefix("ros-signal-agent-").and_then(|rest| rest.rsplit_once('-')) {
        pages.push(format!("{PROGRAM}-{parent}"));
    }
    if name != PROGRAM {
        pages.push(PROGRAM.to_owned());
    }
    pages.extend(children(command).filter_map(clap::Command::get_display_name).map(str::to_owned));
    let pages: Vec<String> = pages.iter().map(|page| format!("\\fB{}\\fR(1)", escaped(page))).collect();
    let rest = "\\fBros\\-signal\\-agent.toml\\fR(5),\n\\fBsystemctl\\fR(1),\n\\fBjournalctl\\fR(1)\n";
    format!(".SH \"SEE ALSO\"\n{},\n{rest}", pages.join(",\n"))
}

impl<'a> Commands<'a> {
    /// The chapter of a command; those below another one have none.
    fn chapter(&self, path: &str) -> Option<&'a str> {
        self.0.split("\n## ").find_map(|chapter| chapter.strip_prefix(path)?.strip_prefix('\n')).filter(|_| !path.is_empty())
    }

    /// The examples in which a command is called, with the line before each that belongs to them.
    fn examples(&self, path: &str) -> String {
        let first = path.split(' ').next().unwrap_or_default();
        let chapter = self.chapter(first).unwrap_or_else(|| panic!("docs/commands.md has no chapter {first}"));
        let call = format!("{PROGRAM} {path}");
        let mut found = String::new();
        for block in chapter.split("```").skip(1).step_by(2) {
            // Of a call with options before the command, too.
            let is_called =
                block.lines().any(|line| line.contains(&call) || (line.contains(PROGRAM) && line.ends_with(&format!(" {path}"))));
            if is_called {
                let _ = write!(found, "```{block}```\n\n");
            }
        }
        assert!(!found.is_empty(), "docs/commands.md has no example of {path}");
        found
    }
}

fn without_code(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Markdown as it is used in the documents, in the language of man pages (man(7)).
fn blocks(text: &str) -> String {
    let mut page = String::new();
    let mut first = true;
    for (number, part) in text.split("```").enumerate() {
        if number % 2 == 1 {
            let code = part.split_once('\n').map_or("", |(_, code)| code).trim_end();
            let lines: String = code.lines().map(|line| format!("{}\n", literal(line))).collect();
            let start = if std::mem::take(&mut first) { "" } else { ".PP\n" };
            let _ = write!(page, "{start}.RS 4\n.nf\n{lines}.fi\n.RE\n");
            continue;
        }
        for block in part.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.trim().is_empty()) {
            page.push_str(&block_of(block, std::mem::take(&mut first)));
        }
    }
    page
}

fn block_of(block: &str, is_first: bool) -> String {
    if block.starts_with("| ") {
        let rows = block.lines().skip(2).filter_map(|row| row.trim_matches(|c| c == '|' || c == ' ').split_once(" | "));
        return rows.map(|(what, meaning)| format!(".TP\n{}\n{}\n", prose(what), prose(meaning))).collect();
    }
    if block.starts_with("- ") {
        let items = block.strip_prefix("- ").unwrap_or(block).split("\n- ");
        return items.map(|item| format!(".IP \\(bu 2\n{}\n", prose(item))).collect();
    }
    let start = if is_first { "" } else { ".PP\n" };
    format!("{start}{}\n", prose(block))
}

/// A paragraph: code in bold, links as their text.
fn prose(text: &str) -> String {
    let joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = String::new();
    for (number, part) in joined.split('`').enumerate() {
        if number % 2 == 1 {
            let _ = write!(shown, "\\fB{}\\fR", escaped(part));
        } else {
            shown.push_str(&without_links(part).replace('\\', "\\e"));
        }
    }
    // A line for each sentence is how man pages are written.
    let shown = shown.replace(". ", ".\n");
    shown.lines().map(guarded).collect::<Vec<_>>().join("\n")
}

fn without_links(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("](") {
        let (lead, words) = before.rsplit_once('[').unwrap_or((before, ""));
        // A document is named by where the package has it.
        let place = if words.ends_with(".md") { "docs/" } else { "" };
        let _ = write!(shown, "{lead}{place}{words}");
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    shown + rest
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn literal(line: &str) -> String {
    guarded(&escaped(line))
}

/// What begins with a point or an apostrophe would be a request to the formatter.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() }
}
