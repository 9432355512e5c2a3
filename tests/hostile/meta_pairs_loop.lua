-- __pairs that gives an endless iteration.
-- load: ok
-- call: steps
local t = setmetatable({}, { __pairs = function() return function() return 1, 1 end end })
return function() for _ in pairs(t) do end end
