-- An __index function that indexes again.
-- load: ok
-- call: steps|policy
local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end })
return function() while true do pcall(function() return t[1] end) end end
