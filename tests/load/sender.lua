-- For wrk: sends each request of a file once, by turns of its two threads. A line of the file: time, signature and body, with tabs between them.
--   wrk -s sender.lua URL -- FILE CERTIFICATE_URL
local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init(args)
  certificate = args[2]
  requests = {}
  local line_number = 0
  for line in io.lines(args[1]) do
    local time, signature, body = line:match("^(%d+)\t([^\t]+)\t(.*)$")
    if line_number % 2 == number then
      requests[#requests + 1] = wrk.format("POST", "/events", {
        ["Content-Type"] = "application/json",
        ["x-eventbridge-signature-timestamp"] = time,
        ["x-eventbridge-hash-method"] = "SHA256",
        ["x-eventbridge-signature-version"] = "1.0",
        ["x-eventbridge-signature-url"] = certificate,
        ["x-eventbridge-signature-v2"] = signature,
      }, body)
    end
    line_number = line_number + 1
  end
  sent = 0
  taken, later, refused = 0, 0, 0
end

-- So many requests of one connection that the pace is 2,000 in a second, for 2 threads with 16 connections each: 16 ms between two.
function delay()
  return 15
end

function request()
  sent = sent + 1
  -- At the end the last ones are sent again, which the agent answers and does not hand on.
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

local all = {}
local old_setup = setup
function setup(thread)
  old_setup(thread)
  all[#all + 1] = thread
end

function done(summary, latency)
  local sum = { taken = 0, later = 0, refused = 0 }
  for _, thread in ipairs(all) do
    for name in pairs(sum) do
      sum[name] = sum[name] + thread:get(name)
    end
  end
  io.write(string.format("rate=%.0f taken=%d later=%d refused=%d p99_ms=%.1f max_ms=%.1f\n",
    summary.requests / (summary.duration / 1e6), sum.taken, sum.later, sum.refused, latency:percentile(99) / 1000, latency.max / 1000))
end
