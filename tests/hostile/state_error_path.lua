-- State written while an error is being raised.
-- load: ok
-- call: policy
local t = {}
return function() pcall(function() t.x = 1 end) local ok = pcall(rawset, t, "x", 1) if not ok and t.x == nil then error("clean", 0) end end
