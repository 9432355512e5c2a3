-- Remove where __len says 2^62.
-- load: ok
-- call: steps|time
return function() table.remove(setmetatable({}, { __len = function() return 1 << 62 end }), 1) end
