-- Comparing long strings of zeros, where strcoll is called for each.
-- load: ok
-- call: steps|time
return function()
  local a, b = ("\0"):rep(65000) .. "a", ("\0"):rep(65000) .. "b"
  while true do local _ = a < b, a < b, a < b, a < b, a < b, a < b, a < b, a < b end
end
