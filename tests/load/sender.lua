-- For wrk: sends each request of a file once, by turns of its two threads. A line of the file: time, signature and body, with tabs between them.
--   wrk -s sender.lua URL -- FILE CERTIFICATE_URL PACE
-- PACE: so many in a second of each thread, 0 for as many as there can be; "forged" for as many as there can be, each with the signature of another.
local ffi = require("ffi")
ffi.cdef("struct pace_time { long s; long ns; }; int clock_gettime(int clock, struct pace_time *time);")
local read = ffi.new("struct pace_time")

-- Milliseconds of CLOCK_MONOTONIC.
local function now()
  ffi.C.clock_gettime(1, read)
  return tonumber(read.s) * 1000 + tonumber(read.ns) / 1e6
end

local all = {}
function setup(thread)
  thread:set("number", #all)
  all[#all + 1] = thread
end

function init(args)
  local certificate, pace = args[2], tonumber(args[3])
  requests = {}
  local line_number, other = 0, nil
  for line in io.lines(args[1]) do
    local time, signature, body = line:match("^(%d+)\t([^\t]+)\t(.*)$")
    if line_number % 2 == number then
      local shown = signature
      if args[3] == "forged" then
        shown, other = other, signature
      end
      if shown then
        requests[#requests + 1] = wrk.format("POST", "/events", {
          ["Content-Type"] = "application/json",
          ["x-eventbridge-signature-timestamp"] = time,
          ["x-eventbridge-hash-method"] = "SHA256",
          ["x-eventbridge-signature-version"] = "1.0",
          ["x-eventbridge-signature-url"] = certificate,
          ["x-eventbridge-signature-v2"] = shown,
        }, body)
      end
    end
    line_number = line_number + 1
  end
  sent, due = 0, 0
  taken, later, refused = 0, 0, 0
  if pace and pace > 0 then
    -- Until the time of the next one of this thread. Who is late makes up for it.
    function delay()
      if due == 0 then due = now() end
      due = due + 1000 / pace
      return math.max(0, math.floor(due - now()))
    end
  end
end

function request()
  sent = sent + 1
  -- At the end the first ones are sent again, which the agent answers and does not hand on.
  return requests[(sent - 1) % #requests + 1]
end

function response(status)
  if status == 204 then
    taken = taken + 1
  elseif status == 503 then
    later = later + 1
  else
    refused = refused + 1
  end
end

function done(summary, latency)
  local sum = { taken = 0, later = 0, refused = 0 }
  for _, thread in ipairs(all) do
    for name in pairs(sum) do
      sum[name] = sum[name] + thread:get(name)
    end
  end
  local errors = summary.errors
  io.write(string.format("rate=%.0f taken=%d later=%d refused=%d broken=%d p99_ms=%.1f max_ms=%.1f\n",
    summary.requests / (summary.duration / 1e6), sum.taken, sum.later, sum.refused,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(99) / 1000, latency.max / 1000))
end
