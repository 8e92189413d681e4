-- For wrk: asks for the paths of the file named in PATHS, one after the other.
local requests, number = {}, 0
function init()
  for path in io.lines(os.getenv("PATHS")) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
end
function request()
  number = number % #requests + 1
  return requests[number]
end
-- One line for the script: errors are other answers than 200, and connections that broke.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("FIGURES %f %f %d\n", summary.requests / (summary.duration / 1e6), latency:percentile(99) / 1000,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
