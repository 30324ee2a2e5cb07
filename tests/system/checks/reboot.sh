# shellcheck shell=bash
# guest: suites=bullseye,trixie install=deb cloud=outside timeout=400
# The host is booted again in every state of a signal: cut off, rebooted, cut off again. The stand-in for Alibaba Cloud is a neighbour that
# lives on, so it is the judge: each stack has one effective signal, of the right status, under the UniqueId that was decided first.
# shellcheck source=tests/system/assert.sh
. /opt/system/assert.sh

readonly UP=/opt/system/work/up

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

def told(*names):  # each signal of these stacks: NAME STATUS ID, how often it took effect
    found = ((name, one) for name in names for one in control("GET", f"/stacks/stack-{name}")["resources"]["WebReady"].get("signals", []))
    return "\n".join(f"{name} {one['status']} {one['unique_id']} {one['effective']}" for name, one in found)

def sends():  # how many signals were sent, to whichever stack, and taken
    return sum(one["action"] == "SignalResource" for one in control("GET", "/requests")["requests"])

def of(agent):  # main is the agent of the package, the others are made like it
    return "ros-signal-agent" if agent == "main" else f"ros-signal-agent-{agent}"

def ledger(agent):
    path = pathlib.Path(f"/var/lib/{of(agent)}/ledger.json")
    return json.loads(path.read_text()) if path.exists() else {"rounds": []}

def round_of(agent, signal):
    return next(one for one in ledger(agent)["rounds"] if one["signal"] == signal)

def intents(*agents):  # what is durable: NAME STATUS ID
    decided = (one for agent in agents for one in ledger(agent)["rounds"] if "intent" in one)
    return "\n".join(sorted(f"{one['signal']} {one['intent']['status']} {one['intent']['unique_id']}" for one in decided))

def decided(agent, signal):  # boot id and milliseconds since that boot
    one = round_of(agent, signal)["intent"]["decided"]
    return f"{one['boot_id']} {one['boot_ms']}"

def margin(agent, signal):  # milliseconds from the one extension to the decision
    one = round_of(agent, signal)
    return one["intent"]["decided"]["boot_ms"] - one["extended"]["boot_ms"]

def status(agent):
    said = subprocess.run(["ros-signal-agent", "--socket", f"/run/{of(agent)}/control.sock", "status", "--json"],
                          capture_output=True, text=True, timeout=20)
    return json.loads(said.stdout) if said.returncode == 0 else {"signals": [], "summary": said.stderr}

def summary(agent):
    return status(agent)["summary"]

def states(*agents):  # NAME STATE STATUS and why
    every = (one for agent in agents for one in status(agent)["signals"])
    return "\n".join(f"{one['name']} {one['state']} {one['verdict'] or '-'} {one['detail']}" for one in every)

answer = globals()[sys.argv[1]](*sys.argv[2:])
if answer is not None:
    print(answer)
END
ask() { python3 /opt/system/work/ask.py "$@"; }
soon() { # soon LINES QUESTION...: each of these regular expressions becomes true of a line of the answer
  local deadline=$((SECONDS + 120)) answer line missing=yes
  while [ -n "$missing" ]; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited too long for /$missing/ in: $answer"
    answer=$(ask "${@:2}") || true
    missing=''
    while read -r line; do
      grep -Eq -- "$line" <<<"$answer" || missing=$line
    done <<<"$1"
  done
}
# each LINE NAME...: that line for each of them, which is @ in it.
each() {
  local name
  for name in "${@:2}"; do echo "${1//@/$name}"; done
}
tell() { ros-signal-agent --socket "/run/ros-signal-agent-$1/control.sock" "${@:2}" >/dev/null; } # tell AGENT COMMAND...

# ---------------------------------------------------------------- what is set up before the first cut

readonly NOWHERE=http://127.0.0.1:9

