-- Thousands of closures, whose bytecode is read one by one.
-- load: steps|time|memory
local fs = {} for i = 1, 1e6 do fs[i] = function() return i end end return fs
