-- A format with thousands of long fields.
-- load: ok
-- call: limit|steps|time
return function() return ("%99.99f"):rep(5000):format(table.unpack(setmetatable({}, { __index = function() return 1 end }), 1, 4000)) end
