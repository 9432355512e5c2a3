-- __concat that concatenates itself.
-- load: ok
-- call: steps|policy
local mt = {} mt.__concat = function(a, b) return a .. b end
local a = setmetatable({}, mt)
return function() while true do pcall(function() return a .. a end) end end
