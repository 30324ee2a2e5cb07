# shellcheck shell=bash
# guest: suites=bullseye,trixie cloud=outside timeout=180
# The host is booted again in every state of a signal: cut off, rebooted, cut off again. The stand-in for Alibaba Cloud is a neighbour that
# lives on, so it is the judge: each stack has one effective signal, of the right status, under the UniqueId that was decided first.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly HOME_DIR=/opt/system/work UP=/opt/system/work/up

# What the stand-in, ledgers and agents tell, a word or line for each question.
cat >ask.py <<'END'
import json, pathlib, subprocess, sys, urllib.request

place = json.load(open("/opt/system/cloud"))

def control(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(place["control"] + path, data, method=method), timeout=10) as answer:
        return json.loads(answer.read() or b"null")

def stack(name, count):
    control("PUT", f"/stacks/stack-{name}", {"region": "cn-hangzhou", "status": "CREATE_IN_PROGRESS", "resources": {
        "WebReady": {"type": "handle"}, "Wait": {"type": "condition", "handle": "WebReady", "count": int(count), "timeout": 3600}}})

def fault(effect, when, service, action):
    match = {"service": service}
    if action:
        match["action"] = action
    control("POST", "/faults", {"effect": {"kind": effect, **({"when": when} if when else {})}, "match": match,
                                **({"seconds": 3600} if effect == "refuse" else {})})

def told(name):  # each signal of the stack: STATUS ID, how often it took effect
    signals = control("GET", f"/stacks/stack-{name}")["resources"]["WebReady"].get("signals", [])
    return "\n".join(f"{one['status']} {one['unique_id']} {one['effective']}" for one in signals)

def sends():  # how many signals were sent, to whichever stack, and taken
    return sum(one["action"] == "SignalResource" for one in control("GET", "/requests")["requests"])

def ledger(agent):
    path = pathlib.Path(f"/opt/system/work/{agent}/state/ledger.json")
    return json.loads(path.read_text()) if path.exists() else {"rounds": []}

def round_of(agent, signal):
    return next((one for one in ledger(agent)["rounds"] if one["signal"] == signal), {})

def intent(agent, signal):  # STATUS ID, as it is durable
    one = round_of(agent, signal).get("intent")
    return f"{one['status']} {one['unique_id']}" if one else "none"

def decided(agent, signal):  # boot id and milliseconds since that boot
    one = round_of(agent, signal)["intent"]["decided"]
    return f"{one['boot_id']} {one['boot_ms']}"

def margin(agent, signal):  # milliseconds from the one extension to the decision
    one = round_of(agent, signal)
    return one["intent"]["decided"]["boot_ms"] - one["extended"]["boot_ms"]

def status(agent):
    said = subprocess.run(["ros-signal-agent", "--config", f"/opt/system/work/{agent}/config.toml", "status", "--json"],
                          capture_output=True, text=True, timeout=20)
    return json.loads(said.stdout) if said.returncode == 0 else {"signals": [], "summary": said.stderr}

def summary(agent):
    return status(agent)["summary"]

def state(agent, signal):  # STATE STATUS and why
    return "".join(f"{one['state']} {one['verdict'] or '-'} {one['detail']}" for one in status(agent)["signals"] if one["name"] == signal)

answer = globals()[sys.argv[1]](*sys.argv[2:])
if answer is not None:
    print(answer)
END
ask() { python3 "$HOME_DIR/ask.py" "$@"; }
soon() { # soon REGEX QUESTION...: the answer becomes that one
  local deadline=$((SECONDS + 60)) answer
  until answer=$(ask "${@:2}") && [[ $answer =~ $1 ]]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited too long for '${*:2}' to be /$1/: $answer"
    sleep 0.05
  done
}
place() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' /opt/system/cloud; }
past() { ros-signal-agent --config "$HOME_DIR/$1/config.toml" history; }

# ---------------------------------------------------------------- what is set up before the first cut

cat >/etc/systemd/system/agent@.service <<END
[Service]
Type=notify
ExecStart=/usr/local/bin/ros-signal-agent --config $HOME_DIR/%i/config.toml run
Environment=ALIBABA_CLOUD_ACCESS_KEY_ID=testAccessKeyId ALIBABA_CLOUD_ACCESS_KEY_SECRET=testAccessKeySecret
User=65534
Group=65534
Restart=on-failure
WatchdogSec=60
[Install]
WantedBy=multi-user.target
END

