# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ros_signal_agent_global_optspecs
    string join \n config= root= socket= log-format= log= v/verbose h/help V/version
end

function __fish_ros_signal_agent_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ros_signal_agent_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ros_signal_agent_using_subcommand
    set -l cmd (__fish_ros_signal_agent_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -s V -l version -d 'Print version'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "run" -d 'Run the agent'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "check" -d 'Run checks once, here and now, and print a table'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "signal" -d 'Send one signal now: through the running agent, or alone'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "status" -d 'Say what the agent is doing and why it is not done yet'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "history" -d 'Say what the agent did'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "wait" -d 'Wait until the host is healthy, or every signal is settled'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "plan" -d 'Show the effective configuration, where each value comes from, and the time to a verdict'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "config" -d 'Validate or print configuration'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "doctor" -d 'Find out whether this host could signal, and what to do if not; sends no signal'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "events" -d 'Follow the events that arrive and what comes of them, send a test event, or clear away queues of instances that are no more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "hook" -d 'List hooks, or try one with made-up values'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "push" -d 'Feed a check of type "ttl"'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "report" -d 'Show the last failure report of a signal, or how it would be now'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "reload" -d 'Have the agent load its configuration again, and say whether it took'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "hold" -d 'Make no verdicts until resume, as for maintenance'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "resume" -d 'Make verdicts again after hold'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "reset" -d 'Forget this instance, before an image is made of its disk'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "rehearse" -d 'Run the real agent with this configuration, or with a built-in example, against a stand-in for ROS'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s r -l resource -d 'Logical ID of the WaitConditionHandle in the template, or the name of a signal of the configuration' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s s -l status -d 'What to say' -r -f -a "success\t''
failure\t''
warning\t''"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s e -l exit-code -d 'Exit code of what was done, such as $?, 0 to 255: 0 says success, all else failure' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l reason -d 'Why, for status and history; only a handle\'s URL can carry it to ROS' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l handle-file -d 'Post to the URL of the handle in this file (its CurlCli or URL), "-" for standard input; sends alone, without credentials' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s d -l data -l data-binary -d 'With --handle-file: what to say as templates write it for ros-notify, such as \'{"status": "SUCCESS", "data": "..."}\', or @FILE' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l stack-id -d 'Stack to tell; sends alone [default: configuration, then instance metadata]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l region -d 'Region of the stack; sends alone [default: configuration, then instance metadata]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l unique-id -d 'Id under which ROS counts the signal once; sends alone [default: as the agent would]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l timeout -d 'How long to try' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l no-wait -d 'Do not wait for the agent\'s delivery; alone: make one attempt'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l direct -d 'Send alone, even if an agent runs'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -f -a "cancel" -d 'Do not send this signal in this round, or not any more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and not __fish_seen_subcommand_from cancel help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Do not send this signal in this round, or not any more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand signal; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -s w -l watch -d 'Show it anew every second until every signal is settled'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -l json -d 'Print JSON; with --watch one line each time'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l for -d 'What to wait for' -r -f -a "healthy\t'All required checks have been passing for min_healthy_time'
signaled\t'ROS has acknowledged, or nothing is owed any more'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l signal -d 'Of this signal only [default: of every signal of the configuration]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l timeout -d 'How long' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand wait" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -f -a "check" -d 'Say everything that is wrong with the configuration'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -f -a "show" -d 'Print the effective configuration as TOML, defaults included'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -f -a "default" -d 'Print a commented file with every key and its default'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -f -a "schema" -d 'Print the JSON Schema of a configuration file'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and not __fish_seen_subcommand_from check show default schema help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from default" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from schema" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Say everything that is wrong with the configuration'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "show" -d 'Print the effective configuration as TOML, defaults included'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "default" -d 'Print a commented file with every key and its default'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "schema" -d 'Print the JSON Schema of a configuration file'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l no-follow -l last -d 'Print the last lines that the agent keeps, and do not wait for more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -l json -d 'Print JSON, one object a line'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -f -a "follow" -d 'Follow the events that arrive and what comes of them; without a subcommand too'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -f -a "send" -d 'Send a signed test event to this host\'s own source, and say what the agent made of it'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -f -a "gc" -d 'Remove the queues that agents made for themselves on instances that are no more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and not __fish_seen_subcommand_from follow send gc help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l no-follow -l last -d 'Print the last lines that the agent keeps, and do not wait for more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -l json -d 'Print JSON, one object a line'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from follow" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l status -d 'Status that it tells [default: what the type says]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l stack -d 'Stack that it is about [default: the one that the agent follows, or that of the configuration]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l source -d 'Source of the configuration that it goes to [default: the only one of type http, else of type spool]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l to -d 'To which type of source' -r -f -a "http\t'A listener of type http'
spool\t'A directory of type spool'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l address -d 'Address of a listener whose socket systemd hands over' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l key -d 'Sign as EventBridge does, with this private key (PKCS#8, RSA) [default: as a test, with the secret of this run of the agent]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l certificate-url -d 'With --key: where the certificate of the key is' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from send" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l older-than -d 'Remove what showed no life for so long, at least 2 days: a living agent shows it once a day' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l dry-run -d 'Say what would be removed, and remove nothing'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from gc" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "follow" -d 'Follow the events that arrive and what comes of them; without a subcommand too'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "send" -d 'Send a signed test event to this host\'s own source, and say what the agent made of it'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "gc" -d 'Remove the queues that agents made for themselves on instances that are no more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand events; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -f -a "list" -d 'Show the hooks and what they are run for'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -f -a "test" -d 'Run a hook now with made-up values, and show what it prints and how it ends'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -f -a "run" -d 'Run what the agent asks for as root; for ros-signal-agent-hook@.service'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and not __fish_seen_subcommand_from list test run help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l trigger -d 'As if this had happened; one of its `on` [default: the first]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "list" -d 'Show the hooks and what they are run for'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run a hook now with made-up values, and show what it prints and how it ends'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "run" -d 'Run what the agent asks for as root; for ros-signal-agent-hook@.service'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hook; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand push" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l signal -d 'Of this signal [default: the last one of any]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand hold" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l dry-run -d 'Say what would be removed, and remove nothing'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -l json -d 'Print JSON'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l timeout -d 'How long to wait for the stack' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l deadline -d 'Have every signal decided within this time, if its own deadline is later' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l fault -d 'What goes wrong when the agent first talks to ROS' -r -f -a "throttle\t'The first three signals are throttled'
refuse\t'For four seconds after the look at the stack nobody listens'
reset\t'The connections of the first three signals are reset before they are processed'
lost\t'The answer to the first signal is lost, after it has been processed'
5xx\t'The first three signals get HTTP 503'
too-early\t'For the first three signals the handle is not there yet'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l config -d 'Read this configuration file and no other' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l root -d 'Look for configuration below this directory, as in an image' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l socket -d 'Control socket of the running agent [default: agent.socket of the configuration]' -r -F
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l log-format -d 'How log lines are written' -r -f -a "auto\t'journal under systemd, else text'
text\t'For people'
journal\t'For the journal, with priorities'
json\t'One JSON object for each event'"
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l log -d 'What is logged, such as "info,ros=debug" [default: agent.log of the configuration for run, else warn]' -r
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l json -d 'Print JSON: one object a line for each event, the outcome last'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -l print-example -d 'Print the configuration of the built-in example, and do nothing else'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -s v -l verbose -d 'Log more: -v is debug, -vv is trace'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand rehearse" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "run" -d 'Run the agent'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "check" -d 'Run checks once, here and now, and print a table'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "signal" -d 'Send one signal now: through the running agent, or alone'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "status" -d 'Say what the agent is doing and why it is not done yet'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "history" -d 'Say what the agent did'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "wait" -d 'Wait until the host is healthy, or every signal is settled'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "plan" -d 'Show the effective configuration, where each value comes from, and the time to a verdict'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "config" -d 'Validate or print configuration'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "doctor" -d 'Find out whether this host could signal, and what to do if not; sends no signal'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "events" -d 'Follow the events that arrive and what comes of them, send a test event, or clear away queues of instances that are no more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "hook" -d 'List hooks, or try one with made-up values'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "push" -d 'Feed a check of type "ttl"'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "report" -d 'Show the last failure report of a signal, or how it would be now'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "reload" -d 'Have the agent load its configuration again, and say whether it took'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "hold" -d 'Make no verdicts until resume, as for maintenance'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "resume" -d 'Make verdicts again after hold'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "reset" -d 'Forget this instance, before an image is made of its disk'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "rehearse" -d 'Run the real agent with this configuration, or with a built-in example, against a stand-in for ROS'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and not __fish_seen_subcommand_from run check signal status history wait plan config doctor events hook push report reload hold resume reset rehearse help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from signal" -f -a "cancel" -d 'Do not send this signal in this round, or not any more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Say everything that is wrong with the configuration'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "show" -d 'Print the effective configuration as TOML, defaults included'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "default" -d 'Print a commented file with every key and its default'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "schema" -d 'Print the JSON Schema of a configuration file'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "follow" -d 'Follow the events that arrive and what comes of them; without a subcommand too'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "send" -d 'Send a signed test event to this host\'s own source, and say what the agent made of it'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from events" -f -a "gc" -d 'Remove the queues that agents made for themselves on instances that are no more'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "list" -d 'Show the hooks and what they are run for'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "test" -d 'Run a hook now with made-up values, and show what it prints and how it ends'
complete -c ros-signal-agent -n "__fish_ros_signal_agent_using_subcommand help; and __fish_seen_subcommand_from hook" -f -a "run" -d 'Run what the agent asks for as root; for ros-signal-agent-hook@.service'
