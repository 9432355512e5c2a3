-- Runtime errors, whose messages are built in C, in a loop.
-- load: ok
-- call: steps|time
return function() while true do pcall(function() local t return t.x.y end) end end