# agent NAME METADATA [LINE...]: of a host that the configuration names, or whose metadata service answers at METADATA.
agent() {
  local name=$1 metadata=$2
  shift 2
  mkdir -p "$name"
  {
    printf '[agent]\nstate_dir = "%s/state"\nsocket = "%s/socket"\nlog = "debug"\n' "$HOME_DIR/$name" "$HOME_DIR/$name"
    printf '[ros]\nendpoint = "%s"\n[credentials]\nprovider = "environment"\n' "$(place ros)"
    printf '[instance]\nmetadata_url = "%s"\n' "$metadata"
    [ "$metadata" != http://127.0.0.1:9 ] || printf 'id = "i-bp1a2b3c4d5e6f7g8h9i"\n'
    printf '%s\n' '[stack]' 'region = "cn-hangzhou"' "$@"
  } >"$name/config.toml"
  chown -R 65534:65534 "$name"
}
readonly NOWHERE=http://127.0.0.1:9

# signal NAME COUNT [LINE...]: one of an own stack, whose condition waits for COUNT; it is healthy from when $UP/NAME exists.
signal() {
  local name=$1
  ask stack "$name" "$2" >&2
  shift 2
  printf '%s\n' "[signal.$name]" 'resource = "WebReady"' "stack_id = \"stack-$name\"" "checks = [\"$name\"]" 'min_healthy_time = "1s"' "$@" \
    "[check.$name]" 'type = "file"' "path = \"$UP/$name\"" 'start_interval = "100ms"'
}

# The only check that can say that it will never pass.
broken() {
  ask stack broken 1 >&2
  printf '%s\n' '[signal.broken]' 'resource = "WebReady"' 'stack_id = "stack-broken"' 'checks = ["broken"]' 'min_healthy_time = "1s"' \
    '[check.broken]' 'type = "exec"' "command = [\"/bin/sh\", \"-c\", \"test -e $UP/broken && exit 78; exit 1\"]" 'start_interval = "100ms"'
}

first_boot() {
  mkdir -p "$UP"
  systemctl daemon-reload
  agent main "$NOWHERE" "$(signal acknowledged 2; signal lost 2 'unique_id = "random"'; signal counted 1
    signal recorded 2 'unique_id = "random"'; broken; signal pending 2; signal half 2 | sed 's/"1s"/"6s"/')"
  agent held "$NOWHERE" "$(signal held 1)"
  agent late "$(place metadata)" "$(signal late 1)"
  agent unconfigured "$NOWHERE" ''
  agent overdue "$NOWHERE" "$(signal overdue 1 'deadline = "10s"' 'margin = "3s"'; signal hopeless 1 'deadline = "10s"' 'margin = "3s"')"
  chmod -R a+rX /opt/system

  ask fault refuse '' metadata ''
  systemctl enable --quiet --now agent@{main,held,late,unconfigured}.service
  touch "$UP"/{acknowledged,late}
  soon '^acknowledged SUCCESS' state main acknowledged
  soon 'identity unknown' summary late
  expect 'not configured' 'not configured' "$(ask summary unconfigured)"
  ros-signal-agent --config held/config.toml hold >/dev/null
  touch "$UP/held"

  # ROS takes these, and its answers never arrive.
  ask fault reset after ros SignalResource
  touch "$UP"/{lost,counted}
  soon '^SUCCESS .* 1$' told lost
  soon '^SUCCESS .* 1$' told counted
  # From here on nothing reaches it.
  ask fault refuse '' ros ''
  touch "$UP"/{recorded,broken}
  soon '^SUCCESS ' intent main recorded
  soon '^FAILURE ' intent main broken
  soon '^sending SUCCESS' state main lost
  for name in acknowledged lost counted recorded broken; do ask intent main "$name" >"$name.first"; done

  systemctl start agent@overdue.service
  soon '^pending - ' state overdue hopeless
  date -d '+10 seconds' +%s >overdue.at
  touch "$UP/half"
  soon '^pending - .*1/1' state main half
  expect 'a window that has just opened decides nothing' '^none$' "$(ask intent main half)"
  expect 'a check that fails decides nothing' '^none$' "$(ask intent main pending)"
}

# ---------------------------------------------------------------- what each boot finds

is_another_boot() {
  cat /proc/sys/kernel/random/boot_id >>boots
  [ "$(sort -u boots | wc -l)" = "$BOOT" ] || fail "this boot has the id of an earlier one: $(cat boots)"
  [ "$(cut -d. -f1 /proc/uptime)" -lt 60 ] || fail "the clock since boot is not of this boot: $(cat /proc/uptime)"
}

goes_on() { # goes_on NAME: with what was decided first
  expect "$1: the intent is the first one" "^$(cat "$1.first")$" "$(ask intent main "$1")"
}

