-- Sort where __len says a million.
-- load: ok
-- call: steps|time|memory
return function() table.sort(setmetatable({}, { __len = function() return 1000000 end, __index = function(_, i) return -i end })) end