# agent NAME METADATA [LINE...]: of a host that the configuration names, or whose metadata service answers at METADATA.
agent() {
  local name=$1 metadata=$2
  shift 2
  {
    [ "$name" = main ] || printf '[agent]\nstate_dir = "/var/lib/ros-signal-agent-%s"\nsocket = "/run/ros-signal-agent-%s/control.sock"\n' "$name" "$name"
    printf '[ros]\nendpoint = "%s"\n[credentials]\nprovider = "environment"\n' "$(address ros)"
    printf '[instance]\nmetadata_url = "%s"\n' "$metadata"
    [ "$metadata" != "$NOWHERE" ] || printf 'id = "i-bp1a2b3c4d5e6f7g8h9i"\n'
    printf '%s\n' '[stack]' 'region = "cn-hangzhou"' "$@"
  } >"/etc/ros-signal-agent/${name/#main/config}.toml"
}

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
  chmod -R a+rX /opt/system
  # The unit of the package, and others like it for agents that are in another state.
  sed -e 's|^ExecStart=.*|ExecStart=/usr/bin/ros-signal-agent --config /etc/ros-signal-agent/%i.toml run|' \
    -e 's/^\(State\|Runtime\)Directory=ros-signal-agent$/&-%i/' /usr/lib/systemd/system/ros-signal-agent.service >/etc/systemd/system/agent@.service
  for unit in ros-signal-agent agent@; do
    mkdir "/etc/systemd/system/$unit.service.d"
    # Systemd 247 gives it a /proc of its own, in which the boot id of this guest's boot is not mounted over the kernel's.
    printf '[Service]\nEnvironment=ALIBABA_CLOUD_ACCESS_KEY_ID=testAccessKeyId ALIBABA_CLOUD_ACCESS_KEY_SECRET=testAccessKeySecret\nBindReadOnlyPaths=/run/boot_id:/proc/sys/kernel/random/boot_id\n' \
      >"/etc/systemd/system/$unit.service.d/guest.conf"
  done
  systemctl daemon-reload
  # It was started by the installation, without that.
  systemctl stop ros-signal-agent.service
  ros-signal-agent reset
  agent main "$NOWHERE" "$(signal acknowledged 2; signal lost 2 'unique_id = "random"'; signal counted 1
    signal recorded 2 'unique_id = "random"'; broken; signal pending 2; signal half 2 | sed 's/"1s"/"6s"/')"
  agent held "$NOWHERE" "$(signal held 1)"
  agent late "$(address metadata)" "$(signal late 1)"
  agent unconfigured "$NOWHERE" ''
  agent overdue "$NOWHERE" "$(signal overdue 1 'deadline = "10s"' 'margin = "3s"'; signal hopeless 1 'deadline = "10s"' 'margin = "3s"')"

  ask fault refuse '' metadata ''
  systemctl restart ros-signal-agent.service
  systemctl enable --quiet --now agent@{held,late,unconfigured}.service
  touch "$UP"/{acknowledged,late}
  soon '^acknowledged acknowledged SUCCESS' states main
  soon 'identity unknown' summary late
  expect 'not configured' 'not configured' "$(ask summary unconfigured)"
  tell held hold
  touch "$UP/held"

  # ROS takes these, and its answers never arrive.
  ask fault reset after ros SignalResource
  touch "$UP"/{lost,counted}
  soon "$(each '^@ SUCCESS .* 1$' lost counted)" told lost counted
  # From here on nothing reaches it.
  ask fault refuse '' ros ''
  touch "$UP"/{recorded,broken}
  soon "$(each '^@ sending' recorded broken lost)" states main
  ask intents main >decided

  systemctl start agent@overdue.service
  soon '^hopeless pending - ' states overdue
  date -d '+10 seconds' +%s >overdue.at
  touch "$UP/half"
  soon '^half pending - 1/1 ' states main
  expect 'neither a check that fails nor a window that has just opened decides' '^acknowledged broken counted lost recorded$' "$(names main)"
}

# ---------------------------------------------------------------- what each boot finds

names() { ask intents "$@" | cut -d' ' -f1 | xargs; }

is_another_boot() {
  cat /proc/sys/kernel/random/boot_id >>boots
  [ "$(sort -u boots | wc -l)" = "$BOOT" ] || fail "this boot has the id of an earlier one: $(cat boots)"
  [ "$(cut -d. -f1 /proc/uptime)" -lt 180 ] || fail "the clock since boot is not of this boot: $(cat /proc/uptime)"
}

# What was decided in an earlier boot is durable, and the same to the letter.
goes_on() {
  ask intents "$@" >now
  [ -z "$(comm -13 now decided)" ] || fail "these intents are lost or others: $(comm -13 now decided)"
  printf 'ok: what was decided goes on: %s\n' "$(cut -d' ' -f1,2 decided | paste -sd,)"
}

