-- Pairs over a large table, begun again and again.
-- load: ok
-- call: steps
return function()
  local t = {} for i = 1, 2000 do t["k" .. i] = i end
  while true do for _ in pairs(t) do break end end
end
