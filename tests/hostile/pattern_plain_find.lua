-- Plain find at its quadratic worst.
-- load: ok
-- call: steps|time
return function()
  local s, p = ("a"):rep(60000), ("a"):rep(30000) .. "b"
  while true do s:find(p, 1, true) end
end
