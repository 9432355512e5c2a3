-- Comparison metamethods that never end.
-- load: ok
-- call: steps
local mt = { __eq = function() while true do end end, __lt = function() while true do end end }
local a, b = setmetatable({}, mt), setmetatable({}, mt)
return function() pcall(function() return a == b end) return a < b end
