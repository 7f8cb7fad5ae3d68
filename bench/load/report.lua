-- wrk's figures as one line of JSON. `done` runs once, after all; requests are made in C, as without a script.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"operations": %d, "bytes": %d, "seconds": %.6f, "errors": %d, "p50": %.9f, "p99": %.9f, "p999": %.9f}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency:percentile(99.9) / 1e6))
end
