-- A counter in the metatable of a frozen table.
-- load: ok
-- call: policy
local mt = { n = 0 } local t = setmetatable({}, mt)
return function() getmetatable(t).n = 1 return t end
