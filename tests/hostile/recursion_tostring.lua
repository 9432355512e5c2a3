-- __tostring that calls tostring on itself.
-- load: ok
-- call: steps|policy
local t t = setmetatable({}, { __tostring = function(s) return tostring(s) end })
return function() while true do pcall(tostring, t) end end