after_the_cut() {
  goes_on main
  soon "$(each '^@ sending SUCCESS' lost recorded; each '^@ sending FAILURE' broken; each '^@ acknowledged SUCCESS' acknowledged)" states main
  expect 'not configured stays so' 'not configured' "$(ask summary unconfigured)"
  expect 'history tells the power cut' 'the host was booted again, boot 2' "$(ros-signal-agent history)"

  # Of the six seconds of health some were seen before the cut: they do not count.
  soon '^half SUCCESS ' intents main
  read -r boot_id ms <<<"$(ask decided main half)"
  [ "$boot_id" = "$(cat /proc/sys/kernel/random/boot_id)" ] || fail "decided in another boot: $boot_id"
  [ "$ms" -ge 6000 ] || fail "decided $ms ms after the boot: min_healthy_time did not begin anew"
  printf 'ok: min_healthy_time of 6 s began anew: decided %d ms after the boot\n' "$ms"
  expect 'a check that fails still decides nothing' '^acknowledged broken counted half lost recorded$' "$(names main)"
  touch "$UP/pending"
  agent unconfigured "$NOWHERE" "$(signal unconfigured 1)"
  touch "$UP/unconfigured"
  soon "$(each '^@ SUCCESS ' pending unconfigured)" intents main unconfigured

  tell held wait --for healthy --timeout 30s
  expect 'held is remembered' '^HELD, no verdicts until resume' "$(ask summary held)"
  expect 'held: healthy, and nothing is decided' '^$' "$(names held)"
  ask intents main unconfigured >decided
}

deadline_has_passed() { [ "$(date +%s)" -gt "$(cat overdue.at)" ]; }

after_the_reboot() {
  goes_on main unconfigured
  expect 'held is remembered once more' '^HELD, no verdicts until resume' "$(ask summary held)"
  ask control DELETE /faults >/dev/null
  tell held resume

  until_true 30 deadline_has_passed
  systemctl start agent@overdue.service
  soon '^overdue pending - ' states overdue
  touch "$UP/overdue"
  soon "$(each '^@ acknowledged SUCCESS' overdue; each '^@ acknowledged FAILURE' hopeless)" states overdue
  [ "$(ask margin overdue hopeless)" -ge 3000 ] || fail "the checks got $(ask margin overdue hopeless) ms"
  printf 'ok: an overdue host gives its checks one more margin of 3 s: decided after %s ms\n' "$(ask margin overdue hopeless)"
  expect 'history tells of the margin' 'hopeless .*the checks get one more chance' "$(ros-signal-agent --socket /run/ros-signal-agent-overdue/control.sock history)"

  # Of one the stack has what it waited for: nobody waits for that signal any more.
  soon "$(each '^@ acknowledged SUCCESS' lost recorded pending half; each '^@ acknowledged FAILURE' broken; each '^@ not needed SUCCESS' counted)" states main
  soon "$(each '^@ acknowledged SUCCESS' unconfigured late held)" states unconfigured late held
  ask intents main unconfigured late held overdue >decided
  ask sends >sent
}

after_the_last_cut() {
  goes_on main unconfigured late held overdue
  systemctl start agent@overdue.service
  soon "$(each '^@ acknowledged ' acknowledged lost recorded pending half broken unconfigured late held overdue hopeless)" \
    states main unconfigured late held overdue
  # The judge: one effective signal each, of that status, under that id.
  sed 's/$/ 1/' decided | sort >right
  # shellcheck disable=SC2046 # names have no blanks
  ask told $(cut -d' ' -f1 decided) | sort >taken
  diff right taken || fail 'what the stand-in has is not what was decided'
  expect 'statuses' '^broken,hopeless$' "$(awk '$2 == "FAILURE" { print $1 }' taken | paste -sd,)"
  printf 'ok: one effective signal of each stack, under the id of the first decision: %s\n' "$(cut -d' ' -f1,2 taken | paste -sd,)"
  expect 'nothing was sent in a boot in which nothing was owed' "^$(cat sent)$" "$(ask sends)"
  expect 'history tells each boot' '^(2 3 4)$' "$(ros-signal-agent history | sed -n 's/.*the host was booted again, boot //p' | xargs)"
  expect 'a ledger that nobody had claimed is set aside' 'ledger.instance-unknown-1' "$(ls /var/lib/ros-signal-agent-late)"
}

is_another_boot
case $BOOT in
1) first_boot; power_cut_guest ;;
2) after_the_cut; reboot_guest ;;
3) after_the_reboot; power_cut_guest ;;
4) after_the_last_cut ;;
esac
