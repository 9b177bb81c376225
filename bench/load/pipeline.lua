-- wrk: as many requests in one write as the first argument says.
function init(args)
  local all = {}
  for i = 1, tonumber(args[1]) do all[i] = wrk.format("GET") end
  pipeline = table.concat(all)
end
function request() return pipeline end
