-- New methods for all strings.
-- load: ok
-- call: policy
return function() getmetatable("").__index.upper = function() return "owned" end end
