-- A table kept full, so that each new key rehashes it.
-- load: ok
-- call: steps|time
return function()
  local t = {}
  for i = 1, 8191 do t["k" .. i] = true end
  for i = 1, 1e9 do t["x" .. i] = true t["x" .. i] = nil end
end
