-- The way to a frozen table's shadow through its metatable.
-- load: ok
-- call: policy
local t = { x = 1 }
return function() local m = getmetatable(t) m.__index.x = 2 end
