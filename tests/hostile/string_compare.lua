-- Comparing long strings that differ in their last byte.
-- load: ok
-- call: steps|time
return function()
  local a, b = ("x"):rep(65000) .. "a", ("x"):rep(65000) .. "b"
  local n = 0
  while true do if a < b and a <= b and not (a == b) then n = n + 1 end end
end
