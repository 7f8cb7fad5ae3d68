-- Requests of which no two in a row of 10,000 are alike: path, id and trace differ, as where calls are traced.
-- All are made before the first is sent, so that the client's core does nothing more for them than for equal ones.
local COUNT, requests, at = 10000, {}, 0

function init(args)
  for number = 1, COUNT do
    local id = string.format("%032x", number * 2654435761)
    requests[number] = wrk.format("GET", "/ids/" .. number, {
      ["Host"] = "app", ["User-Agent"] = "tulle-bench", ["Accept"] = "*/*",
      ["X-Request-Id"] = id, ["Traceparent"] = "00-" .. id .. "-" .. id:sub(17) .. "-01",
    })
  end
end

function request()
  at = at % COUNT + 1
  return requests[at]
end

-- wrk's figures as one line of JSON. `done` runs once, after all; requests are made in C, as without a script.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"operations": %d, "bytes": %d, "seconds": %.6f, "errors": %d, "p50": %.9f, "p99": %.9f, "p999": %.9f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency:percentile(99.9) / 1e6))
end
