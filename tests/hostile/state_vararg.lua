-- State in the varargs of the chunk.
-- load: ok
-- call: ok
-- result: 0
local n = select("#", ...)
return function() return n end
