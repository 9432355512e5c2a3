-- The same with constants that were made while loading.
-- load: ok
-- call: steps|time
local a, b = ("\0"):rep(65000) .. "a", ("\0"):rep(65000) .. "b"
return function() while true do local _ = a < b, a < b, a < b, a < b, a < b, a < b, a < b, a < b end end