after_the_cut() {
  for name in acknowledged lost counted recorded broken; do goes_on "$name"; done
  soon '^sending SUCCESS' state main lost
  soon '^sending SUCCESS' state main recorded
  soon '^sending FAILURE' state main broken
  expect 'acknowledged stays so' '^acknowledged SUCCESS' "$(ask state main acknowledged)"
  expect 'not configured stays so' 'not configured' "$(ask summary unconfigured)"
  expect 'history tells the power cut' 'the host was booted again, boot 2' "$(past main)"

  # Of the six seconds of health some were seen before the cut: they do not count.
  soon '^SUCCESS ' intent main half
  read -r boot_id ms <<<"$(ask decided main half)"
  [ "$boot_id" = "$(cat /proc/sys/kernel/random/boot_id)" ] || fail "decided in another boot: $boot_id"
  [ "$ms" -ge 6000 ] || fail "decided $ms ms after the boot: min_healthy_time did not begin anew"
  printf 'ok: min_healthy_time of 6 s began anew: decided %d ms after the boot\n' "$ms"
  expect 'a check that fails still decides nothing' '^none$' "$(ask intent main pending)"
  touch "$UP/pending"
  soon '^SUCCESS ' intent main pending

  ros-signal-agent --config held/config.toml wait --for healthy --timeout 30s >/dev/null
  expect 'held is remembered' '^HELD, no verdicts until resume' "$(ask summary held)"
  expect 'held: healthy, and nothing is decided' '^none$' "$(ask intent held held)"
  agent unconfigured "$NOWHERE" "$(signal unconfigured 1)"
  touch "$UP/unconfigured"
  soon '^SUCCESS ' intent unconfigured unconfigured
  for name in half pending; do ask intent main "$name" >"$name.first"; done
  ask intent unconfigured unconfigured >unconfigured.first
}

# one NAME STATUS: one effective signal, under the id that was decided first.
one() {
  expect "$1: one effective $2" "^$2 [-0-9a-zA-Z]+ 1$" "$(ask told "$1")"
  [ ! -e "$1.first" ] || expect "$1: under the id of the first decision" "^$(cat "$1.first") 1$" "$(ask told "$1")"
}

deadline_has_passed() { [ "$(date +%s)" -gt "$(cat overdue.at)" ]; }

after_the_reboot() {
  for name in acknowledged lost counted recorded broken pending half; do goes_on "$name"; done
  expect 'held is remembered once more' '^HELD, no verdicts until resume' "$(ask summary held)"
  ask control DELETE /faults >/dev/null
  for name in lost recorded pending half; do soon '^acknowledged SUCCESS' state main "$name"; done
  soon '^acknowledged FAILURE' state main broken
  # Its stack has what it waited for, which the look before a send tells.
  soon '^not needed SUCCESS' state main counted
  soon '^acknowledged SUCCESS' state unconfigured unconfigured
  soon '^acknowledged SUCCESS' state late late
  ros-signal-agent --config held/config.toml resume >/dev/null
  soon '^acknowledged SUCCESS' state held held

  until_true 30 deadline_has_passed
  systemctl start agent@overdue.service
  soon '^pending - ' state overdue overdue
  touch "$UP/overdue"
  soon '^acknowledged SUCCESS' state overdue overdue
  soon '^acknowledged FAILURE' state overdue hopeless
  [ "$(ask margin overdue hopeless)" -ge 3000 ] || fail "the checks got $(ask margin overdue hopeless) ms"
  printf 'ok: an overdue host gives its checks one more margin of 3 s: decided after %s ms\n' "$(ask margin overdue hopeless)"
  expect 'history tells of the margin' 'hopeless .*the checks get one more chance' "$(past overdue)"
  ask sends >sent
}

after_the_last_cut() {
  for name in main/acknowledged main/lost main/recorded main/pending main/half main/broken unconfigured/unconfigured late/late held/held; do
    soon '^acknowledged ' state "${name%/*}" "${name#*/}"
  done
  systemctl start agent@overdue.service
  soon '^acknowledged ' state overdue overdue
  for name in acknowledged lost counted recorded pending half unconfigured late held overdue; do one "$name" SUCCESS; done
  for name in broken hopeless; do one "$name" FAILURE; done
  expect 'nothing was sent in a boot in which nothing was owed' "^$(cat sent)$" "$(ask sends)"
  expect 'history tells each boot' '^(2 3 4)$' "$(past main | sed -n 's/.*the host was booted again, boot //p' | xargs)"
  expect 'a ledger that nobody had claimed is set aside' 'ledger.instance-unknown-1' "$(ls late/state)"
  past main
}

is_another_boot
case $BOOT in
1) first_boot; power_cut_guest ;;
2) after_the_cut; reboot_guest ;;
3) after_the_reboot; power_cut_guest ;;
4) after_the_last_cut ;;
esac
