-- Next by hand over a large table.
-- load: ok
-- call: steps|time
return function()
  local t = {} for i = 1, 2000 do t["k" .. i] = i end
  local k = nil repeat k = next(t, k) until not k
end
