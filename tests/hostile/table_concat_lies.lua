-- Concat of 2^62 empty strings.
-- load: ok
-- call: steps|time
return function() return table.concat(setmetatable({}, { __index = function() return "" end, __len = function() return 1 << 62 end })) end
