-- An __index that is neither a table nor a function.
-- load: ok
-- call: policy
local t = setmetatable({}, { __index = 5 })
return function() return t.x end
